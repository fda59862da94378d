"""A scan as it is judged: brain voxels in units of its scale, truth, noise level, tissues."""

from typing import NamedTuple

import numpy as np

from dwijax.baselines import Acquired, acquired
from dwijax.data.cohort import Cohort, Member
from dwijax.data.files import SubjectFiles
from dwijax.data.screening import leave_out
from dwijax.data.subject import Subject, load_subject
from dwijax.errors import InputError, warn
from dwijax.evaluation.common import regions as tissue
from dwijax.evaluation.common.noise import NoiseLevel, from_scan, from_truth
from dwijax.evaluation.common.results import ALL_ACQUIRED, TRUTH
from dwijax.fitting.voxels import Maps, fit_maps
from dwijax.gradients import GradientTable, compare
from dwijax.gradients.matching import in_order_of
from dwijax.inference import Run
from dwijax.volumes import canonical, into_volume, read_mask

LESION = "lesion.nii.gz"  # a mask beside a subject's series, or in its truth, by this name


class MissingDirections(InputError):
    """A subject that has not all directions of the run: there is nothing to judge by."""


class JudgedScan(NamedTuple):
    """A scan as it is judged, in memory; V brain voxels, n b0s, N directions.

    Attributes:
      name: the subject's.
      acquired: `Acquired`, ``[V, n + N]``, in units of the subject's scale.
      clean: the same without noise, or None.
      noise: `NoiseLevel`, in units of the scale.
      regions: dict of bool ``[V]``, already kept to the slices that count.
      regions_source: in words.
      references: dict of `Maps` that FA is judged against: ``ALL_ACQUIRED`` and, where there is a
        truth, ``TRUTH``, by the same fit.
      affine: ``[4, 4]`` of the volume, LAS.
      angle: largest angle between its directions and the run's, degrees.

    Voxels of which a reference has no tensor are in no region.
    """

    name: str
    acquired: Acquired
    clean: np.ndarray | None
    noise: NoiseLevel
    regions: dict[str, np.ndarray]
    regions_source: str
    references: dict[str, Maps]
    affine: np.ndarray
    angle: float

    @property
    def b0s(self) -> int:
        """n."""
        return len(self.acquired.gtab.b0s)

    @property
    def sigma(self) -> float:
        """Noise level in units of the scale."""
        return self.noise.sigma

    def judged_where(self, determined: np.ndarray) -> "JudgedScan":
        """The scan with its regions kept to voxels that have a tensor (bool ``[V]``), which is said
        where that takes some away."""
        lost = int((self.regions["brain"] & ~determined).sum())
        if not lost:
            return self
        warn(f"{self.name}: {lost} voxels of {int(self.regions['brain'].sum())} without a tensor "
             "are not judged")
        return self._replace(
            regions={name: region & determined for name, region in self.regions.items()})

    def volume(self, values: np.ndarray) -> np.ndarray:
        """Values ``[V, ...]`` put back into the volume, 0 outside the brain."""
        return into_volume(values, self.acquired.mask)


def usable(run: Run, cohort: Cohort) -> Cohort:
    """Of a run with ``data.skip_bad`` the cohort that it has used, and those of its test subjects
    that can be; each other one gets a line.
    """
    if not run.config.data.skip_bad:
        return cohort

    def recorded(part):
        return [m for m in getattr(cohort, part) if m.files.name in run.about["subjects"][part]]

    def fits(member):
        try:
            read_in_order(member.files, run.gtab, run.config.data.shell)
        except MissingDirections:  # the report says so
            return True
        except InputError as error:
            leave_out(member.files.name, error)
            return False
        return True

    return cohort._replace(train=recorded("train"), validation=recorded("validation"),
                           test=list(filter(fits, cohort.test)))


def read_scan(member: Member, gtab: GradientTable, *, shell: float, axis: int) -> JudgedScan:
    """Reads a subject of a cohort.

    Args:
      member: `dwijax.data.cohort.Member`.
      gtab: table of the run's N directions, without b0s.
      shell: b-value, s/mm². axis: of the slices.

    Raises:
      MissingDirections: the shell has fewer directions than the run.
      InputError: the files cannot be used, or their directions are not the run's.
    """
    files = member.files
    subject, angle = read_in_order(files, gtab, shell)
    given, mask = acquired(subject), subject.mask
    signal = given.signal
    references = {ALL_ACQUIRED: fit_maps([signal], subject.gtab)}
    clean = None
    if files.truth is not None:
        clean = subject.companion(files.truth / "dwi.nii.gz", subject.image.shape[3:],
                                  volumes=subject.volumes, what="series")[mask]
        clean = clean / np.float32(subject.scale)
        references[TRUTH] = fit_maps([clean], subject.gtab)
        classes = subject.companion(files.truth / "tissue.nii.gz", what="tissue map")[mask]
        regions, regions_source = tissue.from_tissue(classes.astype(np.uint8)), tissue.TRUTH
        noise = from_truth(signal, clean, subject.gtab.b0s_mask)
    else:
        maps = references[ALL_ACQUIRED]
        regions, regions_source = tissue.from_fit(maps.fa, maps.md), tissue.FROM_FIT
        noise = from_scan(signal, subject.gtab)
    regions["border"] = tissue.border(regions, mask)
    lesion = _lesion(files, subject)
    if lesion is not None and lesion[mask].any():
        regions[tissue.LESION] = lesion[mask]
    if member.slices is not None:
        judged = np.isin(np.nonzero(mask)[axis], member.slices)
        regions = {name: region & judged for name, region in regions.items()}

    determined = np.all([maps.determined for maps in references.values()], axis=0)
    scan = JudgedScan(subject.name, given, clean, noise, regions, regions_source, references,
                subject.affine, angle)
    return scan.judged_where(determined)


def _lesion(files, subject):
    """Bool ``[X, Y, Z]``: of the truth, or of a mask beside the series; None without."""
    if files.truth is not None:  # of the phantom, where it may be empty
        path = files.truth / LESION
        return subject.companion(path, what="lesion mask") > 0 if path.is_file() else None
    path, image = files.dwi.parent / LESION, subject.image
    if not path.is_file():
        return None
    return canonical(read_mask(path, image.shape, image.affine), image.affine)[0]


class InOrder(NamedTuple):
    """A subject whose directions stand in the run's order, and the largest angle between the two,
    degrees."""

    subject: Subject
    angle: float


def read_in_order(files: SubjectFiles, gtab: GradientTable, shell: float) -> InOrder:
    """Reads a subject for a run of the table ``gtab``; raises as `read_scan`."""
    subject = load_subject(files, shell=shell)
    own = subject.gtab[subject.gtab.dwis]
    if len(own) < len(gtab):
        raise MissingDirections(
            files.bvec, found=f"{len(own)} directions in the shell",
            expected=f"the run's {len(gtab)}", remedy="leave the subject out")
    subject = in_order_of(subject, gtab, where=files.bvec, name="the run")
    own = subject.gtab[subject.gtab.dwis]
    return InOrder(subject, float(compare(own.bvecs, gtab.bvecs).max()))

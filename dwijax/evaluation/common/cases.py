"""One subject as it is judged: masked voxels, in units of its scale, with what is known of it."""

from typing import NamedTuple

import numpy as np

from dwijax.baselines import Acquired, Case
from dwijax.data.screening import leave_out
from dwijax.data.subject import load_subject
from dwijax.errors import InputError, warn
from dwijax.evaluation.common import regions as tissue
from dwijax.evaluation.common.noise import from_scan, from_truth
from dwijax.fitting.voxels import Maps, fit_maps
from dwijax.gradients import compare
from dwijax.gradients.matching import in_order_of
from dwijax.volumes import canonical, read_mask

LESION = "lesion.nii.gz"  # a mask beside a subject's series, or in its truth, by this name


class MissingDirections(InputError):
    """A subject that has not all directions of the run: there is nothing to judge by."""


class Scan(NamedTuple):
    """A subject in memory; V brain voxels, n b0s, N directions.

    Attributes:
      name: the subject's.
      acquired: `Acquired`, ``[V, n + N]``, in units of the subject's scale.
      clean: the same without noise, or None.
      b0s: n.
      sigma: noise level in units of the scale. sigma_source: where it is known from.
      regions: dict of bool ``[V]``, already kept to the slices that count.
      regions_source: in words.
      references: dict of `Maps` that FA is judged against: ``all acquired`` and, where there is a
        truth, ``noise-free``, by the same fit.
      affine: ``[4, 4]`` of the volume, LAS.
      angle: largest angle between its directions and the run's, degrees.

    Voxels of which a reference has no tensor are in no region.
    """

    name: str
    acquired: Acquired
    clean: np.ndarray | None
    b0s: int
    sigma: float
    sigma_source: str
    regions: dict
    regions_source: str
    references: dict[str, Maps]
    affine: np.ndarray
    angle: float

    def judged_where(self, determined):
        """The scan with its regions kept to voxels that have a tensor (bool ``[V]``), which is said
        where that takes some away."""
        lost = int((self.regions["brain"] & ~determined).sum())
        if not lost:
            return self
        warn(f"{self.name}: {lost} voxels of {int(self.regions['brain'].sum())} without a tensor "
             "are not judged")
        return self._replace(
            regions={name: region & determined for name, region in self.regions.items()})

    def volume(self, values):
        """Values ``[V, ...]`` put back into the volume, 0 outside the brain."""
        out = np.zeros((*self.acquired.mask.shape, *values.shape[1:]), values.dtype)
        out[self.acquired.mask] = values
        return out


def usable(run, cohort):
    """Of a run with ``data.skip_bad`` the cohort that it has used, and those of its test subjects
    that can be; each other one is told in a line.

    Args:
      run: `dwijax.inference.Run`. cohort: `dwijax.data.cohort.Cohort`.
    """
    if not run.config.data.skip_bad:
        return cohort

    def recorded(part):
        return [m for m in getattr(cohort, part) if m.files.name in run.about["subjects"][part]]

    def fits(member):
        try:
            _read(member.files, run.gtab, run.config.data.shell, False)
        except MissingDirections:  # is told in the report
            return True
        except InputError as error:
            leave_out(member.files.name, error)
            return False
        return True

    return cohort._replace(train=recorded("train"), validation=recorded("validation"),
                           test=list(filter(fits, cohort.test)))


def read_scan(member, gtab, *, shell, axis, surroundings=False):
    """Reads a subject of a cohort.

    Args:
      member: `dwijax.data.cohort.Member`.
      gtab: table of the run's N directions, without b0s.
      shell: b-value, s/mm². axis: of the slices.
      surroundings: keep the voxels outside the brain too, for denoisers.

    Returns:
      ``(Scan, Subject)``.

    Raises:
      MissingDirections: the shell has fewer directions than the run.
      InputError: the files cannot be used, or their directions are not the run's.
    """
    files = member.files
    subject, acquired, angle = _read(files, gtab, shell, surroundings)
    mask, scale, signal = subject.mask, np.float32(subject.scale), acquired.signal
    b0s_mask = subject.gtab.b0s_mask

    references = {"all acquired": fit_maps([signal], subject.gtab)}
    clean = None
    if files.truth is not None:
        clean = subject.companion(files.truth / "dwi.nii.gz", subject.image.shape[3:],
                                  volumes=subject.volumes, what="series")[mask] / scale
        references["noise-free"] = fit_maps([clean], subject.gtab)
        classes = subject.companion(files.truth / "tissue.nii.gz", what="tissue map")[mask]
        regions, regions_source = tissue.from_tissue(classes.astype(np.uint8)), tissue.TRUTH
        sigma, source = from_truth(signal, clean, b0s_mask)
    else:
        maps = references["all acquired"]
        regions, regions_source = tissue.from_fit(maps.fa, maps.md), tissue.FROM_FIT
        sigma, source = from_scan(signal, subject.gtab)
    regions["border"] = tissue.border(regions, mask)
    lesion = _lesion(files, subject)
    if lesion is not None and lesion[mask].any():
        regions[tissue.LESION] = lesion[mask]
    if member.slices is not None:
        judged = np.isin(np.nonzero(mask)[axis], member.slices)
        regions = {name: region & judged for name, region in regions.items()}

    determined = np.all([maps.determined for maps in references.values()], axis=0)
    scan = Scan(subject.name, acquired, clean, int(b0s_mask.sum()), sigma, source, regions,
                regions_source, references, subject.affine, angle)
    return scan.judged_where(determined), subject


def _lesion(files, subject):
    """Bool ``[X, Y, Z]``: of the truth, or of a mask beside the series; None without."""
    if files.truth is not None:  # of the phantom, where it may be empty
        path = files.truth / LESION
        return subject.companion(path, what="lesion mask") > 0 if path.is_file() else None
    path, image = files.dwi.parent / LESION, subject.image
    if not path.is_file():
        return None
    return canonical(read_mask(path, image.shape, image.affine), image.affine)[0]


def read_case(member, split, gtab, *, shell, axis, surroundings=False):
    """Reads a subject to learn from or to tune on: its measured targets, never a truth.

    Args:
      member, gtab, shell, axis, surroundings: as `read_scan`.
      split: `dwijax.evaluation.directions.protocol.Split`.

    Returns:
      `dwijax.baselines.Case`.

    Raises:
      As `read_scan`.
    """
    subject, acquired, _ = _read(member.files, gtab, shell, surroundings)
    n = int(subject.gtab.b0s_mask.sum())
    targets, judged = n + split.targets, np.ones(len(acquired.signal), bool)
    if member.slices is not None:
        judged = np.isin(np.nonzero(subject.mask)[axis], member.slices)
    return Case(acquired.take(np.r_[:n, n + split.inputs]), subject.gtab[targets],
                acquired.signal[:, targets], judged)


def _read(files, gtab, shell, surroundings):
    """``(Subject, Acquired, largest angle to the run's directions)``."""
    subject = load_subject(files, shell=shell)
    there = int((~subject.gtab.b0s_mask).sum())
    if there < len(gtab):
        raise MissingDirections(
            files.bvec, found=f"{there} directions in the shell",
            expected=f"the run's {len(gtab)}", remedy="leave the subject out")
    subject = in_order_of(subject, gtab, where=files.bvec, name="the run")
    angle = float(compare(subject.gtab.bvecs[~subject.gtab.b0s_mask], gtab.bvecs).max())
    mask, scale = subject.mask, np.float32(subject.scale)
    outside = subject.dwi[~mask] / scale if surroundings else None
    voxel_size = np.linalg.norm(subject.affine[:3, :3], axis=0)
    return subject, Acquired(subject.dwi[mask] / scale, subject.gtab, mask, voxel_size,
                             outside), angle

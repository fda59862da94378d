"""Everything that ``dwijax check`` finds out about one scan."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dwijax import dti
from dwijax.checking.companions import Companions, compare_with_table
from dwijax.data import domain
from dwijax.data.scan import Scan
from dwijax.errors import InputError
from dwijax.fitting import voxels
from dwijax.fitting.background import channels_of
from dwijax.fitting.noise import NoiseInSpace, noise_in_space
from dwijax.fitting.samples import read_samples
from dwijax.fitting.series import Series, examine, slice_means
from dwijax.gradients import GradientTable, fsl_to_array, shells, span
from dwijax.gradients.directions import best_conditioned, condition_number
from dwijax.gradients.matching import find_directions
from dwijax.gradients.orientation import Orientation, blocks_of, check_orientation
from dwijax.output import scratch
from dwijax.volumes import SMALLEST, into_volume, orientation_of, slice_axis, voxel_size

USUAL_B = 1000.0  # s/mm²; the shell looked at closely is the nearest to it, or to the run's
SIZES = (6, 12, 18, 30, 45, 60, 90)  # numbers of directions whose conditioning is told
CSF = 1.5  # MD in µm²/ms from which FA is noise
ENOUGH = 8000  # voxels that tell whether volumes and table belong together
_BACKGROUND = 6  # volumes whose background tells the kind of noise
_PIECES, _PIECE = 64, 20.0  # of a brain for standard errors: so many, or of so many mm


@dataclass
class Report:
    """What was found.

    Attributes:
      source: file of the series. shape: ``(X, Y, Z, M)``. voxel_size: mm, three values.
      axes: where the stored axes run to, such as LAS.
      gtab: its table.
      shell: nominal b of the shell looked at closely, s/mm²; the range in words where there is no
        shell. index: its volumes, ``[N]``.
      condition: `dwijax.dti.condition_number` of all volumes, as ``dwijax fit`` takes them.
      conditions: list of `Condition`, of this shell.
      mask_made: whether the mask was made here. mask_volume: cm³.
      numbers: of `dwijax.data.domain.summary_of`. scale: intensity that they are in units of.
      dwi_snr: median DWI over σ, or None.
      noise: `dwijax.fitting.noise.NoiseInSpace`, of this shell.
      channels: of the background's noise, `dwijax.fitting.background.channels_of`, or None.
      zeros: share of the samples in the brain that are 0 or less.
      diffusivity: median over the brain of the mean ADC of the shell's directions, mm²/s.
      above_b0: share of the brain where the mean DWI is brighter than the b0.
      series: `Series`.
      companions: `dwijax.checking.companions.Companions`: volumes and table.
      orientation: `Orientation`, or None where the shell determines no tensor, or where volumes
        and table do not belong together.
      run: `AgainstRun`, or None.
      notes: of `dwijax.volumes.orientation_notes`.
      images: volumes ``b0``, ``dwi`` and ``color_fa [X, Y, Z, 3]``, for the figure.
    """

    source: str
    shape: tuple
    voxel_size: np.ndarray
    axes: str
    gtab: GradientTable
    shell: int | str
    index: np.ndarray
    condition: float
    conditions: list
    mask_made: bool
    mask_volume: float
    numbers: dict
    scale: float
    dwi_snr: float | None
    noise: NoiseInSpace
    channels: float | None
    zeros: float
    diffusivity: float
    above_b0: float
    series: Series
    companions: Companions
    orientation: Orientation | None = None
    run: "AgainstRun | None" = None
    notes: list = field(default_factory=list)
    images: dict = field(default_factory=dict)


@dataclass
class AgainstRun:
    """How far a scan is from what a run was trained on.

    Attributes:
      name: the run's folder. b: the run's, s/mm².
      subjects: how many it was trained on; 0 where it does not tell its domain.
      rows: of `dwijax.data.domain.compare`.
      directions: in words. usable: whether ``dwijax predict`` takes the table as it is.
    """

    name: str
    b: float
    subjects: int
    rows: list
    directions: str
    usable: bool


class TrainedOn(NamedTuple):
    """What a check needs to know of a run.

    Attributes:
      name: its folder or file. gtab: table of its shell, without b0s.
      inputs: int ``[q]``, positions of its inputs in ``gtab``.
      about: its description (``config.json``), a dict.
    """

    name: str
    gtab: GradientTable
    inputs: np.ndarray
    about: dict


def check_scan(scan: Scan, run: TrainedOn | None = None) -> Report:
    """Looks a scan over.

    Args:
      scan: `dwijax.data.scan.Scan`. run: to compare it with what this run was trained on.

    Raises:
      InputError: the scan cannot be used.
    """
    gtab, b0s, brain = scan.gtab, scan.b0s, scan.brain()
    wanted = USUAL_B if run is None else float(np.median(run.gtab.bvals))
    weighted = [s for s in shells(gtab.bvals, gtab.b0_threshold) if s[0]]
    if weighted:
        nominal, index = min(weighted, key=lambda s: (len(s[1]) < 6, abs(s[0] - wanted)))
    else:  # free b-values: all of them together
        index = gtab.dwis
        if not index.size:
            raise InputError(scan.files.bval, found=f"b of at most {gtab.bvals.max():g}: b0s only",
                             expected="diffusion-weighted volumes", remedy="give the whole series")
        nominal = span(gtab.bvals[index])
    read = _read(scan.image, brain, np.r_[b0s, index])
    mean_b0 = read.signal[:, : len(b0s)].mean(axis=1)
    scale = float(np.median(mean_b0))
    if scale < SMALLEST:
        raise InputError(scan.files.dwi, found=f"a median b0 of {scale:g} inside the mask",
                         expected="a positive signal", remedy="check the mask and the b0 volumes")
    signal = read.signal
    signal /= np.float32(scale)
    b0, dwi = signal[:, : len(b0s)], signal[:, len(b0s):]
    mean_b0, mean_dwi = b0.mean(axis=1), dwi.mean(axis=1)

    affine, shell = scan.image.affine, gtab[index]
    size = voxel_size(affine)
    edge = min(_PIECE, float(np.cbrt(brain.sum() * size.prod() / _PIECES)))
    companions = compare_with_table(read.sample, gtab,
                                    blocks_of(read.sample_voxels, brain.shape, size, edge))
    numbers = domain.summary_of(b0, dwi, shell.bvals, shell.bvecs, brain, size)
    report = Report(
        source=str(scan.files.dwi), shape=tuple(map(int, scan.image.shape)), voxel_size=size,
        axes=orientation_of(affine), gtab=gtab, shell=nominal, index=index,
        condition=dti.condition_number(gtab.bvals, gtab.bvecs),
        conditions=conditions(gtab[b0s], shell), mask_made=scan.mask is None,
        mask_volume=float(brain.sum() * size.prod() / 1000), numbers=numbers, scale=scale,
        dwi_snr=numbers["SNR"][0] * float(np.median(dwi)) if numbers["SNR"] else None,
        noise=noise_in_space(dwi, shell.bvecs, brain),
        channels=channels_of(scan.read(index[:_BACKGROUND]), brain), zeros=read.zeros,
        diffusivity=_diffusivity(mean_b0, dwi, shell.bvals),
        above_b0=float(np.mean(mean_dwi > mean_b0)),
        series=_series(read.means, read.counts, gtab, companions), companions=companions,
        notes=scan.header_notes)
    if np.isfinite(condition_number(shell.bvecs)):
        _look_at_fibres(report, signal, gtab[np.r_[b0s, index]], brain, affine)
    report.images |= {"b0": into_volume(mean_b0, brain), "dwi": into_volume(mean_dwi, brain)}
    if run is not None:
        report.run = against_run(numbers, shell, run)
    return report


def _series(means, counts, gtab, companions):
    """`Series` of the volumes by the rows that they belong to, without those that no row fits."""
    means = means.copy()
    if companions.rows is None:
        means[[m.volume for m in companions.misfits]] = np.nan
    else:
        gtab = gtab[companions.rows]
    return examine(means, counts, gtab)


class Condition(NamedTuple):
    """Condition numbers of the tensor design of the b0s and q ``directions`` of a shell: of its
    ``first`` q, of the ``best`` q, of q ``even``ly spread ones."""

    directions: int
    first: float
    best: float
    even: float


def conditions(b0s: GradientTable, shell: GradientTable) -> list[Condition]:
    """By numbers of directions out of `SIZES`, and all of the shell's last."""
    def of(index):
        return dti.condition_number(np.r_[b0s.bvals, shell.bvals[index]],
                                    np.r_[b0s.bvecs, shell.bvecs[index]])

    found = []
    for q in (*(q for q in SIZES if q < len(shell)), len(shell)):
        if q >= SIZES[0]:
            first, best = of(np.arange(q)), of(best_conditioned(shell.bvecs, q))
            found.append(Condition(q, first, min(first, best), dti.evenly_spread(len(b0s), q)))
    return found


def against_run(numbers: dict, shell: GradientTable, run: TrainedOn) -> AgainstRun:
    """Compares a scan's numbers (`dwijax.data.domain.summary_of`) and its shell's table with a
    run."""
    domain_of_run, usable, q = run.about.get("domain", {}), False, len(run.inputs)
    if len(shell) < q:
        directions = f"{len(shell)}, fewer than the {q} that the run's networks need"
    else:
        match = find_directions(shell.bvecs, run.gtab.bvecs[run.inputs])
        usable = match.fits
        if not usable:
            directions = (f"not the run's {q} (up to {match.angles.max():.0f}° away): "
                          "predict needs --resample")
        else:
            order = "in its order" if match.in_order else "in another order (predict sorts them)"
            directions = f"the run's {q}, within {match.angles.max():.1f}°, {order}"
    return AgainstRun(run.name, float(np.median(run.gtab.bvals)),
                      domain_of_run.get("subjects", 0), domain.compare(numbers, domain_of_run),
                      directions, usable)


class _Samples(NamedTuple):
    """Of one pass over the file, V voxels of the brain, M volumes, Z slices.

    ``signal [V, n]`` of the chosen volumes, in the order of ``volume[brain]``; ``sample [V', M]``
    of all volumes in at most about `ENOUGH` voxels, ``sample_voxels [3, V']``; ``means [M, Z]`` and
    ``counts [Z]`` of `dwijax.fitting.series.slice_means`; ``zeros``, share of samples at or below
    0.
    """

    signal: np.ndarray
    sample: np.ndarray
    sample_voxels: np.ndarray
    means: np.ndarray
    counts: np.ndarray
    zeros: float


def _read(image, brain, volumes):
    """`_Samples` of an image, ``signal`` of these volumes."""
    voxels_of = np.nonzero(brain)
    index = np.ravel_multi_index(voxels_of, brain.shape, order="F")
    M, positive = image.shape[3], 0
    chosen = np.arange(0, len(index), -(-len(index) // ENOUGH))
    sample = np.empty((len(chosen), M), np.float32)

    def rows():
        nonlocal positive
        for m in range(M):
            row = samples.row(m)
            sample[:, m] = row[chosen]
            positive += np.count_nonzero(row > 0)
            yield row

    with scratch() as folder:
        samples = read_samples(image, index, np.arange(M), folder)
        try:
            means, counts = slice_means(rows(), voxels_of[slice_axis(image)])
            signal = np.stack([samples.row(m) for m in volumes], axis=1)
        finally:
            samples.close()
    zeros = 1 - positive / (M * len(index))
    return _Samples(signal, sample, np.array(voxels_of)[:, chosen], means, counts, zeros)


def _diffusivity(b0, dwi, bvals):
    """Median over the voxels of the mean ADC, mm²/s, of the mean b0 ``[V]`` and DWIs ``[V, N]``,
    which count as at least 1/1000 of it."""
    used = b0 > 0
    attenuation = np.maximum(dwi[used] / b0[used, None], 1e-3)
    return float(np.median((-np.log(attenuation) / bvals.astype(np.float32)).mean(axis=1)))


def _look_at_fibres(report, signal, gtab, brain, affine):
    """Orientation and colour FA, from the tensor fit of one shell."""
    maps = voxels.fit_maps([signal], gtab, first_step=True)
    to_array = fsl_to_array(affine)
    v1 = voxels.principal_directions(maps.tensor) @ to_array.astype(np.float32)
    fa = np.where(maps.md < CSF, maps.fa, 0)
    if report.companions.verdict != "apart":
        report.orientation = check_orientation(v1, fa, brain, report.voxel_size, to_array)
    report.images["color_fa"] = into_volume(np.abs(v1) * maps.fa[:, None], brain)

"""The protocol of SuperDTI (Li et al.) on one subject.

Maps of networks that see q directions against the fit of the same q directions (MD of three: the
mean of their ADCs), the same fit after Gaussian smoothing (networks see neighbours, a fit does
not), and the fit of all directions. Judged against the fit of all, as in the paper, which shares
the noise of the q directions and is itself biased, and against the noise-free truth where there is
one.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from dwijax.baselines import Acquired, smooth
from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Row
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.maps.methods import ENSEMBLE, FIT, NOISY, SMOOTHED, named
from dwijax.evaluation.maps.rois import GROUPS, Roi
from dwijax.fitting.voxels import Maps, fit_maps, principal_directions
from dwijax.gradients import compare
from dwijax.inference import Run
from dwijax.inference.network_maps import NetworkMaps, network_maps
from dwijax.tasks.map_regression import LEAST, SEAM

PEAKS = {"FA": 1.0, "MD": 3.0}  # of PSNR; MD in µm²/ms
WIDTHS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)  # full widths at half maximum, mm, to tune smoothing on

ONE_SD = 0.6827  # share of a normal distribution
DEVIATIONS = (0.25, 0.5, 1, 1.5, 2, 3)  # within which fa_std is judged

# Eigenvectors are judged where there is a direction to be found.
ANISOTROPIC = 0.2
# Within this angle of the seam (`dwijax.tasks.map_regression.SEAM`) the sign of v jumps.
NEAR_SEAM = 10.0  # degrees

class Contender(NamedTuple):
    """A run that stands in a report.

    Attributes:
      run: `dwijax.inference.Run`.
      kind: ``NOISY``, ``ENSEMBLE`` or nothing: it distinguishes runs of one q.
      fwhm: of the smoothed fit beside it, mm.
      factor: on its ``fa_std``, so that it is the SD of FA's error.
    """

    run: Run
    kind: str
    fwhm: float = WIDTHS[2]
    factor: float = 1.0

    @property
    def q(self) -> int:
        """Number of its directions."""
        return len(self.run.inputs)

    def named(self, method: str) -> str:
        """Name of its ``DIRECT`` or ``TENSOR`` networks among all methods."""
        return named(self.kind + method, self.q)


def contend(runs: list[Run]) -> list[Contender]:
    """Every run's `Contender`; an ensemble is called so beside single networks of its q."""
    def plain(run):
        return run.config.seeds == 1 and not run.config.data.added_noise

    single = {len(run.inputs) for run in runs if plain(run)}
    return [Contender(run, NOISY if run.config.data.added_noise else ENSEMBLE if not plain(run)
                      and len(run.inputs) in single else "") for run in runs]


def all_maps(contenders: list[Contender], acquired: Acquired) -> dict[str, NetworkMaps]:
    """Maps by method: fits, smoothed fits and networks of every q, and the fit of all, ``ALL``.

    Args:
      contenders: of one table. acquired: all volumes of a subject, which it holds.
    """
    maps = {}
    for contender in contenders:
        inputs, q = contender.run.inputs, contender.q
        if named(FIT, q) not in maps:
            maps[named(FIT, q)] = fit_of(acquired.inputs(inputs))
            maps[named(SMOOTHED, q)] = fit_of(acquired.inputs(inputs), contender.fwhm)
        for method, found in network_maps(contender.run, acquired.subject).items():
            if found.fa_std is not None:
                found = found._replace(fa_std=contender.factor * found.fa_std)
            maps[contender.named(method)] = found
    return maps | {ALL: fit_of(acquired)}


def fit_of(acquired: Acquired, fwhm: float = 0.0) -> NetworkMaps:
    """`NetworkMaps` of the tensor fitted to all volumes; MD alone where these are too few.

    Args:
      acquired: b0s and DWIs. fwhm: of the Gaussian that smooths every volume first, mm.
    """
    if fwhm:
        acquired = smooth(acquired, fwhm)
    b0s, dwis = acquired.gtab.b0s, acquired.gtab.dwis
    if len(dwis) < LEAST:
        b0 = acquired.signal[:, b0s].mean(axis=1)
        determined = b0 > 0.01 * acquired.signal[:, dwis].max(axis=1)
        signal = np.maximum(acquired.signal, 1e-3)
        b0 = np.log(signal[:, b0s].mean(axis=1, keepdims=True))
        adc = (b0 - np.log(signal[:, dwis])) / (acquired.gtab.bvals[dwis] / 1000).astype(
            np.float32)
        return NetworkMaps(md=np.where(determined, adc.mean(axis=1), 0), determined=determined)
    return from_fit(fit_maps([acquired.signal], acquired.gtab))


def from_fit(maps: Maps) -> NetworkMaps:
    """`NetworkMaps` of `Maps`."""
    return NetworkMaps(fa=maps.fa, md=maps.md, v1=principal_directions(maps.tensor),
                       tensor=maps.tensor, determined=maps.determined)


def tune(contenders: list[Contender], scans: Iterable[JudgedScan],
         widths: tuple[float, ...] = WIDTHS) -> list[Contender]:
    """The same on validation subjects: the width with the least squared error of FA (MD below six
    directions) against the fit of all, and what brings ``fa_std`` to one SD of FA's error.

    Args:
      contenders: list of `Contender`. widths: mm.
      scans: gone through once; without any nothing changes.
    """
    errors, factors = np.zeros((len(contenders), len(widths))), [[] for _ in contenders]
    for scan in scans:
        found = {}  # by the inputs: runs share them
        for i, run in enumerate(c.run for c in contenders):
            key = tuple(run.inputs)
            if key not in found:
                found[key] = smoothing_errors(scan, run.inputs, widths)
            errors[i] += found[key]
            if run.config.seeds > 1:
                factors[i].append(_spread_factor(scan, network_maps(run, scan.acquired.subject)))
    if not errors.any():
        return contenders
    return [c._replace(fwhm=widths[i], factor=float(np.mean(f)) if f else 1.0)
            for c, i, f in zip(contenders, errors.argmin(axis=1), factors, strict=True)]


def smoothing_errors(scan: JudgedScan, inputs: np.ndarray,
                     widths: tuple[float, ...] = WIDTHS) -> np.ndarray:
    """Squared errors of the smoothed fits of some directions against the fit of all, ``[widths]``.
    """
    quantity = "fa" if len(inputs) >= LEAST else "md"
    expected = getattr(scan.references[ALL_ACQUIRED], quantity)
    acquired = scan.acquired.inputs(inputs)
    return np.array([metrics.rmse(getattr(fit_of(acquired, width), quantity), expected,
                                  scan.regions["brain"]) ** 2 for width in widths])


def _spread_factor(scan, networks):
    expected = from_fit(scan.references.get(TRUTH, scan.references[ALL_ACQUIRED]))
    return np.mean([row.value for found in networks.values()
                    for row in _coverage(scan, "", found, "", expected)
                    if row.quantity == "fa_std factor"])


def judge(scan: JudgedScan, maps: dict[str, NetworkMaps], rois: list[Roi]) -> list[Row]:
    """All numbers of one subject; ``maps``: of `all_maps`."""
    rows = []
    fits = [found.determined for found in maps.values() if found.determined is not None]
    scan = scan.judged_where(np.all(fits, axis=0))
    brain = scan.regions["brain"]
    rois = [roi._replace(voxels=roi.voxels & brain) for roi in rois
            if (roi.voxels & brain).any()]
    for against, reference in scan.references.items():
        expected = from_fit(reference)
        for method, found in maps.items():
            if not (method == ALL and against == ALL_ACQUIRED):
                rows += _errors(scan, method, found, against, expected)
                rows += _angles(scan, method, found, against, expected)
                rows += _coverage(scan, method, found, against, expected)
            rows += _means(scan, rois, method, found, against, expected)
    rows += [Row("ROI group", "", roi.name, ALL, float(GROUPS.index(roi.group))) for roi in rois]
    return rows


def _coverage(scan, method, found, against, expected) -> Iterator[Row]:
    """Share of the brain's voxels whose error is below so many ``fa_std``, and the number below
    which 68 % are."""
    if found.fa_std is None:
        return
    brain = scan.regions["brain"]
    ratio = np.abs(found.fa - expected.fa)[brain] / np.maximum(found.fa_std[brain], 1e-6)
    yield Row("fa_std factor", against, "brain", method, float(np.quantile(ratio, ONE_SD)))
    for count in DEVIATIONS:
        yield Row("fa_std coverage", against, f"{count:g}", method, float(np.mean(ratio < count)))


def _both(found, expected, quantity):
    return getattr(found, quantity.lower()), getattr(expected, quantity.lower())


def _errors(scan, method, found, against, expected) -> Iterator[Row]:
    for quantity, peak in PEAKS.items():
        values, truth = _both(found, expected, quantity)
        if values is None:
            continue
        for name, region in scan.regions.items():
            x, y = values[region].astype(np.float64), truth[region].astype(np.float64)
            error = metrics.rms((x - y) ** 2)
            yield Row(f"{quantity} RMSE", against, name, method, error)
            yield Row(f"{quantity} bias", against, name, method,
                      metrics.bias(values, truth, region))
            yield Row(f"{quantity} NMSE", against, name, method, metrics.nmse(x, y))
            yield Row(f"{quantity} PSNR", against, name, method,
                      metrics.psnr(error, peak))
            if x.size > 1 and np.ptp(x) and np.ptp(y):
                yield Row(f"{quantity} r", against, name, method, float(np.corrcoef(x, y)[0, 1]))


def _angles(scan, method, found, against, expected) -> Iterator[Row]:
    where = (expected.fa > ANISOTROPIC) & scan.regions["WM"]
    seam = np.abs(expected.v1 @ SEAM) < np.sin(np.radians(NEAR_SEAM))
    parts = {"WM": where, "WM near the seam": where & seam, "WM off the seam": where & ~seam}
    for form, label in (("v1", "V1 angle"), ("signed", "signed V1 angle")):
        vectors = getattr(found, form)
        if vectors is None:
            continue
        error = compare(vectors, expected.v1)
        for name, region in parts.items():
            if region.any():
                yield Row(label, against, name, method, float(np.median(error[region])))
                yield Row(f"{label}, mean", against, name, method, float(error[region].mean()))


def _means(scan, rois, method, found, against, expected):
    """Mean, MSE and relative error of regions; of the brain the mean alone (Table I)."""
    for quantity in PEAKS:
        values, truth = _both(found, expected, quantity)
        if values is None:
            continue
        if against == ALL_ACQUIRED:
            for name, region in scan.regions.items():
                if region.any():
                    yield Row(f"{quantity} mean", "", name, method,
                              float(values[region].mean(dtype=np.float64)))
        for roi in rois:
            mean, mean_truth = values[roi.voxels].mean(), truth[roi.voxels].mean()
            yield Row(f"ROI {quantity} mean", against, roi.name, method, float(mean))
            yield Row(f"ROI {quantity} MSE", against, roi.name, method,
                      float(np.mean((values[roi.voxels] - truth[roi.voxels]) ** 2)))
            yield Row(f"ROI {quantity} error %", against, roi.name, method,
                      float(100 * abs(mean - mean_truth) / mean_truth))

"""The protocol of SuperDTI (Li et al.) on one subject.

Maps of networks that see q directions against the fit of the same q directions (MD of three: the
mean of their ADCs), the same fit after Gaussian smoothing (networks see neighbours, a fit does
not), and the fit of all directions. Judged against the fit of all, as in the paper, which shares
the noise of the q directions and is itself biased, and against the noise-free truth where there is
one.
"""

from typing import Any, NamedTuple

import numpy as np

from dwijax.baselines import smooth
from dwijax.evaluation.common import metrics
from dwijax.evaluation.directions.protocol import ALL, Row
from dwijax.evaluation.maps.rois import GROUPS
from dwijax.fitting.voxels import fit_maps, principal_directions
from dwijax.inference.network_maps import NetworkMaps, network_maps
from dwijax.tasks.map_regression import LEAST, SEAM

FIT, SMOOTHED = "fit", "smoothed fit"
PEAKS = {"FA": 1.0, "MD": 3.0}  # of PSNR; MD in µm²/ms
WIDTHS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)  # full widths at half maximum, mm, to tune smoothing on

ONE_SD = 0.6827  # share of a normal distribution
DEVIATIONS = (0.25, 0.5, 1, 1.5, 2, 3)  # within which coverage by fa_std is told

# Eigenvectors are judged where there is a direction to be found.
ANISOTROPIC = 0.2
# Within this angle of the seam (`dwijax.tasks.map_regression.SEAM`) the sign of v jumps.
NEAR_SEAM = 10.0  # degrees


NOISY, ENSEMBLE = "noise-trained ", "ensemble "


class Contender(NamedTuple):
    """A run that stands in a report.

    Attributes:
      run: `dwijax.inference.Run`.
      kind: ``NOISY``, ``ENSEMBLE`` or nothing: runs of one q are told apart by it.
      fwhm: of the smoothed fit beside it, mm.
      factor: on its ``fa_std``, so that it is the SD of FA's error.
    """

    run: Any
    kind: str
    fwhm: float = WIDTHS[2]
    factor: float = 1.0

    @property
    def q(self):
        """Number of its directions."""
        return len(self.run.inputs)

    def named(self, method):
        """Name of its ``DIRECT`` or ``TENSOR`` networks among all methods."""
        return named(self.kind + method, self.q)


def contend(runs):
    """Every run's `Contender`; an ensemble is called so beside single networks of its q."""
    def plain(run):
        return run.config.seeds == 1 and not run.config.data.added_noise

    single = {len(run.inputs) for run in runs if plain(run)}
    return [Contender(run, NOISY if run.config.data.added_noise else ENSEMBLE if not plain(run)
                      and len(run.inputs) in single else "") for run in runs]


def named(method, q):
    """Name of a method that sees q directions: ``networks 6``."""
    return f"{method} {q}"


def split_name(method):
    """``(method, q)`` of a name; ``(ALL, None)`` of the fit of all directions."""
    kind, _, q = method.rpartition(" ")
    return (kind, int(q)) if q.isdigit() else (method, None)


def all_maps(contenders, acquired, subject, b0s):
    """``{method: NetworkMaps}`` of a scan: fits, smoothed fits and networks of every q, and the
    fit of all directions, ``ALL``.

    Args:
      contenders: list of `Contender` of one table. acquired: `dwijax.baselines.Acquired`.
      subject: `dwijax.data.subject.Subject`, the same scan. b0s: n, that come first.
    """
    maps = {}
    for contender in contenders:
        inputs, q = contender.run.inputs, contender.q
        if named(FIT, q) not in maps:
            maps[named(FIT, q)] = fit_of(acquired, inputs, b0s)
            maps[named(SMOOTHED, q)] = fit_of(acquired, inputs, b0s, contender.fwhm)
        for method, found in network_maps(contender.run, subject).items():
            if found.fa_std is not None:
                found = found._replace(fa_std=contender.factor * found.fa_std)
            maps[contender.named(method)] = found
    everything = np.arange(len(acquired.gtab) - b0s)
    return maps | {ALL: fit_of(acquired, everything, b0s)}


def fit_of(acquired, inputs, b0s, fwhm=0.0):
    """`NetworkMaps` of the tensor fitted to b0s and inputs; MD alone where these are too few.

    Args:
      acquired: `dwijax.baselines.Acquired`, n b0s first. inputs: positions in the shell ``[q]``.
      b0s: n. fwhm: of the Gaussian that smooths every volume first, mm.
    """
    few = acquired.take(np.r_[:b0s, b0s + np.asarray(inputs)])
    if fwhm:
        few = smooth(few, fwhm)
    if len(inputs) < LEAST:
        dwi = few.signal[:, b0s:]
        there = few.signal[:, :b0s].mean(axis=1) > 0.01 * dwi.max(axis=1)
        signal = np.maximum(few.signal, 1e-3)
        b0 = np.log(signal[:, :b0s].mean(axis=1, keepdims=True))
        adc = (b0 - np.log(signal[:, b0s:])) / (few.gtab.bvals[b0s:] / 1000).astype(np.float32)
        return NetworkMaps(md=np.where(there, adc.mean(axis=1), 0), determined=there)
    return from_fit(fit_maps([few.signal], few.gtab))


def from_fit(maps):
    """`NetworkMaps` of `dwijax.fitting.voxels.Maps`."""
    return NetworkMaps(fa=maps.fa, md=maps.md, v1=principal_directions(maps.tensor),
                       tensor=maps.tensor, determined=maps.determined)


def tune(contenders, scans, widths=WIDTHS):
    """The same on validation subjects: the width with the least squared error of FA (MD below six
    directions) against the fit of all, and what brings ``fa_std`` to one SD of FA's error.

    Args:
      contenders: list of `Contender`. widths: mm.
      scans: iterable of ``(Scan, Subject)``, gone through once; without any nothing changes.
    """
    errors, factors = np.zeros((len(contenders), len(widths))), [[] for _ in contenders]
    for scan, subject in scans:
        found = {}  # by the inputs: runs share them
        for i, run in enumerate(c.run for c in contenders):
            key = tuple(run.inputs)
            if key not in found:
                found[key] = smoothing_errors(scan, run.inputs, widths)
            errors[i] += found[key]
            if run.config.seeds > 1:
                factors[i].append(_spread_factor(scan, network_maps(run, subject)))
    if not errors.any():
        return contenders
    return [c._replace(fwhm=widths[i], factor=float(np.mean(f)) if f else 1.0)
            for c, i, f in zip(contenders, errors.argmin(axis=1), factors, strict=True)]


def smoothing_errors(scan, inputs, widths=WIDTHS):
    """Squared errors of the smoothed fits of some directions against the fit of all, ``[widths]``.
    """
    quantity = "fa" if len(inputs) >= LEAST else "md"
    expected = getattr(scan.references["all acquired"], quantity)
    return np.array([metrics.rmse(
        getattr(fit_of(scan.acquired, inputs, scan.b0s, width), quantity), expected,
        scan.regions["brain"]) ** 2 for width in widths])


def _spread_factor(scan, networks):
    expected = from_fit(scan.references.get("noise-free", scan.references["all acquired"]))
    return np.mean([row.value for found in networks.values()
                    for row in _coverage(scan, "", found, "", expected)
                    if row.quantity == "fa_std factor"])


def judge(scan, maps, rois):
    """Rows of all numbers of one subject.

    Args:
      scan: `dwijax.evaluation.common.cases.Scan`. maps: of `all_maps`.
      rois: list of `dwijax.evaluation.maps.rois.Roi`.
    """
    rows = []
    fits = [found.determined for found in maps.values() if found.determined is not None]
    scan = scan.judged_where(np.all(fits, axis=0))
    brain = scan.regions["brain"]
    rois = [roi._replace(voxels=roi.voxels & brain) for roi in rois
            if (roi.voxels & brain).any()]
    for against, reference in scan.references.items():
        expected = from_fit(reference)
        for method, found in maps.items():
            if not (method == ALL and against == "all acquired"):
                rows += _errors(scan, method, found, against, expected)
                rows += _angles(scan, method, found, against, expected)
                rows += _coverage(scan, method, found, against, expected)
            rows += _means(scan, rois, method, found, against, expected)
    rows += [Row("ROI group", "", roi.name, ALL, float(GROUPS.index(roi.group))) for roi in rois]
    return rows


def _coverage(scan, method, found, against, expected):
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


def _errors(scan, method, found, against, expected):
    for quantity, peak in PEAKS.items():
        values, truth = _both(found, expected, quantity)
        if values is None:
            continue
        for name, region in scan.regions.items():
            x, y = values[region].astype(np.float64), truth[region].astype(np.float64)
            squared = np.mean((x - y) ** 2) if x.size else np.nan
            yield Row(f"{quantity} RMSE", against, name, method, float(np.sqrt(squared)))
            yield Row(f"{quantity} bias", against, name, method,
                      metrics.bias(values, truth, region))
            yield Row(f"{quantity} NMSE", against, name, method, nmse(x, y))
            yield Row(f"{quantity} PSNR", against, name, method, psnr(x, y, peak))
            if x.size > 1 and np.ptp(x) and np.ptp(y):
                yield Row(f"{quantity} r", against, name, method, float(np.corrcoef(x, y)[0, 1]))


def nmse(values, reference):
    """``|x - y|² / |y|²``, in percent."""
    power = np.sum(reference**2)
    return float(100 * np.sum((values - reference) ** 2) / power) if power > 0 else np.nan


def psnr(values, reference, peak):
    """``10 log10(peak² / MSE)``, dB."""
    squared = np.mean((values - reference) ** 2) if values.size else np.nan
    return float(10 * np.log10(peak**2 / squared)) if squared > 0 else np.nan


def angle(a, b):
    """Between axes ``[V, 3]`` each, unit: degrees ``[V]``, 0 to 90."""
    cosine = np.abs(np.sum(np.asarray(a, np.float64) * b, axis=-1))
    return np.degrees(np.arccos(np.minimum(cosine, 1)))


def _angles(scan, method, found, against, expected):
    where = (expected.fa > ANISOTROPIC) & scan.regions["WM"]
    seam = np.abs(expected.v1 @ SEAM) < np.sin(np.radians(NEAR_SEAM))
    parts = {"WM": where, "WM near the seam": where & seam, "WM off the seam": where & ~seam}
    for form, label in (("v1", "V1 angle"), ("signed", "signed V1 angle")):
        vectors = getattr(found, form)
        if vectors is None:
            continue
        error = angle(vectors, expected.v1)
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
        if against == "all acquired":
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

"""The protocol of SuperDTI (Li et al.) on one subject.

Maps of networks that see q directions against the fit of the same q directions (MD of three: the
mean of their ADCs), the same fit after Gaussian smoothing (networks see neighbours, a fit does
not), and the fit of all directions. Judged against the fit of all, as in the paper, which shares
the noise of the q directions and is itself biased, and against the noise-free truth where there is
one.
"""

from typing import NamedTuple

import numpy as np

from dwijax.baselines import smooth
from dwijax.evaluation import metrics
from dwijax.evaluation.direction_synthesis import ALL, Row
from dwijax.evaluation.rois import GROUPS
from dwijax.network_maps import DIRECT, TENSOR, NetworkMaps
from dwijax.training.map_regression import LEAST, SEAM
from dwijax.voxelwise import fit_maps, principal_directions

FIT, SMOOTHED = "fit", "smoothed fit"
PEAKS = {"FA": 1.0, "MD": 3.0}  # of PSNR; MD in µm²/ms
WIDTHS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)  # full widths at half maximum, mm, to tune smoothing on

# Eigenvectors are judged where there is a direction to be found.
ANISOTROPIC = 0.2
# Within this angle of the seam (`dwijax.training.map_regression.SEAM`) the sign of v jumps.
NEAR_SEAM = 10.0  # degrees


class Judged(NamedTuple):
    """A subject's numbers, its maps by method and the regions they were taken in."""

    rows: list[Row]
    maps: dict[str, NetworkMaps]
    rois: list


def named(method, q):
    """Name of a method that sees q directions: ``networks 6``."""
    return f"{method} {q}"


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
        signal = np.maximum(few.signal, 1e-3)
        b0 = np.log(signal[:, :b0s].mean(axis=1, keepdims=True))
        adc = (b0 - np.log(signal[:, b0s:])) / (few.gtab.bvals[b0s:] / 1000).astype(np.float32)
        return NetworkMaps(md=adc.mean(axis=1))
    return from_fit(fit_maps([few.signal], few.gtab))


def from_fit(maps):
    """`NetworkMaps` of `dwijax.voxelwise.Maps`."""
    return NetworkMaps(fa=maps.fa, md=maps.md, v1=principal_directions(maps.tensor),
                       tensor=maps.tensor)


def tune_smoothing(scans, inputs, widths=WIDTHS):
    """The width, mm, with the least squared error of FA (MD below six directions) against the fit
    of all directions of validation subjects.

    Args:
      scans: iterable of `dwijax.evaluation.scan.Scan`, gone through once.
      inputs: positions of the q directions. widths: mm.
    """
    errors = np.zeros(len(widths))
    quantity = "fa" if len(inputs) >= LEAST else "md"
    for scan in scans:
        expected = getattr(scan.references["all acquired"], quantity)
        for i, width in enumerate(widths):
            found = getattr(fit_of(scan.acquired, inputs, scan.b0s, width), quantity)
            errors[i] += metrics.rmse(found, expected, scan.regions["brain"]) ** 2
    return widths[int(errors.argmin())]


def judge(scan, inputs, networks, fwhm, rois):
    """All numbers of one subject and one q.

    Args:
      scan: `dwijax.evaluation.scan.Scan`. inputs: positions in the shell, ``[q]``.
      networks: ``{DIRECT, TENSOR: NetworkMaps}`` of ``network_maps``.
      fwhm: of the smoothed fit, mm. rois: list of `dwijax.evaluation.rois.Roi`.

    Returns:
      `Judged`; methods are called as `named` does, the fit of all directions ``ALL``.
    """
    q = len(inputs)
    maps = {
        named(FIT, q): fit_of(scan.acquired, inputs, scan.b0s),
        named(SMOOTHED, q): fit_of(scan.acquired, inputs, scan.b0s, fwhm),
        **{named(m, q): networks[m] for m in (DIRECT, TENSOR) if m in networks},
        ALL: from_fit(scan.references["all acquired"]),
    }
    rows = []
    for against, reference in scan.references.items():
        expected = from_fit(reference)
        for method, found in maps.items():
            if not (method == ALL and against == "all acquired"):
                rows += _errors(scan, method, found, against, expected)
                rows += _angles(scan, method, found, against, expected)
            rows += _means(scan, rois, method, found, against, expected)
    rows += [Row("ROI group", "", roi.name, ALL, float(GROUPS.index(roi.group))) for roi in rois]
    return Judged(rows, maps, rois)


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

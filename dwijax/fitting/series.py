"""A series of volumes: brightness of each, drift, slices that have dropped out.

Model-free but for one thing: that the mean signal of a slice depends on the direction as a
quadratic form does. That is nearly so for an average over many voxels, and takes no tensor fit.
"""

from typing import NamedTuple

import numpy as np

from dwijax.fitting.noise import robust_sd
from dwijax.gradients import shells

DROPOUT = 0.15  # relative; signal that a slice has to lose or gain to be called odd ...
CERTAIN = 6.0  # ... and robust standard deviations of the same slice in other volumes
# The same for a whole volume: gains of real scans vary by 1 to 3 %, and drift by 3 %. The mean over
# a brain depends on the direction by up to 15 %, which too few directions cannot tell from gains.
GAIN, GAIN_OF_FEW = 0.15, 0.3
LEAST_VOXELS = 100  # of a slice; fewer say little
_LEAST_FOR_A_FORM = 12  # directions, twice the unknowns of a quadratic form
_REWEIGHTINGS = 30


class Series(NamedTuple):
    """Attributes:
      gains: ``[M]``, brightness of each volume over what its shell and direction make expect.
      drift: change of brightness from the first to the last volume, relative.
      odd: list of ``(volume, slice, relative deviation)``, largest first.
      odd_volumes: list of ``(volume, relative deviation)`` of all its slices, by volume.
      slices: int ``[n]``, which slices were judged.
    """

    gains: np.ndarray
    drift: float
    odd: list
    odd_volumes: list
    slices: np.ndarray


def slice_means(rows, slices):
    """Means of the slices of each volume over samples above 0, for :func:`examine`.

    Args:
      rows: iterable of ``[V]``, the samples of a volume each. slices: int ``[V]``, where each lies.

    Returns:
      ``(means [M, Z], counts [Z])``, float64 and int: NaN where fewer than half of a slice's
      samples are above 0 (the edge of the field of view), but 0 for a volume that has no more
      anywhere.
    """
    counts, means = np.bincount(slices), []
    for row in rows:
        positive = row > 0
        number = np.bincount(slices, positive, len(counts))
        mean = np.full(len(counts), np.nan)
        np.divide(np.bincount(slices, row * positive, len(counts)), number, out=mean,
                  where=number > counts / 2)
        means.append(mean if np.isfinite(mean).any() else np.where(counts > 0, 0, np.nan))
    return np.array(means), counts


def examine(means, voxels, gtab):
    """Judges a series by the means of its slices.

    Args:
      means: ``[M, Z]``, mean signal in the mask; NaN where it is not known, 0 where a volume has
        none.
      voxels: ``[Z]``, number of voxels in the mask.
      gtab: `GradientTable` of the M volumes.

    Returns:
      `Series`.
    """
    used = np.flatnonzero((voxels >= min(LEAST_VOXELS, voxels.max()))
                          & (np.isfinite(means).mean(axis=0) > 0.5))
    if not used.size:
        return Series(np.ones(len(means)), 0.0, [], [], used)
    measured = means[:, used].astype(np.float64)
    deviation, least = np.full(measured.shape, np.nan), np.full(len(measured), GAIN)
    for nominal, index in shells(gtab.bvals, gtab.b0_threshold):
        if nominal and len(index) < _LEAST_FOR_A_FORM:
            least[index] = GAIN_OF_FEW
        deviation[index] = _relative(measured[index], gtab.bvecs[index] if nominal else None)
    known = np.isfinite(deviation)
    volume = np.nanmedian(np.where(known.any(axis=1, keepdims=True), deviation, 0), axis=1)
    centred = np.where(known, deviation - volume[:, None], 0)
    # Of each slice by itself: the lowest ones pulsate and move more than others.
    spread = robust_sd(centred, axis=0)
    away = np.argwhere((np.abs(centred) > DROPOUT) & (np.abs(centred) > CERTAIN * spread))
    odd = sorted(((int(m), int(used[z]), float(centred[m, z])) for m, z in away),
                 key=lambda found: -abs(found[2]))
    far = np.abs(volume) > np.maximum(least, CERTAIN * robust_sd(volume))
    odd_volumes = [(int(m), float(volume[m])) for m in np.flatnonzero(far)]
    return Series(1 + volume, _drift(volume), odd, odd_volumes, used)


def _relative(means, bvecs):
    """Deviation of slice means ``[n, Z]`` of one shell from what their directions make expect."""
    if bvecs is None or len(means) < _LEAST_FOR_A_FORM:
        expected = np.array([np.median(column[np.isfinite(column)]) if np.isfinite(column).any()
                             else np.nan for column in means.T])
        return means / np.where(expected > 0, expected, np.nan) - 1
    x, y, z = bvecs.T
    terms = np.stack([x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    expected = np.full(means.shape, np.nan)
    for k, column in enumerate(means.T):
        known = np.isfinite(column)
        if known.sum() < _LEAST_FOR_A_FORM:
            continue
        # Least absolute deviations: with 12 directions, least squares bend to a dark volume.
        weight, least = np.ones(known.sum()), 1e-3 * np.nanmedian(column) + 1e-30
        for _ in range(_REWEIGHTINGS):
            root = np.sqrt(weight)
            solution = np.linalg.lstsq(terms[known] * root[:, None], column[known] * root,
                                       rcond=None)[0]
            expected[:, k] = terms @ solution
            away = np.abs(column - expected[:, k])[known]
            weight = 1 / np.maximum(away, least)
        trusted = np.flatnonzero(known)[away <= 4 * robust_sd(away) + least]
        if len(trusted) >= _LEAST_FOR_A_FORM - 2:  # without what lies far off, all alike
            solution = np.linalg.lstsq(terms[trusted], column[trusted], rcond=None)[0]
            expected[:, k] = terms @ solution
    return means / np.where(expected > 0, expected, np.nan) - 1


def _drift(gains):
    """Slope of the brightness (Theil and Sen: odd volumes do not bend it) times the series."""
    from scipy.stats import theilslopes

    if len(gains) < 5:
        return 0.0
    return float(theilslopes(gains, np.arange(len(gains)))[0] * (len(gains) - 1))

"""What networks have to beat: classical estimates of DWIs that were not acquired.

One interface for all: an `Interpolator` fits the acquired volumes and predicts at other directions.
It sees masked voxels; a spatial one puts them back into the volume through the mask.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from dwijax.gradients import GradientTable
from dwijax.interpolation import sh_interpolation
from dwijax.voxelwise import fit_maps, tensor_signal

SH_ORDERS = (2, 4, 6)
SH_WEIGHTS = tuple(float(w) for w in np.geomspace(3e-4, 1.0, 16))
SMOOTHING_WIDTHS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0)  # full width at half maximum, mm

_TUNING_VOXELS = 10_000  # of each subject at most, evenly spread
_FWHM = float(np.sqrt(8 * np.log(2)))


class Acquired(NamedTuple):
    """Acquired volumes of one subject, inside the brain.

    Attributes:
      signal: float32 ``[V, n + q]``: n b0s, then q DWIs, any intensity unit.
      gtab: `GradientTable` of these ``n + q`` volumes.
      mask: bool ``[X, Y, Z]`` with V voxels set, in the order of ``signal``.
      voxel_size: mm, three values.
    """

    signal: np.ndarray
    gtab: GradientTable
    mask: np.ndarray
    voxel_size: np.ndarray

    def take(self, volumes):
        """The same voxels with fewer volumes."""
        return self._replace(signal=self.signal[:, volumes], gtab=self.gtab[volumes])


class Interpolator(NamedTuple):
    """A baseline.

    Attributes:
      name: for files. short: for figures. label: for tables, with what was tuned.
      predict: ``(Acquired, GradientTable of K directions) -> float32 [V, K]``, in the intensity
        unit of what was acquired.
      check: the same where the first step of the tensor fit judges (`voxelwise.FIRST_STEP`), for
        predictions that come from b0s and a tensor fit themselves; None: ``predict`` serves.
    """

    name: str
    short: str
    label: str
    predict: Callable
    check: Callable | None = None


class Case(NamedTuple):
    """A validation subject: what is given and what is to be met.

    Attributes:
      acquired: `Acquired`, in units of the subject's scale.
      gtab: table of the K directions.
      measured: float32 ``[V, K]``, the acquired DWIs of these directions, noise and all.
      judged: bool ``[V]``, the voxels that count.
    """

    acquired: Acquired
    gtab: GradientTable
    measured: np.ndarray
    judged: np.ndarray


def spherical_harmonics(order, weight):
    """Regularised even spherical harmonics (Descoteaux et al. 2007), voxel by voxel.

    Args:
      order: maximal order. weight: of Laplace-Beltrami.
    """
    def predict(acquired, gtab):
        dwi = ~acquired.gtab.b0s_mask
        matrix = sh_interpolation(acquired.gtab.bvecs[dwi], gtab.bvecs, order=order, weight=weight)
        return acquired.signal[:, dwi] @ matrix.T.astype(np.float32)

    return Interpolator("sh", "SH", f"SH order {order}, weight {weight:.2g}", predict)


def tensor():
    """The tensor fitted to b0s and DWIs predicts the signal (`dwijax.voxelwise.fit_maps`)."""
    def predict(acquired, gtab, first_step=False):
        maps = fit_maps([acquired.signal], acquired.gtab, first_step)
        return tensor_signal(maps, gtab)

    return Interpolator("tensor", "tensor", "tensor interpolation", predict,
                        partial(predict, first_step=True))


def smoothed(fwhm, then):
    """Gaussian smoothing of every acquired volume, then another interpolator.

    Args:
      fwhm: full width at half maximum, mm. then: `Interpolator`.
    """
    def after(predict):
        return lambda acquired, gtab: predict(smooth(acquired, fwhm), gtab)

    return Interpolator(f"smoothed_{then.name}", f"smoothing, {then.short}",
                        f"Gaussian {fwhm:.1f} mm, {then.label}", after(then.predict),
                        then.check and after(then.check))


def smooth(acquired, fwhm):
    """`Acquired` with every volume smoothed inside the mask.

    Smoothing the mask too and dividing by it (normalised convolution, Knutsson and Westin 1993)
    keeps the background out: a constant stays constant up to the border.

    Args:
      acquired: `Acquired`. fwhm: full width at half maximum, mm.
    """
    from scipy.ndimage import gaussian_filter

    mask = acquired.mask
    blur = partial(gaussian_filter, sigma=fwhm / _FWHM / np.asarray(acquired.voxel_size, float),
                   mode="constant", truncate=3.0)
    share = blur(mask.astype(np.float32))[mask]
    signal = np.empty_like(acquired.signal)
    volume = np.zeros(mask.shape, np.float32)
    for i in range(signal.shape[1]):
        volume[mask] = acquired.signal[:, i]
        signal[:, i] = blur(volume)[mask] / share
    return acquired._replace(signal=signal)


def tune(cases, widths=SMOOTHING_WIDTHS, orders=SH_ORDERS, weights=SH_WEIGHTS):
    """Order and weight of the spherical harmonics, and the width of smoothing before them, with
    the least squared error against the measured DWIs of validation subjects.

    Args:
      cases: iterable of `Case`, gone through once, so that one subject at a time is in memory.
      widths: full widths at half maximum, mm. orders, weights: the grid.

    Returns:
      list of `Interpolator`: spherical harmonics, and the same after smoothing, each with its own
      best values.

    Raises:
      ValueError: there is no case.
    """
    moments = {width: [] for width in (0.0, *widths)}
    for case in cases:
        dwis = case.acquired.take(np.flatnonzero(~case.acquired.gtab.b0s_mask))
        for width, found in moments.items():
            _add(found, _moments(smooth(dwis, width) if width else dwis, case))
    if not moments[0.0]:
        raise ValueError("tuning needs at least one validation subject")
    tuned = {width: _tune_sh(found, orders, weights) for width, found in moments.items()}
    width = min(widths, key=lambda w: tuned[w][0])
    return [tuned[0.0][1], smoothed(width, tuned[width][1])]


class _Moments(NamedTuple):
    """Second moments of inputs ``x [V, q]`` and targets ``y [V, K]``: all that the squared error
    of a linear interpolation depends on, so that a grid of them costs next to nothing."""

    xx: np.ndarray
    xy: np.ndarray
    yy: float
    bvecs_from: np.ndarray
    bvecs_to: np.ndarray

    def squared_error(self, matrix):
        """Of ``y ≈ matrix @ x``, summed."""
        return (self.yy - 2 * np.sum(matrix.T * self.xy)
                + np.sum((matrix @ self.xx) * matrix))


def _moments(dwis, case):
    chosen = np.flatnonzero(case.judged)
    chosen = chosen[:: -(-len(chosen) // _TUNING_VOXELS)]
    x = dwis.signal[chosen].astype(np.float64)
    y = case.measured[chosen].astype(np.float64)
    return _Moments(x.T @ x, x.T @ y, float(np.vdot(y, y)), dwis.gtab.bvecs, case.gtab.bvecs)


def _add(found, moments):
    """To those of the same directions, as a rule those of all subjects."""
    for i, other in enumerate(found):
        if np.array_equal(other.bvecs_from, moments.bvecs_from) and np.array_equal(
                other.bvecs_to, moments.bvecs_to):
            found[i] = other._replace(xx=other.xx + moments.xx, xy=other.xy + moments.xy,
                                      yy=other.yy + moments.yy)
            return
    found.append(moments)


def _tune_sh(moments, orders, weights):
    """``(squared error, Interpolator)`` of the best point of the grid."""
    def error(order, weight):
        return sum(m.squared_error(sh_interpolation(
            m.bvecs_from, m.bvecs_to, order=order, weight=weight)) for m in moments)

    least, order, weight = min((error(o, w), o, w) for o in orders for w in weights)
    return least, spherical_harmonics(order, weight)

"""Estimators of noise: its level σ, in the unit of the signal, and what it is like in space.

Medians withstand outliers.
"""

from typing import NamedTuple

import numpy as np

from dwijax.dti.robust import NORMAL
from dwijax.fitting.motion import motion_between
from dwijax.fitting.voxels import fit_maps, tensor_signal
from dwijax.gradients import GradientTable
from dwijax.gradients.harmonics import sh_basis
from dwijax.volumes import into_volume


def robust_sd(residual: np.ndarray, axis: int | None = None) -> np.ndarray:
    """SD of normal residuals of mean 0 by their median absolute value: of all, or along an axis."""
    return NORMAL * np.median(np.abs(residual), axis=axis)


def residual_sigma(signal: np.ndarray, gtab: GradientTable) -> float:
    """σ by the residuals of the tensor fit in the DWIs; its misfit counts as noise.

    Args:
      signal: float32 ``[V, M]``. gtab: `GradientTable` of the M volumes.

    Returns:
      `robust_sd` times ``sqrt(M / (M - 7))`` for the seven parameters. NaN of seven volumes, and
      where no voxel has a tensor.
    """
    dwi, count = ~gtab.b0s_mask, len(gtab)
    maps = fit_maps([signal], gtab)
    if count <= 7 or not maps.determined.any():
        return np.nan
    residual = (signal[:, dwi] - tensor_signal(maps, gtab[dwi]))[maps.determined]
    return float(robust_sd(residual) * np.sqrt(count / (count - 7)))


def repeats_sigma(b0s: np.ndarray) -> float:
    """σ by repeated b0s ``[V, n]``; drift, motion and pulsation count as noise. NaN of one."""
    freedom = b0s.shape[1] - 1
    return _of_variance(b0s.var(axis=1, ddof=1), freedom) if freedom else np.nan


def harmonics_sigma(dwi: np.ndarray, bvecs: np.ndarray, order: int = 4) -> float:
    """σ by what even spherical harmonics leave of the DWIs; finer structure counts as noise.

    Args:
      dwi: ``[V, M]``. bvecs: ``[M, 3]``. order: maximal order.

    Returns:
      float; NaN where the harmonics leave nothing.
    """
    residual, freedom = harmonics_residual(dwi, bvecs, order)
    if not freedom:
        return np.nan
    return _of_variance((residual**2).sum(axis=1) / freedom, freedom)


def harmonics_residual(dwi: np.ndarray, bvecs: np.ndarray, order: int) -> tuple[np.ndarray, int]:
    """What even spherical harmonics leave of DWIs ``[V, M]``, and its degrees of freedom.

    Zeros and 0 of directions that the harmonics meet exactly.
    """
    kept, freedom = _beyond_harmonics(bvecs, order)
    return (dwi @ kept.astype(np.float32) if freedom else np.zeros_like(dwi)), freedom


def _beyond_harmonics(bvecs, order):
    """The projection ``[M, M]`` onto what harmonics leave, and its degrees of freedom."""
    basis = sh_basis(bvecs, order)[0]
    return (np.eye(len(basis)) - basis @ np.linalg.pinv(basis),
            len(basis) - int(np.linalg.matrix_rank(basis)))


def patches_residual(dwi: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """What the principal components of a patch leave of each voxel's DWIs, and σ by it.

    Of a handful of directions harmonics leave nothing; neighbours with like tissue do (MP-PCA,
    Veraart et al. 2016, with the patch's covariance alone). For up to some ten volumes: noise
    that neighbours share makes it too small where there are many.

    Args:
      dwi: ``[V, M]``, of voxels in the mask. mask: bool ``[X, Y, Z]``.

    Returns:
      ``(residual, sigma)``: float32 ``[V, M]`` whose mean square is that of the noise, 0 where a
      patch reaches far out of the mask, and the median σ; zeros and NaN where all patches do, and
      of fewer than six volumes.
    """
    from scipy.ndimage import uniform_filter

    def local(values):
        return uniform_filter(into_volume(values.astype(np.float32), mask), _PATCH,
                              mode="constant")[mask]

    M = dwi.shape[1]
    inside = local(np.ones(len(dwi)))
    kept = inside > 0.9
    residual = np.zeros(dwi.shape, np.float32)
    if M < _FEWEST or not kept.any():
        return residual, np.nan
    mean = np.stack([local(volume) / inside for volume in dwi.T], axis=1)[kept]
    covariance = np.empty((int(kept.sum()), M, M))
    for i in range(M):
        for j in range(i + 1):
            product = (local(dwi[:, i] * dwi[:, j]) / inside)[kept] - mean[:, i] * mean[:, j]
            covariance[:, i, j] = covariance[:, j, i] = product
    evals, evecs = np.linalg.eigh(covariance)
    count, variance = marchenko_pastur(evals, _PATCH**3 * inside[kept])
    own = np.arange(M) < count[:, None]
    parts = np.einsum("vm,vmk->vk", dwi[kept] - mean, evecs) * own
    residual[kept] = np.einsum("vk,vmk->vm", parts, evecs) * np.sqrt(M / count)[:, None]
    return residual, float(np.sqrt(np.median(variance)))


def marchenko_pastur(evals: np.ndarray, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of a patch's eigenvalues are noise by their law (Veraart et al. 2016, eq. 10-12),
    and the variance of it.

    Args:
      evals: of covariances, ascending, ``[n, M]``. voxels: of a patch, a number or ``[n]``.

    Returns:
      ``(count, variance)``, ``[n]`` each: the first ``count``, whose mean is the variance.
    """
    M = evals.shape[1]
    count = np.arange(1, M + 1)
    means = np.cumsum(evals, axis=1) / count
    width = 4 * np.sqrt(count / np.broadcast_to(voxels, len(evals))[:, None])
    noise = evals - evals[:, :1] <= width * means
    last = M - 1 - noise[:, ::-1].argmax(axis=1)
    return last + 1, means[np.arange(len(means)), last]


_PATCH = 5  # voxels
_FEWEST = 6  # volumes of which some components are noise
_GAINS = 4  # times that they are estimated
_WIDTH = 2.5  # voxels, SD of the weights of a local mean


class NoiseInSpace(NamedTuple):
    """What noise is like beside its level.

    Attributes:
      relative: σ over its median, float32 ``[V]``. correlation: of neighbours' noise along each
        axis, ``[3]``. gain: SD over the DWIs of their brightness, as a fraction.
      motion: SD over the DWIs of their shift along each axis, voxels, float64 ``[3]``.
    """

    relative: np.ndarray
    correlation: np.ndarray
    gain: float
    motion: np.ndarray


def noise_in_space(dwi: np.ndarray, bvecs: np.ndarray, mask: np.ndarray) -> NoiseInSpace:
    """`NoiseInSpace` by what harmonics leave of the DWIs; of six DWIs, what patches leave.

    White, even and steady where nothing tells it.

    Args:
      dwi: ``[V, q]`` of one shell. bvecs: ``[q, 3]``. mask: ``[X, Y, Z]``.
    """
    order = 4 if len(bvecs) >= 20 else 2
    residual, freedom = harmonics_residual(dwi, bvecs, order)
    gain, motion = 0.0, np.zeros(3)
    if freedom:
        # A gain is shared by all voxels, as noise is not; the fit follows it in part, so again.
        gains = np.ones(len(bvecs))
        for _ in range(_GAINS):
            fitted = dwi / gains.astype(np.float32) - residual
            power = np.sum(fitted**2, axis=0, dtype=np.float64)
            gains *= 1 + np.sum(residual * fitted, axis=0, dtype=np.float64) / np.maximum(
                power, 1e-12)
            gains = np.clip(gains, 0.5, 2)  # an empty volume has none
            residual, _ = harmonics_residual(dwi / gains.astype(np.float32), bvecs, order)
        gain = float(np.std(gains))
        motion = motion_between(dwi / gains.astype(np.float32) - residual, residual,
                                _beyond_harmonics(bvecs, order)[0], mask)
    else:
        residual, _ = patches_residual(dwi, mask)
    if not residual.any():
        return NoiseInSpace(np.ones(len(dwi), np.float32), np.zeros(3), gain, motion)
    return NoiseInSpace(relative_sigma(residual, mask), neighbours_correlation(residual, mask),
                        gain, motion)


def neighbours_correlation(residual: np.ndarray, mask: np.ndarray,
                           distance: int = 1) -> np.ndarray:
    """How much noise is shared by neighbours: the correlation of residuals along each axis.

    0 of white noise. Interpolated k-space, vendor filters and resampling raise it.

    Args:
      residual: ``[V, M]``, of voxels in the mask. mask: bool ``[X, Y, Z]``.
      distance: from one voxel to the other, voxels.

    Returns:
      float64 ``[3]``; 0 along an axis without neighbours.
    """
    number, found = np.full(mask.shape, -1), np.zeros(3)
    number[mask] = np.arange(mask.sum())
    scale = np.sqrt(np.mean(residual**2, axis=1))
    # Voxels count alike: a few with large residuals, such as vessels, would decide it.
    unit = residual / np.where(scale > 0, scale, 1)[:, None]
    for axis in range(3):
        a, b = (np.take(number, np.arange(n, n + mask.shape[axis] - distance), axis)
                for n in (0, distance))
        both = (a >= 0) & (b >= 0)
        if both.any():
            found[axis] = np.mean(unit[a[both]] * unit[b[both]])
    return found


def relative_sigma(residual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Map of σ over its median: local mean squares of residuals, within a factor of 2.

    Args:
      residual: ``[V, M]``. mask: bool ``[X, Y, Z]``.

    Returns:
      float32 ``[V]``.
    """
    squares = local_mean(into_volume(np.mean(residual**2, axis=1), mask), mask)[mask]
    level = np.sqrt(np.maximum(squares, 0))
    return np.clip(level / max(float(np.median(level)), 1e-12), 0.5, 2).astype(np.float32)


def local_mean(volume: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Weighted mean of the known values about every voxel, Gaussian weights of SD 2.5 voxels.

    Args:
      volume: real ``[X, Y, Z]``. known: bool ``[X, Y, Z]``.

    Returns:
      float32 ``[X, Y, Z]``; 0 far from everything that is known.
    """
    from scipy.ndimage import gaussian_filter

    total, weight = (gaussian_filter(np.where(known, values, 0).astype(np.float32), _WIDTH)
                     for values in (volume, 1))
    return total / np.maximum(weight, 1e-12)


def _of_variance(variance, freedom):
    """σ of variances ``[V]``. The median withstands vessels and motion; of variances with few
    degrees of freedom it lies below the mean, as that of chi squared does."""
    from scipy.special import chdtri

    return float(np.sqrt(np.median(variance) * (freedom / chdtri(freedom, 0.5))))

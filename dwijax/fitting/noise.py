"""Estimators of the noise level σ, in the unit of the signal; medians withstand outliers."""

import numpy as np

from dwijax.dti.robust import NORMAL
from dwijax.fitting.voxels import fit_maps, tensor_signal
from dwijax.gradients import GradientTable
from dwijax.gradients.harmonics import sh_basis


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
    basis = sh_basis(bvecs, order)[0]
    freedom = len(basis) - np.linalg.matrix_rank(basis)
    if not freedom:
        return np.nan
    kept = np.eye(len(basis)) - basis @ np.linalg.pinv(basis)
    return _of_variance(((dwi @ kept.astype(np.float32)) ** 2).sum(axis=1) / freedom, freedom)


def _of_variance(variance, freedom):
    """σ of variances ``[V]``. The median withstands vessels and motion; of variances with few
    degrees of freedom it lies below the mean, as that of chi squared does."""
    from scipy.special import chdtri

    return float(np.sqrt(np.median(variance) * (freedom / chdtri(freedom, 0.5))))

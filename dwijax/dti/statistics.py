"""How sure a fit is: noise, covariance of the elements, standard errors of maps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dwijax.dti.elements import congruence
from dwijax.dti.fit import predict_signal, samples_that_count
from dwijax.least_squares import cholesky, cholesky_solve, column_products, project


class FitStatistics(NamedTuple):
    """Result of `fit_statistics`.

    Attributes:
      sigma: ``[...]``, standard deviation of the noise in the signal's units, from the residuals.
      rmse: ``[...]``, root mean squared difference of signal and predicted signal.
      covariance: ``[..., 6, 6]`` of the tensor elements, (µm²/ms)².
    """

    sigma: jax.Array
    rmse: jax.Array
    covariance: jax.Array


def fit_statistics(signal, design, fit, method="wls", weights=None, sigma=None):
    """Noise and covariance of a fit, to first order in the noise.

    Noise of equal variance in the signal has variance ``σ²/S²`` in its logarithm. A fit with
    weights ``S²`` has covariance ``σ² (Xᵀ S² X)⁻¹``, an unweighted one
    ``σ² (XᵀX)⁻¹ Xᵀ S⁻² X (XᵀX)⁻¹`` (Koay 2011, in: Diffusion MRI, Oxford, ch. 16), with
    ``σ² = Σ S² (ln residual)² / (n - 7)`` over the n samples that count.

    Args:
      signal: ``[..., M]``; what was fitted.
      design: ``[M, 7]``.
      fit: `TensorFit` of it, before eigenvalues are raised.
      method: as in `fit_tensor`.
      weights: as in `fit_tensor`. Synthetic volumes must have weight 0: they bring no information
        of their own, and counting them would make errors look smaller than they are.
      sigma: σ of the noise where it is known, ``[...]``, in the unit of the signal.

    Returns:
      `FitStatistics`; NaN where no more than seven samples count, as nothing is left over to tell
      the noise by, unless it is known; 0 where there is no tensor.
    """
    predicted = predict_signal(fit.tensor, fit.log_s0, design)
    usable, _ = samples_that_count(signal, design)
    given = jnp.ones((), signal.dtype) if weights is None else weights
    given = jnp.where(usable, given, jnp.zeros_like(signal))
    present = (given > 0).astype(signal.dtype)
    count = present.sum(-1)
    some = jnp.maximum(count, jnp.ones_like(count))
    free = count - design.shape[-1]
    one = jnp.ones_like(count)

    scale = jnp.maximum(predicted.max(-1, keepdims=True), jnp.finfo(signal.dtype).tiny)
    relative = jnp.maximum(predicted / scale, jnp.asarray(1e-6, signal.dtype))
    ratio = jnp.where(usable, signal, predicted) / jnp.where(predicted > 0, predicted, scale)
    residual = relative * jnp.log(jnp.where(ratio > 0, ratio, jnp.ones_like(ratio)))
    if sigma is None:
        variance = (given * residual**2).sum(-1) / jnp.where(free > 0, free, one)
    else:
        variance = (sigma / scale[..., 0]) ** 2
    zero, nan = jnp.zeros((), signal.dtype), jnp.asarray(jnp.nan, signal.dtype)

    def known(values, where=True):
        dims = [1] * (values.ndim - free.ndim)
        enough = (free > 0) | (sigma is not None)
        told, tensor = (enough & where).reshape(*free.shape, *dims), fit.determined.reshape(
            *free.shape, *dims)
        return jnp.where(tensor, jnp.where(told, values, nan), zero)

    difference = present * jnp.where(usable, signal - predicted, jnp.zeros_like(signal))

    basis, triangle = jnp.linalg.qr(design)
    n = design.shape[-1]
    flat = method == "ols"
    products = column_products(basis)
    factor, ok = cholesky(project(products, given if flat else given * relative**2), n)
    inverse = _inverse(factor, n, count)
    if flat:
        meat = _full(project(products, given / relative**2), n)
        inverse = jnp.einsum("...ij,...jk,...kl->...il", inverse, meat, inverse,
                             precision=lax.Precision.HIGHEST)
    unmix = jnp.linalg.inv(triangle)[:6]
    covariance = jnp.einsum("ij,...jk,lk->...il", unmix, inverse, unmix,
                            precision=lax.Precision.HIGHEST) * variance[..., None, None]
    return FitStatistics(
        sigma=known(jnp.sqrt(variance) * scale[..., 0]),
        rmse=known(jnp.sqrt((difference**2).sum(-1) / some)),
        covariance=known(covariance, ok),
    )


def standard_error(scalar_map, tensor, covariance):
    """Standard error ``[...]`` of a scalar map, by propagation of the covariance (delta method).

    Args:
      scalar_map: ``[..., 6] -> [...]``, such as `fractional_anisotropy`.
      tensor: ``[..., 6]``.
      covariance: ``[..., 6, 6]``.
    """
    gradient = jax.grad(lambda t: scalar_map(t).sum())(tensor)
    variance = jnp.einsum("...i,...ij,...j->...", gradient, covariance, gradient,
                          precision=lax.Precision.HIGHEST)
    # Not `jnp.maximum`, which makes NaN 0 (XLA, CPU).
    return jnp.sqrt(jnp.where(variance < 0, jnp.zeros_like(variance), variance))


def rotate_covariance(covariance, matrix):
    """Covariance ``[..., 6, 6]`` of the elements of ``A D Aᵀ``, for ``A`` ``[..., 3, 3]``."""
    units = jnp.eye(6, dtype=covariance.dtype)
    columns = [congruence(jnp.broadcast_to(u, (*matrix.shape[:-2], 6)), matrix) for u in units]
    change = jnp.stack(columns, axis=-1)
    return jnp.einsum("...ij,...jk,...lk->...il", change, covariance, change,
                      precision=lax.Precision.HIGHEST)


def _inverse(factor, n, like):
    """``[..., n, n]``: column by column, from the factor of `cholesky`."""
    zero, one = jnp.zeros_like(like), jnp.ones_like(like)
    units = [jnp.stack([one if i == j else zero for i in range(n)]) for j in range(n)]
    columns = jnp.stack([cholesky_solve(factor, unit) for unit in units])
    return jnp.moveaxis(columns, (0, 1), (-1, -2))


def _full(lower, n):
    """``[n(n+1)/2, ...]`` lower triangles as ``[..., n, n]``."""
    index = np.zeros((n, n), int)
    index[np.tril_indices(n)] = index.T[np.tril_indices(n)] = np.arange(n * (n + 1) // 2)
    return jnp.moveaxis(lower, 0, -1)[..., index]

"""Outlying samples: REKINDLE (Tax et al. 2015, Magn Reson Med 73:794)."""

import jax.numpy as jnp
from jax import lax

from dwijax.least_squares import expand, weighted_least_squares

_ITERATIONS = 10  # the paper iterates to convergence, which takes fewer in nearly every voxel
_KAPPA = 6.0  # outliers are further off than this many robust standard deviations
NORMAL = 1.4826  # standard deviation over median absolute deviation of a normal variable


def inliers(basis, weights, log_signal):
    """Which samples a robust fit would keep.

    Iteratively reweighted fits with Geman-McClure weights ``(r² + C²)⁻²`` of the residuals ``r`` of
    ln S times the predicted signal, which makes their noise equal (the paper's eq. 8-11), and
    ``C`` from their median absolute value, corrected for the seven fitted parameters. Then samples
    with ``|r| > 6 C`` go. Samples of a voxel that would lose more than a third all stay: there the
    model is wrong and not single samples.

    Args:
      basis: ``[M, 7]``.
      weights: ``[..., M]``; samples of weight 0 count nowhere.
      log_signal: ``[..., M]``.

    Returns:
      ``[..., M]``, 0 or 1, not differentiated.
    """
    basis, weights, log_signal = lax.stop_gradient((basis, weights, log_signal))
    present = weights > 0
    count = present.sum(-1, keepdims=True).astype(log_signal.dtype)
    n = basis.shape[-1]
    inflation = NORMAL * jnp.sqrt(count / jnp.maximum(count - n, jnp.ones_like(count)))
    smallest = 32 * jnp.finfo(log_signal.dtype).eps

    def residuals(fit):
        prediction = expand(basis, fit)
        predicted = jnp.exp(jnp.clip(prediction, -20, 20))
        residual = (log_signal - prediction) * predicted
        residual = jnp.where(present, residual, jnp.zeros_like(residual))
        scale = inflation * _median(jnp.abs(residual), present)
        return residual, jnp.maximum(scale, smallest), predicted

    def reweight(_, fit):
        residual, scale, predicted = residuals(fit)
        ratio = residual / scale
        robust = weights * (predicted / (1 + ratio * ratio)) ** 2
        return weighted_least_squares(basis, robust, log_signal)[0]

    start = weighted_least_squares(basis, weights, log_signal)[0]
    residual, scale, _ = residuals(lax.fori_loop(0, _ITERATIONS, reweight, start))
    keep = present & (jnp.abs(residual) <= _KAPPA * scale)
    enough = 3 * keep.sum(-1, keepdims=True) >= 2 * present.sum(-1, keepdims=True)
    return jnp.where(enough, keep, present).astype(weights.dtype)


def _median(values, present):
    """Median over the last axis of the samples present, ``[..., 1]``; 0 if there is none."""
    ordered = jnp.sort(jnp.where(present, values, jnp.inf), axis=-1)
    count = present.sum(-1, keepdims=True)
    low = jnp.take_along_axis(ordered, jnp.maximum(count - 1, 0) // 2, axis=-1)
    high = jnp.take_along_axis(ordered, jnp.minimum(count // 2, values.shape[-1] - 1), axis=-1)
    return jnp.where(count > 0, (low + high) / 2, jnp.zeros_like(low))

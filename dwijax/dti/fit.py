"""The tensor fit, pure `jax.numpy`: jit, vmap, grad."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from dwijax.dti.conditioning import determined
from dwijax.dti.maps import clip_eigenvalues
from dwijax.dti.robust import inliers
from dwijax.least_squares import expand, project, weighted_least_squares

METHODS = ("ols", "wls", "iwls", "robust")

# Where samples are missing, the fit that only provides the first weights sees this isotropic
# diffusivity (µm²/ms, between grey and white matter) in their place.
_TYPICAL_DIFFUSIVITY = 0.8

# No image has more than 16 bits, so less than this fraction of a voxel's largest sample is nothing
# (or what interpolation made of nothing).
_SMALLEST = 1e-6
# Diffusion only takes signal away: neither is a sample that is a hundred times less than water ten
# times faster than free water would leave of the largest. Of a b0 that is a hundredth of its DWIs.
_DROPOUT, _FASTEST = 0.01, 30.0  # µm²/ms
_SLOWEST = 1e-4  # µm²/ms; a voxel of one value is saturated or filled

_LARGEST_LOG = 20.0  # e^40 and e^-40, the weights, and their products fit into float32


class TensorFit(NamedTuple):
    """Result of `fit_tensor`.

    Attributes:
      tensor: ``[..., 6]``, µm²/ms, order Dxx, Dxy, Dyy, Dxz, Dyz, Dzz.
      log_s0: ``[...]``, natural logarithm of the fitted S0 in the signal's units.
      determined: bool ``[...]``, whether the voxel has a tensor: the samples that count determine
        it (`dwijax.dti.conditioning`), with their weights too; they are not all the same (the
        largest element is above 1e-4); none is ten times the diffusivity of free water. Where
        there is none ``tensor`` is 0 and ``log_s0`` the mean of the log-samples (ln of the smallest
        normal number without any); no mean or loss may count such voxels.
    """

    tensor: jax.Array
    log_s0: jax.Array
    determined: jax.Array


def predict_signal(tensor, log_s0, design):
    """``exp(X β)``: the signal ``[..., M]`` of tensors ``[..., 6]`` and ``log_s0`` ``[...]``."""
    log_signal = jnp.einsum("...k,mk->...m", tensor, design[:, :6], precision="highest")
    return jnp.exp(log_signal + log_s0[..., None] * design[:, 6])


def fit_tensor(
    signal, design, method="wls", *, start="ols", reweightings=None, weights=None,
    floor=None, relative_floor=None, min_diffusivity=None,
):
    """Least-squares fit of the log-linear tensor model.

    Args:
      signal: ``[..., M]``, any scale; float32 or float64, the same as ``design``.
      design: ``[M, 7]`` of `design_matrix`, of full column rank.
      method: ``ols``; ``wls``: one reweighting by the squared predicted signal after ``ols``
        (Veraart et al. 2013; dipy's default), or, with ``start='measured'``, the squared measured
        signal as weights (Salvador et al. 2005; MRtrix3 ``-iter 0``); ``iwls``: several
        reweightings (two by default; with ``start='measured'`` this is MRtrix3's default);
        ``robust``: ``iwls`` without the outliers that REKINDLE finds (`dwijax.dti.robust`).
      start: where the first weights come from, ``ols`` or ``measured``.
      reweightings: number of refits with the squared signal predicted by the fit before; None:
        as ``method`` says. A traced number (``start='measured'`` only) makes one program for all,
        that has no reverse mode.
      weights: optional, broadcastable to ``[..., M]``, not negative: factors for volumes (``[M]``)
        or single samples.
      floor: samples below this absolute value are raised to it (dipy: 1e-4). Default None: samples
        that `samples_that_count` does not count are left out. Raised to a floor, a sample of 0
        would be the most extreme of all logarithms and rule the fit.
      relative_floor: the same as a fraction of the voxel's largest sample (MRtrix3: 1e-6).
      min_diffusivity: raise smaller eigenvalues to this (µm²/ms) afterwards, for a positive
        definite tensor (dipy: 1e-3 / largest b in s/mm²); None: leave them as fitted.

    Returns:
      `TensorFit`; finite everywhere, and so are its derivatives. With a floor too, a voxel has a
      tensor only where samples that count without one determine it.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    if start not in ("ols", "measured"):
        raise ValueError(f"start {start!r}: expected ols or measured")
    if reweightings is None:
        reweightings = {"ols": 0, "wls": int(start == "ols")}.get(method, 2)

    count, scale = samples_that_count(signal, design)
    log_signal, log_scale, used = _log_samples(signal, count, scale, floor, relative_floor)
    weights = used if weights is None else used * weights
    basis, triangle = jnp.linalg.qr(design)

    def told_by(weights):
        present = lax.stop_gradient(jnp.where(weights > 0, count.astype(signal.dtype), 0))
        return determined(design, basis, triangle, present)

    if method == "robust":
        kept = weights * inliers(basis, weights, log_signal)
        # Outliers that a tensor cannot do without, such as the only b0, stay.
        weights = jnp.where(told_by(kept)[..., None], kept, weights)
    has_tensor = told_by(weights)

    # A sample raised to a floor pulls the weights over many orders of magnitude, which costs the
    # normal equations their digits in float32; without a floor the corrections below suffice.
    refine = floor is not None or relative_floor is not None
    if start == "measured":
        first_weights = weights * jnp.exp(2 * log_signal)
        fit, ok = weighted_least_squares(basis, first_weights, log_signal, refine, triangle)
    elif reweightings:
        fit = project(basis, _filled(log_signal, weights, design))
    else:
        fit, ok = weighted_least_squares(basis, weights, log_signal, refine, triangle)
    if isinstance(reweightings, int):
        for _ in range(reweightings):
            fit, ok = _reweighted(basis, triangle, weights, log_signal, fit, refine)
    else:
        fit, ok = lax.fori_loop(
            0, reweightings,
            lambda _, found: _reweighted(basis, triangle, weights, log_signal, found[0],
                                        refine), (fit, ok))

    beta = _back_substitute(triangle, fit)
    tensor = jnp.stack(beta[:6], axis=-1)
    largest = jnp.abs(tensor).max(-1)
    has_tensor = has_tensor & ok & (largest > _SLOWEST) & (largest < _FASTEST)
    zero = jnp.zeros((), signal.dtype)
    tensor = jnp.where(has_tensor[..., None], tensor, zero)
    if min_diffusivity is not None:
        raised = clip_eigenvalues(tensor, min_diffusivity)
        tensor = jnp.where(has_tensor[..., None], raised, zero)
    mean = _mean(log_signal, weights)
    return TensorFit(tensor, jnp.where(has_tensor, beta[6], mean) + log_scale, has_tensor)


def samples_that_count(signal, design):
    """Which samples are measurements, for a fit without a floor.

    Not those that are not finite, below a millionth of the voxel's largest, or below a hundredth of
    what of the largest would be left by water ten times faster than free water.

    Args:
      signal: ``[..., M]``. design: ``[M, 7]``.

    Returns:
      ``(bool [..., M], the largest sample [..., 1])``.
    """
    tiny = jnp.finfo(signal.dtype).tiny
    finite = jnp.isfinite(signal)
    largest = jnp.where(finite, signal, jnp.zeros_like(signal)).max(-1, keepdims=True)
    largest = lax.stop_gradient(jnp.maximum(largest, tiny))
    b = -lax.stop_gradient(design[:, 0] + design[:, 2] + design[:, 5])
    least = jnp.maximum(_DROPOUT * jnp.exp(-_FASTEST * b), jnp.asarray(_SMALLEST, b.dtype))
    # Below tiny**0.75 the derivative of the logarithm overflows.
    return finite & (signal > jnp.maximum(least * largest, tiny**0.75)), largest


def _log_samples(signal, count, scale, floor, relative_floor):
    """``ln(S / maximum)``, ln of the voxel's maximum ``[...]``, and what is used ``[..., M]``.

    Dividing by the voxel's maximum makes all weights of order one and the logarithms small numbers,
    whatever the scanner's units: in float32 that is worth a digit.
    """
    if floor is not None or relative_floor is not None:
        lowest = relative_floor * scale if floor is None else jnp.asarray(floor, signal.dtype)
        count, signal = jnp.isfinite(signal), jnp.maximum(signal, lowest)
    ratio = jnp.where(count, signal, scale) / scale
    return jnp.log(ratio), jnp.log(scale[..., 0]), count.astype(signal.dtype)


def _mean(values, weights):
    # As matrix products: sums along the last axis are slow (XLA, CPU).
    ones = jnp.ones((values.shape[-1], 1), values.dtype)
    total = project(ones, weights)[0]
    return project(ones, weights * values)[0] / jnp.where(total > 0, total, jnp.ones_like(total))


def _filled(log_signal, weights, design):
    """Log-samples with missing ones replaced by a voxel's isotropic estimate."""
    decay = -_TYPICAL_DIFFUSIVITY * (design[:, 0] + design[:, 2] + design[:, 5])
    present = weights > 0
    log_s0 = _mean(log_signal + decay, present.astype(log_signal.dtype))
    return jnp.where(present, log_signal, log_s0[..., None] - decay)


def _reweighted(basis, triangle, weights, log_signal, fit, refine):
    """One weighted fit, the weights multiplied by the squared prediction of the fit before.

    What is solved for is the correction to the fit before. That is the same minimum, and it spares
    float32 the rounding of large logarithms against each other.
    """
    prediction = expand(basis, fit)
    # The largest sample is 1; a start that floored samples have thrown off may predict anything.
    weights = weights * jnp.exp(2 * jnp.clip(prediction, -_LARGEST_LOG, _LARGEST_LOG))
    residual = log_signal - lax.stop_gradient(prediction)
    correction, ok = weighted_least_squares(basis, weights, residual, refine, triangle)
    return lax.stop_gradient(fit) + correction, ok


def _back_substitute(triangle, fit):
    """``R⁻¹ γ`` for the upper triangle ``R`` of the design's QR factorisation: a list of arrays."""
    beta = list(fit)
    n = len(beta)
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            beta[i] = beta[i] - triangle[i, k] * beta[k]
        beta[i] = beta[i] / triangle[i, i]
    return beta

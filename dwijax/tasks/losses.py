"""Losses of one network, and the one that couples the stack.

Both are sums over voxels with weights that the step normalises once: over a batch cut into parts,
on one device or several, the parts' losses and gradients add up to those of the whole.
"""

import jax.numpy as jnp

from dwijax import dti


def squared_error(prediction, target, weight):
    """Weighted sum over voxels of the squared error, mean over channels.

    Both papers' objective (Li et al., eq. 3), kept to where there is something to learn.

    Args:
      prediction: ``[N, H, W, C]``.
      target: the same; NaN where there is none (voxels without a tensor), which counts nothing.
      weight: ``[N, H, W, 1]``; of sum 1 for a mean squared error.

    Returns:
      scalar.
    """
    error = jnp.where(jnp.isnan(target), jnp.zeros_like(prediction), prediction - target)
    return jnp.sum(weight * error**2) / prediction.shape[-1]


def fa_loss(signal, fa_reference, design, volume_weights, weight):
    """Squared difference of the FA of a series of volumes, through the tensor fit, from another.

    Args:
      signal: b0 and DWIs with the predicted ones in them, ``[N, H, W, M]``.
      fa_reference: ``[N, H, W]``; NaN where it is not known, which counts nothing, as voxels do
        whose signal determines no tensor.
      design: ``[M, 7]``.
      volume_weights: in the fit, ``[M]`` (a mean of n b0s counts n times).
      weight: of the voxels, ``[N, H, W, 1]``.

    Returns:
      scalar.
    """
    fit = dti.fit_tensor(signal, design, method="wls", weights=volume_weights)
    reference = jnp.where(fit.determined, fa_reference, jnp.nan)
    fa = dti.fractional_anisotropy(fit.tensor)
    return squared_error(fa[..., None], reference[..., None], weight)


def fitted_fa(signal, design, volume_weights):
    """FA of the tensor fit, ``[N, H, W]``, NaN without a tensor; arguments as :func:`fa_loss`."""
    fit = dti.fit_tensor(signal, design, method="wls", weights=volume_weights)
    return jnp.where(fit.determined, dti.fractional_anisotropy(fit.tensor), jnp.nan)

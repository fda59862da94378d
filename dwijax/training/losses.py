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
      prediction, target: ``[N, H, W, C]``.
      weight: ``[N, H, W, 1]``; of sum 1 for a mean squared error.

    Returns:
      scalar.
    """
    return jnp.sum(weight * (prediction - target) ** 2) / prediction.shape[-1]


def fa_loss(signal, fa_reference, design, volume_weights, weight):
    """Squared difference of the FA of a series of volumes, through the tensor fit, from another.

    Args:
      signal: b0 and DWIs with the predicted ones in them, ``[N, H, W, M]``.
      fa_reference: ``[N, H, W]``.
      design: ``[M, 7]``.
      volume_weights: in the fit, ``[M]`` (a mean of n b0s counts n times).
      weight: of the voxels, ``[N, H, W, 1]``.

    Returns:
      scalar.
    """
    fa = fitted_fa(signal, design, volume_weights)
    return squared_error(fa[..., None], fa_reference[..., None], weight)


def fitted_fa(signal, design, volume_weights):
    """FA of the tensor fit, ``[N, H, W]``; arguments as :func:`fa_loss`."""
    fit = dti.fit_tensor(signal, design, method="wls", weights=volume_weights)
    return dti.fractional_anisotropy(fit.tensor)

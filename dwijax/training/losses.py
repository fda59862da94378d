"""Losses of one network, and the one that couples the stack."""

import jax.numpy as jnp

from dwijax import dti


def masked_mse(prediction, target, mask):
    """Mean squared error over the voxels of ``mask``.

    Both papers' objective (Li et al., eq. 3), kept to where there is something to learn.

    Args:
      prediction, target: ``[N, H, W, C]``. mask: ``[N, H, W, 1]``, weights of 0 to 1.

    Returns:
      scalar.
    """
    channels = prediction.shape[-1]
    total = jnp.sum(mask * (prediction - target) ** 2)
    return total / jnp.maximum(jnp.sum(mask) * channels, 1)


def fa_loss(signal, reference, design, weights, mask):
    """Mean squared difference of the FA of two series of volumes, through the tensor fit.

    The gradient flows through the fit into ``signal`` only.

    Args:
      signal: b0 and DWIs with the predicted ones in them, ``[N, H, W, M]``.
      reference: the measured ones, ``[N, H, W, M]``.
      design: ``[M, 7]``. weights: of the volumes ``[M]`` (a mean of n b0s counts n times).
      mask: ``[N, H, W, 1]``.

    Returns:
      scalar.
    """
    fa, fa_reference = (
        dti.fractional_anisotropy(dti.fit_tensor(s, design, method="wls", weights=weights).tensor)
        for s in (signal, reference)
    )
    return masked_mse(fa[..., None], fa_reference[..., None], mask)

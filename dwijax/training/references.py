"""What a network's output is added to: the classical estimate of its own target.

A network that predicts a residual starts at the classical baseline instead of far below it.
A reference is ``reference(weights_k, x [N, H, W, C]) -> [N, H, W, 1]`` for one network, with
``weights [K, ...]`` stacked like parameters but never trained.
"""

import jax.numpy as jnp
import numpy as np

from dwijax import dti
from dwijax.interpolation import sh_interpolation

# Least signal that a logarithm is taken of, as a fraction of the subject's scale: about the
# Rician floor at SNR 50, below which a magnitude says nothing about diffusion.
FLOOR = 0.02


def linear(weights, x):
    """A fixed linear combination of the input channels."""
    return jnp.einsum("nhwc,c->nhw", x, weights)[..., None]


def exponential(weights, x):
    """The exponential of a linear combination of the channels' logarithms."""
    return jnp.exp(linear(weights, jnp.log(jnp.maximum(x, FLOOR))))


def build(name, gtab, inputs, targets, *, order=2, weight=0.003, log=True):
    """The reference of every network of a direction stack.

    Args:
      name: ``none`` (as He et al.), ``mean`` of the inputs, ``sh`` (regularised spherical
        harmonics) or ``tensor`` (fit of b0 and inputs, signal predicted by it).
      gtab: table of the shell's directions, ``[n]``, without b0s.
      inputs: positions of the inputs in it, ``[q]``. targets: of the targets, ``[K]``.
      order, weight: of the spherical harmonics. log: expand ln S instead of S. Diffusion
        profiles are smoother in the logarithm: a tensor is exactly of order 2 there and is not
        at any order in S.

    Returns:
      ``(reference, weights)``; channel 0 of ``x`` is the mean b0.

    Raises:
      ValueError: unknown name.
    """
    q, k = len(inputs), len(targets)
    combination = np.zeros((k, 1 + q), np.float32)
    if name == "tensor":
        bvals = np.concatenate([[0.0], gtab.bvals[inputs]])
        bvecs = np.concatenate([np.zeros((1, 3)), gtab.bvecs[inputs]])
        design = dti.design_matrix(bvals, bvecs)
        rows = dti.design_matrix(gtab.bvals[targets], gtab.bvecs[targets])

        def reference(row, x):
            fit = dti.fit_tensor(x, design, method="wls")
            return dti.predict_signal(fit.tensor, fit.log_s0, row[None])

        return reference, jnp.asarray(rows)
    if name == "mean":
        combination[:, 1:] = 1 / q
    elif name == "sh":
        combination[:, 1:] = sh_interpolation(
            gtab.bvecs[inputs], gtab.bvecs[targets], order=order, weight=weight)
        if log:
            return exponential, jnp.asarray(combination)
    elif name != "none":
        raise ValueError(f"unknown reference {name!r}; known: none, mean, sh, tensor")
    return linear, jnp.asarray(combination)

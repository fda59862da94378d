"""What a network's output is added to: the classical estimate of its own target.

A network that predicts a residual starts at the classical estimate instead of far below it.
A residual baseline is ``baseline(weights_k, signal [N, H, W, 1 + q]) -> [N, H, W, 1]`` for one
network, of the mean b0 and the q inputs, with ``weights [K, ...]`` stacked like parameters but
never trained.
"""

import jax.numpy as jnp
import numpy as np

from dwijax import dti
from dwijax.gradients.harmonics import (
    log_sh_coefficients,
    log_sh_system,
    sh_basis,
    sh_interpolation,
)


def linear(weights, signal):
    """A fixed linear combination of b0 and inputs."""
    return jnp.einsum("nhwc,c->nhw", signal, weights)[..., None]


def weighted_sh(bvecs_from, bvecs_to, order, weight):
    """Weighted spherical harmonics of ln S (`dwijax.gradients.harmonics.log_sh_coefficients`).

    Returns:
      ``(baseline, weights [K, c])`` as :func:`build`.
    """
    system = log_sh_system(bvecs_from, order, weight)

    def baseline(row, signal):
        coefficients = log_sh_coefficients(*system, signal[..., 1:])
        return jnp.exp(jnp.einsum("cnhw,c->nhw", coefficients, row))[..., None]

    return baseline, jnp.asarray(sh_basis(bvecs_to, order)[0], jnp.float32)


def build(name, gtab, inputs, targets, *, order=2, weight=0.001, log=True):
    """The residual baseline of every network of a direction stack.

    Args:
      name: ``none`` (as He et al.), ``mean`` of the inputs, ``sh`` (regularised spherical
        harmonics) or ``tensor`` (fit of b0 and inputs, signal predicted by it).
      gtab: table of the shell's directions, ``[n]``, without b0s.
      inputs: positions of the inputs in it, ``[q]``. targets: of the targets, ``[K]``.
      order, weight: of the spherical harmonics. log: expand ln S
        (:func:`weighted_sh`) instead of S.

    Returns:
      ``(baseline, weights)``.

    Raises:
      ValueError: unknown name.
    """
    q, k = len(inputs), len(targets)
    combination = np.zeros((k, 1 + q), np.float32)
    if name == "tensor":
        design = dti.design_with_b0(gtab.bvals[inputs], gtab.bvecs[inputs])
        rows = dti.design_matrix(gtab.bvals[targets], gtab.bvecs[targets])

        def baseline(row, signal):
            fit = dti.fit_tensor(signal, design, method="wls")
            return dti.predict_signal(fit.tensor, fit.log_s0, row[None])

        return baseline, jnp.asarray(rows)
    if name == "mean":
        combination[:, 1:] = 1 / q
    elif name == "sh":
        directions = gtab.bvecs[inputs], gtab.bvecs[targets]
        if log:
            return weighted_sh(*directions, order, weight)
        combination[:, 1:] = sh_interpolation(*directions, order=order, weight=weight)
    elif name != "none":
        raise ValueError(f"unknown residual baseline {name!r}; known: none, mean, sh, tensor")
    return linear, jnp.asarray(combination)

"""What a network's output is added to: the classical estimate of its own target.

A network that predicts a residual starts at the classical baseline instead of far below it.
A reference is ``reference(weights_k, x [N, H, W, C]) -> [N, H, W, 1]`` for one network, with
``weights [K, ...]`` stacked like parameters but never trained.
"""

import jax.numpy as jnp
import numpy as np

from dwijax import dti
from dwijax.dti.solve import weighted_least_squares
from dwijax.interpolation import sh_basis, sh_interpolation

# Least signal that a logarithm is taken of, as a fraction of the subject's scale: about the
# Rician floor at SNR 50, below which a magnitude says nothing about diffusion.
FLOOR = 0.02


def linear(weights, x):
    """A fixed linear combination of the input channels."""
    return jnp.einsum("nhwc,c->nhw", x, weights)[..., None]


def weighted_sh(bvecs_from, bvecs_to, order, weight):
    """Regularised spherical harmonics of ln S, weighted by the squared predicted signal.

    Diffusion profiles are smoother in the logarithm: a tensor is exactly of order 2 there and of
    no finite order in S. Taking the logarithm makes the noise of small signals large; the weights
    undo that, as in a weighted tensor fit. With order 2 and ``weight`` 0 this *is* the weighted
    tensor fit's prediction.

    Returns:
      ``(reference, weights [K, c])`` as :func:`build`.
    """
    basis, degrees = sh_basis(bvecs_from, order)
    start = sh_interpolation(bvecs_from, bvecs_from, order=order, weight=weight)
    # The Laplace-Beltrami penalty as further samples of 0: one row per coefficient with l > 0.
    penalty = np.sqrt(weight) * np.diag(degrees * (degrees + 1.0))[degrees > 0]
    rows = jnp.asarray(np.concatenate([basis, penalty]), jnp.float32)
    start = jnp.asarray(start, jnp.float32)
    ends = [(0, 0)] * 3 + [(0, len(penalty))]

    def reference(row, x):
        logs = jnp.log(jnp.maximum(x[..., 1:], FLOOR))
        squared = jnp.exp(2 * jnp.einsum("nhwq,pq->nhwp", logs, start))
        # Relative weights: the balance with the penalty does not depend on the voxel's signal.
        squared = squared / jnp.mean(squared, axis=-1, keepdims=True)
        coefficients, _ = weighted_least_squares(
            rows, jnp.pad(squared, ends, constant_values=1), jnp.pad(logs, ends))
        return jnp.exp(jnp.einsum("cnhw,c->nhw", coefficients, row))[..., None]

    return reference, jnp.asarray(sh_basis(bvecs_to, order)[0], jnp.float32)


def build(name, gtab, inputs, targets, *, order=2, weight=0.001, log=True):
    """The reference of every network of a direction stack.

    Args:
      name: ``none`` (as He et al.), ``mean`` of the inputs, ``sh`` (regularised spherical
        harmonics) or ``tensor`` (fit of b0 and inputs, signal predicted by it).
      gtab: table of the shell's directions, ``[n]``, without b0s.
      inputs: positions of the inputs in it, ``[q]``. targets: of the targets, ``[K]``.
      order, weight: of the spherical harmonics. log: expand ln S
        (:func:`weighted_sh`) instead of S.

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
        directions = gtab.bvecs[inputs], gtab.bvecs[targets]
        if log:
            return weighted_sh(*directions, order, weight)
        combination[:, 1:] = sh_interpolation(*directions, order=order, weight=weight)
    elif name != "none":
        raise ValueError(f"unknown reference {name!r}; known: none, mean, sh, tensor")
    return linear, jnp.asarray(combination)

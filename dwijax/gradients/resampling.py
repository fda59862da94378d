"""A scan's own directions carried to those of a run, and what that costs."""

from typing import NamedTuple

import numpy as np

from dwijax.gradients.directions import compare
from dwijax.gradients.harmonics import (
    log_sh_coefficients,
    log_sh_system,
    sh_basis,
    sh_interpolation,
)

# Of ln S, weighted, order 2 with next to no penalty: a weighted tensor fit, but for the apparent
# S0, which is free. It is also what most runs add their networks' output to.
ORDER, WEIGHT = 2, 0.001
_LARGEST = 1.5  # over the largest DWI of a voxel: in noise, an exponential may run away
_BLOCK = 65536  # voxels at a time


class Resampling(NamedTuple):
    """From N measured directions to q others, by spherical harmonics of ln S.

    Attributes:
      bvecs_from: ``[N, 3]``. bvecs_to: ``[q, 3]``.
      extrapolation: ``[q]``, degrees from each wanted direction to the nearest measured one.
      gain: ``[q]``, noise SD of each result over that of a measured DWI (to first order, where
        all DWIs of a voxel are alike).
    """

    bvecs_from: np.ndarray
    bvecs_to: np.ndarray
    extrapolation: np.ndarray
    gain: np.ndarray

    def facts(self):
        """For ``dwi.json``."""
        return {
            "method": f"weighted spherical harmonics of ln S, order {ORDER}, Laplace-Beltrami "
                      f"weight {WEIGHT:g}",
            "extrapolation_degrees": [round(float(a), 3) for a in self.extrapolation],
            "noise_gain": [round(float(g), 4) for g in self.gain],
        }

    def in_words(self):
        """One line."""
        q, n = len(self.bvecs_to), len(self.bvecs_from)
        return (f"the run's {q} input directions were interpolated from the scan's {n}: spherical "
                f"harmonics of ln S, at most "
                f"{self.extrapolation.max():.1f}° from a measured direction, noise × "
                f"{self.gain.min():.2f} to {self.gain.max():.2f}")


def plan_resampling(bvecs_from, bvecs_to):
    """How to carry one shell to other directions.

    Args:
      bvecs_from: unit, ``[N, 3]``, measured. bvecs_to: unit, ``[q, 3]``.

    Returns:
      `Resampling`.
    """
    bvecs_from, bvecs_to = np.asarray(bvecs_from), np.asarray(bvecs_to)
    angles = compare(*np.broadcast_arrays(bvecs_to[:, None], bvecs_from[None]))
    matrix = sh_interpolation(bvecs_from, bvecs_to, order=ORDER, weight=WEIGHT)
    return Resampling(bvecs_from, bvecs_to, angles.min(axis=1), np.linalg.norm(matrix, axis=1))


def resample(dwi, scale, plan):
    """Applies a plan.

    Args:
      dwi: float32 ``[..., N]``. scale: the subject's, in the same unit.
      plan: `Resampling`.

    Returns:
      float32 ``[..., q]``.
    """
    import jax
    import jax.numpy as jnp

    system = log_sh_system(plan.bvecs_from, ORDER, WEIGHT)
    harmonics = jnp.asarray(sh_basis(plan.bvecs_to, ORDER)[0], jnp.float32)

    @jax.jit
    def carry(block):
        coefficients = log_sh_coefficients(*system, block)
        carried = jnp.exp(jnp.einsum("cv,kc->vk", coefficients, harmonics))
        return jnp.minimum(carried, _LARGEST * block.max(axis=-1, keepdims=True))

    flat = dwi.reshape(-1, dwi.shape[-1])
    out = np.empty((len(flat), len(harmonics)), np.float32)
    size = min(_BLOCK, len(flat))
    for start in range(0, len(flat), size):
        start = min(start, len(flat) - size)  # the last block overlaps: one shape, one compilation
        part = slice(start, start + size)
        out[part] = np.asarray(carry(flat[part] / np.float32(scale))) * np.float32(scale)
    return out.reshape(*dwi.shape[:-1], -1)

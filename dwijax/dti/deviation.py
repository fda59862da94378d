"""Gradient nonlinearity: b-values and directions that differ from voxel to voxel.

``grad_dev`` as FSL and the HCP ship it: nine volumes, ``L`` column by column, so that the gradient
that acted on a voxel is ``v = (I + L) g``; b scales with ``|v|²``.

The attenuation depends on ``b vᵀ D v = b gᵀ (I+L)ᵀ D (I+L) g``. A voxel's own gradients are
therefore a linear change of its unknowns: fitting with the nominal table and undoing the change,
``D = (I+L)⁻ᵀ D' (I+L)⁻¹``, is the same least-squares solution as fitting with a design of its own,
for any weights, at the cost of one 3×3 inverse per voxel.
"""

import jax.numpy as jnp

from dwijax.dti.elements import congruence


def gradient_map(grad_dev):
    """``I + L`` ``[..., 3, 3]`` for ``grad_dev`` ``[..., 9]``."""
    columns = grad_dev.reshape(*grad_dev.shape[:-1], 3, 3)
    return jnp.eye(3, dtype=grad_dev.dtype) + jnp.swapaxes(columns, -1, -2)


def correct_gradients(bvals, bvecs, grad_dev):
    """The gradients that acted on each voxel.

    Args:
      bvals: ``[M]``, s/mm².
      bvecs: ``[M, 3]``, unit, FSL convention.
      grad_dev: ``[..., 9]``.

    Returns:
      ``(bvals [..., M], bvecs [..., M, 3])``, directions of unit length (0 where they were 0).
    """
    v = jnp.einsum("...ij,mj->...mi", gradient_map(grad_dev), bvecs, precision="highest")
    squared = (v * v).sum(-1)
    length = jnp.sqrt(jnp.where(squared > 0, squared, jnp.ones_like(squared)))
    return bvals * jnp.where(squared > 0, squared, jnp.ones_like(squared)), v / length[..., None]


def inverse_map(grad_dev):
    """``(I + L)⁻ᵀ`` ``[..., 3, 3]`` for ``grad_dev`` ``[..., 9]``."""
    columns = jnp.swapaxes(gradient_map(grad_dev), -1, -2)
    a, b, c = (columns[..., i, :] for i in range(3))
    cofactors = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=-1)
    return cofactors / (a * jnp.cross(b, c)).sum(-1)[..., None, None]


def correct_tensor(tensor, grad_dev):
    """Tensors ``[..., 6]`` fitted with the nominal table, corrected for ``grad_dev`` ``[..., 9]``.

    Both in the frame of the directions (FSL's); rotate afterwards.
    """
    return congruence(tensor, inverse_map(grad_dev))

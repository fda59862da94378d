"""Whether the samples that a voxel has left determine its tensor and S0."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

from dwijax.dti.design import MAX_CONDITION
from dwijax.least_squares import cholesky, column_products, project

# Condition numbers are estimated, ``sqrt(|XᵀX| tr (XᵀX)⁻¹)``, a little too large: a table at the
# limit must pass.
_MARGIN = 1.25
# Usual tables have 7 to 15. With 50 noise weighs as heavily as if there were a twentieth of the
# volumes, and what a dropout adds is no tensor any more.
VOXEL_CONDITION = 50.0
# How often an element of the lower triangle stands in a symmetric matrix.
_TWICE = np.where(np.equal(*np.tril_indices(7)), 1.0, 2.0)
# Of the seven that all volumes share: what a voxel may lose without further questions. The worst
# determined combination of its unknowns keeps at least the rest of its information.
_HARMLESS = 0.75


def determined(design, basis, triangle, present):
    """Whether samples determine the seven unknowns.

    With the b0s missing ln S0 and the trace are told apart only by what little b differs among the
    DWIs; six samples tell six things. What counts is the condition number of the design that is
    left, as `dwijax.dti.condition_number` defines it: at most 50 (or the table's own, where that is
    larger). It does not depend on the signal, so that it is the same in float32 and float64.

    Args:
      design: ``[M, 7]``; rows of 0 are no samples.
      basis, triangle: ``[M, 7]`` and ``[7, 7]``, its QR factorisation.
      present: ``[..., M]``, 1 for samples that count, 0 for others.

    Returns:
      bool ``[...]``, not differentiated.
    """
    design, basis, triangle = lax.stop_gradient((design, basis, triangle))
    b = -(design[:, 0] + design[:, 2] + design[:, 5])
    unit = jnp.ones(7, design.dtype).at[:6].divide(jnp.maximum(b.max(), jnp.finfo(b.dtype).tiny))
    design = design * unit
    leverage = (basis * basis).sum(-1)  # 0 to 1: how much of the information is one sample's alone
    kept = present @ leverage  # no sum along the last axis, which is slow (XLA, CPU)
    lost = jnp.sum(leverage) - kept
    triangle = triangle * unit
    inverse = solve_triangular(triangle, jnp.eye(7, dtype=triangle.dtype))
    normal = triangle.T @ triangle
    table = jnp.sqrt(jnp.sqrt((normal * normal).sum()) * (inverse * inverse).sum())

    def well_conditioned(present):
        normal = project(column_products(design), present)
        factor, ok = cholesky(normal, 7)
        size = jnp.tensordot(_TWICE.astype(normal.dtype), normal * normal, 1, precision="highest")
        condition = jnp.sqrt(jnp.sqrt(size) * _trace_of_inverse(factor))
        worst = jnp.maximum(table, jnp.asarray(VOXEL_CONDITION, table.dtype))
        return ok & (condition <= _MARGIN * worst)

    # A few missing samples never take more than the sum of their leverages, and where none is left
    # there is nothing to ask: the question is seldom open, and then only for a few voxels.
    harmless = lost <= _HARMLESS
    open_ = ~harmless & (kept > _HARMLESS)
    answered = lax.cond(open_.any(), well_conditioned, lambda _: jnp.zeros_like(open_), present)
    return (table <= _MARGIN * MAX_CONDITION) & (harmless | (open_ & answered))


def _trace_of_inverse(factor):
    """Of ``L Lᵀ``, by the factor of `cholesky`: the squared norm of L⁻¹."""
    total = 0.0
    for j in range(7):
        column = {j: factor[j, j]}
        for i in range(j + 1, 7):
            column[i] = -factor[i, i] * sum(factor[i, k] * column[k] for k in range(j, i))
        total = total + sum(x * x for x in column.values())
    return total

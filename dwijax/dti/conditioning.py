"""Whether the samples that a voxel has left determine its tensor and S0."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from dwijax.dti.design import MAX_CONDITION
from dwijax.dti.solve import cholesky, column_products, project

# Condition numbers are estimated from Frobenius norms, which are a little larger than 2-norms: a
# table at the limit must pass.
_MARGIN = 1.25
# Usual tables have 7 to 15. With 50 noise weighs as heavily as if there were a twentieth of the
# volumes, and what a dropout adds is no tensor any more.
VOXEL_CONDITION = 50.0
# Of the seven that all volumes share: what a voxel may lose without further questions. The worst
# determined combination of its unknowns keeps at least the rest of its information.
_HARMLESS = 0.75


def determined(design, basis, present):
    """Whether samples determine the seven unknowns.

    With the b0s missing ln S0 and the trace are told apart only by what little b differs among the
    DWIs; six samples tell six things. What counts is the condition number of the design that is
    left, as `dwijax.dti.condition_number` defines it: at most 50 (or the table's own, where that is
    larger). It does not depend on the signal, so that it is the same in float32 and float64.

    Args:
      design: ``[M, 7]``; rows of 0 are no samples.
      basis: ``[M, 7]``, orthonormal, of its columns.
      present: ``[..., M]``, 1 for samples that count, 0 for others.

    Returns:
      bool ``[...]``, not differentiated.
    """
    design, basis = lax.stop_gradient((design, basis))
    b = -(design[:, 0] + design[:, 2] + design[:, 5])
    unit = jnp.ones(7, design.dtype).at[:6].divide(jnp.maximum(b.max(), jnp.finfo(b.dtype).tiny))
    design = design * unit
    products = column_products(design)
    leverage = (basis * basis).sum(-1)  # 0 to 1: how much of the information is one sample's alone
    kept = present @ leverage  # no sum along the last axis, which is slow (XLA, CPU)
    lost = jnp.sum(leverage) - kept
    table = _condition(project(products, jnp.ones_like(leverage)))

    def well_conditioned(present):
        limit = _MARGIN * jnp.maximum(table, jnp.asarray(VOXEL_CONDITION, table.dtype))
        return _condition(project(products, present)) <= limit

    # A few missing samples never take more than the sum of their leverages, and where none is left
    # there is nothing to ask: the question is seldom open, and then only for a few voxels.
    harmless = lost <= _HARMLESS
    open_ = ~harmless & (kept > _HARMLESS)
    answered = lax.cond(open_.any(), well_conditioned, lambda _: jnp.zeros_like(open_), present)
    return (table <= _MARGIN * MAX_CONDITION) & (harmless | (open_ & answered))


def _condition(normal):
    """``sqrt(|N| |N⁻¹|)`` by Frobenius norms of normal matrices ``[28, ...]``; inf where singular.

    The 2-norm condition number of the design, within a few percent where it is large.
    """
    n = 7
    factor, ok = cholesky(normal, n)
    twice = np.where(np.equal(*np.tril_indices(n)), 1.0, 2.0).astype(normal.dtype)
    size = jnp.einsum("k,k...->...", twice, normal * normal, precision=lax.Precision.HIGHEST)
    # Rows of L⁻¹, whose products are the elements of N⁻¹.
    inverse = [[None] * n for _ in range(n)]
    for j in range(n):
        inverse[j][j] = factor[j, j]
        for i in range(j + 1, n):
            total = sum(factor[i, k] * inverse[k][j] for k in range(j, i))
            inverse[i][j] = -total * factor[i, i]
    of_inverse = 0.0
    for i in range(n):
        for j in range(i + 1):
            element = sum(inverse[k][i] * inverse[k][j] for k in range(i, n))
            of_inverse = of_inverse + (1 if i == j else 2) * element * element
    return jnp.where(ok, (size * of_inverse) ** 0.25, jnp.inf)

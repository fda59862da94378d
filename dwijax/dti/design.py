"""The design of the log-linear tensor model, ln S = X β, and whether it determines a tensor."""

import math

import jax.numpy as jnp
import numpy as np

from dwijax.errors import InputError
from dwijax.gradients import B0_THRESHOLD, shells, unshelled

# Condition numbers of usual schemes are 7 to 15; with shells at 950 and 1000 s/mm² and no b0 it is
# 91, with 995 and 1000 s/mm² 920.
MAX_CONDITION = 200.0


def design_matrix(bvals, bvecs, dtype=jnp.float32):
    """Design ``X`` of ``ln S = X @ (D, ln S0)`` (Basser et al. 1994, eq. 3).

    Args:
      bvals: ``[..., M]`` in s/mm², unrounded.
      bvecs: ``[..., M, 3]``; unit, or shorter or longer where the b-value is to scale with |g|².
      dtype: of the result.

    Returns:
      ``[..., M, 7]``: ``-b (gx², 2gxgy, gy², 2gxgz, 2gygz, gz²)`` with b in ms/µm², and a last
      column of ones for ln S0.
    """
    b = np.asarray(bvals, np.float64) / 1000.0
    x, y, z = np.moveaxis(np.asarray(bvecs, np.float64), -1, 0)
    columns = (x * x, 2 * x * y, y * y, 2 * x * z, 2 * y * z, z * z)
    ones = np.ones(np.broadcast_shapes(b.shape, x.shape))
    return jnp.asarray(np.stack([*(-b * c for c in columns), ones], axis=-1), dtype)


def condition_number(bvals, bvecs):
    """The condition number of the tensor design, the only one that is printed under this name.

    In the 2-norm, of the volumes' design with its column for ln S0, b divided by its maximum.

    Args:
      bvals: ``[M]`` in s/mm², unrounded. bvecs: ``[M, 3]``.

    Returns:
      float; infinite where the volumes determine no tensor and S0.
    """
    bvals = np.asarray(bvals, np.float64)
    largest = bvals.max(initial=0.0)
    if len(bvals) < 7 or largest <= 0:
        return math.inf
    return _condition(np.linalg.svd(
        np.asarray(design_matrix(bvals * (1000.0 / largest), bvecs)), compute_uv=False))


def evenly_spread(b0s, directions):
    """`condition_number` of b0s and one shell whose directions are as evenly spread as can be.

    Sums over directions are then integrals over the sphere (the mean of x⁴ is 1/5, of x²y² 1/15),
    which few sets of directions can do without.

    Args:
      b0s, directions: how many.
    """
    normal = np.diag([3 / 15, 4 / 15, 3 / 15, 4 / 15, 4 / 15, 3 / 15, 0.0]) * directions
    for i in (0, 2, 5):
        for j in {0, 2, 5} - {i}:
            normal[i, j] = directions / 15
        normal[i, 6] = normal[6, i] = -directions / 3
    normal[6, 6] = directions + b0s
    return _condition(np.sqrt(np.linalg.eigvalsh(normal)[::-1].clip(0)))


def _condition(values):
    """Of singular values, descending; those lost in the rounding of float32 are none."""
    return float(values[0] / values[-1]) if values[-1] > 1e-6 * values[0] else math.inf


def design_with_b0(bvals, bvecs):
    """:func:`design_matrix` of a mean b0 and the directions of a shell, ``[1 + n, 7]``."""
    return design_matrix(np.r_[0.0, bvals], np.concatenate([np.zeros((1, 3)), bvecs]))


def check_design(bvals, bvecs, where="gradient table", b0_threshold=B0_THRESHOLD):
    """Refuses gradient tables that do not determine a tensor and S0.

    Args:
      bvals: ``[M]`` in s/mm².
      bvecs: ``[M, 3]``.
      where: what an error names, as a rule the bval file.
      b0_threshold: s/mm², of the b0s.

    Returns:
      float: the `condition_number`.

    Raises:
      InputError: b-values in another unit; fewer than seven volumes or six independent directions;
        no b0 and a single shell; a condition number above 200.
    """
    bvals, bvecs = np.asarray(bvals, np.float64), np.asarray(bvecs, np.float64)
    largest = bvals.max(initial=0.0)
    if not 10 <= largest <= 50_000:
        raise InputError(
            where,
            found=f"b of at most {largest:g}",
            expected="diffusion-weighted volumes, b in s/mm²",
            remedy="convert the unit (1 ms/µm² = 1000 s/mm² = 1e9 s/m²)",
        )
    weighted = bvals > b0_threshold
    x, y, z = bvecs[weighted].T
    forms = np.stack([x * x, x * y, y * y, x * z, y * z, z * z], axis=-1)
    rank = np.linalg.matrix_rank(forms, tol=1e-3) if len(forms) else 0
    if rank < 6:
        raise InputError(
            where,
            found=f"{rank} independent directions in {weighted.sum()} diffusion-weighted volumes",
            expected="at least 6 for a tensor",
            remedy="add volumes with other directions",
        )
    if len(bvals) < 7:
        raise InputError(
            where,
            found=f"{len(bvals)} volumes",
            expected="at least 7: 6 directions and a b0",
            remedy="add volumes",
        )
    if weighted.all() and len(shells(bvals, b0_threshold)) == 1 and not unshelled(
            bvals, b0_threshold).size:
        raise InputError(
            where,
            found=f"no b0 and a single shell, b={np.median(bvals):g} s/mm²",
            expected="b0 volumes, or shells well apart",
            remedy="add the b0 volumes of the scan",
        )
    condition = condition_number(bvals, bvecs)
    if condition > MAX_CONDITION:
        raise InputError(
            where,
            found=f"a tensor design with condition number {condition:.0f}",
            expected=f"at most {MAX_CONDITION:.0f}",
            remedy="add directions, b0 volumes or shells further apart",
        )
    return condition

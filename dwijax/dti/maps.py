"""Scalar and vector maps of tensors ``[..., 6]``; all differentiable, finite everywhere.

Maps that are ratios are 0, with gradient 0, where they are not defined: FA and mode of an isotropic
or zero tensor, the shape measures where the trace is not positive.
"""

import jax.numpy as jnp

from dwijax.dti.eigen import eigen
from dwijax.dti.elements import from_matrix

_SQRT_3_2 = 1.5**0.5
_SQRT_6 = 6.0**0.5


def mean_diffusivity(tensor):
    """Trace / 3, ``[...]``, in the tensor's units (µm²/ms)."""
    return (tensor[..., 0] + tensor[..., 2] + tensor[..., 5]) / 3


def fractional_anisotropy(tensor):
    """``sqrt(3/2) |D - MD I| / |D|`` ``[...]`` (Basser & Pierpaoli 1996), from invariants.

    Not clipped: a tensor with negative eigenvalues may exceed 1 (up to sqrt(3/2)). Where the
    deviatoric part is lost in rounding the tensor is isotropic: the value and the gradient are 0.
    """
    deviatoric, total, anisotropic = _squared_norms(tensor)
    ratio = _quotient(deviatoric, total, anisotropic, where_not=1)
    return jnp.where(anisotropic, _SQRT_3_2 * jnp.sqrt(ratio), jnp.zeros_like(ratio))


def mode(tensor):
    """``3 sqrt(6) det(A/|A|)`` of the deviatoric part A, ``[...]`` (Ennis & Kindlmann 2006, eq. 5).

    -1 for a planar tensor, 1 for a linear one, 0 where FA is 0.
    """
    deviatoric, _, anisotropic = _squared_norms(tensor)
    size = jnp.sqrt(jnp.where(anisotropic, deviatoric, jnp.ones_like(deviatoric)))
    md = mean_diffusivity(tensor)
    xx, xy, yy, xz, yz, zz = (
        (tensor[..., k] - md if k in (0, 2, 5) else tensor[..., k]) / size for k in range(6))
    determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    return jnp.where(anisotropic, 3 * _SQRT_6 * determinant, jnp.zeros_like(determinant))


def norm(tensor):
    """Frobenius norm ``[...]`` in the tensor's units; gradient 0 at the zero tensor."""
    total = _squared_norms(tensor)[1]
    positive = total > jnp.finfo(tensor.dtype).tiny
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, total, jnp.ones_like(total))),
                     jnp.zeros_like(total))


def linearity(tensor):
    """``(λ1 - λ2) / trace`` ``[...]`` (Westin et al. 1997), as in dipy and MRtrix3."""
    evals = eigen(tensor)[0]
    return _per_trace(evals[..., 0] - evals[..., 1], tensor)


def planarity(tensor):
    """``2 (λ2 - λ3) / trace`` ``[...]`` (Westin et al. 1997), as in dipy and MRtrix3."""
    evals = eigen(tensor)[0]
    return _per_trace(2 * (evals[..., 1] - evals[..., 2]), tensor)


def sphericity(tensor):
    """``3 λ3 / trace`` ``[...]`` (Westin et al. 1997), as in dipy and MRtrix3."""
    return _per_trace(3 * eigen(tensor)[0][..., 2], tensor)


def clip_eigenvalues(tensor, minimum):
    """The nearest tensor ``[..., 6]`` (Frobenius norm) with no eigenvalue below ``minimum``.

    What dipy does to its fits (Higham 1988, theorem 2.1). A tensor without such eigenvalues is
    returned bit for bit.
    """
    evals, evecs = eigen(tensor)
    least = jnp.asarray(minimum, tensor.dtype)
    raised = jnp.einsum("...ij,...j,...kj->...ik", evecs, jnp.maximum(evals, least), evecs,
                        precision="highest")
    return jnp.where((evals < least).any(-1, keepdims=True), from_matrix(raised), tensor)


def axial_diffusivity(tensor):
    """Largest eigenvalue ``[...]``."""
    return eigen(tensor)[0][..., 0]


def radial_diffusivity(tensor):
    """Mean of the two smaller eigenvalues ``[...]``."""
    evals = eigen(tensor)[0]
    return (evals[..., 1] + evals[..., 2]) / 2


def principal_direction(tensor):
    """Unit eigenvector of the largest eigenvalue ``[..., 3]``; its sign is arbitrary."""
    return eigen(tensor)[1][..., :, 0]


def color_fa(fa, v1):
    """``|V1| clip(FA, 0, 1)`` ``[..., 3]`` (Pajevic & Pierpaoli 1999): red x, green y, blue z."""
    return jnp.abs(v1) * jnp.clip(fa, 0, 1)[..., None]


def _squared_norms(tensor):
    """Squared Frobenius norms of deviatoric part and tensor, and whether the former is real.

    The deviatoric norm is summed from its own elements; the difference |D|² - tr²/3 would cancel.
    """
    xx, xy, yy, xz, yz, zz = (tensor[..., k] for k in range(6))
    md = mean_diffusivity(tensor)
    off = 2 * (xy * xy + xz * xz + yz * yz)
    dx, dy, dz = xx - md, yy - md, zz - md
    deviatoric = dx * dx + dy * dy + dz * dz + off
    total = xx * xx + yy * yy + zz * zz + off
    limits = jnp.finfo(tensor.dtype)
    lost = (16 * limits.eps) ** 2
    # The derivative of a quotient squares the denominator, which must not underflow.
    return deviatoric, total, (deviatoric > lost * total) & (total > limits.tiny**0.5)


def _quotient(numerator, denominator, defined, where_not=0):
    """Quotient whose value and derivatives stay finite where it is not defined."""
    one = jnp.ones_like(denominator)
    numerator = jnp.where(defined, numerator, where_not * one)
    return numerator / jnp.where(defined, denominator, one)


def _per_trace(numerator, tensor):
    trace = tensor[..., 0] + tensor[..., 2] + tensor[..., 5]
    largest = jnp.abs(tensor).max(-1)
    limits = jnp.finfo(tensor.dtype)
    defined = (trace > 16 * limits.eps * largest) & (largest > limits.tiny**0.25)
    return _quotient(numerator, trace, defined)

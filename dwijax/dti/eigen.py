"""Eigenvalues and eigenvectors of symmetric 3×3 tensors, vectorised over voxels."""

import jax
import jax.numpy as jnp
from jax import lax


@jax.custom_jvp
def eigen(tensor):
    """Eigenvalues and eigenvectors by cyclic Jacobi rotations (Golub & Van Loan, section 8.5).

    Args:
      tensor: ``[..., 6]``.

    Returns:
      ``(evals [..., 3]`` descending, ``evecs [..., 3, 3]`` in columns``)``; signs are arbitrary.

    Derivatives are those of perturbation theory. Where eigenvalues coincide only the trace of the
    eigenspace has one: its eigenvalues share it equally and its eigenvectors get 0.
    """
    xx, xy, yy, xz, yz, zz = (tensor[..., k] for k in range(6))
    one, zero = jnp.ones_like(xx), jnp.zeros_like(xx)
    state = (xx, yy, zz, xy, xz, yz, (one, zero, zero), (zero, one, zero), (zero, zero, one))
    # Convergence is quadratic: four sweeps leave float32, six float64 at rounding level.
    sweeps = 4 if tensor.dtype == jnp.float32 else 6
    state = lax.fori_loop(0, sweeps, lambda _, s: _sweep(*s), state)
    pairs = [(state[i], state[6 + i]) for i in range(3)]
    for i, j in ((0, 1), (1, 2), (0, 1)):
        pairs[i], pairs[j] = _descending(pairs[i], pairs[j])
    evals = jnp.stack([value for value, _ in pairs], axis=-1)
    evecs = jnp.stack([jnp.stack(vector, axis=-1) for _, vector in pairs], axis=-1)
    return evals, evecs


@eigen.defjvp
def _eigen_jvp(primals, tangents):
    evals, evecs = eigen(primals[0])
    change = _rotated(evecs, tangents[0])
    gap = evals[..., None, :] - evals[..., :, None]
    size = jnp.abs(evals).max(-1)[..., None, None]
    same = jnp.abs(gap) <= 8 * jnp.finfo(evals.dtype).eps * size
    shared = same.astype(evals.dtype)
    diagonal = jnp.diagonal(change, axis1=-2, axis2=-1)
    evals_dot = (shared * diagonal[..., None, :]).sum(-1) / shared.sum(-1)
    mixing = jnp.where(same, jnp.zeros_like(gap), change / jnp.where(same, jnp.ones_like(gap), gap))
    evecs_dot = jnp.einsum("...ij,...jk->...ik", evecs, mixing, precision="highest")
    return (evals, evecs), (evals_dot, evecs_dot)


def _rotated(evecs, tensor):
    """``Vᵀ D V`` ``[..., 3, 3]`` for elements ``[..., 6]``."""
    xx, xy, yy, xz, yz, zz = (tensor[..., k] for k in range(6))
    d = jnp.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], axis=-1).reshape(evecs.shape)
    return jnp.einsum("...ji,...jk,...kl->...il", evecs, d, evecs, precision="highest")


def _sweep(xx, yy, zz, xy, xz, yz, u, v, w):
    xx, yy, xy, xz, yz, u, v = _rotate(xx, yy, xy, xz, yz, u, v)
    xx, zz, xz, xy, yz, u, w = _rotate(xx, zz, xz, xy, yz, u, w)
    yy, zz, yz, xy, xz, v, w = _rotate(yy, zz, yz, xy, xz, v, w)
    return xx, yy, zz, xy, xz, yz, u, v, w


def _rotate(app, aqq, apq, arp, arq, p, q):
    """Zeroes ``apq``; ``arp, arq`` couple the third axis, ``p, q`` are the vectors so far."""
    nonzero = apq != 0
    theta = (aqq - app) / (2 * jnp.where(nonzero, apq, jnp.ones_like(apq)))
    # theta² may overflow to inf, which correctly makes t vanish.
    t = jnp.where(theta >= 0, 1.0, -1.0).astype(theta.dtype) / (
        jnp.abs(theta) + jnp.sqrt(theta * theta + 1))
    t = jnp.where(nonzero, t, jnp.zeros_like(t))
    c = lax.rsqrt(t * t + 1)
    s = t * c
    p, q = (
        tuple(c * a - s * b for a, b in zip(p, q, strict=True)),
        tuple(s * a + c * b for a, b in zip(p, q, strict=True)),
    )
    zero = jnp.zeros_like(apq)
    return app - t * apq, aqq + t * apq, zero, c * arp - s * arq, s * arp + c * arq, p, q


def _descending(a, b):
    swap = a[0] < b[0]

    def pick(x, y):
        return jnp.where(swap, y, x), jnp.where(swap, x, y)

    value = pick(a[0], b[0])
    vectors = [pick(x, y) for x, y in zip(a[1], b[1], strict=True)]
    first, second = zip(*vectors, strict=True)
    return (value[0], first), (value[1], second)

"""Interpolation over the sphere: spherical harmonics of S and of ln S, Gaussian processes."""

import itertools
from functools import cache, lru_cache

import jax.numpy as jnp
import numpy as np
from jax import lax

from dwijax.least_squares import weighted_least_squares

# Least signal that a logarithm is taken of, as a fraction of the subject's scale: about the
# Rician floor at SNR 50, below which a magnitude says nothing about diffusion.
FLOOR = 0.02

# SD over the voxels of a brain of a coefficient of S, by its degree, in units of the median b0.
SPREAD = {0: 1.0, 2: 0.12, 4: 0.035, 6: 0.02}
FEWEST_OF_ORDER_4 = 15


def sh_interpolation(bvecs_from, bvecs_to, *, order=4, weight=0.006):
    """Matrix that carries DWIs of one shell to other directions.

    Regularised even spherical harmonics (Descoteaux et al. 2007, eq. 15), basis from dipy
    (``real_sh_descoteaux``): ``B_to (BᵀB + weight·L)⁻¹ Bᵀ`` with ``L = diag(l²(l+1)²)``.

    Args:
      bvecs_from: unit directions of the measured DWIs, ``[q, 3]``.
      bvecs_to: unit directions wanted, ``[K, 3]``.
      order: even maximal order l. With ``weight = 0`` it needs at least
        ``(order + 1)(order + 2) / 2`` directions.
      weight: Laplace-Beltrami weight, dimensionless.

    Returns:
      ``[K, q]`` float64; rows sum to 1 to rounding where ``weight`` leaves l = 0 free.
    """
    b_from, degrees = sh_basis(bvecs_from, order)
    b_to, _ = sh_basis(bvecs_to, order)
    laplace_beltrami = np.diag((degrees * (degrees + 1.0)) ** 2)
    normal = b_from.T @ b_from + weight * laplace_beltrami
    return b_to @ np.linalg.solve(normal, b_from.T)


def sh_basis(bvecs, order):
    """``(B [n, c], degrees [c])``: even spherical harmonics at unit directions ``[n, 3]``.

    The real basis of Descoteaux et al. 2007 as dipy has it (``real_sh_descoteaux``). Not to be
    written to: searches ask for the same tables thousands of times, which are kept.
    """
    bvecs = np.ascontiguousarray(bvecs, np.float64)
    return _sh_basis(bvecs.tobytes(), order)


@lru_cache(512)
def _sh_basis(bvecs, order):
    from dipy.core.geometry import cart2sphere
    from dipy.reconst.shm import real_sh_descoteaux

    _, theta, phi = cart2sphere(*np.frombuffer(bvecs).reshape(-1, 3).T)
    basis, _, degrees = real_sh_descoteaux(order, theta, phi, full_basis=False, legacy=False)
    for kept in (basis, degrees):
        kept.flags.writeable = False
    return basis, degrees


def degrees_of(order):
    """Degree l of each even harmonic up to ``order``, int ``[c]``."""
    return np.concatenate([np.full(2 * degree + 1, degree) for degree in range(0, order + 1, 2)])


@cache
def sh_polynomials(order):
    """Even harmonics up to an order as homogeneous polynomials of that degree, which they are on
    the sphere, and which are cheap to evaluate anywhere.

    Returns:
      ``(powers int [p, 3] of x, y and z, change [p, c] float64)``: the harmonics at a unit
      direction are ``prod(direction ** powers, -1) @ change``.
    """
    powers = np.array([p for p in itertools.product(range(order + 1), repeat=3) if sum(p) == order])
    points = np.random.default_rng(0).standard_normal((400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    monomials = np.prod(points[:, None] ** powers, axis=-1)
    return powers, np.linalg.lstsq(monomials, sh_basis(points, order)[0], rcond=None)[0]


def sh_at(bvecs, order):
    """:func:`sh_basis` at unit directions ``[..., n, 3]`` that may be traced: ``[..., n, c]``."""
    powers, change = sh_polynomials(order)
    raised = jnp.stack([jnp.ones_like(bvecs), *(bvecs**k for k in range(1, order + 1))])
    monomials = (raised[powers[:, 0], ..., 0] * raised[powers[:, 1], ..., 1]
                 * raised[powers[:, 2], ..., 2])
    return jnp.einsum("p...,pc->...c", monomials, jnp.asarray(change, bvecs.dtype))


def wiener_sh(bvecs, sigma, *, order=4):
    """Matrix that carries DWIs of one shell to the harmonics of S that are to be expected.

    Ridge regression with the variance that noise has over that of a coefficient in a brain
    (:data:`SPREAD`): a Wiener filter. Degree 4 takes part from `FEWEST_OF_ORDER_4` directions on.

    Args:
      bvecs: unit directions, ``[q, 3]``. sigma: SD of the noise, in units of the median b0.
      order: of the result, 4 at least.

    Returns:
      ``[c, q]`` float64.
    """
    basis, degrees = sh_basis(bvecs, order)
    used = degrees <= (4 if len(bvecs) >= FEWEST_OF_ORDER_4 else 2)
    penalty = np.array([(sigma / SPREAD[degree]) ** 2 if degree else 0 for degree in degrees[used]])
    out = np.zeros((len(degrees), len(bvecs)))
    normal = basis[:, used].T @ basis[:, used] + np.diag(penalty + 1e-6)
    out[used] = np.linalg.solve(normal, basis[:, used].T)
    return out


def log_sh_system(bvecs_from, order, weight):
    """What :func:`log_sh_coefficients` needs to know of the measured directions.

    Args:
      bvecs_from: unit directions ``[q, 3]``.
      order: even maximal order. weight: of Laplace-Beltrami.

    Returns:
      ``(rows [q + p, c], start [q, q])`` float32: the harmonics with the penalty as p further
      samples of 0, one per coefficient with l > 0; and the smoothing of ln S by unweighted
      harmonics that the weights are predicted by.
    """
    basis, degrees = sh_basis(bvecs_from, order)
    start = sh_interpolation(bvecs_from, bvecs_from, order=order, weight=weight)
    penalty = np.sqrt(weight) * np.diag(degrees * (degrees + 1.0))[degrees > 0]
    rows = jnp.asarray(np.concatenate([basis, penalty]), jnp.float32)
    return rows, jnp.asarray(start, jnp.float32)


def log_sh_coefficients(rows, start, dwi):
    """Regularised spherical harmonics of ln S, weighted by the squared predicted signal.

    Diffusion profiles are smoother in the logarithm: a tensor is exactly of order 2 there and of
    no finite order in S. Taking the logarithm makes the noise of small signals large; the weights
    undo that, as in a weighted tensor fit. With order 2 and no penalty this *is* the weighted
    tensor fit's prediction.

    Args:
      rows, start: of :func:`log_sh_system`.
      dwi: ``[..., q]``, in units of the subject's scale; :data:`FLOOR` at least is taken.

    Returns:
      ``[c, ...]``: coefficients of ln S; those of the mean of ln S where the weighted samples do
      not determine them.
    """
    logs = jnp.log(jnp.where(dwi > FLOOR, dwi, FLOOR))  # of NaN too
    smooth = jnp.einsum("...q,pq->...p", logs, start)
    squared = jnp.exp(2 * (smooth - lax.stop_gradient(smooth.max(-1, keepdims=True))))
    # Relative weights: the balance with the penalty does not depend on the voxel's signal.
    squared = squared / jnp.mean(squared, axis=-1, keepdims=True)
    ends = [(0, 0)] * (dwi.ndim - 1) + [(0, len(rows) - len(start))]
    found, ok = weighted_least_squares(
        rows, jnp.pad(squared, ends, constant_values=1), jnp.pad(logs, ends))
    isotropic = jnp.mean(logs, axis=-1) / rows[0, 0]
    return found.at[0].set(jnp.where(ok, found[0], isotropic))


def gaussian_process(bvecs_from, bvecs_to, *, covariance, angle, noise):
    """Matrix of a Gaussian process on the sphere (Andersson and Sotiropoulos 2015).

    The covariance of two DWIs of a shell depends on the angle θ between their axes alone:
    ``spherical`` 1 − 3θ/2a + θ³/2a³ up to θ = a and 0 beyond, ``exponential`` exp(−θ/a). Given the
    hyperparameters the prediction is linear in the data. The unknown mean of a voxel's DWIs is
    estimated along with it (ordinary kriging).

    Args:
      bvecs_from: unit directions ``[q, 3]``. bvecs_to: unit directions ``[K, 3]``.
      covariance: ``spherical`` or ``exponential``. angle: a, radians.
      noise: variance of the noise over that of the signal.

    Returns:
      ``[K, q]`` float64; rows sum to 1.
    """
    def covariances(a, b):
        theta = np.arccos(np.clip(np.abs(np.asarray(a) @ np.asarray(b).T), 0, 1)) / angle
        if covariance == "exponential":
            return np.exp(-theta)
        return np.where(theta < 1, 1 - 1.5 * theta + 0.5 * theta**3, 0)

    q = len(bvecs_from)
    inverse = np.linalg.inv(covariances(bvecs_from, bvecs_from) + noise * np.eye(q))
    mean = inverse.sum(axis=0) / inverse.sum()
    deviations = np.eye(q) - mean
    return mean + covariances(bvecs_to, bvecs_from) @ inverse @ deviations

"""Tensors, designs and signals for the tests of this room. Strict promotion everywhere."""

import jax
import numpy as np
import pytest

from dwijax.dti.elements import from_matrix


@pytest.fixture(autouse=True, scope="package")
def _quick_compilation():
    """These tests compile much and compute little; ``tests/commands/test_fit.py`` optimises."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def _strict_promotion():
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def directions(n, seed=0):
    """[n, 3] unit vectors, nearly uniform (a Fibonacci half sphere, turned at random)."""
    k = np.arange(n) + 0.5
    z, phi = k / n, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    points = np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return points @ rotation.T


def scheme(n_b0=4, n=30, b=1000.0, seed=0):
    """(bvals [M], bvecs [M, 3]): b0s at b = 5 with directions, then one shell."""
    bvals = np.r_[np.full(n_b0, 5.0), np.full(n, b)]
    return bvals, np.r_[directions(n_b0, seed + 1), directions(n, seed)]


def random_tensors(n, seed=0):
    """[n, 6] positive definite, eigenvalues 0.1 to 3 µm²/ms, random orientation, float64."""
    rng = np.random.default_rng(seed)
    evals = rng.uniform(0.1, 3.0, (n, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    return from_matrix(np.einsum("nij,nj,nkj->nik", rotation, evals, rotation))

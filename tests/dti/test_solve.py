"""Weighted least squares, written out (few unknowns) and as a loop (many), against NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax.least_squares import weighted_least_squares

UNKNOWNS = (3, 7, 8, 9, 15, 28)


@pytest.fixture(name="problem", params=UNKNOWNS)
def _problem(request):
    """``(basis [M, n], weights [5, M], samples [5, M])``; voxel 3 has too few samples."""
    n = request.param
    rng = np.random.default_rng(n)
    weights = rng.uniform(0.1, 1, (5, 2 * n + 5))
    weights[3, n - 1:] = 0
    return rng.normal(size=(2 * n + 5, n)), weights, rng.normal(size=weights.shape)


def numpys(basis, weights, samples):
    root = np.sqrt(weights)[:, None]
    return np.linalg.lstsq(root * basis, root[:, 0] * samples, rcond=None)[0]


def test_the_minimum_is_numpys(x64, problem):
    basis, weights, samples = problem
    for refine in (False, True):
        found, ok = weighted_least_squares(*(jnp.asarray(a) for a in problem), refine)
        assert ok.tolist() == [True, True, True, False, True]
        assert not np.any(found[:, 3])
        for v in (0, 1, 2, 4):
            np.testing.assert_allclose(
                found[:, v], numpys(basis, weights[v], samples[v]), rtol=1e-9, atol=1e-9)


def test_in_float32(problem):
    basis, weights, samples = problem
    found, ok = weighted_least_squares(*(jnp.asarray(a, jnp.float32) for a in problem))
    assert found.dtype == jnp.float32 and not ok[3]
    for v in (0, 1, 2, 4):
        np.testing.assert_allclose(found[:, v], numpys(basis, weights[v], samples[v]), atol=1e-4)


def test_gradients_are_those_of_the_minimum(x64, problem):
    basis, *given = problem
    rng = np.random.default_rng(0)
    towards = rng.normal(size=(basis.shape[1], len(given[0])))

    def along(weights, samples):
        found, _ = weighted_least_squares(jnp.asarray(basis), weights, samples)
        return jnp.sum(towards * found)

    gradients = jax.grad(along, argnums=(0, 1))(*(jnp.asarray(a) for a in given))
    for argument, gradient in enumerate(gradients):
        assert not np.any(gradient[3])
        step = rng.normal(size=given[0].shape) * (given[0] > 0) * 1e-6
        for v in (0, 1, 2, 4):
            ends = [[a[v] + sign * step[v] * (i == argument) for i, a in enumerate(given)]
                    for sign in (-1, 1)]
            change = np.dot(towards[:, v], numpys(basis, *ends[1]) - numpys(basis, *ends[0])) / 2
            np.testing.assert_allclose(np.dot(gradient[v], step[v]), change, rtol=1e-4, atol=1e-11)

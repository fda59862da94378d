"""Designs, gradient deviations and their refusals."""

import jax.numpy as jnp
import numpy as np
import pytest

from dwijax import dti
from dwijax.dti.elements import from_matrix
from dwijax.errors import InputError
from tests.dti.conftest import directions, random_tensors, scheme


def test_design_by_hand(x64):
    design = dti.design_matrix([1000.0, 0.0], [[0.6, 0.0, 0.8], [0, 0, 0]], jnp.float64)
    np.testing.assert_allclose(
        design, [[-0.36, 0, 0, -0.96, 0, -0.64, 1], [0, 0, 0, 0, 0, 0, 1]], atol=1e-15)


@pytest.mark.parametrize("factor", [1e-3, 1e6, 1e9])
def test_b_values_in_another_unit(factor):
    bvals, bvecs = scheme()
    with pytest.raises(InputError, match="s/mm²"):
        dti.check_design(bvals * factor, bvecs)


def test_what_does_not_determine_a_tensor():
    bvals, bvecs = scheme(n_b0=2, n=12)
    assert 5 < dti.check_design(bvals, bvecs) < 15
    few = bvecs.copy()
    few[2:] = directions(5)[np.arange(12) % 5]
    with pytest.raises(InputError, match="found 5 independent directions in 12"):
        dti.check_design(bvals, few)
    with pytest.raises(InputError, match="no b0 and a single shell"):
        dti.check_design(bvals[2:], bvecs[2:])
    with pytest.raises(InputError, match="found 6 volumes"):
        dti.check_design(np.full(6, 1000.0), directions(6))
    with pytest.raises(InputError, match=r"condition number \d+"):
        flat = bvecs * [1, 1, 0.05]
        dti.check_design(bvals, flat / np.linalg.norm(flat, axis=1, keepdims=True))
    two = np.r_[np.full(6, 1000.0), np.full(6, 2000.0)]
    dti.check_design(two, np.r_[directions(6), directions(6, 1)])


def test_gradient_deviation_by_hand(x64):
    # L column by column: only dx/dx = 0.1 and dx/dy = 0.2 (row x, column y).
    grad_dev = jnp.array([0.1, 0, 0, 0.2, 0, 0, 0, 0, 0.0])
    bvals, bvecs = dti.correct_gradients(
        jnp.array([1000.0, 1000.0, 0.0]), jnp.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]]), grad_dev)
    np.testing.assert_allclose(bvals, [1210, 1040, 0])  # |(1.1, 0, 0)|², |(0.2, 1, 0)|²
    np.testing.assert_allclose(bvecs, [[1, 0, 0], [0.2 / 1.04**0.5, 1 / 1.04**0.5, 0], [0, 0, 0]])
    # b gᵀ(I+L)ᵀ D (I+L)g with D = diag(1, 2, 3): the nominal table sees xx 1.21, xy 0.22, yy 2.04.
    apparent = jnp.array([1.21, 0.22, 2.04, 0, 0, 3.0])
    np.testing.assert_allclose(
        dti.correct_tensor(apparent, grad_dev), from_matrix(np.diag([1.0, 2, 3])), atol=1e-14)


def test_corrected_tensors_are_those_of_corrected_tables(x64):
    rng = np.random.default_rng(0)
    bvals, bvecs = scheme(n_b0=2, n=20)
    nominal = dti.design_matrix(bvals, bvecs, jnp.float64)
    signal = dti.predict_signal(jnp.asarray(random_tensors(20)), jnp.full(20, 6.0), nominal)
    signal = signal * jnp.asarray(1 + 0.05 * rng.normal(size=signal.shape))
    grad_dev = jnp.asarray(rng.normal(size=(20, 9)) * 0.05)
    fast = dti.correct_tensor(dti.fit_tensor(signal, nominal).tensor, grad_dev)
    b, g = dti.correct_gradients(jnp.asarray(bvals), jnp.asarray(bvecs), grad_dev)
    for v in range(3):
        own = dti.design_matrix(b[v], g[v], jnp.float64)
        np.testing.assert_allclose(fast[v], dti.fit_tensor(signal[v], own).tensor, atol=1e-10)

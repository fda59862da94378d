"""Derivatives of every scalar map with respect to the signal, and finiteness everywhere."""

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from dwijax import dti
from tests.dti.conftest import random_tensors, scheme

SCALARS = {
    "fa": dti.fractional_anisotropy,
    "md": dti.mean_diffusivity,
    "ad": dti.axial_diffusivity,
    "rd": dti.radial_diffusivity,
    "mode": dti.mode,
    "cl": dti.linearity,
    "cp": dti.planarity,
    "cs": dti.sphericity,
    "norm": dti.norm,
}
TABLE = scheme(n_b0=2, n=12)
DESIGN = dti.design_matrix(*TABLE)


def everything(signal, method):
    """Sum of all scalar maps ``[...]``."""
    fit = dti.fit_tensor(signal, jnp.asarray(DESIGN, signal.dtype), method)
    return sum(scalar(fit.tensor) for scalar in SCALARS.values()) + fit.log_s0


@pytest.fixture(scope="module")
def gradient():
    """Compiled gradients of all scalar maps together, float32, 64 voxels, by method."""
    return {
        method: jax.jit(jax.grad(lambda s, m=method: everything(s, m).sum()))
        for method in ("ols", "wls", "iwls", "robust")
    }


@pytest.mark.parametrize("name", SCALARS)
def test_each_scalar_map_has_the_derivative_of_its_differences(x64, name):
    design = dti.design_matrix(*TABLE, jnp.float64)
    tensor = jnp.asarray(random_tensors(3, seed=4))
    signal = dti.predict_signal(tensor, jnp.full(3, 1.0), design)
    noise = np.random.default_rng(0).normal(size=signal.shape)
    signal = signal * jnp.asarray(1 + 0.02 * noise)

    def scalar(s):
        return SCALARS[name](dti.fit_tensor(s, design).tensor)

    order = 2 if name == "fa" else 1
    check_grads(jax.jit(scalar), (signal,), order, modes=["rev"], atol=1e-5, rtol=1e-5, eps=1e-5)


def test_forward_mode_agrees_with_reverse_mode(x64):
    design = dti.design_matrix(*TABLE, jnp.float64)
    signal = jnp.asarray(np.random.default_rng(1).uniform(0.2, 1, len(design)))

    def fa(s):
        return dti.fractional_anisotropy(dti.fit_tensor(s, design).tensor)

    np.testing.assert_allclose(jax.jit(jax.jacfwd(fa))(signal), jax.jit(jax.grad(fa))(signal),
                               rtol=1e-9)


@pytest.mark.parametrize("method", ["ols", "wls", "iwls", "robust"])
def test_gradients_are_finite_where_nothing_is_well_defined(gradient, method):
    signal = np.full((64, 14), 100.0, np.float32)  # isotropic with D = 0
    signal[1] = 0
    signal[2] = -7
    signal[3] = np.nan
    signal[4, 5] = np.nan
    signal[5, 5] = 0
    signal[6, :7] = np.inf
    signal[7, 8:] = 0  # eight left
    signal[8, 7:] = 0  # seven left
    signal[9, 6:] = 0  # six: undetermined
    signal[10] = 4095  # saturated
    signal[11, 2:] = 90  # isotropic
    signal[12] *= 1e-30
    signal[13] *= 1e30
    signal[14, :2] = 1e-3  # b0 below its DWIs
    found = np.asarray(gradient[method](jnp.asarray(signal)))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[[1, 2, 3]], 0)
    values = jax.jit(lambda s: everything(s, method))(jnp.asarray(signal))
    assert np.isfinite(values).all()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (64, 14), elements=st.one_of(
        st.floats(-10, 5000, width=32), st.sampled_from([0.0, np.nan, np.inf, 1e-30, 4095.0])),
        fill=st.floats(1, 1000, width=32)),
    st.sampled_from(["ols", "wls"]),
)
def test_any_signal_has_finite_gradients(gradient, signal, method):
    assert np.isfinite(gradient[method](jnp.asarray(signal))).all()


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (32, 6), elements=st.floats(-4, 4, width=32)))
def test_any_tensor_has_finite_maps_and_gradients(tensor):
    found = _maps_and_gradient(jnp.asarray(tensor))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
    fa = found[0]["fa"]
    assert (fa >= 0).all() and (fa <= np.sqrt(1.5) + 1e-5).all()
    assert (np.abs(found[0]["mode"]) <= 1 + 1e-4).all()


@jax.jit
def _maps_and_gradient(tensor):
    def total(t):
        return sum(scalar(t) for scalar in SCALARS.values()).sum()

    evals, evecs = dti.eigen(tensor)
    maps = {name: scalar(tensor) for name, scalar in SCALARS.items()}
    return maps, jax.grad(total)(tensor), evals, evecs


@pytest.mark.parametrize("md", [0.0, 0.7, 3.0])
def test_derivatives_at_isotropy(md):
    tensor = jnp.array([md, 0, md, 0, 0, md], jnp.float32)
    for name in ("fa", "mode"):
        np.testing.assert_array_equal(jax.grad(SCALARS[name])(tensor), 0)
    third = np.array([1, 0, 1, 0, 0, 1]) / 3
    for name in ("md", "ad", "rd"):  # the eigenspace shares its trace
        np.testing.assert_allclose(jax.grad(SCALARS[name])(tensor), third, atol=1e-6)

"""Tensor fits against analytic tensors, dipy and finite differences."""

import dipy.reconst.dti as dipy_dti
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dipy.core.gradients import gradient_table

from dwijax import dti
from dwijax.dti.elements import MM2_PER_S
from tests.dti.conftest import random_tensors, scheme


def noisy(n=200, sigma=30.0, seed=0, dtype=jnp.float64, **kwargs):
    bvals, bvecs = scheme(**kwargs)
    design = dti.design_matrix(bvals, bvecs, dtype)
    tensor = jnp.asarray(random_tensors(n, seed), dtype)
    signal = dti.predict_signal(tensor, jnp.full(n, np.log(1000.0), dtype), design)
    noise = np.random.default_rng(seed + 1).normal(size=(2, *signal.shape)) * sigma
    return bvals, bvecs, design, np.hypot(np.asarray(signal) + noise[0], noise[1])


@pytest.mark.parametrize("method", ["ols", "wls", "iwls"])
@pytest.mark.parametrize("start", ["ols", "measured"])
def test_noise_free_signal_gives_the_tensor_back(method, start):
    design = dti.design_matrix(*scheme())
    tensor = jnp.asarray(random_tensors(500), jnp.float32)
    log_s0 = jnp.linspace(-5, 12, 500, dtype=jnp.float32)
    fit = dti.fit_tensor(dti.predict_signal(tensor, log_s0, design), design, method, start=start)
    assert fit.tensor.dtype == jnp.float32
    np.testing.assert_allclose(fit.tensor, tensor, atol=2e-5)
    np.testing.assert_allclose(fit.log_s0, log_s0, atol=2e-5)


@pytest.mark.parametrize(("method", "name"), [("ols", "OLS"), ("wls", "WLS")])
def test_dipy_fits_the_same_tensor(x64, method, name):
    bvals, bvecs, design, signal = noisy()
    model = dipy_dti.TensorModel(
        gradient_table(bvals, bvecs=bvecs, b0_threshold=50), fit_method=name, return_S0_hat=True
    )
    theirs = model.fit(signal)
    ours = dti.fit_tensor(jnp.asarray(signal), design, method)
    keep = np.linalg.eigvalsh(theirs.quadratic_form).min(-1) > 1e-5  # dipy clips the others
    expected = theirs.lower_triangular() / MM2_PER_S
    np.testing.assert_allclose(ours.tensor[keep], expected[keep], atol=1e-9)
    np.testing.assert_allclose(jnp.exp(ours.log_s0)[keep], theirs.S0_hat[keep], rtol=1e-9)


def test_iwls_is_wls_repeated(x64):
    _, _, design, signal = noisy()
    signal = jnp.asarray(signal)
    once = dti.fit_tensor(signal, design, "wls")
    weights = dti.predict_signal(once.tensor, once.log_s0, design) ** 2
    by_hand = dti.fit_tensor(signal, design, "ols", weights=weights)
    twice = dti.fit_tensor(signal, design, "iwls", reweightings=2)
    np.testing.assert_allclose(twice.tensor, by_hand.tensor, atol=1e-10)


@pytest.mark.parametrize("method", ["ols", "wls"])
def test_a_missing_sample_is_as_if_never_acquired(x64, method):
    bvals, _, design, signal = noisy()
    keep = np.arange(len(bvals)) != 9
    without = dti.fit_tensor(jnp.asarray(signal[:, keep]), design[keep], method)
    for value in (np.nan, 0.0, -3.0, np.inf):
        broken = signal.copy()
        broken[:, 9] = value
        fit = dti.fit_tensor(jnp.asarray(broken), design, method)
        # wls: only the start of the weights knows of the gap
        tolerance = 1e-9 if method == "ols" else 0.05
        np.testing.assert_allclose(fit.tensor, without.tensor, atol=tolerance)
    weights = jnp.asarray(keep, jnp.float64)
    fit = dti.fit_tensor(jnp.asarray(signal), design, "ols", weights=weights)
    if method == "ols":
        np.testing.assert_allclose(fit.tensor, without.tensor, atol=1e-9)


def test_seven_volumes_are_fitted_exactly(x64):
    bvals, bvecs = scheme(n_b0=1, n=6)
    design = dti.design_matrix(bvals, bvecs, jnp.float64)
    signal = jnp.asarray(np.random.default_rng(0).uniform(100, 900, (50, 7)))
    fit = dti.fit_tensor(signal, design, "wls")
    again = dti.predict_signal(fit.tensor, fit.log_s0, design)
    np.testing.assert_allclose(again, signal, rtol=1e-8)


@pytest.mark.parametrize("method", ["ols", "wls", "iwls"])
@pytest.mark.parametrize("value", [0.0, -5.0, np.nan, np.inf])
def test_hopeless_voxels_are_zero_and_finite(method, value):
    design = dti.design_matrix(*scheme())
    signal = jnp.full((3, len(design)), value, jnp.float32).at[2, :6].set(100.0)
    fit = dti.fit_tensor(signal, design, method)
    np.testing.assert_array_equal(fit.tensor, 0)
    assert np.isfinite(fit.log_s0).all()
    np.testing.assert_allclose(np.exp(fit.log_s0), [0, 0, 100], rtol=1e-5, atol=1e-30)


def test_jit_vmap_and_grad_agree_with_the_plain_call():
    _, _, design, signal = noisy(60, dtype=jnp.float32)
    signal = jnp.asarray(signal, jnp.float32).reshape(3, 4, 5, -1)

    def fa(s):
        return dti.fractional_anisotropy(dti.fit_tensor(s, design).tensor)

    plain = fa(signal)
    np.testing.assert_allclose(jax.jit(fa)(signal), plain, atol=2e-6)
    np.testing.assert_allclose(jax.vmap(jax.vmap(fa))(signal), plain, atol=2e-6)
    gradient = jax.grad(lambda s: fa(s).sum())(signal)
    each = jax.jit(jax.vmap(jax.vmap(jax.vmap(jax.grad(fa)))))(signal)
    np.testing.assert_allclose(each, gradient, atol=1e-6)


def test_outlier_volumes_are_found(x64):
    bvals, _, design, signal = noisy(300, sigma=10.0, seed=3)
    clean = dti.fit_tensor(jnp.asarray(signal), design, "iwls")
    broken = signal.copy()
    broken[:, 12] *= 0.3  # signal dropout
    broken[:, 20] = 4095.0  # saturation
    keep = ~np.isin(np.arange(len(bvals)), [12, 20])
    without = dti.fit_tensor(jnp.asarray(signal[:, keep]), design[keep], "iwls")
    robust = dti.fit_tensor(jnp.asarray(broken), design, "robust")
    plain = dti.fit_tensor(jnp.asarray(broken), design, "wls")
    fa = dti.fractional_anisotropy
    error = np.abs(fa(robust.tensor) - fa(clean.tensor))
    assert np.median(error) < 0.3 * np.median(np.abs(fa(plain.tensor) - fa(clean.tensor)))
    assert np.median(np.abs(robust.tensor - without.tensor)) < 1e-3
    # Without outliers next to nothing is thrown away.
    same = dti.fit_tensor(jnp.asarray(signal), design, "robust")
    assert np.median(np.abs(same.tensor - clean.tensor)) == 0


def test_positive_definite_on_demand(x64):
    _, _, design, signal = noisy(300, sigma=150.0)
    fit = dti.fit_tensor(jnp.asarray(signal), design)
    lowest = dti.eigen(fit.tensor)[0][:, 2]
    assert (lowest < 0).any()
    raised = dti.fit_tensor(jnp.asarray(signal), design, min_diffusivity=0.01)
    assert np.asarray(dti.eigen(raised.tensor)[0][:, 2]).min() >= 0.01 - 1e-12
    np.testing.assert_array_equal(raised.tensor[lowest > 0.01], fit.tensor[lowest > 0.01])


@pytest.mark.parametrize("wrong", [{"method": "nlls"}, {"start": "zero"}])
def test_unknown_options_are_refused(wrong):
    design = dti.design_matrix(*scheme())
    with pytest.raises(ValueError, match="expected"):
        dti.fit_tensor(jnp.ones((2, len(design)), jnp.float32), design, **wrong)


@pytest.mark.parametrize("zeros", [1, 3])
def test_leaving_zeros_out_is_nearer_the_truth(x64, zeros):
    """Why our default differs from the floors of dipy and MRtrix3, all else being equal."""
    _, _, design, signal = noisy(2000, sigma=60.0)
    truth = dti.fractional_anisotropy(jnp.asarray(random_tensors(2000)))
    lowest = np.argsort(signal, axis=-1)[:, :zeros]  # zeros fall on the weakest samples
    np.put_along_axis(signal, lowest, 0.0, axis=-1)
    error = {}
    floors = {"out": {}, "as dipy": {"floor": 1e-4}, "as MRtrix3": {"relative_floor": 1e-6}}
    for name, floor in floors.items():
        fit = dti.fit_tensor(jnp.asarray(signal), design, "wls", **floor)
        error[name] = np.sqrt(np.mean((dti.fractional_anisotropy(fit.tensor) - truth) ** 2))
    assert error["out"] < 0.75 * min(error["as dipy"], error["as MRtrix3"])

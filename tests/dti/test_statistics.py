"""Noise, covariance and standard errors against repeated simulation."""

import jax.numpy as jnp
import numpy as np
import pytest

from dwijax import dti
from tests.dti.conftest import random_tensors, scheme


@pytest.mark.parametrize("method", ["ols", "wls"])
def test_standard_errors_are_those_of_repeated_measurements(x64, method):
    bvals, bvecs = scheme(n_b0=4, n=30)
    design = dti.design_matrix(bvals, bvecs, jnp.float64)
    tensor = jnp.asarray(random_tensors(1, seed=5))
    clean = np.asarray(dti.predict_signal(tensor, jnp.full(1, np.log(1000.0)), design))
    sigma = 8.0
    signal = jnp.asarray(clean + np.random.default_rng(0).normal(size=(4000, 34)) * sigma)
    fit = dti.fit_tensor(signal, design, method)
    found = dti.fit_statistics(signal, design, fit, method)
    np.testing.assert_allclose(np.sqrt((found.sigma**2).mean()), sigma, rtol=0.02)
    np.testing.assert_allclose(
        np.asarray(found.covariance).mean(0), np.cov(np.asarray(fit.tensor).T),
        atol=0.08 * np.cov(np.asarray(fit.tensor).T).max())
    for scalar in (dti.fractional_anisotropy, dti.mean_diffusivity):
        error = dti.standard_error(scalar, fit.tensor, found.covariance)
        np.testing.assert_allclose(error.mean(), np.std(scalar(fit.tensor)), rtol=0.06)


def test_synthetic_volumes_of_weight_zero_do_not_count(x64):
    bvals, bvecs = scheme(n_b0=4, n=30)
    design = dti.design_matrix(bvals, bvecs, jnp.float64)
    clean = dti.predict_signal(jnp.asarray(random_tensors(20)), jnp.full(20, 6.0), design)
    signal = clean + jnp.asarray(np.random.default_rng(0).normal(size=clean.shape))
    real = np.arange(34) < 24
    fit = dti.fit_tensor(signal[:, real], design[real])
    expected = dti.fit_statistics(signal[:, real], design[real], fit)
    found = dti.fit_statistics(signal, design, fit, weights=jnp.asarray(real, jnp.float64))
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.sigma, expected.sigma, rtol=1e-8)


def test_nothing_is_known_about_the_noise_of_an_exact_fit():
    bvals, bvecs = scheme(n_b0=1, n=6)
    design = dti.design_matrix(bvals, bvecs)
    signal = jnp.asarray(np.random.default_rng(0).uniform(100, 900, (5, 7)), jnp.float32)
    signal = signal.at[4].set(0)
    fit = dti.fit_tensor(signal, design)
    found = dti.fit_statistics(signal, design, fit)
    errors = [dti.standard_error(scalar, fit.tensor, found.covariance)
              for scalar in (dti.fractional_anisotropy, dti.mean_diffusivity)]
    for values in (*found, *errors):
        assert np.isnan(values[:4]).all()  # 0 would say that there is no noise
        np.testing.assert_array_equal(values[4], 0)  # without a tensor, like all its maps


def test_known_noise_tells_the_covariance_of_an_exact_fit(x64):
    """Six directions and a b0: as far apart as repeated measurements are."""
    bvals, bvecs = scheme(n_b0=1, n=6)
    design = dti.design_matrix(bvals, bvecs, jnp.float64)
    clean = np.asarray(dti.predict_signal(jnp.asarray(random_tensors(1, seed=5)),
                                          jnp.full(1, np.log(1000.0)), design))
    signal = jnp.asarray(clean + np.random.default_rng(0).normal(size=(4000, 7)) * 8.0)
    fit = dti.fit_tensor(signal, design)
    found = dti.fit_statistics(signal, design, fit, sigma=jnp.full(4000, 8.0))
    expected = np.cov(np.asarray(fit.tensor).T)
    np.testing.assert_allclose(np.asarray(found.covariance).mean(0), expected,
                               atol=0.1 * expected.max())


def test_samples_left_out_are_no_degrees_of_freedom(x64):
    bvals, bvecs = scheme(n_b0=2, n=7)
    design = dti.design_matrix(bvals, bvecs, jnp.float64)
    signal = dti.predict_signal(jnp.asarray(random_tensors(3)), jnp.full(3, 6.0), design)
    signal = signal + jnp.asarray(np.random.default_rng(0).normal(size=signal.shape))
    signal = signal.at[0, 1].set(0).at[0, 8].set(0).at[1, 1].set(0)
    found = dti.fit_statistics(signal, design, dti.fit_tensor(signal, design))
    assert np.isnan([found.sigma[0], found.rmse[0]]).all()
    assert (found.sigma[1:] > 0).all() and np.isfinite(found.covariance[1:]).all()

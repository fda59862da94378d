"""Voxels without a tensor in losses, residual baselines and evaluation: they count nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax import dti
from dwijax.evaluation.common.noise import from_scan
from dwijax.fitting.noise import residual_sigma
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.gradients.harmonics import log_sh_coefficients, log_sh_system
from dwijax.tasks.losses import fa_loss, squared_error
from dwijax.tasks.map_regression import map_regression, mean_adc

SHELL = GradientTable(np.full(12, 1000.0), direction_set(12))
WITH_B0 = GradientTable(np.r_[0.0, SHELL.bvals], np.r_[np.zeros((1, 3)), SHELL.bvecs])
DESIGN = dti.design_matrix(WITH_B0.bvals, WITH_B0.bvecs)


def slices(seed=0, shape=(1, 2, 4), noise=0.02):
    """b0 and DWIs ``[1, 2, 4, 13]`` of one tensor with noise."""
    rng = np.random.default_rng(seed)
    tensor = jnp.asarray([1.4, 0.1, 0.5, 0, 0, 0.4], jnp.float32)
    clean = np.asarray(dti.predict_signal(tensor, jnp.float32(0), DESIGN))
    return (clean + noise * rng.normal(size=(*shape, 13))).astype(np.float32)


@jax.jit
def _loss(signal, reference, weight):
    return fa_loss(signal, reference, DESIGN, jnp.ones(13, jnp.float32), weight)


def test_the_fa_loss_counts_no_voxel_without_a_tensor():
    signal, reference = slices(), np.full((1, 2, 4), 0.3, np.float32)
    known = np.ones((1, 2, 4, 1), np.float32)
    known[0, 0] = 0
    broken, unknown = signal.copy(), reference.copy()
    broken[0, 0, :2, 0] = 0  # no b0
    broken[0, 0, 2, 3:] = np.nan
    unknown[0, 0, 3] = np.nan
    found = jax.value_and_grad(_loss)(broken, unknown, jnp.ones_like(known))
    expected = jax.value_and_grad(_loss)(signal, reference, known)
    assert found[0] == pytest.approx(float(expected[0]), rel=1e-5) and found[0] > 0
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_maps_without_a_tensor_are_no_targets():
    task = map_regression(SHELL, 1, np.arange(6), targets=["fa", "md", "dyadic"], residual="fit")
    signal = slices()
    signal[0, 0, :3, 0] = 0
    images = {"b0": signal[..., :1], "inputs": signal[..., 1:7], "others": signal[..., 7:]}
    targets = task.targets(images)
    assert np.isnan(targets[:, 0, 0, :3]).all() and np.isfinite(targets[:, 0, 1]).all()
    starts = task.baseline(jax.tree.map(lambda w: w[0], task.baseline_weights), images)
    assert np.isfinite(starts).all() and not np.any(starts[0, 0, :3])

    def loss(prediction):
        return squared_error(prediction, targets[0], jnp.ones((1, 2, 4, 1), jnp.float32))

    prediction = jnp.full(targets[0].shape, 0.5, jnp.float32)
    value, gradient = jax.value_and_grad(loss)(prediction)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert not np.any(gradient[0, 0, :3]) and np.all(gradient[0, 1, :, 0])
    broken = prediction.at[0, 1, 0].set(jnp.nan)  # a network that diverges is still noticed
    assert np.isnan(loss(broken))


def test_a_mean_adc_needs_a_b0():
    x = np.array([[1000, 400, 500, 300], [0, 400, 500, 300], [0.001, 400, 500, 300]], np.float32)
    found = mean_adc(jnp.asarray(x), np.full(3, 1000.0))
    assert 0.8 < found[0] < 1.0 and not np.any(found[1:])


@pytest.mark.parametrize(("order", "weight"), [(2, 0.001), (4, 0.0)])
def test_harmonics_of_ln_s_are_finite_whatever_they_are_given(order, weight):
    """Of order 4 six directions determine nothing: what is left is the mean of ln S."""
    system = log_sh_system(direction_set(20 if weight else 6), order, 0.001)
    if not weight:
        rows, start = system
        system = rows[:len(start)], start
    n = len(system[1])
    dwi = np.full((5, n), 0.5, np.float32)
    dwi[1], dwi[2], dwi[3, ::2], dwi[4] = 0, np.nan, 1e30, 1e30
    found = log_sh_coefficients(*system, jnp.asarray(dwi))
    assert np.isfinite(found).all()
    if not weight:
        np.testing.assert_allclose(found[0] * system[0][0, 0], np.log(
            np.nan_to_num(np.maximum(dwi, 0.02), nan=0.02)).mean(axis=1), rtol=1e-5)
        assert not np.any(found[1:])


def test_the_noise_of_an_exact_fit_is_unknown():
    signal = slices(shape=(50,), noise=0.05)
    seven = WITH_B0[np.arange(7)]
    assert np.isnan(residual_sigma(signal[:, :7], seven))
    level, source = from_scan(signal[:, :7], seven)
    assert np.isnan(level) and source.startswith("nothing")
    assert residual_sigma(signal, WITH_B0) == pytest.approx(0.05, rel=0.3)
    none = signal.copy()
    none[:, 0] = 0
    assert np.isnan(residual_sigma(none, WITH_B0))
    half = np.concatenate([signal, none])
    assert residual_sigma(half, WITH_B0) == pytest.approx(residual_sigma(signal, WITH_B0))
    np.testing.assert_array_equal(fit_maps([half], WITH_B0).determined, np.arange(100) < 50)

"""What can be changed about a direction stack: each does what it says, in numbers."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.base import base
from configs.phantom import get_config
from dwijax import config as settings
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import simulate
from dwijax.data.subject import load_subject
from dwijax.data.whitening import whitening
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.inference import Run, synthesise
from dwijax.tasks import losses
from dwijax.tasks.direction_synthesis import direction_synthesis, joined

Q, N = 7, 12
GTAB = GradientTable(np.full(N, 1000.0), direction_set(N))
build = partial(direction_synthesis, GTAB, 2, np.arange(Q), np.arange(Q, N))


def config_of(fields):
    config = base()
    config.update_from_flattened_dict(fields)
    return config


def make_images(anisotropy=0.7):
    """Signals of random tensors."""
    rng = np.random.default_rng(0)
    root = rng.normal(0, anisotropy, (2, 4, 6, 3, 3))
    tensor = root @ np.swapaxes(root, -1, -2) + 0.3 * np.eye(3)
    dwi = np.exp(-np.einsum("mi,...ij,mj->...m", GTAB.bvecs, tensor, GTAB.bvecs))
    dwi = jnp.asarray(dwi, jnp.float32)
    return {"b0": jnp.ones((2, 4, 6, 1)), "inputs": dwi[..., :Q], "targets": dwi[..., Q:]}


def baselines(task, images):
    """Residual baselines of all networks, ``[K, N, H, W, D]``."""
    return jax.vmap(task.baseline, (0, None))(task.baseline_weights, images)


def test_joint_is_the_stack_in_one():
    """Targets, baselines and both losses of one network with K outputs, against K networks."""
    stack = build(fa_weight=2.0)
    joint = joined(stack)
    images, weight = make_images(), jnp.full((2, 4, 6, 1), 1 / 48)
    np.testing.assert_array_equal(joint.see(images), stack.see(images))
    np.testing.assert_array_equal(joint.targets(images)[0], images["targets"])
    one, many = baselines(joint, images), baselines(stack, images)
    assert one.shape == (1, 2, 4, 6, N - Q)
    np.testing.assert_allclose(one[0], jnp.moveaxis(many[..., 0], 0, -1), atol=1e-6)

    error = jax.vmap(losses.squared_error, (0, 0, None))
    own = error(many, stack.targets(images), weight)
    np.testing.assert_allclose(error(one, joint.targets(images), weight)[0], own.mean(), rtol=1e-5)
    coupled = jax.jit(joint.coupled)
    together = coupled(one, jnp.ones(1, bool), images, weight)
    apart = jax.jit(stack.coupled)(many, jnp.ones(N - Q, bool), images, weight)
    np.testing.assert_allclose(together, apart / (N - Q), rtol=1e-4)
    assert np.isfinite(coupled(one * jnp.nan, jnp.zeros(1, bool), images, weight))


def test_joint_has_as_many_parameters_as_the_stack():
    counts = []
    for variant, networks, channels in (("random_start", 60, 1), ("joint", 1, 60)):
        task = SimpleNamespace(in_channels=31, out_channels=channels)
        network = settings.build_network(get_config(variant), task)
        shapes = jax.eval_shape(network.init, jax.random.key(0))
        counts.append(networks * sum(int(np.prod(a.shape)) for a in jax.tree.leaves(shapes)))
    assert counts[1] == pytest.approx(counts[0], rel=0.05)


def test_without_b0():
    """The same residual baseline, one channel less; what needs the b0 is refused.

    ln S of a tensor is of order 2: without a penalty its expansion is the signal itself."""
    images = make_images(anisotropy=0.35)
    blind, seeing = (build(b0_input=seen, sh_weight=0.0) for seen in (False, True))
    x = blind.see(images)
    np.testing.assert_array_equal(x, images["inputs"])
    assert blind.in_channels == Q and "b0" not in blind.channels
    found = [baselines(blind, blind.split(x)), baselines(seeing, images)]
    np.testing.assert_allclose(*found, rtol=1e-5)
    np.testing.assert_allclose(
        found[0][..., 0], jnp.moveaxis(images["targets"], -1, 0), atol=1e-5)
    assert build(b0_input=False, fa_weight=1.0).outputs["b0"].count == 1  # FA needs one
    for options in ({"residual": "tensor"}, {"neighbours": 1}):
        with pytest.raises(ValueError, match="b0"):
            build(b0_input=False, **options)


def test_whitening_does_not_blow_up_what_denoising_left():
    """Channels of three signals in eight, with noise; and without, but for a ten thousandth."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(4, 16, 16, 3)) @ rng.normal(size=(3, 8))
    noisy = signal + 0.1 * rng.normal(size=signal.shape)
    clean = signal + 1e-4 * rng.normal(size=signal.shape)
    mask = np.ones((4, 16, 16, 1))
    both, all_of_it = np.concatenate([noisy, clean], -1), slice(None)
    gain = [np.linalg.norm(whitening(x.astype(np.float32), mask, noise).matrix, 2)
            for x, noise in ((noisy, all_of_it), (both, np.arange(16) < 8), (both, all_of_it))]
    np.testing.assert_allclose(gain[:2], 1 / 0.1, rtol=0.2)
    assert gain[2] > 10 * gain[0]


def test_only_a_phantom_has_noise_free_targets():
    config = get_config("clean_targets")
    settings.check(config)
    config.data.layout = "hcp"
    with pytest.raises(InputError, match="clean_targets"):
        settings.check(config)


@pytest.mark.parametrize("field, value", [
    ("data.layout", "store"), ("data.clean_targets", True),
    ("data.within_subject", True)])
def test_what_does_not_go_with_denoised_targets(field, value):
    config = get_config("denoise_targets")
    settings.check(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match="denoise_targets"):
        settings.check(config)


def test_a_joint_network_synthesises_every_direction(tmp_path):
    simulate(tmp_path, subjects=1, seed=5, workers=1, progress=False, shape=(16, 20, 6),
             voxel_size=6.0, n_directions=N, b0s=2)
    subject = load_subject(find_subjects(tmp_path, "phantom")[0])
    gtab = subject.gtab[~subject.gtab.b0s_mask]
    stack = direction_synthesis(gtab, 2, np.arange(Q), np.arange(Q, N))
    config = config_of({"model.levels": 2})
    found = []
    for task in (stack, joined(stack)):
        predict = jax.jit(lambda _, x, task=task: baselines(task, task.split(x)))
        found.append(synthesise(
            Run(config, gtab, np.arange(Q), np.arange(Q, N), task, None, predict, {}), subject))
    assert found[0].shape == (*subject.mask.shape, N - Q)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


@pytest.mark.parametrize("field, value", [
    ("data.neighbours", 1), ("data.denoise", True), ("data.subjects", 3)])
def test_a_store_cannot_tell(field, value):
    config = get_config()
    config.update_from_flattened_dict(
        {"data.layout": "store", "data.neighbours": 0, field: value})
    with pytest.raises(InputError, match=field.partition(".")[2]):
        settings.check(config)

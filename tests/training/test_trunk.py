"""A stack that starts from one joint network."""

import shutil

import jax
import numpy as np
import pytest

from configs.phantom import get_config
from dwijax import config as settings
from dwijax.inference import load_run
from dwijax.training import joint_start, loop
from tests.tiny_run import GTAB

FIELDS = {"phantom.shape": (16, 20, 8), "phantom.voxel_size": 6.0, "phantom.directions": 12,
          "phantom.shifted_subjects": 0, "data.inputs": 8, "model.width": 4, "model.levels": 1,
          "patch": 0, "batch": 2, "trunk.batch": 2, "trunk.steps": 3}


def stacks(**fields):
    """Task, network and keys of a stack, and of the joint network with as many outputs."""
    config = get_config("smoke")
    config.update_from_flattened_dict(
        {"data.inputs": 5, "model.zero_output": False, "trunk.steps": 1} | fields)
    for c in (config, settings.joint_start(config)):
        task = settings.build_task(c, GTAB, 2)
        network = settings.build_network(c, task)
        yield task, network, settings.build_keys(c, task), settings.build_predictor(c, task, None)


@pytest.mark.parametrize("fields", [{}, {"model.convolutions": 2},
                                    {"model.expansion": 2},
                                    {"data.inputs": 7}], ids=str)
def test_networks_predict_at_first_what_the_joint_one_does(fields):
    (task, network, keys, predict), (_, joined, one, together) = stacks(**fields)
    joint = jax.jit(jax.vmap(joined.init))(one)
    joint = jax.tree.map(
        lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(1), leaf.shape), joint)
    like = jax.eval_shape(jax.vmap(network.init), keys)
    params = joint_start.shared_out(joint, like)
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, like)
    x = np.random.default_rng(0).uniform(0.2, 1, (3, 8, 8, task.in_channels)).astype(np.float32)
    expected = np.moveaxis(np.asarray(jax.jit(together)(joint, x))[0], -1, 0)[..., None]
    assert len(expected) == 1 or np.ptp(expected[0] - expected[1]) > 0.05
    np.testing.assert_allclose(jax.jit(predict)(params, x), expected, rtol=1e-5, atol=1e-5)


def test_the_config_of_the_trunk_differs_in_what_is_its_own():
    config = get_config("fa_loss")
    config.trunk.steps, config.trunk.batch, config.trunk.learning_rate = 70, 2, 0.5
    config.trunk.weight_decay, config.optimizer.weight_decay = 0.3, 0.7
    config.trunk.optimizer, config.optimizer.name = "muon", "adamw"
    config.placement, config.mesh_directions = "pmap", 2
    found = settings.joint_start(config)
    assert (found.steps, found.batch) == (70, 2)
    assert (found.optimizer.learning_rate, found.optimizer.weight_decay) == (0.5, 0.3)
    assert found.optimizer.name == "muon"
    assert found.model.joint and not found.trunk.steps
    settings.check(found)
    assert not config.model.joint and config.steps == get_config("fa_loss").steps
    for room in ("data", "phantom", "loss"):
        assert found[room] == config[room]


def test_a_run_starts_from_its_trunk_and_again_to_the_same_bits(tmp_path):
    config = get_config("smoke")
    config.update_from_flattened_dict(
        FIELDS | {"data.root": str(tmp_path / "data"), "steps": 1,
                  "optimizer.learning_rate": 1e-9})  # it stays where it starts
    place = tmp_path / "run"
    with jax.numpy_dtype_promotion("standard"):
        state = loop.train(config, place, quiet=True)
        run, joint = load_run(place, calibrated=False), load_run(place / joint_start.FOLDER)
        x = np.random.default_rng(0).uniform(
            0.2, 1, (2, 8, 8, run.task.in_channels)).astype(np.float32)
        expected = np.moveaxis(np.asarray(joint.predict(joint.params, x))[0], -1, 0)[..., None]
        np.testing.assert_allclose(run.predict(run.params, x), expected, rtol=1e-5, atol=1e-5)
        baseline = np.moveaxis(np.asarray(joint.task.baseline(
            jax.tree.map(lambda leaf: leaf[0], joint.task.baseline_weights),
            joint.task.split(x))), -1, 0)
        assert np.abs(expected[..., 0] - baseline).max() > 1e-4  # three steps have been made

        kept = sorted((place / joint_start.FOLDER / "checkpoints").iterdir())[-1].stat().st_mtime_ns
        shutil.rmtree(place / "checkpoints")  # as if killed between the two
        again = loop.train(config, place, quiet=True)
    stored = sorted((place / joint_start.FOLDER / "checkpoints").iterdir())[-1]
    assert kept == stored.stat().st_mtime_ns
    for one, other in zip(jax.tree.leaves(state.params), jax.tree.leaves(again.params),
                          strict=True):
        np.testing.assert_array_equal(one, other)

"""Every config and variant describes a stack that can be built."""

import importlib.util
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax.directions import direction_set
from dwijax.gradients import GradientTable
from dwijax.training import settings
from dwijax.training.step import init_state, make_gradients

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def module(name):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


CASES = [(path.stem, variant) for path in sorted(CONFIGS.glob("*.py"))
         for variant in module(path.stem).VARIANTS]


@pytest.mark.parametrize("name, variant", CASES)
def test_config_builds_and_traces(name, variant):
    config = module(name).get_config(variant)
    settings.check(config)
    gtab = GradientTable(np.full(90, float(config.data.shell)), direction_set(90))
    task = settings.build_task(config, gtab, b0s=6)
    predict = settings.build_predictor(config, task, None)
    network, optimizer = settings.build_network(config, task), settings.build_optimizer(config)
    state = jax.eval_shape(partial(init_state, network, optimizer),
                           settings.build_keys(config, task))
    networks = 60 if config.task == "direction_synthesis" else len(config.targets) * config.seeds
    assert all(leaf.shape[0] == networks for leaf in jax.tree.leaves(state.params))
    size = 16 * settings.multiple_of(config)
    b0, dwi = jnp.zeros((2, size, size, 1)), jnp.zeros((2, size, size, 90))
    losses, gradients = jax.eval_shape(
        make_gradients(predict, task), state.params, (b0, dwi, b0))
    assert losses.shape == (networks,)
    assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, state.params)


def test_unknown_variant():
    with pytest.raises(ValueError, match="no variant"):
        module("phantom").get_config("smokee")

"""Every config and variant describes a stack that can be built."""

import importlib.util
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax import config as settings
from dwijax.data.slices import Batch
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.training import build
from dwijax.training.step import init_state, make_update

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def module(name):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


CASES = [(path.stem, variant) for path in sorted(CONFIGS.glob("*.py")) if path.stem != "base"
         for variant in module(path.stem).VARIANTS]


def flat(fields, prefix=""):
    """Fields by their dotted names."""
    out = {}
    for name, value in fields.items():
        dotted = prefix + name
        out |= flat(value, f"{dotted}.") if isinstance(value, dict) else {dotted: value}
    return out


def test_expanded_variants_are_the_golden_ones():
    """What a default or a variant changes shows in every variant that it reaches."""
    golden = json.loads((Path(__file__).parent / "golden_configs.json").read_text())
    found = {f"{name}:{variant}": flat(settings.to_dict(module(name).get_config(variant)))
             for name, variant in CASES}
    assert found == golden


@pytest.mark.parametrize("name, variant", CASES)
def test_config_builds_and_traces(name, variant):
    config = module(name).get_config(variant)
    settings.check(config)
    gtab = GradientTable(np.full(90, float(config.data.shell)), direction_set(90))
    task = settings.build_task(config, gtab, b0s=6)
    predict = settings.build_predictor(config, task, None)
    network, optimizer = settings.build_network(config, task), build.build_optimizer(config)
    state = jax.eval_shape(partial(init_state, network, optimizer),
                           settings.build_keys(config, task))
    if config.task == "any_table":
        # Harmonics of order 4; b0; b0 and order 2 of two slices beside; the scan; its noise.
        assert task.in_channels == 15 + 1 + 2 * (1 + 6) + 7 + 4
        assert task.channels["noise-free"].count == 3 * (1 + 28)
        return
    if config.task == "direction_synthesis":
        networks = 1 if config.model.joint else 90 - config.data.inputs
        own = 1 + config.data.inputs
        order = config.data.neighbours_order
        beside = 1 + (order + 1) * (order + 2) // 2 if order else own
        more = 2 * config.data.neighbours * beside + own * config.data.denoise
    else:
        networks, more = len(config.targets) * config.seeds, 0
    assert task.in_channels == config.data.b0 + config.data.inputs + more
    learnt = {name: channel.count for name, channel in task.outputs.items()}
    assert learnt.pop("targets" if "targets" in learnt else "others") == 90 - config.data.inputs
    assert set(learnt) <= {"b0", "fa"} and set(learnt.values()) <= {1}
    assert all(leaf.shape[0] == networks for leaf in jax.tree.leaves(state.params))
    size = 16 * settings.multiple_of(config)

    def array(count):
        return jax.ShapeDtypeStruct((2, size, size, count), jnp.float32)

    images = {name: array(channel.count) for name, channel in task.channels.items()}
    after, losses = jax.eval_shape(
        make_update(predict, task, optimizer, freeze_after=config.freeze_after),
        state, Batch(images, array(1)))
    assert losses.shape == (networks,)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_unknown_variant():
    with pytest.raises(ValueError, match="no variant"):
        module("phantom").get_config("smokee")

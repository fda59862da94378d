"""A config compiled at full size before there are data: does it fit, and does it compile?"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dwijax import config as settings
from dwijax.data.slices import Slices
from dwijax.devices import memory, placement
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.training import build
from dwijax.training.step import STATE, init_state, make_dispatch, make_step


def compile_ahead(config, shape, *, directions=90, b0s=6):
    """Plans and compiles the training of a config; allocates nothing.

    Args:
      config: ConfigDict. shape: of the training slices, ``(S, H, W)``.
      directions, b0s: of the shell.

    Returns:
      ``(Plan, compiled program)``.

    Raises:
      InputError: nothing fits.
    """
    settings.check(config)
    gtab = GradientTable(np.full(directions, float(config.data.shell)), direction_set(directions))
    task = settings.build_task(config, gtab, b0s)
    network, optimizer = settings.build_network(config, task), build.build_optimizer(config)
    predict = settings.build_predictor(config, task, None)
    place = build.build_placement(config, task)
    count, *size = shape
    if config.task == "direction_synthesis":
        directions += task.in_channels - config.data.b0 - config.data.inputs  # further ones
    data = 4 * count * (np.prod(size) * (directions + 2) + 4)
    found = build.build_plan(
        config, task, network, optimizer, place,
        (config.patch, config.patch) if config.patch else size,
        int(config.memory_gb * 2**30) or memory.device_budget(), int(data))
    step = make_step(predict, task, optimizer, seed=config.seed, batch=config.batch,
                     patch=config.patch, pieces=found.pieces, axes=place.axes,
                     freeze_after=config.freeze_after)
    dispatch = placement.lift(place, make_dispatch(step),
                              (STATE, "same", "number", (STATE, "stack")), donate=0)
    state = jax.eval_shape(
        lambda keys: placement.distribute(place, init_state(network, optimizer, keys)),
        settings.build_keys(config, task))
    array = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    slices = Slices(array((*shape, 1)), array((*shape, directions)), array((*shape, 1)),
                    jax.ShapeDtypeStruct((count, 2, 2), jnp.int32))
    program = dispatch.lower(state, slices, jax.ShapeDtypeStruct((), jnp.int32)).compile()
    return found, program


def describe(found, program):
    """Two lines: the plan, and what the compiler says."""
    used = program.memory_analysis()
    return (f"{found}\ncompiled: arguments {memory.gib(used.argument_size_in_bytes)} GiB, work "
            f"{memory.gib(used.temp_size_in_bytes)} GiB (planned "
            f"{memory.gib(found.activations)} GiB)")

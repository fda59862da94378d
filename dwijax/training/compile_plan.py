"""A config compiled at full size before there are data: does it fit, and does it compile?"""

import jax
import jax.numpy as jnp
import numpy as np

from dwijax import config as settings
from dwijax.data.slices import Slices
from dwijax.data.store import bytes_of
from dwijax.devices import memory
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.training.batches import lift_dispatch
from dwijax.training.build import build


def compile_plan(config, shape, *, directions=90, b0s=6):
    """Plans and compiles what a config trains, the joint network that it starts from first.

    Nothing is allocated.

    Args:
      config: ConfigDict. shape: of the training slices, ``(S, H, W)``.
      directions, b0s: of the shell.

    Returns:
      list of ``(name, Training, compiled program)``.

    Raises:
      InputError: nothing fits.
    """
    settings.check(config)
    configs = {"stack": config}
    if config.trunk.steps:
        configs = {"joint network": settings.joint_start(config)} | configs
    gtab = GradientTable(np.full(directions, float(config.data.shell)), direction_set(directions))
    return [(name, *_compiled(one, gtab, b0s, shape)) for name, one in configs.items()]


def _compiled(config, gtab, b0s, shape):
    channels = settings.build_task(config, gtab, b0s).channels
    training = build(config, gtab, b0s, size=shape[1:],
                     data=shape[0] * bytes_of(channels, shape[1:]))

    def array(count):
        return jax.ShapeDtypeStruct((*shape, count), jnp.float32)

    slices = Slices({name: array(channel.count) for name, channel in channels.items()}, array(1),
                    jax.ShapeDtypeStruct((shape[0], 2, 2), jnp.int32))
    return training, lift_dispatch(training).lower(
        training.abstract_state, slices, jax.ShapeDtypeStruct((), jnp.int32)).compile()


def in_words(name, training, program):
    """Two lines: the plan, and what the compiler says."""
    used = program.memory_analysis()
    return (f"{name}: {training.plan}\n"
            f"compiled: arguments {memory.gib(used.argument_size_in_bytes)} GiB, work "
            f"{memory.gib(used.temp_size_in_bytes)} GiB (planned "
            f"{memory.gib(training.plan.activations)} GiB)")

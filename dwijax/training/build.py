"""What the loop, ``--plan`` and the benchmarks train with, from a config."""

import jax

from dwijax.devices import memory, placement
from dwijax.training import optimizers


def build_optimizer(config):
    """One network's optimiser."""
    o = config.optimizer
    return optimizers.build(
        o.name, learning_rate=o.learning_rate, steps=config.steps, decay=o.decay,
        weight_decay=o.weight_decay, clip=o.clip)


def build_placement(config, task):
    """Where the stack trains."""
    return placement.place(config.placement, len(task.numbers), config.batch,
                           directions=config.mesh_directions)


def build_plan(config, task, network, optimizer, place, size, budget, data):
    """How much of the stack and of a batch is in memory at once, on each device.

    Args:
      size: ``(H, W)`` of what is trained on. budget: bytes. data: bytes of the slices.
    """
    h, w = size
    outputs = 4 * h * w * (task.in_channels + 3 * len(task.numbers) * task.out_channels)
    program = memory.resident() // jax.local_device_count() if jax.default_backend() == "cpu" else 0
    return memory.make_plan(
        memory.costs(network, optimizer, (h, w, task.in_channels)), networks=place.per_device,
        slices=config.batch // place.axes.batches, outputs=outputs, data=data, budget=budget,
        coupled=task.coupled is not None, program=program)

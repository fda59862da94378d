"""What trains, from a config: one description for the loop, ``--plan`` and the benchmarks."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax

from dwijax import config as settings
from dwijax.devices import memory, placement
from dwijax.models.stack import Network
from dwijax.tasks.task import Task
from dwijax.training import optimizers
from dwijax.training.step import init_state


class Sampling(NamedTuple):
    """Of batches (`dwijax.data.sampling.sample`)."""

    seed: int
    batch: int
    patch: int
    stride: int = 1


class Training(NamedTuple):
    """A stack of networks and how it trains.

    Attributes:
      task, network (one of them), optimizer (of one): what trains.
      predict: `dwijax.tasks.task.predictor`. keys: of the networks' initialisation, ``[K]``.
      placement: `dwijax.devices.placement.Placement`. plan: `dwijax.devices.memory.Plan`.
      size: ``(h, w)`` of what is trained on. sampling: `Sampling`.
      freeze_after: as of `dwijax.training.step.make_update`.
    """

    task: Task
    network: Network
    optimizer: optax.GradientTransformation
    predict: Callable
    keys: jax.Array
    placement: placement.Placement
    plan: memory.Plan
    size: tuple
    sampling: Sampling
    freeze_after: int

    def init(self, keys, params=None):
        """The state of new networks, or of networks with these parameters, on one device."""
        return init_state(self.network, self.optimizer, keys, params)

    @property
    def abstract_state(self):
        """The state as shapes, laid out on the devices."""
        return placement.abstract(self.placement, jax.eval_shape(self.init, self.keys))


def build(config, gtab, b0s, *, size, data, budget=None, whitening=None, where=None):
    """What a config trains on a shell's table.

    Args:
      config: ConfigDict. gtab: of the shell, without b0s. b0s: number of b0 volumes.
      size: ``(H, W)`` of the training slices. data: bytes of all slices on a device.
      budget: bytes of a device; default: the config's, or what there is.
      whitening: `dwijax.data.whitening.Whitening`, or None.
      where: `dwijax.devices.placement.Placement`; default: the config's.

    Returns:
      `Training`.

    Raises:
      InputError: nothing fits into the budget, or devices and stack do not go together.
    """
    task = settings.build_task(config, gtab, b0s)
    network, optimizer = settings.build_network(config, task), build_optimizer(config)
    where = where or placement.place(
        config.placement, len(task.numbers), config.batch, directions=config.mesh_directions)
    size = (config.patch, config.patch) if config.patch else tuple(size)
    return Training(
        task, network, optimizer, settings.build_predictor(config, task, whitening),
        settings.build_keys(config, task), where,
        _plan(task, network, optimizer, where, size, config.batch, budget or budget_of(config),
              int(data)),
        size, Sampling(config.seed, config.batch, config.patch, config.stride),
        config.freeze_after)


def budget_of(config):
    """Bytes of a device: ``memory_gb``, or what there is."""
    return int(config.memory_gb * 2**30) or memory.device_budget()


def build_optimizer(config):
    """One network's optimiser."""
    o = config.optimizer
    return optimizers.build(
        o.name, learning_rate=o.learning_rate, steps=config.steps, decay=o.decay,
        weight_decay=o.weight_decay, clip=o.clip)


def _plan(task, network, optimizer, where, size, batch, budget, data):
    """How much of the stack and of a batch is in memory at once, on each device."""
    h, w = size
    outputs = 4 * h * w * (task.in_channels + 3 * len(task.numbers) * task.out_channels)
    program = memory.resident() // jax.local_device_count() if jax.default_backend() == "cpu" else 0
    return memory.make_plan(
        memory.costs(network, optimizer, (h, w, task.in_channels)), networks=where.per_device,
        slices=batch // where.axes.batches, outputs=outputs, data=data, budget=budget,
        coupled=task.coupled is not None, program=program)

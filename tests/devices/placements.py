"""Trains the same little stack on one device and on a placement, and prints how far they differ.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m tests.devices.placements \\
        KIND DIRECTIONS DEVICES FA_WEIGHT ... [--process I N ADDRESS FOLDER]

For every four arguments one line: largest difference of gradients, and of parameters after
20 SGD steps, relative to the largest entry of their leaf; of the
validation losses; and of predictions whose slices all devices of a process share.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from dwijax.data.slices import Slices
from dwijax.devices import placement
from dwijax.devices.memory import WHOLE, Plan
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.models.stack import functional, network_keys
from dwijax.models.unet import UNet
from dwijax.runs import checkpoint
from dwijax.tasks.direction_synthesis import direction_synthesis
from dwijax.tasks.task import predictor
from dwijax.training import batches, optimizers
from dwijax.training.build import Sampling, Training
from dwijax.training.step import ALONE, make_gradients

Q, K, BATCH = 7, 6, 4
GTAB = GradientTable(np.full(Q + K, 1000.0), direction_set(Q + K))


def setup(fa_weight):
    rng = np.random.default_rng(0)
    shape = (8, 8, 8)
    root = 0.2 * rng.normal(0, 1, (*shape, 3, 3)) + rng.normal(0, 0.4, (8, 1, 1, 3, 3))
    tensor = root @ np.swapaxes(root, -1, -2) + 0.3 * np.eye(3)
    dwi = np.exp(-np.einsum("mi,...ij,mj->...m", GTAB.bvecs, tensor, GTAB.bvecs))
    dwi += rng.normal(0, 0.03, dwi.shape)
    mask = (rng.uniform(size=(*shape, 1)) < 0.8).astype(np.float32)  # parts weigh differently
    dwi = dwi.astype(np.float32)
    images = {"b0": np.ones((*shape, 1), np.float32), "inputs": dwi[..., :Q],
              "targets": dwi[..., Q:]}
    slices = Slices(images, mask, np.zeros((8, 2, 2), np.int32))
    task = direction_synthesis(GTAB, 2, np.arange(Q), np.arange(Q, Q + K), fa_weight=fa_weight)
    # Smooth: at the kink of a ReLU or of a maximum, rounding may become a difference of 1e-4.
    network = functional(lambda rngs: UNet(task.in_channels, 1, width=4, levels=1, convolutions=2,
                                           activation="silu", rngs=rngs))
    optimizer = optimizers.build("sgd", learning_rate=0.05, steps=20)
    return slices, Training(
        task, network, optimizer, predictor(task, network, 0.1),
        network_keys(jax.random.key(1), jnp.asarray(task.numbers)),
        placement.Placement("single", K, None), Plan(WHOLE, K, BATCH, *[0] * 5), shape[1:],
        Sampling(seed=3, batch=BATCH, patch=0), freeze_after=0)


def run(slices, training):
    """Gradients of the first batch, parameters and validation losses after 20 steps."""
    place = training.placement
    state = placement.distribute(place, training.init(training.keys))
    gradients = placement.lift(
        place, make_gradients(training.predict, training.task, axes=place.axes),
        ("stack", "parts", ("stack", "stack")))
    rows = placement.positions(place, BATCH)
    batch = slices.read(np.arange(BATCH) if rows is None else rows)
    _, found = gradients(state.params, placement.spread(place, batch, "parts", BATCH))
    found = placement.collect(place, found)
    source = batches.Resident(training, slices, slices)
    source.compile(state)
    state, _ = source.advance(state, 20)
    validation = placement.fetch(place, source.validate(state.params))
    return found, placement.collect(place, state.params), validation


def shared(params, slices, training):
    """Largest difference, in units of b0, of predictions by one device and by all of a process."""
    x = training.task.see(slices.images)
    by_all, there = placement.share_slices(training.predict, params)
    alone = jax.jit(training.predict)(params, x)
    return float(np.abs(np.asarray(by_all(there, x)) - alone).max())


def stored(place, params, folder):
    """Written by all processes together and read again."""
    with checkpoint.saving(folder, {}, keep=1) as save:
        save(20, {"params": params})
    return checkpoint.restore(folder, {"params": placement.abstract(place, params)})["params"]


def largest(place, found, expected):
    worst = 0.0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a = placement.fetch(place, a) if a.ndim == 1 else _whole(a)
        worst = max(worst, float(np.abs(a - b).max() / np.abs(b).max()))
    return worst


def _whole(a):
    if jax.process_count() == 1:
        return np.asarray(a)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(a, tiled=True)


def main(argv):
    folder = None
    if "--process" in argv:
        at = argv.index("--process")
        index, count, address, folder = argv[at + 1: at + 5]
        argv = argv[:at]
        jax.distributed.initialize(address, int(count), int(index))
    alone = {}
    for kind, directions, devices, fa_weight in zip(*[iter(argv)] * 4, strict=True):
        slices, training = setup(float(fa_weight))
        if fa_weight not in alone:
            assert training.placement.axes == ALONE
            with jax.default_device(jax.local_devices()[0]):
                expected = jax.tree.map(np.asarray, run(slices, training))
                alone[fa_weight] = *expected, shared(expected[1], slices, training)
        place = placement.place(kind, K, BATCH, directions=int(directions),
                                devices=jax.devices()[: int(devices)])
        found, params, validation = run(slices, training._replace(placement=place))
        if folder:
            params = stored(place, params, folder)
        expected = alone[fa_weight]
        print(f"{kind} {'×'.join(map(str, place.mesh.devices.shape))} fa {fa_weight}: "
              f"{largest(place, found, expected[0]):.1e} {largest(place, params, expected[1]):.1e} "
              f"{np.abs(validation - expected[2]).max() / expected[2].max():.1e} "
              f"{expected[3]:.1e}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""All that the documents call "not measured", on the accelerator that is here: one command.

    python benchmarks/gpu.py -o gpu.md                       # a GPU or TPU, minutes
    python benchmarks/gpu.py --quick                         # the CPU, everything at its smallest

Each row is the median of three. Training is the very step that ``train.py`` runs, on random slices
of the size that the config's data have; a row whose plan does not fit into the memory says so.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # configs/ is in no package
from configs import any_table, he2020, phantom, superdti
from dwijax import config as settings
from dwijax import dti
from dwijax.data.slices import Slices, padded_size
from dwijax.devices import placement
from dwijax.errors import InputError
from dwijax.fitting.voxels import FIT
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.output import whole
from dwijax.training.batches import Resident
from dwijax.training.build import build
from dwijax.training.throughput import product_rate

HCP = (145, 174)
B0S, REPEATS = 6, 3
# Config, changes, plane of the slices.
ROWS = {
    "He et al., 60 U-Nets of width 64, float32": (he2020, {}, HCP),
    "He et al., bfloat16": (he2020, {"model.dtype": "bfloat16"}, HCP),
    "first command, 60 networks": (phantom, {}, (56, 68)),
    "SuperDTI": (superdti, {}, HCP),
    "any table": (any_table, {}, HCP),
}
SMALLEST = {"batch": 2, "patch": 0, "model.width": 2, "model.levels": 2, "memory_gb": 4.0}


def training(config, plane, steps):
    """``(seconds of a step, hours of the config's steps)``."""
    n = padded_size(plane, settings.multiple_of(config))
    gtab = GradientTable(np.full(90, 1000.0), direction_set(90))
    task = settings.build_task(config, gtab, B0S)
    rng = np.random.default_rng(0)
    images = {name: jnp.asarray(rng.uniform(0.1, 1, (config.batch, *n, channel.count)),
                                jnp.float32) for name, channel in task.channels.items()}
    slices = Slices(images, jnp.ones((config.batch, *n, 1)), jnp.zeros((config.batch, 2, 2),
                                                                       jnp.int32))
    built = build(config, gtab, B0S, size=n, data=slices.nbytes)
    source = Resident(built, slices, slices)
    state = placement.distribute(built.placement, jax.jit(built.init)(built.keys))
    source.compile(state)
    state, losses = source.advance(state, steps)
    losses.block_until_ready()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        state, losses = source.advance(state, steps)
        losses.block_until_ready()
        seconds.append((time.perf_counter() - began) / steps)
    step = statistics.median(seconds)
    return step, step * config.steps / 3600


def tensor_fit(voxels):
    """Voxels a second of the tensor fit of 96 volumes."""
    gtab = GradientTable(np.r_[np.zeros(B0S), np.full(90, 1000.0)],
                         np.r_[np.zeros((B0S, 3)), direction_set(90)])
    design = dti.design_matrix(gtab.bvals, gtab.bvecs)
    signal = jnp.asarray(np.random.default_rng(0).uniform(0.2, 1, (voxels, len(gtab))), jnp.float32)
    fit = jax.jit(lambda signal: dti.fractional_anisotropy(
        dti.fit_tensor(signal, design, **FIT, reweightings=2).tensor))
    return voxels / _seconds(lambda: fit(signal))


def inference(config, shape, width):
    """Seconds of a network for any table on a whole scan of this shape."""
    config.model.width = width
    gtab = GradientTable(np.full(90, 1000.0), direction_set(90))
    task = settings.build_task(config, gtab, B0S)
    network, predict = settings.build_network(config, task), settings.build_predictor(
        config, task, None)
    params = jax.vmap(network.init)(settings.build_keys(config, task))
    n = padded_size(shape[:2], settings.multiple_of(config))
    x = jnp.ones((4, *n, task.in_channels))
    each = jax.jit(lambda params, x: predict(params, x))
    return _seconds(lambda: each(params, x)) * shape[2] / len(x)


def _seconds(job):
    jax.block_until_ready(job())
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(job())
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--out", type=Path, help="Markdown file")
    parser.add_argument("--steps", type=int, default=10, help="of a row, three times")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    if args.out is None and not args.quick:
        parser.error("which -o? Or --quick")
    device = jax.devices()[0]
    lines = [f"{jax.device_count()} × {device.device_kind}, jax {jax.__version__}, matrix product "
             f"{product_rate() / 1e12:.3g} TFLOP/s float32", "",
             "| | | |", "|---|---|---|"]
    print(*lines, sep="\n", flush=True)

    def row(*cells):
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)

    rows = dict([*ROWS.items()][::len(ROWS) - 1]) if args.quick else ROWS
    for name, (module, changes, plane) in rows.items():
        config = module.get_config()
        config.update_from_flattened_dict(changes)
        if args.quick:
            plane = (16, 16)
            config.update_from_flattened_dict(SMALLEST)
        try:
            step, hours = training(config, plane, 1 if args.quick else args.steps)
        except InputError as error:
            row(name, "does not fit", str(error))
            continue
        row(name, f"{1e3 * step:.1f} ms a step", f"{hours:.2f} hours for its {config.steps} steps")
    voxels = 2048 if args.quick else 2**20
    row("tensor fit, 96 volumes", f"{tensor_fit(voxels):.3g} voxels a second", "")
    shape = (16, 16, 4) if args.quick else (*HCP, 145)
    config = any_table.get_config()
    row("any table, a scan of " + "×".join(map(str, shape)),
        f"{inference(config, shape, 2 if args.quick else config.model.width):.2f} s", "networks")
    if args.out:
        with whole(args.out) as path:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
    sys.exit()

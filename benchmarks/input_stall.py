"""How long the networks wait for their input: slices on the device against a store read ahead.

    python benchmarks/input_stall.py                      # 60 networks of width 16 and 8
    python benchmarks/input_stall.py --rows 16,32,4 --rounds 7
    python benchmarks/input_stall.py --quick              # seconds, to see that it runs

Trains the stack of configs/phantom.py on simulated subjects with the functions that train.py calls.
Rounds are interleaved, medians are printed, as markdown. A row counts only if both have the same
losses to 1 %, all along: other batches would differ by several. The stall is how much longer a step
takes with batches from the store; waiting is the share of that time spent in ``next(iterator)``;
the last column is what Grain and TensorStore deliver with nothing else to do, as a multiple of what
the networks consume.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import smallest

from dwijax import config as settings
from dwijax.data.cohort import split_cohort
from dwijax.data.phantom import simulate
from dwijax.data.store import open_store, write_store
from dwijax.data.stream import TrainingBatches, stream
from dwijax.training.batches import Resident, Streamed
from dwijax.training.build import build

sys.path.insert(0, str(smallest.ROOT))  # configs/ is in no package
from configs import phantom

SPEC = {"shell": 1000, "axis": 2}


def config_of(width, patch, batch, inputs):
    config = phantom.get_config("random_start")
    config.model.width, config.patch, config.batch = width, patch, batch
    config.data.inputs, config.placement, config.freeze_after = inputs, "single", 0
    return config


def seconds(source, state, steps):
    """``(state, losses, s)`` of so many steps, the last one finished."""
    began = time.perf_counter()
    state, losses = source.advance(state, steps)
    jax.block_until_ready((state, losses))
    return state, np.asarray(losses), time.perf_counter() - began


def row(store, width, patch, batch, *, inputs, steps, rounds):
    """One line of the table."""
    config = config_of(width, patch, batch, inputs)
    multiple, total = settings.multiple_of(config), steps * (rounds + 1)

    def channels(gtab, b0s):
        return settings.build_task(config, gtab, b0s).channels

    train, tables, _, b0s = store.slices("train", channels, multiple=multiple, patch=patch)
    validation = store.slices("validation", channels, multiple=multiple, patch=0).slices
    training = build(config, tables[0], b0s, size=train.size, data=0)
    sources = {"resident": Resident(training, train.load(), validation.load()),
               "streamed": Streamed(training, train, validation, steps=total)}
    init = jax.jit(training.init)
    states = {name: init(training.keys) for name in sources}
    for name, source in sources.items():
        source.compile(states[name])
    spent, seen = ({name: [] for name in sources} for _ in range(2))
    for i in range(rounds + 1):  # the first compiles
        for name, source in sources.items():
            if i == 1 and name == "streamed":
                source.waited = 0.0
            states[name], losses, s = seconds(source, states[name], steps)
            seen[name].append(losses)
            if i:
                spent[name].append(s)
    sources["streamed"].close()
    apart = np.abs(np.divide(*map(np.array, seen.values())) - 1).max()
    if apart > 0.01:
        raise SystemExit(f"width {width}: the losses differ by {apart:.1%}")
    waited = sources["streamed"].waited / sum(spent["streamed"])
    resident, streamed = (statistics.median(s) / steps for s in spent.values())

    batches = TrainingBatches(train, **training.sampling._asdict(), steps=total)
    reader = stream(batches)
    next(reader)
    began = time.perf_counter()
    read = sum(1 for _ in reader)
    alone = (time.perf_counter() - began) / read
    shape = f"{batch}×{patch}×{patch}" if patch else f"{batch}×{train.size[0]}×{train.size[1]}"
    return (f"| {len(training.keys)} | {width} | {shape} | {1e3 * resident:.1f} ms | "
            f"{1e3 * streamed:.1f} ms | {100 * (streamed / resident - 1):+.1f} % | "
            f"{100 * waited:.1f} % | {resident / alone:.0f}× |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=["8,32,4", "16,32,4", "16,0,4"],
                        metavar="WIDTH,PATCH,BATCH", help="patch 0: whole slices")
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--shape", type=int, nargs=3, default=(56, 68, 24), help="of a subject")
    parser.add_argument("--inputs", type=int, default=30, help="directions that networks see")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    parser.add_argument("--data", type=Path, help="folder of subjects in HCP layout "
                        "(default: simulated)")
    args = parser.parse_args()
    options = {}
    if args.quick:
        args.rows, args.steps, args.rounds, args.subjects = ["4,16,2"], 2, 1, 3
        args.inputs, args.shape = smallest.INPUTS, smallest.SHAPE
        options = {"voxel_size": smallest.VOXEL_SIZE, "n_directions": smallest.DIRECTIONS}
    with tempfile.TemporaryDirectory() as folder:
        data, place = args.data or Path(folder) / "data", Path(folder) / "store"
        if args.data is None:
            simulate(data, subjects=args.subjects, shape=tuple(args.shape), **options)
        cohort = split_cohort(data, "hcp", fractions=(0.6, 0.2, 0.2), seed=0, **SPEC)
        _, slices, plain, stored = write_store(place, cohort, **SPEC)
        print(f"{slices} slices, {plain / 2**20:.0f} MiB, {stored / 2**20:.0f} MiB on disk; "
              f"{jax.device_count()} {jax.default_backend()} device(s)\n")
        print("| K | width | batch | on the device | from the store | stall | waiting | "
              "reading alone |\n|---|---|---|---|---|---|---|---|")
        for text in args.rows:
            width, patch, batch = (int(n) for n in text.split(","))
            print(row(open_store(place), width, patch, batch, inputs=args.inputs,
                      steps=args.steps, rounds=args.rounds), flush=True)


if __name__ == "__main__":
    main()

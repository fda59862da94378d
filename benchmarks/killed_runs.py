"""Runs that are killed at random times and started again end with the bits of an undisturbed run.

    python benchmarks/killed_runs.py                                  # 20 smoke runs, once each
    python benchmarks/killed_runs.py --variant= --runs=1 --kills=3    # the default run, three times
    python benchmarks/killed_runs.py --quick                          # one of four steps, once

Even kills are ``kill -9``, odd ones SIGTERM (which has to end with status 0). Parameters, optimiser
state, every network's best and ``metrics.jsonl`` (but for rates) are compared bit for bit.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import smallest
from orbax.checkpoint import v1 as ocp

from dwijax.runs import checkpoint

MEASURED = {"slices_per_second", "network_slices_per_second", "gflops", "share_of_peak", "peak_gib"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="smoke", help="of configs/phantom.py")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=1, help="of each run")
    parser.add_argument("--seed", type=int, default=0, help="of the times")
    parser.add_argument("--folder", type=Path, help="default: a temporary one")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    parser.add_argument("overrides", nargs="*", help="--config.x=y, after --")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.overrides = 1, [*smallest.TRAINING, *options.overrides]
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(compare(options.folder or Path(scratch), options))


def compare(folder, options):
    """Number of runs that differ from the undisturbed one."""
    times, different = random.Random(options.seed), 0
    run(folder / "calm", folder, options)  # simulates the subjects, too
    began = time.monotonic()
    run(folder / "again", folder, options)
    seconds = time.monotonic() - began
    calm = contents(folder / "calm")
    print(f"undisturbed: {seconds:.0f} s; run twice it is "
          + ("the same" if same(calm, contents(folder / "again")) else "NOT the same"), flush=True)
    kills = 0
    for n in range(options.runs):
        workdir, story = folder / f"run_{n:02d}", []
        for _ in range(options.kills):
            number = (signal.SIGKILL, signal.SIGTERM)[kills % 2]
            kills += 1
            after = times.uniform(0, seconds / options.kills)
            status = run(workdir, folder, options, (number, after))
            story.append(f"{number.name} after {after:.1f} s, status {status}, "
                         f"checkpoints {checkpoint.steps(workdir)}")
            if status not in (0, -number) or (number == signal.SIGTERM and status):
                story.append("WRONG STATUS")
                different += 1
        run(workdir, folder, options)
        equal = same(calm, contents(workdir))
        different += not equal
        print(f"run {n}: {'; '.join(story)}: {'the same' if equal else 'DIFFERENT'}", flush=True)
    print(f"{options.runs} runs, {kills} kills: {different} faults")
    return min(different, 1)


def run(workdir, folder, options, kill=None):
    """Exit status; with ``kill = (signal, seconds)``, of the process that got it then."""
    process = subprocess.Popen(
        [sys.executable, smallest.ROOT / "train.py", "--noevaluate", f"--workdir={workdir}",
         f"--config={smallest.ROOT / 'configs' / 'phantom.py'}"
         f"{options.variant and ':' + options.variant}",
         f"--config.data.root={folder / 'data'}", *options.overrides],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if kill is not None:
        try:
            process.wait(kill[1])
        except subprocess.TimeoutExpired:
            process.send_signal(kill[0])
    told = process.communicate()[1]
    if kill is None and process.returncode:
        sys.exit(f"train.py failed: {told}")
    return process.returncode


def contents(workdir):
    """Arrays of the last checkpoint by name, and the lines of the log."""
    step = checkpoint.steps(workdir)[-1]
    path = (workdir / "checkpoints" / f"{step:08d}").absolute()
    stored = ocp.checkpointables_metadata(path).metadata
    trees = ocp.load_checkpointables(
        path, jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), stored))
    lines = [{k: v for k, v in json.loads(line).items() if k not in MEASURED}
             for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {jax.tree_util.keystr(path): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(trees)}, lines


def same(a, b):
    return a[1] == b[1] and a[0].keys() == b[0].keys() and all(
        x.dtype == b[0][name].dtype and x.tobytes() == b[0][name].tobytes()
        for name, x in a[0].items())


if __name__ == "__main__":
    main()

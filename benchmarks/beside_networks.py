"""The network for any table beside networks of one table, on the test subjects of their run.

    python benchmarks/beside_networks.py runs/phantom        # the network that comes with dwijax
    python benchmarks/beside_networks.py runs/phantom --run FILE
    python benchmarks/beside_networks.py --quick             # seconds, of runs made for it

Both get the same inputs and predict the same directions; the noise-free signal judges. Subjects
with the seeds that a network for any table has learnt from must not be among them: what ships has
seen the first five of each generator with seed 0.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import smallest

from dwijax.baselines.networks import networks
from dwijax.errors import ending_in_one_line
from dwijax.evaluation.common.metrics import rmse
from dwijax.evaluation.common.results import TRUTH
from dwijax.evaluation.common.scans import read_scan
from dwijax.fitting.voxels import fit_maps
from dwijax.inference import load_run
from dwijax.runs.weights import SHIPPED
from dwijax.training.reading import read_cohort

HEAD = ("| subject | inputs | DWIs, networks of one table | any table | FA of all, networks of one "
        "table | any table | fit of inputs |\n|---|---|---|---|---|---|---|")


def compare(place, other):
    """Prints a row for each test subject, and their mean."""
    run, any_table, found = load_run(place), load_run(other), []
    print(HEAD, flush=True)
    for member in read_cohort(run.config, run.about, judging=True).test:
        scan = read_scan(member, run.gtab, shell=run.config.data.shell, axis=run.config.data.axis)
        given = scan.acquired.inputs(run.inputs)
        table, brain = scan.acquired.gtab, scan.regions["brain"]
        targets = table.dwis[run.targets]
        clean, reference = scan.clean[:, targets], scan.references[TRUTH].fa
        both = np.r_[table.b0s, table.dwis[run.inputs], targets]
        made = [networks(which, "networks").predict(given, table[targets])
                for which in (run, any_table)]
        fa = [fit_maps([given.signal, dwi], table[both]).fa for dwi in made]
        fa.append(fit_maps([given.signal], given.gtab).fa)
        found.append([*(rmse(dwi, clean, brain) for dwi in made),
                      *(rmse(values, reference, brain) for values in fa)])
        print(_row(scan.name, len(run.inputs), found[-1]), flush=True)
    print(_row("mean", len(run.inputs), np.mean(found, axis=0)))


def _row(name, inputs, values):
    return f"| {name} | {inputs} | " + " | ".join(f"{v:.5f}" for v in values) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("networks", type=Path, nargs="?", metavar="RUN")
    parser.add_argument("--run", type=Path, default=SHIPPED, help="a run for any table")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            compare(smallest.trained_run(folder), args.run)
    elif args.networks is None:
        parser.error("which RUN? Or --quick")
    else:
        compare(args.networks, args.run)


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

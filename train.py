"""Trains a stack of networks, then evaluates it. One command, one folder.

    python train.py
    python train.py --config=configs/phantom.py:smoke
    python train.py --config=configs/he2020.py --config.data.root=/data/hcp --workdir=runs/he2020
    srun python train.py --distributed --config.placement=mesh --config=configs/he2020.py ...

Run again with the same --workdir, it goes on where it was interrupted. SIGTERM saves a checkpoint
and ends with status 0.
"""

if __name__ == "__main__":  # before anything slow is imported
    from dwijax.process.program import begin

    begin("", "the same command goes on from the last checkpoint")

import sys
import time
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from dwijax.errors import InputError
from dwijax.flags import QUIET, define_config, launch
from dwijax.output import refuse_unwritable
from dwijax.process import processes
from dwijax.process.preemption import exit_on_sigterm

DEFAULT = Path(__file__).parent / "configs" / "phantom.py"
CONFIG = define_config(DEFAULT)
flags.adopt_module_key_flags(sys.modules[define_config.__module__])  # --help lists them
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run's folder. Default: runs/ and the config's name and variant.")
EVALUATE = flags.DEFINE_bool("evaluate", True, "Evaluate after training, as eval.py does.")
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One of several processes, started by Slurm, MPI or on a TPU pod.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "One of several: host:port of process 0.")
PROCESSES = flags.DEFINE_integer("processes", None, "With --coordinator: how many there are.")
PROCESS = flags.DEFINE_integer("process", None, "With --coordinator: which one this is, from 0.")
PLAN = flags.DEFINE_string(
    "plan", None, "Only plan and compile, for so many slices of such a size: SLICESxHxW.")
PROFILE = flags.DEFINE_bool("profile", False, "Write a trace of some steps to the run's folder.")


def main():
    exit_on_sigterm()
    path, _, variant = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    if CONFIG.value.deterministic:
        processes.deterministic()
    if CONFIG.value.placement == "auto" and not (DISTRIBUTED.value or COORDINATOR.value):
        processes.split_cpu()
    if COORDINATOR.value is None and (PROCESSES.value is not None or PROCESS.value is not None):
        raise InputError("--processes, --process", found="no --coordinator",
                         expected="all three, or --distributed alone",
                         remedy="give --coordinator too")
    processes.join(DISTRIBUTED.value, COORDINATOR.value, PROCESSES.value, PROCESS.value)
    if PLAN.value:
        print_plan()
        return
    from dwijax.training.calibrating import calibrate
    from dwijax.training.loop import train

    workdir = WORKDIR.value or f"runs/{'-'.join(filter(None, (Path(path).stem, variant)))}"
    refuse_unwritable(workdir)
    train(CONFIG.value, workdir, quiet=QUIET.value, profile=PROFILE.value)
    calibrate(workdir, quiet=QUIET.value)
    if EVALUATE.value and not (DISTRIBUTED.value or COORDINATOR.value):
        from dwijax.evaluation.run import evaluate

        evaluate(workdir, quiet=QUIET.value, baseline_set="quick")


def print_plan():
    from dwijax.training.compile_plan import compile_plan, in_words

    try:
        slices, height, width = (int(n) for n in PLAN.value.split("x"))
    except ValueError:
        raise InputError("--plan", found=PLAN.value, expected="SLICESxHxW, as 1710x144x144",
                         remedy="give three numbers") from None
    began = time.perf_counter()
    for planned in compile_plan(CONFIG.value, (slices, height, width)):
        print(in_words(*planned))
    print(f"planned and compiled in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    launch(main)

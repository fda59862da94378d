"""Evaluates a trained run on its test subjects, or puts runs side by side.

    python eval.py --workdir=runs/phantom --force    # again, with the slow baselines
    python eval.py --compare runs/phantom runs/phantom-fa_loss --out=runs/comparison
    python eval.py --compare runs/superdti-q3 runs/superdti-q6 --out=runs/superdti

Runs that synthesise directions have been evaluated before they are compared; runs that map
(configs/superdti.py) are evaluated together, in one report.
"""

if __name__ == "__main__":  # before anything slow is imported
    from dwijax.process.program import begin

    begin("", "the same command starts again")

import os
from pathlib import Path

from absl import flags

from dwijax.errors import InputError
from dwijax.flags import QUIET, launch
from dwijax.output import refuse_to_overwrite, refuse_unwritable

WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
BASELINES = flags.DEFINE_enum(
    "baselines", "all", ["fewest", "quick", "all"],
    "Which baselines: fewest, enough to compare runs, quick, as after training, or all, with "
    "denoisers that take minutes.")
COMPARE = flags.DEFINE_bool("compare", False, "Compare the evaluated runs that are named.")
ATLAS = flags.DEFINE_list(
    "atlas", None, "FA,LABELS,TABLE of an atlas, registered to each subject of a SuperDTI run that "
    "has no labels of its own.")
OUT = flags.DEFINE_string("out", "runs/comparison", "Folder for the comparison.")
FORCE = flags.DEFINE_bool("force", False, "Replace tables and figures that are there.")


def main(*runs):
    if ATLAS.value and len(ATLAS.value) != 3:
        raise InputError("--atlas", found=",".join(ATLAS.value), expected="FA,LABELS,TABLE",
                         remedy="give three files")
    from dwijax.process import processes

    processes.split_cpu()
    if COMPARE.value:
        return compare(runs)
    if not WORKDIR.value or runs:
        raise InputError(
            "eval.py", found=f"stray argument {runs[0]!r}" if runs else "no --workdir",
            expected="--workdir=RUN, or --compare RUN RUN...", remedy="see --help")
    from dwijax.evaluation.run import evaluate
    from dwijax.process.compilation import keep_compilations

    _keep_what_is_there(WORKDIR.value)
    keep_compilations()
    if Path(WORKDIR.value).is_file():
        raise InputError(WORKDIR.value, found="a file", expected="the folder of a run",
                         remedy="evaluate before exporting: a file knows no test subjects")
    evaluate(WORKDIR.value, quiet=QUIET.value, baseline_set=BASELINES.value, atlas=ATLAS.value)


def _keep_what_is_there(folder):
    if not os.path.isfile(folder):  # an exported run: refused below
        refuse_unwritable(folder)
    if not FORCE.value:
        refuse_to_overwrite(Path(folder) / name for name in ("report.html", "comparison.md"))


def compare(runs):
    from dwijax.evaluation.directions import comparison
    from dwijax.evaluation.maps import evaluate as maps
    from dwijax.runs.folders import read

    _keep_what_is_there(OUT.value)
    if runs and all(read(folder)[0].task == "map_regression" for folder in runs):
        maps.evaluate(runs, OUT.value, atlas=ATLAS.value, quiet=QUIET.value)
    else:
        comparison.compare(runs, OUT.value)


if __name__ == "__main__":
    launch(main, positional=True)

"""Evaluates a trained run on its test subjects, or puts evaluated runs side by side.

    python eval.py --workdir=runs/phantom
    python eval.py --compare runs/phantom runs/phantom-fa_loss --out=runs/comparison
"""

from pathlib import Path

from absl import flags

from dwijax.errors import InputError
from dwijax.flags import QUIET, launch

WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.")
BASELINES = flags.DEFINE_enum(
    "baselines", "all", ["quick", "all"],
    "Which baselines: quick, as after training, or all, with denoisers that take minutes.")
COMPARE = flags.DEFINE_bool("compare", False, "Compare the evaluated runs that are named.")
OUT = flags.DEFINE_string("out", "runs/comparison", "Folder for the comparison.")


def main(*runs):
    if COMPARE.value:
        from dwijax.evaluation.comparison import compare

        compare(runs, OUT.value)
        return
    if not WORKDIR.value or runs:
        raise InputError(
            "eval.py", found=f"stray argument {runs[0]!r}" if runs else "no --workdir",
            expected="--workdir=RUN, or --compare RUN RUN...", remedy="see --help")
    from dwijax.compilation import keep_compilations
    from dwijax.evaluation.report import evaluate

    keep_compilations()
    if Path(WORKDIR.value).is_file():
        raise InputError(WORKDIR.value, found="a file", expected="the folder of a run",
                         remedy="evaluate before exporting: a file knows no test subjects")
    evaluate(WORKDIR.value, quiet=QUIET.value, baseline_set=BASELINES.value)


if __name__ == "__main__":
    launch(main, positional=True)

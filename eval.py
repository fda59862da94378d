"""Evaluates a trained run on its test subjects: tables, figures, a printed summary.

    python eval.py --workdir=runs/phantom
"""

from pathlib import Path

from absl import flags

from dwijax.errors import InputError
from dwijax.flags import QUIET, launch

WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)


def main():
    from dwijax.evaluation.report import evaluate

    if Path(WORKDIR.value).is_file():
        raise InputError(WORKDIR.value, found="a file", expected="the folder of a run",
                         remedy="evaluate before exporting: a file knows no test subjects")
    evaluate(WORKDIR.value, quiet=QUIET.value)


if __name__ == "__main__":
    launch(main)

"""Evaluates a trained run on its test subjects: tables, figures, a printed summary.

    python eval.py --workdir=runs/phantom
"""

from absl import flags

from dwijax.flags import launch

WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)


def main():
    from dwijax.evaluation.report import evaluate

    evaluate(WORKDIR.value)


if __name__ == "__main__":
    launch(main)

"""Trains a stack of networks, then evaluates it. One command, one folder.

    python train.py
    python train.py --config=configs/phantom.py:smoke
    python train.py --config=configs/he2020.py --config.data.root=/data/hcp --workdir=runs/he2020

Run again with the same --workdir, it goes on where it was interrupted. SIGTERM saves a checkpoint
and ends with status 0.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from dwijax.errors import InputError
from dwijax.flags import QUIET, launch
from dwijax.training.preemption import exit_on_sigterm

DEFAULT = Path(__file__).parent / "configs" / "phantom.py"
CONFIG = config_flags.DEFINE_config_file(
    "config", str(DEFAULT), "Config file, with a variant after a colon; --config.x=y overrides x.")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run's folder. Default: runs/ and the config's name and variant.")
EVALUATE = flags.DEFINE_bool("evaluate", True, "Evaluate after training, as eval.py does.")
PROFILE = flags.DEFINE_bool("profile", False, "Write a trace of some steps to the run's folder.")


def main():
    exit_on_sigterm()
    from dwijax.training.loop import train_and_evaluate

    path, _, variant = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    if not Path(path).is_file():
        raise InputError("--config", found=f"no file {path}", expected="a config file",
                         remedy="see configs/")
    workdir = WORKDIR.value or f"runs/{'-'.join(filter(None, (Path(path).stem, variant)))}"
    train_and_evaluate(CONFIG.value, workdir, quiet=QUIET.value, profile=PROFILE.value)
    if EVALUATE.value:
        from dwijax.evaluation.report import evaluate

        evaluate(workdir, quiet=QUIET.value, baseline_set="quick")


if __name__ == "__main__":
    launch(main)

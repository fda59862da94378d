"""What the benchmarks run on with ``--quick``: everything at its smallest, made in seconds.

Their figures mean nothing then: it is a test that they run. Where the environment names a folder as
``DWIJAX_SMALLEST``, what is made is kept there, and benchmarks after the first get copies.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHAPE, VOXEL_SIZE, DIRECTIONS, INPUTS = (16, 20, 6), 6.0, 14, 7
TABLE = ["--directions", str(DIRECTIONS), "--b0s", "2", "--voxel-size", str(VOXEL_SIZE),
         "--shape", *map(str, SHAPE)]
FILES = ("dwi.nii.gz", "dwi.bval", "dwi.bvec", "mask.nii.gz")  # of a scan as plain files
# For train.py, without a config's name and where to read and write.
TRAINING = [
    "--config.phantom.subjects=(1,1,2)", "--config.phantom.shifted_subjects=0",
    f"--config.phantom.shape={SHAPE}", f"--config.phantom.voxel_size={VOXEL_SIZE}",
    f"--config.phantom.directions={DIRECTIONS}", f"--config.data.inputs={INPUTS}",
    "--config.patch=16", "--config.trunk.steps=0", "--config.calibrate=False", "--config.steps=4",
    "--config.validate_every=2", "--config.checkpoint_every=2", "--noevaluate"]


def trained_run(folder, config="phantom"):
    """Path of a run on simulated subjects, trained for a few steps; of a file in ``configs/``."""
    def make(place):
        _quietly([ROOT / "train.py", f"--config={ROOT / 'configs' / config}.py:smoke", *TRAINING,
                  f"--config.data.root={place / 'data'}", f"--workdir={place / 'run'}"])

    return _made(folder, f"trained-{config}", make) / "run"


def scans(folder):
    """Path of a folder that holds one scan as plain files, ``dwi.nii.gz`` and so on."""
    def make(place):
        made, plain = place / "simulated", place / "scans" / "scan"
        _quietly(["-m", "dwijax", "simulate", made, "--subjects", "1", *TABLE])
        found = made / "sub-000" / "T1w" / "Diffusion"
        plain.mkdir(parents=True)
        for theirs, ours in zip(("data.nii.gz", "bvals", "bvecs", "nodif_brain_mask.nii.gz"),
                                FILES, strict=True):
            (found / theirs).rename(plain / ours)

    return _made(folder, "scanned", make) / "scans"


def _made(folder, name, make):
    """``folder``, with what ``make`` writes into the folder that it is given.

    A run knows where its subjects are: what is kept is theirs, and read only, while a copy of the
    rest may be changed.
    """
    folder, kept = Path(folder), os.environ.get("DWIJAX_SMALLEST")
    if kept is None:
        make(folder)
        return folder
    there, made = Path(kept) / name, Path(kept) / f"{name}.made"
    if not made.exists():  # one benchmark at a time; what was not finished is made anew
        shutil.rmtree(there, ignore_errors=True)
        make(there)
        made.touch()
    shutil.copytree(there, folder, dirs_exist_ok=True)
    return folder


def _quietly(words):
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        sys.exit(done.stderr.strip())

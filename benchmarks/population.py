"""Subjects made like real scans and drawn ones, all by one table: what a network for any table
learns from, and what judges it."""

import subprocess
import sys
from pathlib import Path

from smallest import ROOT

from dwijax.data.phantom import acquisition
from dwijax.errors import InputError
from dwijax.gradients import write_gradients

FILES = {"like": "dwi.nii.gz", "bvals": "dwi.bval", "bvecs": "dwi.bvec", "mask": "mask.nii.gz"}
SNR = 20.0  # of subjects that judge; what trains is scanned anew in every step
GENERATORS = ("default", "shifted")
JUDGE = 1000  # number of the subject like a scan that judges networks that have not seen it


def scans_in(folder):
    """Folders of plain files, `FILES`, by name."""
    found = {path.name: path for path in sorted(Path(folder).iterdir())
             if all((path / name).is_file() for name in FILES.values())}
    if not found:
        raise InputError(folder, found=f"no folder with {', '.join(FILES.values())}",
                         expected="a folder of scans", remedy="give another SCANS")
    return found


def make_likenesses(scan, out, table, *, subjects, first=0, snr=SNR, options=()):
    """Subjects like a scan, by the table ``PREFIX``; names of their folders."""
    run([sys.executable, "-m", "dwijax", "simulate", out, f"--subjects={subjects}",
         f"--first={first}", f"--snr={snr}", f"--table={table}", *options,
         *(f"--{option}={scan / name}" for option, name in FILES.items())])
    return [Path(out) / f"like-{i:03d}" for i in range(first, first + subjects)]


def make_drawn(out, table, *, subjects, generator, options=()):
    """Drawn subjects, by the table ``PREFIX``."""
    run([sys.executable, "-m", "dwijax", "simulate", out, f"--subjects={subjects}",
         f"--generator={generator}", f"--bvals={table}.bval", f"--bvecs={table}.bvec", *options])
    return [Path(out) / f"sub-{i:03d}" for i in range(subjects)]


def write_table(prefix, directions=90, b0s=6):
    """An even table as ``PREFIX.bval`` and ``PREFIX.bvec``; returns the prefix."""
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    write_gradients(acquisition(directions, (1000.0,), b0s), f"{prefix}.bval", f"{prefix}.bvec")
    return prefix


def make_all(scans, out, *, subjects, drawn, options=()):
    """Subjects like each scan and ``drawn`` of each generator, in ``out``; ``{name: folder}``."""
    table = write_table(out / "table")
    made = {name: make_likenesses(scan, out / "train" / name, table, subjects=subjects)
            for name, scan in scans.items()}
    made |= {generator: make_drawn(out / "train" / generator, table, subjects=drawn,
                                   generator=generator, options=options)
             for generator in GENERATORS}
    return {f"{kind}-{folder.name}": folder for kind, folders in made.items()
            for folder in folders}


def gather(folder, members):
    """One folder of links to the subjects: ``{name: folder}``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, there in members.items():
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(there.resolve(), target_is_directory=True)
    return folder


def train(config, root, workdir, more=(), split=(0.9, 0.1, 0.0)):
    """Trains a network for any table on the subjects below ``root``."""
    run([sys.executable, ROOT / "train.py", f"--config={ROOT / 'configs' / 'any_table.py'}{config}",
         "--config.data.layout=hcp", f"--config.data.root={root}",
         f"--config.data.split={split}", f"--workdir={workdir}", "--noevaluate", *more])


def run(words):
    subprocess.run([str(word) for word in words], check=True)

"""The network for any table that comes with the package: from scans to one file.

    python benchmarks/shipped.py OUT --scans DIR -o dwijax/runs/weights/any_table.dwijax \\
        --licence BSD-2-Clause
    python benchmarks/shipped.py --quick                     # everything at its smallest

DIR is a folder of folders of plain files (dwi.nii.gz, dwi.bval, dwi.bvec, mask.nii.gz). It learns
from subjects made like these scans and from subjects of both generators of the phantom; one in ten
validates. An interrupted run goes on where it was.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import population
import smallest

from dwijax.errors import ending_in_one_line


def train(scans, out, *, subjects, drawn, config="", options=(), **more):
    """Trains in ``out/run``; how many subjects there were."""
    members = population.make_all(scans, out, subjects=subjects, drawn=drawn, options=options)
    population.train(config, population.gather(out / "all", members), out / "run", **more)
    return len(members)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--scans", type=Path)
    parser.add_argument("-o", "--file", type=Path, help="file to write")
    parser.add_argument("--licence", default="not told", help="of the scans")
    parser.add_argument("--subjects", type=int, default=4, help="like each scan")
    parser.add_argument("--drawn", type=int, default=5, help="subjects of each generator")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args, more = parser.parse_known_args()
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            scans = population.scans_in(smallest.scans(folder))
            train(scans, folder, subjects=1, drawn=1, config=":smoke", split=(0.5, 0.5, 0.0),
                  options=["--shape", *map(str, smallest.SHAPE), "--voxel-size",
                           str(smallest.VOXEL_SIZE)], more=["--config.steps=4", *more])
            export(folder / "run", folder / "any_table.dwijax", ["a test"])
        return
    if None in (args.out, args.scans, args.file):
        parser.error("which OUT, which --scans and which -o? Or --quick")
    scans, begun = population.scans_in(args.scans), time.monotonic()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True,
                            cwd=smallest.ROOT, check=True).stdout.strip()
    count = train(scans, args.out, subjects=args.subjects, drawn=args.drawn, more=more)
    export(args.out / "run", args.file, [
        f"{count} simulated subjects: {args.subjects} like each of {len(scans)} scans "
        f"({', '.join(scans)}; licence of the scans: {args.licence}), {args.drawn} of each "
        f"generator of the phantom ({', '.join(population.GENERATORS)})",
        f"made by benchmarks/shipped.py at commit {commit[:12]} in "
        f"{(time.monotonic() - begun) / 60:.0f} minutes, seed 0"])


def export(run, file, notes):
    """Writes the run as one file with these lines in its model card."""
    population.run([sys.executable, "-m", "dwijax", "export", run, file, "--force",
                    *(word for note in notes for word in ("--note", note))])


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

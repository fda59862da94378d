"""``dwijax enhance`` on real scans that its network has not seen: every fifth direction held back.

    python benchmarks/enhance.py SCANS --runs OUT/runs   # those of benchmarks/unseen_anatomy.py
    python benchmarks/enhance.py SCANS --run FILE        # one network for all
    python benchmarks/enhance.py --quick                 # everything at its smallest

SCANS is a folder of folders of plain files (dwi.nii.gz, dwi.bval, dwi.bvec, mask.nii.gz). Errors
are RMSE of the measured DWIs that were held back, noise and all, over the median b0. Intervals are
of slabs of the head drawn.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import population
import smallest

from dwijax.data.files import SubjectFiles
from dwijax.enhancing.scan import enhance_scan
from dwijax.errors import ending_in_one_line
from dwijax.process import processes

HEAD = ("| scan | held back | network as it comes | adapted | enhanced | best classical | brain "
        "[95 %] | WM | GM | verdict | FA shift in WM | FA of the twin: acquired, enhanced | "
        "seconds |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|")


def row(name, folder, run, seconds):
    """Of one scan: enhanced into a folder that is thrown away."""
    files = SubjectFiles(name, *(folder / population.FILES[kind]
                                 for kind in ("like", "bvals", "bvecs", "mask")))
    with tempfile.TemporaryDirectory() as out:
        found = enhance_scan(files, Path(out), place=run, seconds=seconds, quiet=True)
    held, twin = found["held_back"], found["twin"]["fa_rmse"]
    rmse = {way: values["brain"] for way, values in held["rmse"].items()}
    best = held["best_classical"]
    differences = [held["against_best_classical"][region] for region in ("brain", "WM", "GM")]
    intervals = " | ".join("{difference:+.5f} [{low:+.5f}, {high:+.5f}]".format(**d)
                           for d in differences)
    adapted = f"{rmse['adapted']:.5f}" if "adapted" in rmse else "-"
    return (f"| {name} | {held['directions']} | {rmse['network']:.5f} | {adapted} | "
            f"{rmse['enhanced']:.5f} | {rmse[best]:.5f} ({best}) | {intervals} | "
            f"{found['verdict']} | {found['fa_shift']['WM']:+.4f} | {twin['acquired']:.4f}, "
            f"{twin['enhanced']:.4f} | {sum(found['seconds'].values()):.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--runs", type=Path, help="folder of runs, each named after the scan that "
                        "it was trained without")
    parser.add_argument("--run", type=Path, help="a run for any table")
    parser.add_argument("--only", help="name of one scan")
    parser.add_argument("--seconds", type=float, default=120.0, help="of adaptation")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    processes.split_cpu()
    print(HEAD, flush=True)
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            run = smallest.trained_run(folder, "any_table")
            (name, scan), = population.scans_in(smallest.scans(folder)).items()
            print(row(name, scan, run, 1.0))
        return
    if args.scans is None or (args.run is None) == (args.runs is None):
        parser.error("which SCANS, and which --run or --runs? Or --quick")
    for name, folder in population.scans_in(args.scans).items():
        if args.only in (None, name):
            print(row(name, folder, args.run or args.runs / name, args.seconds), flush=True)


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

"""Seconds to synthesise a test subject: cores as devices that share its slices, and as one device.

    python benchmarks/predict.py runs/phantom                 # a trained run on simulated subjects
    python benchmarks/predict.py runs/phantom --subjects 6
    python benchmarks/predict.py --scan 96 96 60              # the network for any table
    python benchmarks/predict.py --quick                      # seconds, of a run made for it

Both ways in processes of their own, in turn; compilation is not counted. ``--scan`` times the whole
command on a file of that size, 36 volumes to 96, maps and page included, and tells its peak memory.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from smallest import trained_run


def measure(run, subjects, shared):
    """Seconds of each of the first test subjects but the first, which compiles."""
    if shared:
        from dwijax.process import processes

        processes.split_cpu()
    from dwijax.data.subject import load_subject
    from dwijax.inference import load_run, synthesise
    from dwijax.training.reading import read_cohort

    trained = load_run(run)
    for member in read_cohort(trained.config, trained.about).test[: subjects + 1]:
        subject = load_subject(member.files, shell=trained.config.data.shell)
        began = time.perf_counter()
        synthesise(trained, subject)
        yield time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?")
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--scan", type=int, nargs=3, metavar="N", help="grid of a scan")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    parser.add_argument("--way", choices=("shared", "one device"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(*list(measure(args.run, args.subjects, args.way == "shared"))[1:])
        return
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            compare(trained_run(folder), 1)
        whole_command((12, 12, 8))
    elif args.scan:
        whole_command(args.scan)
    elif args.run is None:
        parser.error("which run? Or --quick")
    else:
        compare(args.run, args.subjects)


def whole_command(shape):
    """Prints seconds and peak memory of ``dwijax predict`` without a run."""
    from tensor_fit import peak_of, write_scan

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        voxels = write_scan(folder, shape, 36)
        words = [sys.executable, "-m", "dwijax", "predict", "dwi.nii.gz", "--bvals", "bval",
                 "--bvecs", "bvec", "--mask", "mask.nii.gz", "--add", "60", "-o", "longer",
                 "--quiet"]
        began = time.perf_counter()
        peak = peak_of(words, folder)
        print(f"{'×'.join(map(str, shape))}×36, {voxels:,} voxels in the mask, 60 directions added "
              f"by the network for any table: {time.perf_counter() - began:.1f} s, {peak:.2f} GB")


def compare(run, subjects):
    """Prints the seconds of both ways."""
    found = {}
    for way in ("one device", "shared"):
        line = [sys.executable, __file__, str(run), f"--subjects={subjects}", f"--way={way}"]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        found[way] = statistics.median(map(float, done.stdout.split()))
        print(f"{way}: {found[way]:.2f} s a subject", flush=True)
    print(f"{found['one device'] / found['shared']:.2f} times as fast")


if __name__ == "__main__":
    main()

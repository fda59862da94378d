"""Seconds to synthesise a test subject: cores as devices that share its slices, and as one device.

    python benchmarks/predict.py runs/phantom                 # a trained run on simulated subjects
    python benchmarks/predict.py runs/phantom --subjects 6
    python benchmarks/predict.py --quick                      # seconds, of a run made for it

Both ways in processes of their own, in turn; compilation is not counted.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

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
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    parser.add_argument("--way", choices=("shared", "one device"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(*list(measure(args.run, args.subjects, args.way == "shared"))[1:])
        return
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            compare(trained_run(folder), 1)
    elif args.run is None:
        parser.error("which run? Or --quick")
    else:
        compare(args.run, args.subjects)


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

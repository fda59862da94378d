"""Seconds to synthesise a test subject: cores as devices that share its slices, and as one device.

    python benchmarks/predict.py runs/phantom                 # a trained run on simulated subjects
    python benchmarks/predict.py runs/phantom --subjects 6

Both ways in processes of their own, in turn; compilation is not counted.
"""

import argparse
import statistics
import subprocess
import sys
import time


def measure(run, subjects, shared):
    """Seconds of each of the first test subjects but the first, which compiles."""
    if shared:
        from dwijax.training import processes

        processes.split_cpu()
    from dwijax.data.subject import load_subject
    from dwijax.inference import load_run, synthesise
    from dwijax.training.reading import read_cohort

    trained = load_run(run)
    for member in read_cohort(trained.config).test[: subjects + 1]:
        subject = load_subject(member.files, shell=trained.config.data.shell)
        began = time.perf_counter()
        synthesise(trained, subject)
        yield time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--way", choices=("shared", "one device"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(*list(measure(args.run, args.subjects, args.way == "shared"))[1:])
        return
    found = {}
    for way in ("one device", "shared"):
        line = [sys.executable, __file__, args.run, f"--subjects={args.subjects}", f"--way={way}"]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        found[way] = statistics.median(map(float, done.stdout.split()))
        print(f"{way}: {found[way]:.2f} s a subject", flush=True)
    print(f"{found['one device'] / found['shared']:.2f} times as fast")


if __name__ == "__main__":
    main()

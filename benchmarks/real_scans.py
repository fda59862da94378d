"""Networks for any table on real scans that they have not seen: directions held back, and a scan
acquired twice.

    python benchmarks/real_scans.py SCANS --runs OUT/runs    # those of benchmarks/unseen_anatomy.py
    python benchmarks/real_scans.py SCANS --run FILE         # one network for all
    python benchmarks/real_scans.py --quick                  # everything at its smallest

SCANS is a folder of folders of plain files (dwi.nii.gz, dwi.bval, dwi.bvec, mask.nii.gz). Of each
scan well spread directions are inputs and all others judge, several times. Where a scan repeats its
table, inputs are of the first half and the whole second half judges. Baselines are tuned on the
inputs alone. Errors are RMSE of measured DWIs in the brain over the median b0, noise and all;
intervals are of slabs of the head drawn.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import population
import smallest

from dwijax.baselines import acquired
from dwijax.baselines.networks import networks
from dwijax.data.files import SubjectFiles
from dwijax.data.scan import open_scan
from dwijax.data.subject import subject_of
from dwijax.dti.design import MAX_CONDITION, condition_number
from dwijax.errors import ending_in_one_line
from dwijax.evaluation.common.metrics import excess
from dwijax.evaluation.common.noise import from_scan
from dwijax.evaluation.common.regions import from_fit
from dwijax.evaluation.studies.fewer_directions import Reference, judge
from dwijax.fitting.voxels import fit_maps, principal_directions
from dwijax.gradients import shells
from dwijax.gradients.directions import compare, spread_subset
from dwijax.inference import load_run

HEAD = ("| scan | inputs | judged by | split | networks | excess | best of all | difference "
        "[95 %] | ratio | WM, GM ratio | FA bias WM, GM | FA, MD, V1 against (fit of inputs) |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|")
INPUTS = (30, 16, 12, 6)  # of those that a scan has enough directions for
REPEATED = 3.0  # degrees between the directions of two halves that are the same table


def read(folder):
    """A scan's highest shell as a subject."""
    files = SubjectFiles(folder.name, *(folder / population.FILES[name]
                                        for name in ("like", "bvals", "bvecs", "mask")))
    scan = open_scan(files)
    return subject_of(scan, shells(scan.gtab.bvals, scan.gtab.b0_threshold)[-1][0])


def halves(subject):
    """Positions of the two halves of a scan that repeats its table, or None."""
    gtab, order = subject.gtab, np.argsort(subject.volumes)  # in acquired order
    if len(order) % 2:
        return None
    one, two = (np.sort(half) for half in np.split(order, 2))
    a, b = (gtab[half] for half in (one, two))
    same = len(a.b0s) == len(b.b0s) > 0 and (
        compare(a.bvecs[a.dwis], b.bvecs[b.dwis]) < REPEATED).all()
    return (one, two) if same else None


def subsets(gtab, count, most):
    """Positions of up to ``most`` different well spread subsets that determine a tensor."""
    found = {}
    for first in range(len(gtab)):
        chosen = np.sort(spread_subset(gtab.bvecs, count, first))
        bvals = np.append(gtab.bvals[chosen], 0.0)
        if condition_number(bvals, np.append(gtab.bvecs[chosen], np.eye(1, 3), 0)) < MAX_CONDITION:
            found.setdefault(tuple(chosen), chosen)
    spaced = np.linspace(0, len(found), min(most, len(found)), endpoint=False).astype(int)
    return [list(found.values())[i] for i in spaced]


def cases(subject, splits):
    """``(inputs, judged by, split, given, wanted, expected)`` of a scan."""
    whole = acquired(subject)
    pair = halves(subject)
    if pair is not None:
        one, two = (whole.take(half) for half in pair)
        # Both halves in units of one b0: their gains may differ.
        gain = np.median(one.signal[:, one.gtab.b0s].mean(1)) / np.median(
            two.signal[:, two.gtab.b0s].mean(1))
        expected = gain * two.signal[:, two.gtab.dwis]
        for q in sorted({len(one.gtab.dwis), *INPUTS}, reverse=True):
            if q <= len(one.gtab.dwis):
                for split, chosen in enumerate(subsets(one.gtab[one.gtab.dwis], q, splits)):
                    yield q, "second run", split, one.inputs(chosen), two.gtab[
                        two.gtab.dwis], expected
        return
    dwis = whole.gtab.dwis
    for q in INPUTS:
        if q > len(dwis) - 4:
            continue
        for split, chosen in enumerate(subsets(whole.gtab[dwis], q, splits)):
            others = np.setdiff1d(np.arange(len(dwis)), chosen)
            yield (q, f"{len(others)} held back", split, whole.inputs(chosen),
                   whole.gtab[dwis[others]], whole.signal[:, dwis[others]])


def rows(name, subject, run, splits):
    """Rows of one scan."""
    whole = acquired(subject)
    fit = fit_maps([whole.signal], whole.gtab)
    reference = Reference(fit.fa, fit.md, principal_directions(fit.tensor),
                          from_fit(fit.fa, fit.md))
    sigma = from_scan(whole.signal, whole.gtab).sigma
    for q, by, split, given, wanted, expected in cases(subject, splits):
        found = judge(given, wanted, expected, networks(run, "networks"), reference)
        own, best = found.networks, found.best()
        ratios = ", ".join(f"{own.dwi_in(r) / best.dwi_in(r):.3f}" for r in (
            reference.regions["WM"], reference.regions["GM"]))
        bias = ", ".join(f"{value:+.4f}" for value in own.maps.fa_bias.values())
        maps = ", ".join(
            f"{getattr(own.maps, m):.{d}f} ({getattr(found.acquired, m):.{d}f})"
            for m, d in (("fa", 4), ("md", 4), ("v1", 1)))
        yield (f"| {name} | {q} | {by} | {split} | {own.dwi:.5f} | {excess(own.dwi, sigma):.4f} | "
               f"{best.dwi:.5f} ({best.method}) | {found.against(best):+.5f} | "
               f"{own.dwi / best.dwi:.4f} | {ratios} | {bias} | {maps} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--runs", type=Path, help="folder of runs, each named after the scan that "
                        "it was trained without")
    parser.add_argument("--run", type=Path, help="a run for any table")
    parser.add_argument("--only", help="name of one scan")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    print(HEAD, flush=True)
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            run = smallest.trained_run(folder, "any_table")
            scan, = population.scans_in(smallest.scans(folder)).values()
            for row in rows("scan", read(scan), load_run(run), 1):
                print(row)
        return
    if args.scans is None or (args.run is None) == (args.runs is None):
        parser.error("which SCANS, and which --run or --runs? Or --quick")
    for name, folder in population.scans_in(args.scans).items():
        if args.only in (None, name):
            for row in rows(name, read(folder), load_run(args.run or args.runs / name),
                            args.splits):
                print(row, flush=True)


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

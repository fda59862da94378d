"""Many protocols, one cohort: FA of the same heads acquired by tables of 6 to 90 directions.

    python benchmarks/protocols.py OUT                      # the network that comes with dwijax
    python benchmarks/protocols.py OUT --run FILE --heads 24
    python benchmarks/protocols.py OUT --scans DIR --runs RUNS   # real scans too, cut to fewer
    python benchmarks/protocols.py --quick                  # everything at its smallest

Simulated heads with lesions are scanned by five tables (b = 1000 s/mm², one b0 for 15 directions,
each turned by itself and with noise of its own), and the network adds directions to each until
there are 90, as ``dwijax predict`` does; of 90 nothing changes, and below 8 what is added is not
held to the anisotropy of what was acquired. FA is that of the default fit; the
truth is the noise-free fit of the 90. Figures: mean FA of white matter and its bias; FA in lesions
less FA of the white matter around them, over the truth's; SD between subjects of FA of regions
without lesions (root mean square over regions), over the truth's: noise that differs from subject
to subject raises it. Intervals are of heads drawn anew. OUT/protocols.csv has all figures.

DIR is a folder of folders of plain files (dwi.nii.gz, dwi.bval, dwi.bvec, mask.nii.gz). Scans with
60 directions and more are cut to fewer; of scans that repeat their table each run is cut, so that
protocols differ in noise too. White matter is that of the fit of all volumes; intervals are of
slabs of the head drawn. The network that comes with dwijax has learnt from subjects made like real
scans: RUNS is a folder of runs, each named after the scan that it was trained without
(benchmarks/unseen_anatomy.py).
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import heads
import numpy as np
import population
import smallest
from figures import figure, markdown, write
from real_scans import halves, read, subsets
from scipy.spatial.transform import Rotation

from dwijax.baselines.networks import networks
from dwijax.data.phantom import make_settings, simulate_subject
from dwijax.data.phantom.regions import TISSUES
from dwijax.errors import ending_in_one_line
from dwijax.evaluation.common.regions import from_fit
from dwijax.evaluation.common.slabs import slabs_of
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable, direction_set
from dwijax.gradients.directions import added_directions
from dwijax.inference import load_run
from dwijax.inference.wanted import IN_ALL
from dwijax.process import processes
from dwijax.runs.weights import SHIPPED
from dwijax.tasks.calibration import LEAST_INPUTS

COUNTS = (6, 12, 20, 30, 90)
PER_B0 = 15  # directions
B = 1000.0  # s/mm²
CUT = (6, 12, 30)  # directions of real scans
FEWEST = 60  # directions of a scan that is cut
LEAST = 50  # voxels of a region, in every head
WAYS = ("noise-free", "acquired", "enhanced")


class Protocol(NamedTuple):
    """Attributes:
      name: in tables. gtab: what is acquired, b0s first. wanted: what is added, of one b.
    """

    name: str
    gtab: GradientTable
    wanted: GradientTable


def protocol(name, bvecs, b0s, b, in_all):
    """`Protocol` of unit directions ``[q, 3]``, to which others are added up to ``in_all``."""
    q = len(bvecs)
    gtab = GradientTable(np.r_[np.zeros(b0s), np.full(q, b)],
                         np.concatenate([np.zeros((b0s, 3)), bvecs]))
    added = added_directions(bvecs, in_all - q) if q < in_all else np.zeros((0, 3))
    return Protocol(str(name), gtab, GradientTable(np.full(len(added), b), added))


def turned(counts, in_all):
    """A `Protocol` for each number of directions."""
    return [protocol(q, direction_set(q) @ Rotation.random(random_state=n).as_matrix().T,
                     max(1, q // PER_B0), B, in_all) for n, q in enumerate(counts)]


class Measured(NamedTuple):
    """Of one head, by W `WAYS` and P protocols.

    Attributes:
      mean: FA of white matter, ``[W, P]``. contrast: of lesions to what is around them ``[W, P]``.
      regional: FA of `heads.WHITE_REGIONS`, ``[W, P, R]``. voxels: of these, ``[R]``.
    """

    mean: np.ndarray
    contrast: np.ndarray
    regional: np.ndarray
    voxels: np.ndarray


def measure(index, protocols, network, shape, voxel_size):
    """`Measured` of the head ``index``, which is scanned by all protocols."""
    gtabs = [p.gtab for p in protocols]
    gtab = GradientTable(np.concatenate([g.bvals for g in gtabs]),
                         np.concatenate([g.bvecs for g in gtabs]))
    head = simulate_subject(make_settings(
        seed=heads.SEED, snr=heads.SNR, shape=shape, voxel_size=voxel_size, gtab=gtab,
        lesions=True), index)
    fa, start = [], 0
    for own, _, wanted in ((p.gtab, p.name, p.wanted) for p in protocols):
        part = slice(start, start + len(own))
        start += len(own)
        fa.append([heads.fa_of([head.clean[..., part][head.mask]], own), *heads.both_fa_of(
            heads.subject_of(head, np.ascontiguousarray(head.dwi[..., part]), own), wanted,
            network)])
    white = (head.tissue == TISSUES.index("white"))[head.mask]
    lesion, ring = heads.lesion_and_ring(head)
    regions = heads.regions_of(head, heads.grown(head.lesion, 1))

    def over(function):
        return np.swapaxes([[function(values) for values in ways] for ways in fa], 0, 1)

    return Measured(
        over(lambda values: heads.mean_in(values, white)),
        over(lambda values: heads.mean_in(values, lesion) - heads.mean_in(values, ring)),
        over(lambda values: [heads.mean_in(values, region) for region in regions]),
        regions.sum(axis=1))


def spread(means):
    """Largest difference between protocols ``[..., P]``."""
    return np.ptp(means, axis=-1)


def summarised(found, protocols, least):
    """Figures of a list of `Measured`."""
    mean, contrast, regional, voxels = (np.stack(values) for values in zip(*found, strict=True))
    contrast = contrast[np.isfinite(contrast).all(axis=(1, 2))]  # heads with a lesion in the slab
    regional = regional[..., (voxels >= least).all(axis=0)]

    def bias(who):
        return (mean[who] - mean[who, :1, -1:]).mean(axis=0)

    def kept(who):
        total = contrast[who].sum(axis=0)
        return 100 * total / total[0, -1]

    def deviation(who):
        variance = regional[who].var(axis=0).mean(axis=-1)
        # One head, drawn again and again, has no SD.
        return np.sqrt(variance / (variance[0, -1] or np.nan))

    def differences(who):
        found = mean[who].mean(axis=0)
        return np.stack([spread(found[:, those]) for those in compared.values()], axis=1)

    count = np.array([len(p.gtab.dwis) for p in protocols])
    compared = {"all protocols": count > 0,
                f"{LEAST_INPUTS} directions and more": count >= LEAST_INPUTS}
    compared = {name: those for name, those in compared.items() if those.any()}
    everyone = np.arange(len(mean))
    ends = {statistic: heads.interval(statistic, len(units)) for statistic, units in (
        (bias, mean), (kept, contrast), (deviation, mean), (differences, mean)) if len(units)}
    figures = []
    for p, name in enumerate(p.name for p in protocols):
        figures.append(figure("directions", name, "FA of WM, noise-free", mean[:, 0, p].mean()))
        for w, way in enumerate(WAYS[1:], 1):
            figures.append(figure("directions", name, f"FA of WM, {way}", mean[:, w, p].mean()))
            for statistic, what, unit, digits in (
                    (bias, "bias", "", "+.4f"), (kept, "lesions kept", "%", ".1f"),
                    (deviation, "SD over truth's", "", ".3f")):
                if statistic in ends:
                    units = everyone[:len(contrast)] if statistic is kept else everyone
                    figures.append(figure(
                        "directions", name, f"{what}, {way}", statistic(units)[w, p],
                        ends[statistic][:, w, p], unit, digits))
    for w, way in enumerate(WAYS):
        for n, name in enumerate(compared):
            figures.append(figure("largest difference of FA of WM", way, name,
                                  differences(everyone)[w, n], ends[differences][:, w, n]))
    return figures


def cut(subject, counts, in_all):
    """``(run, positions of volumes, Protocol)`` of a real scan; None where it is not to be cut."""
    pair = halves(subject)
    if pair is None and len(subject.gtab.dwis) < FEWEST:
        return None
    found = []
    for run, volumes in enumerate(pair or [np.arange(len(subject.gtab))], 1):
        gtab = subject.gtab[volumes]
        own = gtab[gtab.dwis]
        for q in (*(q for q in counts if q < len(own)), len(own)):
            chosen = subsets(own, q, run)[-1]  # another one of the second run, where there is one
            name = f"{q}, run {run}" if pair else q
            found.append((volumes[np.r_[gtab.b0s, gtab.dwis[chosen]]], protocol(
                name, own.bvecs[chosen], len(gtab.b0s), float(np.median(own.bvals)), in_all)))
    return found


def acquired_twice(gtab, shape, voxel_size):
    """A head scanned by the same table two times, b0s first, as a real scan."""
    count, b0s = len(gtab), len(gtab.b0s)
    volumes = np.arange(2 * count).reshape(2, count)
    volumes = np.r_[volumes[:, :b0s].ravel(), volumes[:, b0s:].ravel()]
    both = gtab[volumes % count]
    head = simulate_subject(make_settings(seed=heads.SEED, snr=heads.SNR, shape=shape,
                                          voxel_size=voxel_size, gtab=both), 0)
    return replace(heads.subject_of(head, head.dwi, both), volumes=volumes)


def of_scan(name, subject, network, protocols):
    """Figures of a real scan, each protocol's and the largest difference between them."""
    whole = fit_maps([subject.dwi[subject.mask]], subject.gtab)
    white = from_fit(whole.fa, whole.md)["WM"]
    fa = np.swapaxes([heads.both_fa_of(heads.part_of(subject, volumes), wanted, network)
                      for volumes, (_, _, wanted) in protocols], 0, 1)
    white &= np.isfinite(fa).all(axis=(0, 1))
    numbers = np.unique(slabs_of(subject.mask, 2)[white], return_inverse=True)[1]
    count = numbers.max() + 1
    sums = np.stack([fa[..., white][..., numbers == n].sum(axis=-1) for n in range(count)])
    voxels = np.bincount(numbers)

    def means(slabs):
        return sums[slabs].sum(axis=0) / voxels[slabs].sum()

    def differences(slabs):
        return spread(means(slabs))

    everything = np.arange(count)
    figures = [figure(name, p.name, f"FA of WM, {way}", means(everything)[w, n],
                      heads.interval(means, count)[:, w, n])
               for n, (_, p) in enumerate(protocols) for w, way in enumerate(WAYS[1:])]
    return figures + [
        figure(name, "largest difference", f"FA of WM, {way}", differences(everything)[w],
               heads.interval(differences, count)[:, w]) for w, way in enumerate(WAYS[1:])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?", help="folder for protocols.csv")
    parser.add_argument("--run", type=Path, default=SHIPPED, help="a run for any table")
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--scans", type=Path, help="folder of real scans")
    parser.add_argument("--runs", type=Path, help="folder of runs, each named after the scan that "
                        "it was trained without")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    processes.split_cpu()
    network, counts, in_all = networks(load_run(args.run), "network"), COUNTS, IN_ALL
    shape, voxel_size, least = (56, 68, 24), 2.5, LEAST
    if args.quick:
        # So few that the network is not held to their anisotropy: a program less to compile.
        args.heads, counts, in_all, least = 2, (6, 7), smallest.DIRECTIONS, 0
        shape, voxel_size = smallest.SHAPE, smallest.VOXEL_SIZE
    protocols, found = turned(counts, in_all), []
    for index in range(args.heads):
        begun = time.monotonic()
        found.append(measure(index, protocols, network, shape, voxel_size))
        print(f"head {index + 1} of {args.heads}: {time.monotonic() - begun:.1f} s",
              file=sys.stderr)
    figures = summarised(found, protocols, least)
    print(markdown(figures), flush=True)
    scans = {name: read(folder) for name, folder in population.scans_in(args.scans).items()
             } if args.scans else {}
    if args.quick:
        scans["scan"] = acquired_twice(protocols[-1].gtab, shape, voxel_size)
    for name, subject in scans.items():
        parts = cut(subject, CUT, in_all)
        if parts is None:
            print(f"{name}: fewer than {FEWEST} directions", file=sys.stderr)
            continue
        own = networks(load_run(args.runs / name), "network") if args.runs else network
        figures += of_scan(name, subject, own, parts)
        print(f"\n{markdown([f for f in figures if f.table == name])}", flush=True)
    if args.out:
        write(figures, args.out / "protocols.csv")


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

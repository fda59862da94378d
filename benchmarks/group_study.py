"""Group studies of patients and controls: what enhancement does to their findings.

    python benchmarks/group_study.py OUT                    # the network that comes with dwijax
    python benchmarks/group_study.py OUT --run FILE --inputs 30 12 6
    python benchmarks/group_study.py --quick                # everything at its smallest

Studies compare two groups region by region, by a two-sided t-test of mean FA at 5 %, in three
settings: no difference; FA of one tract 5 % lower in the patients; lesions in the patients. FA is
that of the default fit: of a few of 90 directions, of these and those that the network fills in,
of all 90, and of the noise-free 90.

An enhancement takes seconds, 4,800 of them hours: a pool of heads is simulated, each of them
healthy, with the tract and with lesions, and every study draws other groups from it. No head is in
a study twice, and its three versions have the same noise, so that their difference is that of the
tissue. All settings have the same groups. Groups of one pool are exchangeable where nothing is
different: the share of false positives is that of the method, while power and sizes of effects are
of this pool, which should be larger than a study.

The tract's DWIs are mixed with their mean over the directions until the noise-free fit says 5 %.
Lesions lie where they happen to, in every head elsewhere; what is tested is FA in them less FA of
the white matter around them, in the controls of the same places of their own heads, where they
have no lesion. Regions are without those places in all versions: what is false positive there has
been spread by the method.

Intervals: of studies drawn anew for false positives and power, of heads for effects (difference
between versions over that of the noise-free ones). OUT/group_study.csv has all figures.
"""

import argparse
import sys
import time
from pathlib import Path

import heads
import numpy as np
import smallest
from figures import figure, markdown, write
from scipy.stats import ttest_ind

from dwijax.baselines import acquired
from dwijax.baselines.networks import networks
from dwijax.data.phantom import acquisition, make_settings, noise, simulate_subject
from dwijax.data.phantom.regions import NAMES
from dwijax.errors import InputError, ending_in_one_line
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import direction_set
from dwijax.gradients.directions import best_conditioned
from dwijax.inference import load_run
from dwijax.process import processes
from dwijax.runs.weights import SHIPPED

VERSIONS = ("healthy", "tract", "lesions")  # of the patients' heads, in this order of settings
TRACT = ("superior_longitudinal_left", "superior_longitudinal_right")
LOWER = 0.05  # of the tract's FA
DIRECTIONS, B0S = 90, 2
LEAST = 50  # voxels of a region, in every head
LEVEL = 0.05
MARGIN = 2  # voxels around lesions that belong to no region


def lowered(clean, gtab, share):
    """Noise-free voxels ``[V, M]`` whose FA is lower by a share, by mixing the DWIs of each with
    their mean; one mixture tells how much the second takes."""
    dwis, fa, weight = gtab.dwis, fit_maps([clean], gtab).fa, share
    for _ in range(2):
        mixed = clean.copy()
        mixed[:, dwis] += weight * (clean[:, dwis].mean(axis=1, keepdims=True) - clean[:, dwis])
        weight = weight * share / (1 - fit_maps([mixed], gtab).fa / fa)[:, None]
    return mixed


def versions_of(index, settings, lesions):
    """The head ``index`` and its noise-free volumes in each of `VERSIONS`; its lesions."""
    head, ill = (simulate_subject(s, index) for s in (settings, lesions))
    tract = np.isin(head.labels, [NAMES.index(name) + 1 for name in TRACT])
    thin = head.clean.copy()
    thin[tract] = lowered(head.clean[tract], head.gtab, LOWER)
    return head, (head.clean, thin, ill.clean), ill


def measure(index, settings, lesions, network, inputs):
    """FA ``[versions, methods, R + 1]`` of the head ``index`` by region, and its lesions' contrast;
    voxels ``[R]``. ``inputs``: of each method the positions of its directions in the shell."""
    head, versions, ill = versions_of(index, settings, lesions)
    regions = heads.regions_of(head, heads.grown(ill.lesion, MARGIN))
    lesion, ring = heads.lesion_and_ring(ill)
    order = np.r_[head.gtab.b0s, head.gtab.dwis]
    gtab = head.gtab[order]
    found = []
    for clean in versions:
        dwi = noise.rician(np.moveaxis(clean, -1, 0), head.sigma,
                           np.random.default_rng([heads.SEED, index]))
        dwi = np.ascontiguousarray(np.moveaxis(dwi, 0, -1)[..., order])
        whole = acquired(heads.subject_of(head, dwi, gtab))
        fa = [heads.fa_of([clean[head.mask][:, order]], gtab),
              heads.fa_of([whole.signal], gtab)]
        for chosen in inputs:
            others = np.setdiff1d(np.arange(len(gtab.dwis)), chosen)
            fa += heads.both_fa(whole.inputs(chosen), gtab[gtab.dwis[others]], network)
        found.append([[*(heads.mean_in(values, region) for region in regions),
                       heads.mean_in(values, lesion) - heads.mean_in(values, ring)]
                      for values in fa])
    return np.array(found), regions.sum(axis=1)


def groups(pool, subjects, studies):
    """Positions of patients and of controls in the pool, ``[2, studies, subjects]``."""
    rng = np.random.default_rng(heads.SEED)
    drawn = np.stack([rng.permutation(pool)[:2 * subjects] for _ in range(studies)])
    return np.split(drawn, 2, axis=1)


def setting(values, version, drawn, affected):
    """Of one setting ``(found, d)``: bool ``[studies, methods, R + 1]``, whether a test finds a
    difference, and Cohen's d over the affected ``[methods]``, mean over studies.

    Args:
      values: ``[pool, versions, methods, R + 1]``. affected: bool ``[R + 1]``.
    """
    patients, controls = (values[who, v] for who, v in zip(drawn, (version, 0), strict=True))
    found = np.asarray(ttest_ind(patients, controls, axis=1, nan_policy="omit").pvalue) < LEVEL
    if not affected.any():
        return found, None
    apart = np.nanmean(patients, axis=1) - np.nanmean(controls, axis=1)
    pooled = (np.nanvar(patients, axis=1, ddof=1) + np.nanvar(controls, axis=1, ddof=1)) / 2
    return found, (apart / np.sqrt(pooled))[..., affected].mean(axis=(0, 2))


def summarised(values, names, methods, subjects, studies):
    """Figures of the pool ``[pool, versions, methods, R + 1]``, whose R regions have ``names``."""
    drawn = groups(len(values), subjects, studies)
    lesion = np.arange(len(names) + 1) == len(names)
    where = (np.zeros(len(lesion), bool), np.isin([*names, ""], TRACT), lesion)
    figures = []
    for version, (name, affected) in enumerate(zip(VERSIONS, where, strict=True)):
        found, d = setting(values, version, drawn, affected)
        title = "no difference" if name == "healthy" else name

        def of(what, where, title=title, found=found):
            """Shares of tests that find a difference, percent."""
            def share(studies):
                return 100 * found[studies][..., where].mean(axis=(0, 2))

            ends = heads.interval(share, len(found))
            return [figure(title, method, what, share(np.arange(len(found)))[m], ends[:, m], "%",
                           ".1f") for m, method in enumerate(methods)]

        figures += of("false positives", ~affected & ~lesion)
        if not affected.any():
            continue
        figures += of("power", affected)

        def gained(studies, found=found, affected=affected):
            """Power less that of what was acquired alone, the method before."""
            return 100 * np.diff(found[studies][..., affected].mean(axis=(0, 2)))

        ends = heads.interval(gained, studies)
        figures += [figure(title, method, "power gained", gained(np.arange(studies))[m],
                           ends[:, m], "points", "+.1f")
                    for m, method in enumerate(methods[1:]) if "enhanced" in method]
        change = (values[:, version] - values[:, 0])[..., affected]
        change = change[np.isfinite(change).all(axis=(1, 2))]

        def effect(who, change=change):
            return change[who].mean(axis=(0, 2))

        def relative(who, effect=effect):
            return 100 * effect(who) / effect(who)[0]

        everyone, ends = np.arange(len(change)), heads.interval(relative, len(change))
        for m, method in enumerate(methods):
            figures += [
                figure(title, method, "effect, FA", effect(everyone)[m], digits="+.4f"),
                figure(title, method, "effect over true", relative(everyone)[m], ends[:, m], "%",
                       ".1f"),
                figure(title, method, "Cohen's d", d[m], digits="+.2f")]
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?", help="folder for group_study.csv")
    parser.add_argument("--run", type=Path, default=SHIPPED, help="a run for any table")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--subjects", type=int, default=12, help="of each of a study's groups")
    parser.add_argument("--pool", type=int, default=32, help="heads that studies draw from")
    parser.add_argument("--inputs", type=int, nargs="+", default=(30,), help="of 90 directions")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    count, shape, voxel_size, least = DIRECTIONS, (56, 68, 24), 2.5, LEAST
    if args.quick:
        # So few that the network is not held to their anisotropy: a program less to compile.
        args.studies, args.subjects, args.pool, args.inputs = 3, 2, 4, (7,)
        count, shape, voxel_size, least = (smallest.DIRECTIONS, smallest.SHAPE,
                                           smallest.VOXEL_SIZE, 1)
    if args.pool < 2 * args.subjects:
        raise InputError("--pool", found=f"{args.pool} heads for groups of {args.subjects}",
                         expected=f"at least {2 * args.subjects}", remedy="give more")
    processes.split_cpu()
    network = networks(load_run(args.run), "network")
    settings, lesions = (make_settings(
        seed=heads.SEED, snr=heads.SNR, shape=shape, voxel_size=voxel_size,
        gtab=acquisition(count, b0s=B0S), lesions=ill) for ill in (False, True))
    chosen = [best_conditioned(direction_set(count), q) for q in args.inputs]
    values, voxels = [], []
    for index in range(args.pool):
        begun = time.monotonic()
        found, inside = measure(index, settings, lesions, network, chosen)
        values.append(found)
        voxels.append(inside)
        print(f"head {index + 1} of {args.pool}, three versions: "
              f"{time.monotonic() - begun:.1f} s", file=sys.stderr)
    large = (np.stack(voxels) >= least).all(axis=0)
    names = [name for name, enough in zip(heads.WHITE_REGIONS, large, strict=True) if enough]
    methods = ["noise-free", f"{count} acquired", *(
        way for q in args.inputs for way in (f"{q} acquired", f"{q} and {count - q} enhanced"))]
    figures = summarised(np.stack(values)[..., np.r_[large, True]], names, methods, args.subjects,
                         args.studies)
    print(f"{args.studies} studies of 2 × {args.subjects} from {args.pool} heads, "
          f"{len(names)} regions\n\n{markdown(figures)}")
    if args.out:
        write(figures, args.out / "group_study.csv")


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

"""A network for any table on simulations of real anatomies that it has not seen.

    python benchmarks/unseen_anatomy.py SCANS OUT            # every scan left out in turn
    python benchmarks/unseen_anatomy.py SCANS OUT --only NAME --config.steps=2000
    python benchmarks/unseen_anatomy.py SCANS OUT --runs FOLDER   # judges what was trained there
    python benchmarks/unseen_anatomy.py --quick              # everything at its smallest

SCANS is a folder of folders of plain files (dwi.nii.gz, dwi.bval, dwi.bvec, mask.nii.gz). For each
scan a network learns from subjects made like all *other* scans and from drawn ones, and is judged
on a subject made like the one that was left out, whose noise-free signal is known. Baselines are
tuned on that subject by leaving its inputs out in turn. Errors are in units of the noise, which is
white, or as the scan's (uneven, shared by neighbours, with gains, motion and dropouts), or that on
a truth with texture below the voxel, which nothing trains on.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np
import population
import smallest

from dwijax.baselines import acquired
from dwijax.baselines.networks import networks
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.errors import ending_in_one_line
from dwijax.evaluation.common.noise import from_truth
from dwijax.evaluation.common.regions import TISSUES, from_tissue
from dwijax.evaluation.studies.fewer_directions import Reference, judge, map_errors
from dwijax.fitting.voxels import fit_maps, principal_directions
from dwijax.gradients.directions import spread_subset
from dwijax.inference import load_run

MANY = 62  # acquired directions whose fit is told beside

NOISES = {"white": ["--white-noise"], "scan": [], "textured": ["--texture"]}

HEAD = ("| left out | inputs | SNR | noise | networks, σ | WM, GM, CSF | / best tuned | "
        "/ best after denoising | FA RMSE, all | fit of inputs | fit of 62 | FA bias WM, GM | "
        "MD, µm²/ms | V1, ° (fit) |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")


def judged(run, folder, inputs, snr, noise):
    """One row: a subject with its truth, ``inputs`` of its directions."""
    files = next(f for f in find_subjects(folder.parent, "hcp") if f.name == folder.name)
    subject = load_subject(files)
    brain, dwis = subject.mask, subject.gtab.dwis
    scale = np.float32(subject.scale)
    truth = subject.companion(files.truth / "dwi.nii.gz", subject.image.shape[3:],
                              volumes=subject.volumes, what="series")[brain] / scale
    # V1 along the axes of the subject, as its table.
    clean = fit_maps([truth], subject.gtab)
    tissue = subject.companion(files.truth / "tissue.nii.gz")[brain].astype(int)
    reference = Reference(clean.fa, clean.md, principal_directions(clean.tensor),
                          from_tissue(tissue))
    whole = acquired(subject)
    chosen = spread_subset(subject.gtab.bvecs[dwis], inputs)
    others = np.setdiff1d(np.arange(len(dwis)), chosen)
    found = judge(whole.inputs(chosen), subject.gtab[dwis[others]], truth[:, dwis[others]],
                  networks(run, "networks"), reference)
    sigma = from_truth(whole.signal, truth, subject.gtab.b0s_mask).sigma
    many = whole.inputs(np.arange(min(MANY, len(dwis))))
    many = map_errors(fit_maps([many.signal], many.gtab), reference)
    own, best, after = found.networks, found.best(denoised=False), found.best(denoised=True)
    maps = own.maps
    tissues = ", ".join(f"{own.dwi_in(reference.regions[t]) / sigma:.2f}" for t in TISSUES)
    bias = ", ".join(f"{value:+.4f}" for value in maps.fa_bias.values())
    return (f"| {folder.parent.name} | {inputs} | {snr:g} | {noise} | {own.dwi / sigma:.3f} | "
            f"{tissues} | {own.dwi / best.dwi:.3f} ({best.method}) | {own.dwi / after.dwi:.3f} "
            f"({after.method}) | {maps.fa:.4f} | {found.acquired.fa:.4f} | {many.fa:.4f} | {bias} "
            f"| {maps.md:.4f} | {maps.v1:.1f} ({found.acquired.v1:.1f}) |")


def trained_without(name, scans, out, *, subjects, drawn, more, options=()):
    """Folder of the run that has learnt from all scans but one."""
    others = {other: scan for other, scan in scans.items() if other != name}
    root = population.gather(out / "without" / name, population.make_all(
        others, out, subjects=subjects, drawn=drawn, options=options))
    workdir = out / "runs" / name
    if options:
        population.train(":smoke", root, workdir, more, split=(0.5, 0.5, 0.0))
    else:
        population.train("", root, workdir, more)
    return workdir


def judge_on(scan, name, workdir, out, *, snrs, inputs, noises, table):
    """Prints rows: a run on subjects like a scan."""
    run = load_run(workdir)
    for snr, (noise, options) in itertools.product(snrs, noises.items()):
        folder, = population.make_likenesses(
            scan, out / f"judge-{snr:g}-{noise}" / name, table, subjects=1,
            first=population.JUDGE, snr=snr, options=options)
        for count in inputs:
            print(judged(run, folder, count, snr, noise), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--only", help="name of the scan to leave out")
    parser.add_argument("--runs", type=Path, help="folder of runs, each named after the scan that "
                        "it was trained without: nothing is trained")
    parser.add_argument("--subjects", type=int, default=4, help="like each other scan")
    parser.add_argument("--drawn", type=int, default=5, help="subjects of each generator")
    parser.add_argument("--snr", type=float, nargs="+", default=(12.0, 20.0, 30.0))
    parser.add_argument("--noise", choices=NOISES, nargs="+", default=tuple(NOISES),
                        help="of the subjects that judge")
    parser.add_argument("--table", type=Path, metavar="PREFIX", help="of the subjects that judge "
                        "(PREFIX.bval, PREFIX.bvec; default: 90 even directions, 6 b0s)")
    parser.add_argument("--inputs", type=int, nargs="+", default=(30, 18, 12, 6))
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args, more = parser.parse_known_args()
    print(HEAD, flush=True)
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            scans = population.scans_in(smallest.scans(folder))
            scans["other"] = scans["scan"]
            out = folder / "out"
            workdir = trained_without(
                "scan", scans, out, subjects=1, drawn=1, more=["--config.steps=4", *more],
                options=["--shape", *map(str, smallest.SHAPE), "--voxel-size",
                         str(smallest.VOXEL_SIZE)])
            judge_on(scans["scan"], "scan", workdir, out, snrs=(20.0,), inputs=(6,),
                     noises={"scan": []}, table=out / "table")
        return
    if args.out is None:
        parser.error("which SCANS and which OUT? Or --quick")
    scans = population.scans_in(args.scans)
    for name in [args.only] if args.only else scans:
        workdir = args.runs / name if args.runs else trained_without(
            name, scans, args.out, subjects=args.subjects, drawn=args.drawn, more=more)
        judge_on(scans[name], name, workdir, args.out, snrs=args.snr, inputs=args.inputs,
                 noises={noise: NOISES[noise] for noise in args.noise},
                 table=args.table or population.write_table(args.out / "table"))


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

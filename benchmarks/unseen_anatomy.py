"""A network for any table on simulations of real anatomies that it has not seen.

    python benchmarks/unseen_anatomy.py SCANS OUT            # every scan left out in turn
    python benchmarks/unseen_anatomy.py SCANS OUT --only NAME --steps 2000
    python benchmarks/unseen_anatomy.py --quick              # everything at its smallest

SCANS is a folder of folders of plain files (dwi.nii.gz, dwi.bval, dwi.bvec, mask.nii.gz). For each
scan a network learns from subjects made like all *other* scans and from drawn ones, and is judged
on a subject made like the one that was left out, whose noise-free signal is known. Baselines are
tuned on that subject by leaving its inputs out in turn. Errors are in units of the noise.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import population
import smallest

from dwijax.baselines.networks import networks
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.errors import ending_in_one_line
from dwijax.evaluation.common.noise import from_truth
from dwijax.evaluation.common.regions import from_tissue
from dwijax.evaluation.studies.fewer_directions import judge
from dwijax.gradients.directions import spread_subset
from dwijax.inference import load_run

HEAD = ("| left out | inputs | SNR | networks, σ | / best tuned | / best after denoising | "
        "FA RMSE, all | fit of inputs | fit of 62 | FA bias WM, GM |\n"
        "|---|---|---|---|---|---|---|---|---|---|")


def judged(run, folder, inputs, snr):
    """One row: a subject with its truth, ``inputs`` of its directions."""
    files = find_subjects(folder.parent, "hcp")
    files = next(f for f in files if f.name == folder.name)
    subject = load_subject(files)
    brain, dwis = subject.mask, np.flatnonzero(~subject.gtab.b0s_mask)
    scale = np.float32(subject.scale)
    truth = subject.companion(files.truth / "dwi.nii.gz", subject.image.shape[3:],
                              volumes=subject.volumes, what="series")[brain] / scale
    fa, tissue = (subject.companion(files.truth / f"{name}.nii.gz")[brain].reshape(-1)
                  for name in ("fa", "tissue"))
    chosen = spread_subset(subject.gtab.bvecs[dwis], inputs)
    numbers = tuple(n for n in (62,) if n < len(dwis))
    found = judge(subject, chosen, networks(run, "networks"), clean=truth[:, dwis], fa=fa,
                  regions=from_tissue(tissue.astype(int)), numbers=numbers)
    sigma = from_truth(subject.dwi[brain] / scale, truth, subject.gtab.b0s_mask).sigma
    own, best, after = (found.networks, found.best(denoised=False), found.best(denoised=True))
    return (f"| {folder.parent.name} | {inputs} | {snr:g} | {own.dwi / sigma:.3f} | "
            f"{own.dwi / best.dwi:.3f} ({best.method}) | {own.dwi / after.dwi:.3f} "
            f"({after.method}) | {own.fa:.4f} | {found.acquired[inputs]:.4f} | "
            f"{found.acquired.get(62, np.nan):.4f} | "
            + ", ".join(f"{bias:+.4f}" for bias in own.bias.values()) + " |")


def leave_out(name, scans, out, *, subjects, drawn, snrs, inputs, more, options=()):
    """Trains without one scan, judges on subjects like it; prints rows."""
    table = population.write_table(out / "table")
    members = {}
    for other, scan in scans.items():
        if other != name:
            made = population.make_likenesses(scan, out / "train" / other, table,
                                              subjects=subjects)
            members |= {f"{other}-{folder.name}": folder for folder in made}
    members |= {folder.name: folder for folder in population.make_drawn(
        out / "train" / "drawn", table, subjects=drawn, options=options)}
    root = population.gather(out / "without" / name, members)
    workdir = out / "runs" / name
    if options:
        population.train(":smoke", root, workdir, more, split=(0.5, 0.5, 0.0))
    else:
        population.train("", root, workdir, more)
    run = load_run(workdir)
    for snr in snrs:
        folder, = population.make_likenesses(
            scans[name], out / f"judge-{snr:g}" / name, table, subjects=1,
            first=population.JUDGE, snr=snr)
        for count in inputs:
            print(judged(run, folder, count, snr), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--only", help="name of the scan to leave out")
    parser.add_argument("--subjects", type=int, default=4, help="like each other scan")
    parser.add_argument("--drawn", type=int, default=5, help="subjects of the phantom")
    parser.add_argument("--snr", type=float, nargs="+", default=(12.0, 20.0, 30.0))
    parser.add_argument("--inputs", type=int, nargs="+", default=(30, 18, 12, 6))
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args, more = parser.parse_known_args()
    print(HEAD, flush=True)
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            scans = population.scans_in(smallest.scans(folder))
            scans["other"] = scans["scan"]
            leave_out("scan", scans, folder / "out", subjects=1, drawn=1, snrs=(20.0,),
                      inputs=(12, 6), options=["--shape", *map(str, smallest.SHAPE),
                                               "--voxel-size", str(smallest.VOXEL_SIZE)],
                      more=["--config.steps=4", *more])
        return
    if args.out is None:
        parser.error("which SCANS and which OUT? Or --quick")
    scans = population.scans_in(args.scans)
    for name in [args.only] if args.only else scans:
        leave_out(name, scans, args.out, subjects=args.subjects, drawn=args.drawn,
                  snrs=args.snr, inputs=args.inputs, more=more)


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

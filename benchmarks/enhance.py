"""``dwijax enhance`` on real scans that its network has not seen: every fifth direction held back.

    python benchmarks/enhance.py SCANS --runs OUT/runs   # those of benchmarks/unseen_anatomy.py
    python benchmarks/enhance.py SCANS --run FILE        # one network for all
    python benchmarks/enhance.py OUT/judge-20-white --truth --runs OUT/runs --inputs 30 12 6
    python benchmarks/enhance.py --quick                 # everything at its smallest

SCANS is a folder of folders of plain files (dwi.nii.gz, dwi.bval, dwi.bvec, mask.nii.gz). Errors
are RMSE of the measured DWIs that were held back, noise and all, over the median b0. Intervals are
of slabs of the head drawn. With --truth the folders hold simulated subjects (those that
benchmarks/unseen_anatomy.py judges by, NAME/like-1000), of whose directions a few are given: FA
against the truth, and how many voxels have it inside their intervals.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import population
import smallest

from dwijax.data.files import SubjectFiles
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.enhancing.scan import enhance_scan
from dwijax.errors import ending_in_one_line
from dwijax.evaluation.common.metrics import rmse
from dwijax.evaluation.common.noise import from_truth
from dwijax.evaluation.common.regions import from_tissue
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import fsl_to_world, read_gradients, write_gradients
from dwijax.gradients.directions import compare, spread_subset
from dwijax.process import processes
from dwijax.volumes import into_volume, read_image, read_volumes, save_like

MANY = 62  # acquired directions whose fit is told beside

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


TRUTH_HEAD = ("| subject | inputs | DWIs, σ | FA RMSE: acquired | enhanced | 62 acquired | bias "
              "WM, GM: acquired | enhanced | FA within 68 %, 95 %: brain | WM | GM | V1 within "
              "68 %, 95 %: WM | verdict |\n"
              "|---|---|---|---|---|---|---|---|---|---|---|---|---|")


def row_with_truth(name, folder, run, seconds, count):
    """Of one simulated subject, ``count`` of its directions given, its others wanted."""
    files = next(iter(find_subjects(folder, "hcp")))
    subject = load_subject(files)
    dwis, mask = subject.gtab.dwis, subject.stored(subject.mask)
    chosen = np.sort(np.r_[subject.gtab.b0s, dwis[spread_subset(subject.gtab.bvecs[dwis], count)]])
    others, many = np.setdiff1d(dwis, chosen), np.r_[subject.gtab.b0s, dwis[:MANY]]
    tissue = from_tissue(read(files.truth / "tissue.nii.gz")[mask].astype(int))
    truth = {name: read(files.truth / f"{name}.nii.gz")[mask] for name in ("fa", "v1")}
    # The truth's is along the frame of the bvecs, ours along the scanner's.
    truth["v1"] = truth["v1"] @ fsl_to_world(read_image(files.dwi).affine).T
    with tempfile.TemporaryDirectory() as scratch:
        cut = Path(scratch)
        volumes = np.sort(subject.volumes[chosen])
        save_like(cut / "dwi.nii.gz", read(files.dwi)[..., volumes], read_image(files.dwi))
        gtab = read_gradients(files.bval, files.bvec)
        write_gradients(gtab[volumes], cut / "dwi.bval", cut / "dwi.bvec")
        write_gradients(gtab[subject.volumes[others]], cut / "others.bval", cut / "others.bvec")
        found = enhance_scan(
            SubjectFiles(name, cut / "dwi.nii.gz", cut / "dwi.bval", cut / "dwi.bvec", files.mask),
            cut / "out", place=run, table=cut / "others", seconds=seconds, keep_anyway=True,
            quiet=True)
        made = read(cut / "out" / "dwi.nii.gz")[mask][:, -len(others):]
        maps = {name: read(cut / "out" / f"{name}.nii.gz")[mask]
                for name in ("fa", "fa_low", "fa_high", "v1", "v1_cone")}
    clean = read(files.truth / "dwi.nii.gz")[mask]
    sigma = from_truth(read(files.dwi)[mask], clean, gtab.b0s_mask).sigma
    dwi_error = rmse(made, clean[:, subject.volumes[others]], tissue["brain"]) / sigma

    def fa_of(volumes):
        maps = fit_maps([subject.dwi[subject.mask][:, volumes]], subject.gtab[volumes])
        return subject.stored(into_volume(maps.fa, subject.mask))[mask]

    plain, long = fa_of(chosen), fa_of(many)
    inside = (maps["fa_low"] <= truth["fa"][:, None]) & (truth["fa"][:, None] <= maps["fa_high"])
    within = compare(maps["v1"], truth["v1"])[:, None] <= maps["v1_cone"]

    def shares(values, region):
        return ", ".join(f"{100 * share:.0f} %" for share in values[tissue[region]].mean(axis=0))

    def bias(fa):
        return ", ".join(f"{(fa - truth['fa'])[tissue[r]].mean():+.4f}" for r in ("WM", "GM"))

    acquired, enhanced, of_many = (rmse(fa, truth["fa"], tissue["brain"])
                                   for fa in (plain, maps["fa"], long))
    return (f"| {name} | {count} | {dwi_error:.3f} | {acquired:.4f} | {enhanced:.4f} | "
            f"{of_many:.4f} | {bias(plain)} | "
            f"{bias(maps['fa'])} | "
            f"{shares(inside, 'brain')} | {shares(inside, 'WM')} | {shares(inside, 'GM')} | "
            f"{shares(within, 'WM')} | {found['verdict']} |")


def read(path):
    return read_volumes(read_image(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--runs", type=Path, help="folder of runs, each named after the scan that "
                        "it was trained without")
    parser.add_argument("--run", type=Path, help="a run for any table")
    parser.add_argument("--only", help="name of one scan")
    parser.add_argument("--seconds", type=float, default=120.0, help="of adaptation")
    parser.add_argument("--truth", action="store_true", help="SCANS are simulated subjects")
    parser.add_argument("--inputs", type=int, nargs="+", default=(30, 12, 6))
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    processes.split_cpu()
    print(TRUTH_HEAD if args.truth else HEAD, flush=True)
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            run = smallest.trained_run(folder, "any_table")
            (name, scan), = population.scans_in(smallest.scans(folder)).items()
            print(row(name, scan, run, 0.0))
        return
    if args.scans is None or (args.run is None) == (args.runs is None):
        parser.error("which SCANS, and which --run or --runs? Or --quick")
    if args.truth:
        for folder in sorted(args.scans.iterdir()):
            for count in args.inputs if args.only in (None, folder.name) else ():
                print(row_with_truth(folder.name, folder, args.run or args.runs / folder.name,
                                     args.seconds, count), flush=True)
        return
    for name, folder in population.scans_in(args.scans).items():
        if args.only in (None, name):
            print(row(name, folder, args.run or args.runs / name, args.seconds), flush=True)


if __name__ == "__main__":
    with ending_in_one_line():
        main()
    sys.exit()

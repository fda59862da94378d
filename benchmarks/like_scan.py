"""Networks trained on simulated subjects made like a real scan, and judged on real DWIs.

    python benchmarks/like_scan.py SCAN OUT --inputs 30 --shell 1500          # by the same scan
    python benchmarks/like_scan.py SCAN OUT --inputs 10 --acquisitions 2      # by the second one
    python benchmarks/like_scan.py --quick                    # seconds, by a scan made for it

SCAN is a folder of plain files (``dwi.nii.gz``, ``dwi.bval``, ``dwi.bvec``, ``mask.nii.gz``). With
two acquisitions, of the same table one after the other, subjects are made like the first; it also
provides the inputs, while the targets that judge are of the second and share no noise with either.
Writes OUT/like (14 subjects, two of them to validate), OUT/first, OUT/judge, OUT/subjects.tsv and
the run OUT/run, whose tables say what was found; extra arguments go to train.py.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import smallest
from smallest import FILES

from dwijax.errors import InputError, ending_in_one_line
from dwijax.gradients import read_gradients


def write_scan(folder, image, data, gtab, mask, volumes):
    """Some volumes of a series as plain files; paths in the order of `smallest.FILES`."""
    folder.mkdir(parents=True)
    paths = [folder / name for name in FILES]
    nib.save(nib.Nifti1Image(data[..., volumes], image.affine, image.header), paths[0])
    np.savetxt(paths[1], gtab.bvals[volumes][None], fmt="%g")
    np.savetxt(paths[2], gtab.bvecs[volumes].T, fmt="%.6f")
    nib.save(mask, paths[3])
    return paths


def judging(b0s_mask, inputs, acquisitions):
    """Volumes of the first acquisition, and those that judge, of a series ``[M]``."""
    first = np.arange(len(b0s_mask) // acquisitions)
    directions = first[~b0s_mask[first]]
    targets = directions[inputs:] + (len(first) if acquisitions == 2 else 0)
    return first, np.r_[first[b0s_mask[first]], directions[:inputs], targets]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scan", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--inputs", type=int, help="directions taken as acquired")
    parser.add_argument("--shell", type=float, default=1000, help="b-value, s/mm²")
    parser.add_argument("--acquisitions", type=int, choices=(1, 2), default=1)
    parser.add_argument("--subjects", type=int, nargs=2, default=(12, 2),
                        metavar=("TRAINING", "VALIDATION"))
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args, more = parser.parse_known_args()
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            args.scan, args.out = smallest.scans(folder) / "scan", Path(folder) / "out"
            args.inputs, args.subjects = smallest.INPUTS, (1, 1)
            more = [f"--config={smallest.ROOT / 'configs' / 'phantom.py'}:smoke",
                    *smallest.TRAINING, *more]
            make_and_train(args, more)
    elif args.out is None or args.inputs is None:
        parser.error("which SCAN, which OUT and how many --inputs? Or --quick")
    else:
        make_and_train(args, more)


def make_and_train(args, more):
    """Everything that the module says; ``more`` goes to train.py."""
    paths = [args.scan / name for name in FILES]
    for path in paths:
        if not path.is_file():
            raise InputError(path, found="no such file", expected="a scan as plain files",
                             remedy="give the folder that they are in")
    if args.out.exists():
        raise InputError(args.out, found="something there", expected="a folder to be made",
                         remedy="give another OUT")
    gtab, image, mask = read_gradients(paths[1], paths[2]), nib.load(paths[0]), nib.load(paths[3])
    first, judge = judging(gtab.b0s_mask, args.inputs, args.acquisitions)
    if args.acquisitions == 2 and not (
            np.allclose(gtab.bvals[first], gtab.bvals[len(first):], atol=50)
            and np.allclose(gtab.bvecs[first], gtab.bvecs[len(first):], atol=0.02)):
        raise InputError(paths[2], found="halves that differ", expected="the same table twice",
                         remedy="give --acquisitions 1")
    data = np.asanyarray(image.dataobj)
    scan = write_scan(args.out / "first", image, data, gtab, mask, first)
    judged = write_scan(args.out / "judge", image, data, gtab, mask, judge)

    given = [f"--{name}={path}" for name, path in
             zip(("like", "bvals", "bvecs", "mask"), scan, strict=True)]
    like = args.out / "like"
    subprocess.run([sys.executable, "-m", "dwijax", "simulate", str(like), *given,
                    f"--subjects={sum(args.subjects)}"], check=True)
    rows = ["subject\tdwi\tbval\tbvec\tmask\tsplit"]
    for i, folder in enumerate(sorted(like.glob("like-*"))):
        files = [folder / "T1w" / "Diffusion" / name
                 for name in ("data.nii.gz", "bvals", "bvecs", "nodif_brain_mask.nii.gz")]
        rows.append("\t".join([folder.name, *(str(p.resolve()) for p in files),
                               "train" if i < args.subjects[0] else "validation"]))
    rows.append("\t".join(["judge", *(str(p.resolve()) for p in judged), "test"]))
    manifest = args.out / "subjects.tsv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    subprocess.run([sys.executable, str(smallest.ROOT / "train.py"), *more,
                    "--config.data.layout=manifest", f"--config.data.root={manifest}",
                    f"--config.data.inputs={args.inputs}", f"--config.data.shell={args.shell:g}",
                    f"--workdir={args.out / 'run'}"],
                   check=True)


if __name__ == "__main__":
    try:
        with ending_in_one_line():
            main()
    except subprocess.CalledProcessError as error:  # which has said why
        sys.exit(error.returncode)

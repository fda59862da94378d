"""A series acquired twice: maps from a few directions of the first run, judged by the second.

    dwijax simulate sim --bvals FIRST.bval --bvecs FIRST.bvec --voxel-size 2 --shape 72 92 24 \\
        --snr 13 --subjects 14
    python train.py --config=configs/superdti.py:q6 --config.data.layout=hcp \\
        --config.data.root=sim --workdir=runs/rescan --noevaluate
    python benchmarks/rescan.py runs/rescan DWI BVALS BVECS MASK --volumes 21 -o rescan.md
    python benchmarks/rescan.py --quick                       # seconds, of what is made for it

The networks are trained on subjects simulated with the first run's table, voxels and noise.
The second run shares no noise with the first. Its own fit of all directions is noisy, and its FA
too high for it, so that a smoother map can look worse than it is: what the tensors predict of the
second run's DWIs is compared too, as E[M | ν, σ], with σ from the difference of the two runs.
There is one head: intervals are of the mean over slabs of it, and say nothing of other heads.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import ive

from dwijax import dti
from dwijax.baselines import acquired
from dwijax.data.files import SubjectFiles
from dwijax.data.subject import Subject, load_subject
from dwijax.errors import InputError, ending_in_one_line
from dwijax.evaluation.common import metrics, regions
from dwijax.evaluation.common.slabs import THICKNESS, slab_interval, slabs_of
from dwijax.evaluation.common.tables import DASH, Table
from dwijax.evaluation.maps.protocol import fit_of
from dwijax.fitting.noise import robust_sd
from dwijax.gradients import GradientTable
from dwijax.inference import Run, load_run
from dwijax.inference.adaptation import adapt
from dwijax.inference.network_maps import network_maps
from dwijax.output import whole

LARGEST_MD = 4.0  # µm²/ms; free water at 37 °C has 3.0


def expected_magnitude(signal: np.ndarray, sigma: float) -> np.ndarray:
    """E[M | ν, σ] of a Rician magnitude (Gudbjartsson and Patz 1995)."""
    x = np.square(signal / sigma) / 4
    return sigma * np.sqrt(np.pi / 2) * ((1 + 2 * x) * ive(0, x) + 2 * x * ive(1, x))


def predicted(tensor: np.ndarray, signal: np.ndarray, gtab: GradientTable,
              wanted: GradientTable) -> np.ndarray:
    """What tensors say of other volumes, float ``[V, n]``.

    S0 is what fits the tensor and the measured volumes best (weighted, of ln S): networks do not
    tell one.

    Args:
      tensor: ``[V, 6]``, µm²/ms. signal: ``[V, M]``, measured, of ``gtab``. wanted: table of n.
    """
    def exponent(table):
        return tensor @ np.asarray(dti.design_matrix(table.bvals, table.bvecs))[:, :6].T

    weight = np.square(np.maximum(signal, 1e-3))
    logs = np.log(np.maximum(signal, 1e-3)) - exponent(gtab)
    log_s0 = np.sum(weight * logs, axis=1) / np.sum(weight, axis=1)
    return np.exp(exponent(wanted) + log_s0[:, None])


def judge(run: Run, subject: Subject, volumes: int,
          widths: tuple[float, ...] = (1.5, 2.0, 2.5, 3.0, 4.0)) -> list[Table]:
    """The tables of one subject.

    Args:
      run: of map regression. subject: of both runs of the series.
      volumes: of the first run, in the file.
    """
    mask = subject.mask
    first = _part(subject, subject.volumes < volumes)
    second = _part(subject, subject.volumes >= volumes)
    adapted = adapt(first, run.gtab, run.inputs, np.array([], int), where="the first run")
    q = np.arange(len(run.inputs))

    few, one, two = (acquired(replace(part, scale=first.scale))
                     for part in (adapted.subject, first, second))
    few, dwis = few.inputs(q), two.gtab.dwis
    reference = fit_of(two)
    maps = {f"{len(q)} DWIs, fit": fit_of(few)}
    maps |= {f"{len(q)} DWIs, Gaussian {w:.1f} mm, fit": fit_of(few, w) for w in widths}
    maps |= {f"{len(q)} DWIs, {name}": found
             for name, found in network_maps(run, adapted.subject, q).items()}
    maps[f"all {len(one.gtab.dwis)} of the same run, fit"] = fit_of(one)

    # Both runs of one table: half their difference is noise. Their gains may differ.
    same = len(one.gtab) == len(two.gtab) and np.allclose(one.gtab.bvecs, two.gtab.bvecs, atol=0.05)
    gain = np.median(two.signal[:, dwis].mean(1) / np.maximum(
        one.signal[:, one.gtab.dwis].mean(1), 1e-6))
    if not same:
        raise InputError("--volumes", found="runs of different tables",
                         expected="the same series twice", remedy="give the first run's length")
    sigma = float(robust_sd((two.signal - gain * one.signal)[:, dwis]) / np.sqrt(1 + gain**2))
    measured = two.signal[:, dwis]
    # Samples near 0 make a tensor of thousands of µm²/ms.
    possible = (reference.md > 0) & (reference.md < LARGEST_MD)
    tissues = {name: region & possible
               for name, region in regions.from_fit(reference.fa, reference.md).items()}
    slabs = slabs_of(mask, run.config.data.axis)
    squares = {}
    for name, found in maps.items():
        if found.tensor is None:
            continue
        source = one if name.startswith("all") else few
        clean = gain * predicted(found.tensor, source.signal, source.gtab, two.gtab[dwis])
        squares[name] = np.mean((expected_magnitude(clean, sigma) - measured) ** 2, axis=1)
    return [_map_table(maps, reference, tissues, len(dwis), np.sum(~possible)),
            _signal_table(squares, sigma, tissues["brain"], slabs)]


def _part(subject, chosen):
    """Some volumes of a subject, in units of their own b0."""
    dwi, gtab = subject.dwi[..., chosen], subject.gtab[chosen]
    if not len(gtab.b0s) or not len(gtab.dwis):
        raise InputError("--volumes", found="a run without b0 or without DWIs",
                         expected="b0 and DWIs before and after", remedy="give another number")
    order = np.r_[gtab.b0s, gtab.dwis]
    dwi, gtab = dwi[..., order], gtab[order]
    b0 = dwi[..., gtab.b0s_mask].mean(axis=-1)
    return replace(subject, dwi=dwi, gtab=gtab, b0=b0, scale=float(np.median(b0[subject.mask])),
                   volumes=subject.volumes[chosen][order])


def _map_table(maps, reference, tissues, count, impossible):
    rows = []
    for name, found in maps.items():
        cells = []
        for quantity in ("fa", "md"):
            x, y = getattr(found, quantity), getattr(reference, quantity)
            for region in ("brain", "WM", "GM"):
                cells.append(DASH if x is None else
                             f"{metrics.rmse(x, y, tissues[region]):.4f} "
                             f"({metrics.bias(x, y, tissues[region]):+.4f})")
        rows.append([name, *cells])
    return Table(f"Maps against the fit of the second run's {count} directions",
                 ["RMSE (bias) of", *(f"{m} {r}" for m in ("FA", "MD")
                                      for r in ("brain", "WM", "GM"))], rows,
                 [f"MD in µm²/ms; {impossible} voxels whose reference has one outside 0 to "
                  f"{LARGEST_MD:g} are left out",
                  "the reference is noisy: its FA is biased upwards"])


def _signal_table(squares, sigma, brain, slabs):
    fits = [n for n in squares if "network" not in n and not n.startswith("all")]
    best = min(fits, key=lambda n: squares[n][brain].mean())
    rows = []
    for name, values in squares.items():
        error = metrics.rms(values[brain])
        excess = metrics.excess(error, sigma)
        difference = slab_interval(values[brain], squares[best][brain], slabs[brain])
        told = DASH if name == best else f"{difference:+.5f}"
        rows.append([name, f"{error:.5f}", f"{error / sigma:.4f}", f"{excess / sigma:.3f}", told])
    return Table("DWIs of the second run by the tensors of the first",
                 ["tensor by", "RMSE", "RMSE / σ", "excess / σ", f"against {best} [95 %]"], rows,
                 [f"units of the median b0; σ = {sigma:.4f} by the difference of the runs; "
                  f"interval: slabs of {THICKNESS} slices drawn with replacement, one head"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("run", "dwi", "bvals", "bvecs", "mask"):
        parser.add_argument(name, type=Path, nargs="?")
    parser.add_argument("--volumes", type=int, help="of the first run")
    parser.add_argument("-o", "--out", type=Path, help="Markdown file")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    if args.quick:
        import smallest

        with tempfile.TemporaryDirectory() as folder:
            run = smallest.trained_run(folder, "superdti")
            scan = smallest.scans(folder) / "scan"
            compare(run, [scan / name for name in smallest.FILES], acquire_twice(scan),
                    Path(folder) / "rescan.md")
    elif None in (args.mask, args.volumes, args.out):
        parser.error("which RUN, DWI, BVALS, BVECS, MASK, --volumes and -o? Or --quick")
    else:
        compare(args.run, [args.dwi, args.bvals, args.bvecs, args.mask], args.volumes, args.out)


def acquire_twice(scan):
    """Makes a scan the same series twice, with other noise; returns the first run's volumes."""
    import nibabel as nib

    image = nib.load(scan / "dwi.nii.gz")
    data = image.get_fdata()
    noise = 0.02 * np.median(data) * np.random.default_rng(0).standard_normal(data.shape)
    nib.save(nib.Nifti1Image(np.concatenate([data, np.abs(data + noise)], axis=-1), image.affine),
             scan / "dwi.nii.gz")
    for name in ("dwi.bval", "dwi.bvec"):
        np.savetxt(scan / name, np.tile(np.atleast_2d(np.loadtxt(scan / name)), 2))
    return data.shape[-1]


def compare(folder, files, volumes, out):
    """Prints the tables of a run on a scan, and writes them."""
    run = load_run(folder)
    files = SubjectFiles(files[0].name, *files)
    tables = judge(run, load_subject(files, shell=run.config.data.shell), volumes)
    with whole(out) as path:
        path.write_text("\n\n".join(t.markdown() for t in tables) + "\n", encoding="utf-8")
    print("\n\n".join(t.text() for t in tables))


if __name__ == "__main__":
    with ending_in_one_line():
        main()

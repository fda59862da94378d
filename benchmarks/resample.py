"""A run on a scan whose directions it does not know, against interpolation without networks.

    python benchmarks/resample.py RUN SCANS
    python benchmarks/resample.py --quick                     # seconds, of what is made for it

RUN is the folder of a trained run with q input directions, SCANS a folder of plain-files scans. Of
every scan with a shell of 2 q directions or more, the first q are taken as acquired, the others
are measured but held back. What ``dwijax predict --resample --scale-b`` does is done with the
acquired ones. Printed, by tissue, are

  DWI   RMSE of the held-back DWIs over the median b0. Networks speak for their own directions, not
        for those held back: spherical harmonics of ln S carry the acquired and synthetic volumes
        there. The rivals predict them from the acquired ones alone, with the order, weight, angle
        and noise that are best on the held-back DWIs of this very scan: no one could tune better.
  FA    RMSE and bias of the fit's FA against that of all measured volumes, which share the noise
        of the acquired ones with every row.

One head is no interval: the figures say what happened, not what will.
"""

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import smallest

from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.evaluation.common.regions import from_fit
from dwijax.fitting.voxels import fit_maps, tensor_signal
from dwijax.gradients import GradientTable, read_gradients, shells
from dwijax.gradients.harmonics import (
    gaussian_process,
    log_sh_coefficients,
    log_sh_system,
    sh_basis,
    sh_interpolation,
)
from dwijax.inference import load_run, synthesise
from dwijax.inference.adaptation import adapt

LOG_ORDERS = ((2, 0.001), (4, 0.001), (4, 0.01))


def rows_of(trained, subject):
    """``(method, what was tuned, held-back DWIs predicted [V, n], (volumes to be fitted with the
    acquired, their table))`` of one scan."""
    q = len(trained.inputs)
    n = len(subject.gtab.b0s)
    given, held = np.arange(n + q), np.arange(n + q, len(subject.gtab))
    scale = np.float32(subject.scale)
    signal = subject.dwi[subject.mask] / scale
    own, far = subject.gtab[given[n:]].bvecs, subject.gtab[held].bvecs
    acquired, measured = signal[:, given], signal[:, held]

    short = replace(subject, dwi=subject.dwi[..., given], gtab=subject.gtab[given],
                    volumes=subject.volumes[given])
    adapted = adapt(short, trained.gtab, trained.inputs, trained.targets, may_resample=True)
    for note in adapted.notes:
        print("  " + note)
    trained = trained._replace(
        inputs=np.arange(q), calibration=None if adapted.resampled else trained.calibration)
    synthetic = adapted.back(synthesise(trained, adapted.subject, quiet=False))
    synthetic = synthetic[subject.mask] / scale
    both = np.concatenate([own, adapted.gtab.bvecs])
    together = np.concatenate([acquired[:, n:], synthetic], axis=1)

    def best(candidates):
        return min(candidates, key=lambda found: rmse(found[1], measured))

    def logarithm(dwi, bvecs):
        for order, weight in LOG_ORDERS:
            coefficients = log_sh_coefficients(*log_sh_system(bvecs, order, weight), dwi)
            harmonics = sh_basis(far, order)[0].astype(np.float32)
            yield f"ln S, order {order}, {weight:g}", np.exp(np.asarray(coefficients).T
                                                             @ harmonics.T)

    def linear(matrix, points):
        for point in points:
            yield str(point), acquired[:, n:] @ matrix(own, far, **point).T.astype(np.float32)

    orders = [{"order": o, "weight": float(w)} for o, w in
              itertools.product((2, 4, 6), np.geomspace(3e-4, 0.3, 12))]
    processes = [{"covariance": c, "angle": float(a), "noise": float(e)} for c, a, e in
                 itertools.product(("spherical", "exponential"), np.geomspace(0.5, 8, 7),
                                   np.geomspace(0.01, 3, 7))]
    maps = fit_maps([acquired], subject.gtab[given])
    label, predicted = best(logarithm(together, both))
    yield "networks, resampled", label, predicted, (synthetic, adapted.gtab)
    for name, found in (
            ("SH", best(linear(sh_interpolation, orders))),
            ("SH of ln S", best(logarithm(acquired[:, n:], own))),
            ("Gaussian process", best(linear(gaussian_process, processes))),
            ("tensor", ("", tensor_signal(maps, subject.gtab[held])))):
        yield name, *found, (found[1], subject.gtab[held])


def rmse(values, reference, region=slice(None)):
    return float(np.sqrt(np.mean((values[region] - reference[region]) ** 2)))


def print_table(trained, subject):
    """The rows of one scan."""
    q, n = len(trained.inputs), len(subject.gtab.b0s)
    signal = subject.dwi[subject.mask] / np.float32(subject.scale)
    everything = fit_maps([signal], subject.gtab)
    acquired, held, given = signal[:, : n + q], signal[:, n + q:], subject.gtab[np.arange(n + q)]
    alone = fit_maps([acquired], given)
    regions = {name: region & everything.determined & alone.determined
               for name, region in from_fit(everything.fa, everything.md).items()}

    def line(name, predicted, fa):
        cells = []
        for region in regions.values():
            dwi = "" if predicted is None else f"{rmse(predicted, held, region):.4f}"
            bias = float((fa - everything.fa)[region].mean())
            cells.append(f"{dwi:>7} {rmse(fa, everything.fa, region):7.4f} {bias:+7.4f}")
        print(f"  {name:22} " + " ".join(cells), flush=True)

    print(f"  {'':22} " + " ".join(f"{name:>23}" for name in regions))
    print(f"  {'':22} " + " ".join(f"{'DWI':>7} {'FA':>7} {'bias':>7}" for _ in regions))
    line("acquired alone", None, alone.fa)
    for name, label, predicted, (added, table) in rows_of(trained, subject):
        joined = GradientTable(np.r_[given.bvals, table.bvals],
                               np.concatenate([given.bvecs, table.bvecs]))
        line(name, predicted, fit_maps([acquired, added], joined).fa)
        print(f"    {label}" * bool(label))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            compare(smallest.trained_run(folder), smallest.scans(folder))
    elif args.scans is None:
        parser.error("which run and which scans? Or --quick")
    else:
        compare(args.run, args.scans)


def compare(run, scans):
    """The table of every scan that has directions enough."""
    trained = load_run(run)
    q = len(trained.inputs)
    for files in find_subjects(scans, "plain"):
        gtab = read_gradients(files.bval, files.bvec)
        there = shells(gtab.bvals, gtab.b0_threshold)
        shell, index = max((s for s in there if s[0]), key=lambda s: len(s[1]))
        if len(index) < 2 * q:
            print(f"{files.name}: {len(index)} directions, {2 * q} are needed")
            continue
        print(f"{files.name}: {q} of {len(index)} directions at b={shell} acquired")
        print_table(trained, load_subject(files, shell=shell))


if __name__ == "__main__":
    main()

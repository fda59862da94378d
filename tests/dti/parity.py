"""Parity with dipy and MRtrix3, as a table: ``python -m tests.dti.parity [SCANS]``.

Every tool is met with its own options: dipy raises samples to 1e-4 and eigenvalues to 1e-6 / b;
MRtrix3 raises samples to a millionth of the voxel's largest, stores the tensor as float32 in mm²/s
and orders eigenvalues by magnitude. The rows "ours" compare our defaults in float32 with float64.
"""

import functools
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np

from dwijax import dti
from dwijax.dti.elements import MM2_PER_S, MRTRIX_ORDER, congruence, from_order, to_matrix
from dwijax.gradients import read_gradients

GOLDEN = Path(__file__).parent / "golden" / "mrtrix_small_64D.npz"
AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])
TO_FSL = np.diag([-1.0, 1.0, 1.0])  # of that affine, its own inverse

MRTRIX = {  # dwi2tensor options: ours
    "-ols -iter 0": {"method": "ols"},
    "-iter 0": {"method": "wls", "start": "measured"},
    "(default)": {"method": "iwls", "start": "measured", "reweightings": 2},
}
DIPY = {"OLS": {"method": "ols"}, "WLS": {"method": "wls"}}


@dataclass
class Voxels:
    """Samples ``[V, M]`` of a scan with its table."""

    name: str
    signal: np.ndarray
    bvals: np.ndarray
    bvecs: np.ndarray

    @property
    def floored(self):
        return (self.signal <= 0).any(-1)


@dataclass
class Maps:
    """FA, MD (mm²/s), V1 of a tool, and where an eigenvalue is negative."""

    fa: np.ndarray
    md: np.ndarray
    v1: np.ndarray
    negative: np.ndarray


def small_64d():
    from dipy.data import get_fnames
    from dipy.io.gradients import read_bvals_bvecs

    image, bval, bvec = get_fnames(name="small_64D")
    bvals, bvecs = read_bvals_bvecs(bval, bvec)
    data = np.asarray(nib.load(image).dataobj, np.float32).reshape(-1, len(bvals))
    return Voxels("small_64D", data, bvals, np.nan_to_num(bvecs))


def scan(folder, every=1, dwi="dwi.nii.gz", bval="dwi.bval", bvec="dwi.bvec", mask="mask.nii.gz"):
    gtab = read_gradients(folder / bval, folder / bvec)
    inside = np.asarray(nib.load(folder / mask).dataobj) > 0
    data = nib.load(folder / dwi).get_fdata(dtype=np.float32)[inside][::every]
    return Voxels(folder.name, data, gtab.bvals, gtab.bvecs)


def run_dipy(voxels, method):
    import dipy.reconst.dti as dipy_dti
    from dipy.core.gradients import gradient_table

    table = gradient_table(voxels.bvals, bvecs=voxels.bvecs, b0_threshold=50)
    model = dipy_dti.TensorModel(table, fit_method=method)
    found = model.fit(voxels.signal.astype(np.float64))
    clip = 1e-6 / -model.design_matrix.min()
    negative = found.evals.min(-1) <= clip * 1.0001
    return Maps(found.fa, found.md, found.evecs[..., 0], negative), clip


def run_mrtrix(voxels, options):
    """Tensors ``[V, 6]`` as stored: mm²/s, MRtrix3's order, scanner frame."""
    with tempfile.TemporaryDirectory() as folder:
        # Folded, as NIfTI axes end at 32767.
        n, m = voxels.signal.shape
        folded = np.zeros((-(-n // 100) * 100, m), np.float32)
        folded[:n] = voxels.signal
        image = nib.Nifti1Image(folded.reshape(-1, 100, 1, m), AFFINE)
        nib.save(image, f"{folder}/dwi.nii")
        np.savetxt(f"{folder}/bval", voxels.bvals[None], fmt="%.17g")
        np.savetxt(f"{folder}/bvec", voxels.bvecs.T, fmt="%.17g")
        arguments = () if options == "(default)" else options.split()
        subprocess.run(
            ["dwi2tensor", "-quiet", *arguments, "-fslgrad", "bvec", "bval", "dwi.nii", "dt.nii"],
            cwd=folder, check=True)
        return nib.load(f"{folder}/dt.nii").get_fdata().reshape(-1, 6)[:n]


def golden(options):
    with np.load(GOLDEN) as file:
        return file[options].astype(np.float64)


def mrtrix_maps(stored):
    """As `tensor2metric`: eigenvalues ordered by magnitude."""
    with jax.enable_x64(True):
        tensor = np.asarray(congruence(jnp.asarray(from_order(stored, MRTRIX_ORDER)), TO_FSL))
    return of_tensor(tensor / MM2_PER_S, by_magnitude=True)


def of_tensor(tensor, by_magnitude=False):
    # MRtrix3 writes NaN where all samples are 0.
    matrix = to_matrix(np.nan_to_num(np.asarray(tensor, np.float64)))
    evals, evecs = np.linalg.eigh(matrix)
    key = np.abs(evals) if by_magnitude else evals
    first = np.argsort(key, axis=-1)[:, -1]
    v1 = np.take_along_axis(evecs, first[:, None, None], axis=-1)[..., 0]
    tensor = np.asarray(tensor)
    with jax.enable_x64(tensor.dtype == np.float64):
        fa = np.asarray(dti.fractional_anisotropy(jnp.asarray(tensor)), np.float64)
        md = np.asarray(dti.mean_diffusivity(jnp.asarray(tensor)), np.float64) * MM2_PER_S
    return Maps(fa, md, v1, evals.min(-1) < 0)


@functools.cache
def _compiled(options):
    return jax.jit(lambda signal, design: dti.fit_tensor(signal, design, **dict(options)).tensor)


def ours(voxels, dtype, as_mrtrix=False, **options):
    design = dti.design_matrix(voxels.bvals, voxels.bvecs, dtype)
    n = len(voxels.signal)
    signal = np.pad(voxels.signal, ((0, -n % 6144), (0, 0)))  # scans share what is compiled
    fitted = _compiled(tuple(options.items()))(jnp.asarray(signal, dtype), design)
    tensor = np.asarray(fitted)[:n]
    if as_mrtrix:
        tensor = (tensor * MM2_PER_S).astype(np.float32).astype(np.float64) / MM2_PER_S
    return of_tensor(tensor, by_magnitude=as_mrtrix)


def rows(voxels, live_mrtrix=True, tools=None):
    """Yields ``(scan, tool, kind of voxels, their number, {column: value})``."""
    for method in ("ols", "wls", "iwls"):
        if tools is None or method in tools:
            yield from _rows(voxels, f"ours {method}", None, False, {"method": method})
    for method, options in DIPY.items():
        if tools is not None and method not in tools:
            continue
        theirs, clip = run_dipy(voxels, method)
        yield from _rows(voxels, f"dipy {method}", theirs, False,
                         {**options, "floor": 1e-4, "min_diffusivity": clip / MM2_PER_S})
    for arguments, options in MRTRIX.items():
        if tools is not None and arguments not in tools:
            continue
        if live_mrtrix:
            theirs = mrtrix_maps(run_mrtrix(voxels, arguments))
        elif voxels.name == "small_64D":
            theirs = mrtrix_maps(golden(arguments))
        else:
            continue
        yield from _rows(voxels, f"dwi2tensor {arguments}", theirs, True,
                         {**options, "relative_floor": 1e-6})


def _rows(voxels, tool, theirs, as_mrtrix, options):
    with jax.enable_x64(True):
        double = ours(voxels, jnp.float64, as_mrtrix, **options)
    theirs = theirs or double
    single = ours(voxels, jnp.float32, as_mrtrix, **options)
    alive = (voxels.signal.max(-1) > 0) & np.isfinite(theirs.fa)
    floored = voxels.floored & alive
    kinds = {
        "all": alive,
        "floored samples": floored,
        "negative eigenvalue": theirs.negative & alive,
    }
    for kind, chosen in kinds.items():
        if not chosen.any():
            continue
        clear = chosen & (theirs.fa > 0.2)
        yield voxels.name, tool, kind, int(chosen.sum()), {
            "fa64": _percentile(np.abs(double.fa - theirs.fa)[chosen], 99.9),
            "fa32": _percentile(np.abs(single.fa - theirs.fa)[chosen], 99),
            "v1": _percentile(_angles(double.v1, theirs.v1)[clear], 99),
            "md": _percentile(np.abs(double.md - theirs.md)[chosen], 99),
        }


def _percentile(values, q):
    return float(np.percentile(values, q)) if values.size else 0.0


def _angles(a, b):
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(sine, np.abs((a * b).sum(-1))))


def phantom(folder):
    from dwijax.data.phantom import simulate

    (name,) = simulate(folder, subjects=1, shape=(24, 28, 8), n_directions=36, workers=1,
                       progress=False)
    found = scan(Path(folder) / name / "T1w" / "Diffusion", 1, "data.nii.gz", "bvals", "bvecs",
                 "nodif_brain_mask.nii.gz")
    return Voxels("phantom", found.signal, found.bvals, found.bvecs)


def main(scans=None):
    live = shutil.which("dwi2tensor") is not None
    with tempfile.TemporaryDirectory() as folder:
        everything = [small_64d(), phantom(folder)]
    if scans:
        everything += [scan(f, 4) for f in sorted(Path(scans).glob("*"))
                       if (f / "dwi.bval").exists()]
    print("| scan | tool | voxels | n | ΔFA float64, 99.9 % | ΔFA float32, 99 % | V1 °, 99 % | "
          "ΔMD mm²/s, 99 % |\n|---|---|---|---|---|---|---|---|")
    for voxels in everything:
        for name, tool, kind, n, v in rows(voxels, live):
            print(f"| {name} | `{tool}` | {kind} | {n} | {v['fa64']:.1e} | {v['fa32']:.1e} | "
                  f"{v['v1']:.1e} | {v['md']:.1e} |")


if __name__ == "__main__":
    main(*sys.argv[1:])

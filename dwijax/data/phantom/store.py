"""A subject's files: HCP layout and, beside it, the truth.

Truth is fitted from the noise-free signal: ``tensor`` (order Dxx, Dxy, Dyy, Dxz, Dyz, Dzz) and
``md`` in mm^2/s as in FSL, ``v1`` in the frame of the bvecs.
"""

import shutil
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from dwijax.data.phantom.regions import NAMES
from dwijax.data.phantom.subject import SimulatedSubject
from dwijax.gradients import write_gradients
from dwijax.process.interruption import together, unfinished

STEPS_PER_SIGMA = 20  # integer steps per noise SD: rounding adds 0.02 % to its variance
LARGEST = 32000


def write_subject(folder, subject: SimulatedSubject):
    """Writes a subject's folder, whole or not at all.

    Args:
      folder: path of the subject; whatever is there already is replaced.
      subject: its arrays.
    """
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with unfinished(partial):
        try:
            _write_files(partial, subject)
            with together():
                shutil.rmtree(folder, ignore_errors=True)
                partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _write_files(folder, subject):
    scan, truth = folder / "T1w" / "Diffusion", folder / "truth"
    scan.mkdir(parents=True)
    truth.mkdir()

    sigma = float(subject.sigma.min())
    step = max(sigma / STEPS_PER_SIGMA, float(subject.dwi.max()) / LARGEST)
    _write(scan / "data.nii.gz", subject.dwi, subject.affine, step)
    write_gradients(subject.gtab, scan / "bvals", scan / "bvecs")
    _write(scan / "nodif_brain_mask.nii.gz", subject.mask.astype(np.uint8), subject.affine)

    _write(truth / "dwi.nii.gz", subject.clean, subject.affine,
           float(subject.clean.max()) / LARGEST)
    for name, values in truth_maps(subject).items():
        _write(truth / f"{name}.nii.gz", values, subject.affine)
    _write(truth / "tissue.nii.gz", subject.tissue, subject.affine)
    _write(truth / "labels.nii.gz", subject.labels, subject.affine)
    _write(truth / "lesion.nii.gz", subject.lesion.astype(np.uint8), subject.affine)
    counts = np.bincount(subject.labels.ravel(), minlength=len(NAMES) + 1)
    rows = [f"{n + 1}\t{name}\t{counts[n + 1]}\n" for n, name in enumerate(NAMES)]
    (truth / "labels.tsv").write_text("index\tname\tvoxels\n" + "".join(rows))


def truth_maps(subject: SimulatedSubject):
    """Maps of the noise-free signal: dict of float32 [X, Y, Z(, C)], zero outside the mask."""
    fit = _fit(subject.clean[subject.mask], subject.gtab)
    maps = {}
    for name, values in fit.items():
        maps[name] = np.zeros(subject.mask.shape + values.shape[1:], np.float32)
        maps[name][subject.mask] = values
    return maps


def _fit(voxels, gtab, chunk=8192):
    """Tensor maps of voxels [V, M], in chunks of one shape so that XLA compiles once."""
    import jax

    from dwijax import dti

    global _compiled
    if _compiled is None:
        def maps(voxels, design):
            tensor = dti.fit_tensor(voxels, design).tensor
            return {
                "tensor": tensor * 1e-3,
                "fa": dti.fractional_anisotropy(tensor),
                "md": dti.mean_diffusivity(tensor) * 1e-3,
                "v1": dti.principal_direction(tensor),
            }

        _compiled = jax.jit(maps)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        design = dti.design_matrix(gtab.bvals, gtab.bvecs)
        parts = []
        for start in range(0, len(voxels), chunk):
            piece = voxels[start : start + chunk]
            filled = np.ones((chunk, voxels.shape[1]), np.float32)
            filled[: len(piece)] = piece
            fitted = _compiled(filled, design)
            parts.append({k: np.asarray(v)[: len(piece)] for k, v in fitted.items()})
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


_compiled = None


def _write(path, array, affine, step=None):
    """NIfTI-1, gzip; with ``step`` as int16 times scl_slope, otherwise in the array's dtype.

    Noise has no repeats to be found: run-length matching and Huffman coding compress it as well as
    a search for repeats does, three times as fast.
    """
    header = nib.Nifti1Header()
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype if step is None else np.int16)
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    header.set_xyzt_units("mm", "sec")
    header["magic"] = b"n+1"
    header.set_data_offset(352)
    header.set_slope_inter(1.0 if step is None else step, 0.0)
    # The slope is stored as float32; use that very number.
    scale = None if step is None else np.float32(1) / header["scl_slope"]
    packer = zlib.compressobj(1, zlib.DEFLATED, 31, 9, zlib.Z_RLE)
    volumes = array[..., None] if array.ndim == 3 else array
    with open(path, "wb") as file:
        file.write(packer.compress(header.binaryblock + bytes(4)))
        for m in range(volumes.shape[3]):
            volume = volumes[..., m]
            if scale is not None:
                volume = np.rint(volume * scale).astype(np.int16)
            file.write(packer.compress(volume.tobytes(order="F")))
        file.write(packer.flush())

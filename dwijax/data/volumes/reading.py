"""NIfTI files opened and read with checks: a fault is one line that names the file."""

import contextlib
import math
import shlex
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import LoggingOutputSuppressor
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from dwijax.errors import InputError


def read_image(path):
    """Opens a NIfTI file; its voxels are read later.

    Args:
      path: a ``.nii`` or ``.nii.gz`` file (or a NIfTI pair).

    Returns:
      nibabel NIfTI-1 or NIfTI-2 image. A trailing axis of length 1 behind the fourth is dropped.

    Raises:
      InputError: the file is missing, unreadable or not NIfTI; its voxels are not real numbers; an
        axis is empty; its affine is not invertible.
    """
    path = Path(path)
    with _readable(path), LoggingOutputSuppressor():  # an error is one line
        if not path.is_file():
            raise InputError(
                path,
                found="a folder" if path.is_dir() else "no such file",
                expected="a NIfTI file",
                remedy="check the file name",
            )
        if path.suffix in (".mif", ".mih") or path.name.endswith(".mif.gz"):
            raise InputError(path, found="an image of MRtrix3", expected="a NIfTI file",
                             remedy=f"convert it: {_mrconvert(path)}")
        image = nib.load(path)
    if not isinstance(image, nib.Nifti1Pair):  # NIfTI-2 and single files descend from it
        raise InputError(
            path,
            found=f"a file of type {type(image).__name__}",
            expected="a NIfTI file",
            remedy="convert it (mrconvert, mri_convert)",
        )
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(
            path,
            found=f"voxels of type {dtype}",
            expected="integers or real numbers",
            remedy="give the magnitude image",
        )
    shape, affine = image.shape, image.affine
    if len(shape) < 3 or any(n < 1 for n in shape):
        raise InputError(
            path,
            found=f"shape {shown(shape)}",
            expected="an image of three or four axes",
            remedy="check the file",
        )
    voxels = image.dataobj.offset + math.prod(map(int, shape)) * dtype.itemsize
    stored = Path(image.file_map["image"].filename).stat().st_size
    # No deflate stream expands more than 1032-fold; other compressions are left to the reader.
    if stored * {".nii": 1, ".img": 1, ".gz": 1032}.get(path.suffix, voxels) < voxels:
        raise InputError(
            path,
            found=f"{stored} bytes for shape {shown(shape)} of {dtype}",
            expected=f"{voxels} bytes before compression",
            remedy="copy or convert it again",
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(
            path,
            found="an affine that cannot be inverted",
            expected="a valid sform or qform",
            remedy="mend the header",
        )
    if len(shape) > 4 and set(shape[4:]) == {1}:
        proxy = image.dataobj.reshape(shape[:4])
        image = type(image)(proxy, affine, image.header, file_map=image.file_map)
    return image


def _mrconvert(path):
    stem = path.name.removesuffix(".gz").removesuffix(path.suffix).removesuffix(".mif")
    made = [str(path.with_name(stem + ending)) for ending in (".nii.gz", ".bvec", ".bval")]
    return shlex.join(["mrconvert", str(path), made[0], "-export_grad_fsl", *made[1:]])


def read_dwi(path):
    """Opens a diffusion-weighted series; its voxels are read later.

    Args:
      path: a NIfTI file.

    Returns:
      nibabel image of shape [X, Y, Z, M].

    Raises:
      InputError: as `read_image`, or the image has not four axes.
    """
    image = read_image(path)
    if len(image.shape) != 4:
        raise InputError(
            path,
            found=f"shape {shown(image.shape)}",
            expected="a 4-D series, volumes along the last axis",
            remedy="merge the volumes (fslmerge -t, mrcat)",
        )
    return image


def read_volumes(image, volumes=None, finite=True):
    """Reads voxels volume by volume, so that a long series never has to fit into memory.

    Args:
      image: nibabel image with three or four axes that comes from a file.
      volumes: indices [n] along the fourth axis, in any order; None for all of them.
      finite: refuse values that are not finite.

    Returns:
      float32 [X, Y, Z, n] ([X, Y, Z] for a 3-D image), scl_slope and scl_inter applied, in the
      orientation of the file.

    Raises:
      InputError: the file is truncated or corrupt, or holds NaN or infinite values.
    """
    path = image.get_filename()
    if len(image.shape) == 3:
        with voxels(image) as source:
            array = np.asarray(source, dtype=np.float32)
        if finite:
            check_finite(array, path, "")
        return array
    wanted = np.arange(image.shape[3]) if volumes is None else np.asarray(volumes, int)
    with voxels(image) as source:
        out = np.empty(image.shape[:3] + (len(wanted),), np.float32)
        for i in np.argsort(wanted, kind="stable"):  # in the order of the file
            out[..., i] = source[..., int(wanted[i])]
            if finite:
                check_finite(out[..., i], path, f" in volume {wanted[i]} (counted from 0)")
    return out


def check_finite(array, path, place):
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise InputError(
            path,
            found=f"{bad} values that are not finite{place}",
            expected="finite intensities",
            remedy="replace them (fslmaths IMAGE -nan IMAGE)",
        )


@contextlib.contextmanager
def voxels(image):
    """The voxels of `image` as an array proxy on one open file.

    A compressed stream is so unpacked once, however many volumes are taken one by one, and it is
    read to its end, where its checksum is.
    """
    proxy, name = image.dataobj, image.file_map["image"].filename
    with _readable(name), ImageOpener(name) as file:
        yield ArrayProxy(file, (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter))
        while name.endswith(".gz") and file.read(2**24):
            pass


@contextlib.contextmanager
def _readable(path):
    """Turns what nibabel and zlib raise over a bad file into an `InputError`."""
    try:
        yield
    except (
        OSError,
        EOFError,
        ValueError,
        MemoryError,
        zlib.error,
        ImageFileError,
        HeaderDataError,
        WrapStructError,
    ) as error:
        raise InputError(
            path,
            found=f"a file that cannot be read ({str(error) or type(error).__name__})",
            expected="a complete NIfTI file",
            remedy="copy or convert it again",
        ) from error


def shown(shape):
    return "×".join(map(str, shape))

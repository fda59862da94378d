"""NIfTI files opened and read with checks: a fault is one line that names the file."""

import contextlib
import logging
import math
import shlex
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.imageclasses import all_image_classes
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.tripwire import TripWireError
from nibabel.wrapstruct import WrapStructError

from dwijax.errors import InputError
from dwijax.volumes.orientation import invertible

LARGEST = 1e15  # whose square, times squares of b, is within float32
SMALLEST = 1e-15  # b0 in the mask, for the same reason
_QUATERNION = 1e-3  # how much longer than 1 rounding may have made it
_STATE = threading.RLock()  # of logger and warnings, which all threads share


def read_image(path: Path) -> nib.Nifti1Image:
    """Opens a NIfTI file; its voxels are read later.

    Args:
      path: a ``.nii`` or ``.nii.gz`` file (or a NIfTI pair).

    Returns:
      nibabel NIfTI-1 or NIfTI-2 image of at least three axes. Axes of length 1 behind the third
      are dropped where there are more than four: ``[X, Y, Z, 1, M]``, as tools that keep the
      fourth axis for time store vectors, is ``[X, Y, Z, M]``.

    Raises:
      InputError: the file is missing, no regular file, unreadable or not NIfTI; its voxels are not
        real numbers; an axis is empty; its affine is not invertible.
    """
    path = Path(path)
    with readable(path):
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise InputError(
                path,
                found=kind if path.exists() else "no such file",
                expected="a NIfTI file",
                remedy="check the file name",
            )
        if path.suffix in (".mif", ".mih") or path.name.endswith(".mif.gz"):
            raise InputError(path, found="an image of MRtrix3", expected="a NIfTI file",
                             remedy=f"convert it: {_mrconvert(path)}")
        with quiet():
            kind = _kind(path)
        if not issubclass(kind, nib.Nifti1Pair):  # NIfTI-2 and single files descend from it
            raise InputError(
                path,
                found=f"a file of type {kind.__name__}",
                expected="a NIfTI file",
                remedy="convert it (mrconvert, mri_convert)",
            )
        with quiet():
            return _opened(path, kind)


def _kind(path):
    """Class of nibabel that reads a file."""
    sniff = None
    for kind in all_image_classes:
        known, sniff = kind.path_maybe_image(path, sniff)
        if known:
            return kind
    raise ImageFileError("no header of an image")


def _opened(path, kind):
    """As `nibabel.load`, with a header that is looked at before anything is made of it."""
    files = kind.filespec_to_file_map(path)
    with files.get("header", files["image"]).get_prepare_fileobj("rb") as file:
        header = kind.header_class.from_fileobj(file)
    dtype, shape = header.get_data_dtype(), tuple(map(int, header.get_data_shape()))
    if dtype.kind not in "iuf":
        raise InputError(
            path,
            found=f"voxels of type {dtype}",
            expected="integers or real numbers",
            remedy="give the magnitude image",
        )
    if len(shape) < 3 or any(n < 1 for n in shape):
        raise InputError(
            path,
            found=f"shape {shown(shape)}",
            expected="an image of three or four axes",
            remedy="check the file",
        )
    image_file = Path(files["image"].filename)
    if image_file != path and not image_file.is_file():
        raise InputError(image_file, found="no regular file", expected=f"the voxels of {path}",
                         remedy="check the file name")
    offset = header.get_data_offset()
    if offset < 0:
        raise InputError(path, found=f"voxels from byte {offset} on", expected="0 or more",
                         remedy="mend vox_offset in the header")
    _mend_quaternion(header)
    affine = header.get_best_affine()
    needed = offset + math.prod(shape) * dtype.itemsize
    stored = image_file.stat().st_size
    # No deflate stream expands more than 1032-fold; other compressions are left to the reader.
    if stored * {".nii": 1, ".img": 1, ".gz": 1032}.get(image_file.suffix, needed) < needed:
        raise InputError(
            path,
            found=f"{stored} bytes for shape {shown(shape)} of {dtype}",
            expected=f"{needed} bytes before compression",
            remedy="copy or convert it again",
        )
    if not invertible(affine):
        raise InputError(
            path,
            found="an affine that cannot be inverted",
            expected="a valid sform or qform",
            remedy="mend the header",
        )
    proxy = kind.ImageArrayProxy(str(image_file), header.copy())
    if len(shape) > 4:
        longer = [n for n in shape[3:] if n > 1] or [1]
        if len(longer) == 1:
            proxy = proxy.reshape((*shape[:3], *longer))
    return kind(proxy, affine, header, file_map=files)


def _mend_quaternion(header):
    """Scales a qform's quaternion (b, c, d) that rounding has made longer than 1 to length 1, as
    NIfTI's reference code, FSL and ITK do; nibabel refuses it."""
    names = ("quatern_b", "quatern_c", "quatern_d")
    length = math.sqrt(sum(float(header[name]) ** 2 for name in names))
    if 1 < length < 1 + _QUATERNION:
        for name in names:
            header[name] = float(header[name]) / length


def _mrconvert(path):
    stem = path.name.removesuffix(".gz").removesuffix(path.suffix).removesuffix(".mif")
    made = [str(path.with_name(stem + ending)) for ending in (".nii.gz", ".bvec", ".bval")]
    return shlex.join(["mrconvert", str(path), made[0], "-export_grad_fsl", *made[1:]])


def read_dwi(path: Path) -> nib.Nifti1Image:
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


def read_volumes(image: nib.Nifti1Image, volumes: np.ndarray | None = None,
                 dtype=np.float32) -> np.ndarray:
    """Reads voxels volume by volume, so that a long series never has to fit into memory.

    Args:
      image: nibabel image with three or four axes that comes from a file.
      volumes: indices [n] along the fourth axis, in any order; None for all of them.
      dtype: of the result.

    Returns:
      [X, Y, Z, n] ([X, Y, Z] for a 3-D image), scl_slope and scl_inter applied, in the orientation
      of the file. NaN and infinite values are as they are: see `only_usable`.

    Raises:
      InputError: the file is truncated or corrupt.
    """
    with _voxels(image) as source, np.errstate(all="ignore"):
        if len(image.shape) == 3:
            return np.asarray(source, dtype=dtype)
        wanted = np.arange(image.shape[3]) if volumes is None else np.asarray(volumes, int)
        out = np.empty(image.shape[:3] + (len(wanted),), dtype)
        for i in np.argsort(wanted, kind="stable"):  # in the order of the file
            out[..., i] = source[..., int(wanted[i])]
    return out


def usable(values: np.ndarray) -> np.ndarray:
    """Where values are numbers that float32 can square and weight with: not NaN, and within
    1e15."""
    return np.abs(values) <= LARGEST  # False of NaN


def only_usable(array: np.ndarray, mask: np.ndarray, where: Path,
                volumes: np.ndarray | None = None) -> None:
    """Sets what is not `usable` outside of a mask to 0, in place, and refuses it inside.

    Tools write NaN where they have computed nothing, as behind the edge of the field of view.

    Args:
      array: float [X, Y, Z] or [X, Y, Z, n].
      mask: bool [X, Y, Z].
      where: what an error names.
      volumes: [n], what an error calls them; None: their positions.

    Raises:
      InputError: a value inside the mask is NaN or infinite.
    """
    series = array if array.ndim == 4 else array[..., None]
    for i in range(series.shape[3]):
        volume = series[..., i]
        good = usable(volume)
        if not good[mask].all():
            m = i if volumes is None else int(volumes[i])
            raise not_usable(where, volume[mask], m if array.ndim == 4 else None)
        volume[~good] = 0


def not_usable(where: Path, values: np.ndarray, volume: int | None = None) -> InputError:
    """`InputError` of values in the mask that are not all `usable`."""
    place = "" if volume is None else f" in volume {volume} (counted from 0)"
    finite = np.isfinite(values)
    if finite.all():
        return InputError(
            where, found=f"values up to {np.abs(values).max():g}{place}",
            expected=f"intensities within {LARGEST:g}", remedy="scale them (fslmaths IMAGE -div)")
    return InputError(
        where,
        found=f"{np.count_nonzero(~finite)} values that are not finite{place}, inside the mask",
        expected="finite intensities",
        remedy="give a mask without them, or replace them (fslmaths IMAGE -nan IMAGE)",
    )


@contextlib.contextmanager
def _voxels(image):
    """The voxels of `image` as an array proxy on one open file.

    A compressed stream is so unpacked once, however many volumes are taken one by one, and it is
    read to its end, where its checksum is.
    """
    proxy, name = image.dataobj, image.file_map["image"].filename
    with readable(name), ImageOpener(name) as file:
        yield ArrayProxy(file, (proxy.shape, proxy.dtype, proxy.offset, proxy.slope, proxy.inter))
        while name.endswith(".gz") and file.read(2**24):
            pass


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps nibabel from logging what it mends in a header and from warning of extensions."""
    logger = logging.getLogger("nibabel.global")
    with _STATE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what nibabel and zlib raise over a bad file into an `InputError`."""
    try:
        yield
    except (
        OSError,
        EOFError,
        ValueError,
        ArithmeticError,
        MemoryError,
        zlib.error,
        ImageFileError,
        HeaderDataError,
        HeaderTypeError,
        WrapStructError,
        TripWireError,  # .zst, where its package is not installed
    ) as error:
        raise InputError(
            path,
            found=f"a file that cannot be read ({str(error) or type(error).__name__})",
            expected="a complete NIfTI file",
            remedy="copy or convert it again",
        ) from error


def shown(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))

"""NIfTI volumes: reading with checks, orientation, masks, padding, writing.

Networks tell left from right, so every scan is brought into one orientation before they see it:
LAS, voxel axes running to the Left, Anterior and Superior. Its affine has a negative determinant,
and FSL's directions are then exactly directions along the array's axes. Oblique scans are brought
to the nearest axes; nothing is ever interpolated.
"""

import contextlib
import math
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
from dwijax.output import whole

CANONICAL = "LAS"


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
            found=f"shape {_shown(shape)}",
            expected="an image of three or four axes",
            remedy="check the file",
        )
    voxels = image.dataobj.offset + math.prod(map(int, shape)) * dtype.itemsize
    stored = Path(image.file_map["image"].filename).stat().st_size
    # No deflate stream expands more than 1032-fold; other compressions are left to the reader.
    if stored * {".nii": 1, ".img": 1, ".gz": 1032}.get(path.suffix, voxels) < voxels:
        raise InputError(
            path,
            found=f"{stored} bytes for shape {_shown(shape)} of {dtype}",
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
            found=f"shape {_shown(image.shape)}",
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
        with _source(image) as source:
            array = np.asarray(source, dtype=np.float32)
        if finite:
            _check_finite(array, path, "")
        return array
    wanted = np.arange(image.shape[3]) if volumes is None else np.asarray(volumes, int)
    with _source(image) as source:
        out = np.empty(image.shape[:3] + (len(wanted),), np.float32)
        for i in np.argsort(wanted, kind="stable"):  # in the order of the file
            out[..., i] = source[..., int(wanted[i])]
            if finite:
                _check_finite(out[..., i], path, f" in volume {wanted[i]} (counted from 0)")
    return out


def read_mask(path, shape, affine):
    """Reads a mask and brings it into the orientation of the image it belongs to.

    Args:
      path: a NIfTI file, 3-D or with a trailing axis of length 1; whole numbers, 0 outside.
      shape: (X, Y, Z) of the image.
      affine: [4, 4] of the image, voxel to RAS+ mm.

    Returns:
      bool [X, Y, Z].

    Raises:
      InputError: as `read_image`, or the mask has another shape, lies elsewhere in space (by more
        than half a voxel at any corner), holds values that are not whole or are negative, or is
        empty.
    """
    image = read_image(path)
    shape = tuple(shape[:3])
    remedy = "make the mask on this image, or resample it (mrgrid, flirt -applyxfm)"
    if len(image.shape) > 3 and set(image.shape[3:]) != {1}:
        raise InputError(
            path, found=f"shape {_shown(image.shape)}", expected="a 3-D mask", remedy=remedy
        )
    with _source(image) as source:
        array = np.asarray(source, dtype=np.float32).reshape(image.shape[:3])
    # The same grid stored in another orientation is the same mask.
    array, found_affine, _ = canonical(array, image.affine)
    orientation = _orientation(affine)
    array = uncanonical(array, orientation)
    if array.shape != shape:
        raise InputError(
            path,
            found=f"shape {_shown(image.shape[:3])}",
            expected=f"the image's {_shown(shape)}",
            remedy=remedy,
        )
    found_affine = uncanonical_affine(found_affine, shape, orientation)
    offset = _largest_offset(found_affine, affine, shape)
    if offset > 0.5:
        raise InputError(
            path,
            found=f"a mask {offset:.1f} voxels away from the image in space",
            expected="the image's position and voxel size",
            remedy=remedy,
        )
    _check_finite(array, path, "")
    if (array < 0).any() or (np.abs(array - np.rint(array)) > 1e-3).any():
        raise InputError(
            path,
            found=f"values between {array.min():g} and {array.max():g} that are not whole numbers",
            expected="0 outside and 1 inside",
            remedy="threshold it (fslmaths MASK -thr 0.5 -bin MASK)",
        )
    mask = array > 0.5
    if not mask.any():
        raise InputError(path, found="an empty mask", expected="voxels above 0", remedy=remedy)
    return mask


def make_mask(dwi, b0s_mask, where="image"):
    """Finds the head in the mean b0 with dipy's `median_otsu`.

    Radius 2 and 2 passes, the largest piece, holes filled: on scans of 2 to 3 mm, dipy's default
    of 4 and 4 cuts corners (Dice 0.89 to 0.98 to masks made with care, here 0.95 to 0.998) and
    takes eight times as long.

    Args:
      dwi: [X, Y, Z, M], any real dtype.
      b0s_mask: bool [M].
      where: what an error names.

    Returns:
      bool [X, Y, Z].

    Raises:
      InputError: nothing was found.
    """
    from dipy.segment.mask import median_otsu

    b0 = np.mean(dwi[..., np.asarray(b0s_mask, bool)], axis=-1, dtype=np.float64)
    mask = np.zeros(b0.shape, bool)
    if b0.max() > b0.min():
        mask = median_otsu(b0, median_radius=2, numpass=2, finalize_mask=True)[1]
        mask = np.asarray(mask, bool)
    if not mask.any():
        raise InputError(
            where,
            found="no head in its b0 volumes",
            expected="a bright object on a dark background",
            remedy="give a mask",
        )
    return mask


def canonical(array, affine):
    """Reorders and reverses axes to LAS. Exact: no value changes.

    Args:
      array: [X, Y, Z, ...].
      affine: [4, 4] of `array`, voxel to RAS+ mm.

    Returns:
      (array, affine, orientation): a view in LAS, its float64 affine [4, 4], and the three letters
      the stored axes run to (such as ``"RAS"``), which `uncanonical` takes.
    """
    orientation = _orientation(affine)
    to_las = _transform(orientation, CANONICAL)
    moved = np.asarray(affine, np.float64) @ nib.orientations.inv_ornt_aff(to_las, array.shape[:3])
    return nib.orientations.apply_orientation(array, to_las), moved, orientation


def uncanonical(array, orientation):
    """Puts a LAS array back into the stored orientation; the exact inverse of `canonical`.

    Args:
      array: [X, Y, Z, ...] in LAS.
      orientation: three letters from `canonical`.

    Returns:
      A view of `array` in the stored orientation.
    """
    return nib.orientations.apply_orientation(array, _transform(CANONICAL, orientation))


def uncanonical_affine(affine, shape, orientation):
    """The affine of a LAS image after `uncanonical`.

    Args:
      affine: [4, 4] in LAS.
      shape: (X, Y, Z) in the stored orientation.
      orientation: three letters from `canonical`.

    Returns:
      float64 [4, 4].
    """
    to_las = _transform(orientation, CANONICAL)
    return np.asarray(affine, np.float64) @ np.linalg.inv(
        nib.orientations.inv_ornt_aff(to_las, shape[:3])
    )


def canonical_bvecs(bvecs, orientation):
    """FSL directions of a stored image to those of the same image in LAS.

    Args:
      bvecs: [..., 3], FSL convention for the stored image.
      orientation: three letters from `canonical`.

    Returns:
      float64 [..., 3]: FSL convention for the LAS image, that is along its array axes. Exact.
    """
    return np.asarray(bvecs, np.float64) @ _bvec_matrix(orientation).T


def uncanonical_bvecs(bvecs, orientation):
    """The exact inverse of `canonical_bvecs`, for directions and vector maps [..., 3]."""
    return np.asarray(bvecs, np.float64) @ _bvec_matrix(orientation)


def save_like(path, array, like, dtype=np.float32):
    """Writes an image with the header of another one: affine, sform and qform codes, units, TR.

    The stored scale factors are reset and the display window is cleared, as they belong to other
    values. The file appears under its name only once it is complete.

    Args:
      path: ``.nii`` or ``.nii.gz``.
      array: [X, Y, Z, ...] in the stored orientation of `like`.
      like: nibabel NIfTI image.
      dtype: of the stored voxels; values must fit, none are rescaled.

    Raises:
      InputError: the file cannot be written.
    """
    array, path = np.asarray(array), Path(path)
    if array.shape[:3] != like.shape[:3]:
        raise ValueError(f"an array of shape {array.shape} is not like one of {like.shape}")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(
            path,
            found="another ending",
            expected="a name that ends in .nii or .nii.gz",
            remedy="choose another name",
        )
    header = like.header.copy()
    header.set_data_dtype(dtype)
    header["cal_min"] = header["cal_max"] = 0
    version = nib.Nifti2Image if isinstance(like.header, nib.Nifti2Header) else nib.Nifti1Image
    image = version(np.asarray(array, dtype), None, header)
    image.header.set_slope_inter(1.0, 0.0)
    with whole(path) as temporary:
        nib.save(image, temporary)


def pad_to(array, shape, axes):
    """Brings axes to given lengths around their centre, with zeros or by cutting.

    Its own inverse: ``pad_to(pad_to(x, larger, axes), lengths_of_x, axes)`` is `x`, bit for bit.

    Args:
      array: NumPy array.
      shape: wanted lengths, one per axis.
      axes: which axes.

    Returns:
      An array of the same dtype; a view where nothing is added.
    """
    widths, window = [(0, 0)] * array.ndim, [slice(None)] * array.ndim
    for axis, wanted in zip(axes, shape, strict=True):
        before = abs(wanted - array.shape[axis]) // 2
        after = abs(wanted - array.shape[axis]) - before
        if wanted > array.shape[axis]:
            widths[axis] = (before, after)
        else:
            window[axis] = slice(before, array.shape[axis] - after)
    array = array[tuple(window)]
    return np.pad(array, widths) if any(map(any, widths)) else array


def _orientation(affine):
    return "".join(nib.orientations.aff2axcodes(affine))


def _transform(source, target):
    axcodes2ornt = nib.orientations.axcodes2ornt
    return nib.orientations.ornt_transform(axcodes2ornt(source), axcodes2ornt(target))


def _bvec_matrix(orientation):
    """Signed permutation [3, 3] from stored FSL directions to LAS array axes."""
    to_las = _transform(orientation, CANONICAL)
    matrix = np.zeros((3, 3))
    for axis, (target, flip) in enumerate(to_las):
        matrix[int(target), axis] = flip
    # det(LAS) < 0, so the stored determinant is positive exactly where `matrix` is improper.
    return matrix @ np.diag([np.sign(np.linalg.det(matrix)), 1.0, 1.0])


def _largest_offset(affine_a, affine_b, shape):
    """Largest distance between the corners of two grids, in voxels of the second."""
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij"), -1)
    moved = (corners.reshape(-1, 4) @ (np.asarray(affine_a) - np.asarray(affine_b)).T)[:, :3]
    voxel = np.linalg.norm(np.asarray(affine_b)[:3, :3], axis=0).min()
    return float(np.linalg.norm(moved, axis=1).max() / voxel)


def _check_finite(array, path, place):
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise InputError(
            path,
            found=f"{bad} values that are not finite{place}",
            expected="finite intensities",
            remedy="replace them (fslmaths IMAGE -nan IMAGE)",
        )


@contextlib.contextmanager
def _source(image):
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


def _shown(shape):
    return "×".join(map(str, shape))

"""Images written with the header of the scan they come from."""

from pathlib import Path

import nibabel as nib
import numpy as np

from dwijax.errors import InputError
from dwijax.output import whole
from dwijax.volumes.reading import quiet


def save_like(path: Path, array: np.ndarray, like: nib.Nifti1Image, dtype=np.float32) -> None:
    """Writes an image with the header of another one: affine, sform and qform codes, units, TR.

    The file appears under its name only once it is complete.

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
    kind = nib.Nifti2Image if isinstance(like.header, nib.Nifti2Header) else nib.Nifti1Image
    with whole(path) as temporary, quiet():
        nib.save(kind(np.asarray(array, dtype), None, header_like(like, array.shape, dtype)),
                 temporary)


def header_like(like: nib.Nifti1Image, shape: tuple[int, ...],
                dtype=np.float32) -> nib.Nifti1Header:
    """Header of a single file with the orientation, units and TR of another image.

    Args:
      like: nibabel NIfTI image.
      shape: of the new image, its first three axes those of `like`.
      dtype: of the stored voxels.

    Returns:
      nibabel header of the version of `like`, NIfTI-1 or NIfTI-2. Scale factors, the display
      window and the intent are reset: they belong to other values.
    """
    two = isinstance(like.header, nib.Nifti2Header)
    kind = nib.Nifti2Header if two else nib.Nifti1Header
    with quiet():
        header = kind.from_header(like.header)
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_slope_inter(1.0, 0.0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0
    header["vox_offset"] = 0  # recomputed for the extensions there are
    header["magic"] = header.single_magic
    return header

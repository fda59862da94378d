"""Images written with the header of the scan they come from."""

from pathlib import Path

import nibabel as nib
import numpy as np

from dwijax.errors import InputError
from dwijax.output import whole


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

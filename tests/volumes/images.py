"""Images of noise, and all ways to store one."""

import itertools

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

ORIENTATIONS = [
    "".join(codes)
    for letters in itertools.permutations(("LR", "AP", "IS"))
    for codes in itertools.product(*letters)
]
SHAPE = (4, 5, 6, 3)


def ras_affine(oblique=0.0):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", np.array([1, -0.7, 0.5]) * oblique, degrees=True)
    affine[:3, :3] = turn.as_matrix() @ np.diag([2, 2.5, 3])
    affine[:3, 3] = [-10, 7, 3]
    return affine


def restored(image, codes):
    """The same image with its axes stored along `codes`."""
    source, target = nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
    return image.as_reoriented(nib.orientations.ornt_transform(source, target))


def series(dtype=np.float32, affine=None, shape=SHAPE):
    data = np.random.default_rng(0).integers(0, 1000, shape).astype(dtype)
    return nib.Nifti1Image(data, ras_affine() if affine is None else affine)

"""Subjects of noise in an ellipsoid, as plain files, and a config that trains on them quickly."""

import jax
import nibabel as nib
import numpy as np

from configs.phantom import get_config
from dwijax.data.channels import B0, Directions
from dwijax.gradients import GradientTable, write_gradients
from dwijax.gradients.directions import direction_set

SPLIT = (0.5, 0.25, 0.25)
N = 14  # directions
SPEC = {"shell": 1000, "axis": 2}


def everything(gtab, b0s):
    """The channels of slices: all that was measured."""
    return {"b0": B0(), "dwi": Directions(np.arange(len(gtab)))}


def same_bits(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.asarray(x).dtype == np.asarray(y).dtype and np.shape(x) == np.shape(y)
        and np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def write_subject(folder, shape, seed):
    """Two b0s and N directions in an ellipsoid, whose top and bottom slices are empty."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1.3, 1.3, n) for n in shape], indexing="ij"))
    mask = (grid ** 2).sum(0) < 1
    decay = np.exp(-rng.uniform(0.3, 1.0, (*shape, N)))
    dwi = np.concatenate([np.ones((*shape, 2)), decay], -1) * rng.uniform(400, 900, (*shape, 1))
    folder.mkdir(parents=True)
    affine = np.diag([-2.0, 2, 2, 1])
    nib.save(nib.Nifti1Image(dwi.astype(np.int16), affine), folder / "dwi.nii")
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "mask.nii")
    gtab = GradientTable(np.r_[0, 0, np.full(N, 1000.0)],
                         np.r_[np.zeros((2, 3)), direction_set(N)])
    write_gradients(gtab, folder / "dwi.bval", folder / "dwi.bvec")


# Of a network so small that compiling it is most of its training.
FIELDS = {"data.split": SPLIT, "data.inputs": 8, "data.neighbours": 0, "calibrate": False,
          "model.width": 2, "model.levels": 1, "trunk.steps": 0, "batch": 3, "patch": 8, "steps": 7,
          "log_every": 3, "validate_every": 4, "checkpoint_every": 7}


def config_of(**fields):
    """The smoke config with `FIELDS`, and with others."""
    config = get_config("smoke")
    config.update_from_flattened_dict(FIELDS | fields)
    return config

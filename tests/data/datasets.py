"""Small scans of noise, as labs lay them out."""

import json

import nibabel as nib
import numpy as np

from dwijax.gradients import GradientTable, direction_set, fsl_to_world, write_gradients

SHAPE = (5, 6, 7)
BVALS = np.array([5.0, 1000, 2000, 995, 0, 1005, 1000, 1000, 1000, 2000])


def write_scan(folder, codes="LAS", names=("dwi.nii.gz", "dwi.bval", "dwi.bvec", "mask.nii.gz")):
    """A small scan of ten volumes in the plain layout, stored along `codes`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    data = rng.integers(100, 3000, (*SHAPE, len(BVALS))).astype(np.int16)
    affine = np.diag([-2.0, 2, 2.5, 1])
    affine[:3, 3] = [5, -20, 3]
    mask = nib.Nifti1Image(rng.integers(0, 2, SHAPE).astype(np.uint8), affine)
    image = nib.Nifti1Image(data, affine)
    target = nib.orientations.axcodes2ornt(codes)
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), target)
    image, mask = image.as_reoriented(change), mask.as_reoriented(change)
    world = direction_set(len(BVALS)) @ fsl_to_world(affine).T
    gtab = GradientTable(BVALS, world @ fsl_to_world(image.affine))
    nib.save(image, folder / names[0])
    write_gradients(gtab, folder / names[1], folder / names[2])
    if names[3]:
        nib.save(mask, folder / names[3])
    return folder


HCP = ("data.nii.gz", "bvals", "bvecs", "nodif_brain_mask.nii.gz")


DESCRIPTION = {"Name": "cohort", "BIDSVersion": "1.10.0"}
DERIVED = DESCRIPTION | {"DatasetType": "derivative", "GeneratedBy": [{"Name": "prep"}]}


def describe(root, content=DESCRIPTION):
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps(content))
    return root


def bids_scan(folder, stem, tables=True, mask=None, ending=".nii.gz"):
    """A real small scan under BIDS names; without its own table where that is inherited."""
    names = (f"{stem}_dwi{ending}", f"{stem}_dwi.bval", f"{stem}_dwi.bvec", mask)
    write_scan(folder, names=names)
    if not tables:
        (folder / names[1]).unlink()
        (folder / names[2]).unlink()

"""Labels of an atlas carried to a subject: affine, then SyN registration of FA, through dipy."""

import logging
from typing import NamedTuple

import numpy as np

from dwijax.data.volumes import canonical, read_image, read_volumes
from dwijax.errors import InputError
from dwijax.evaluation.rois import read_table

STEPS = ("center_of_mass", "translation", "rigid", "affine")
AFFINE_ITERATIONS, SYN_ITERATIONS = (1000, 100, 10), (20, 10, 5)  # from coarse to fine
RADIUS = 2  # voxels, of SyN's cross-correlation: slabs are thin
LEAST = 9


class Atlas(NamedTuple):
    """An atlas in memory: ``fa [X, Y, Z]``, whole-numbered ``labels`` on the same grid, its
    ``affine [4, 4]`` and the path of its look-up table."""

    fa: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    table: str
    path: str


def read_atlas(fa, labels, table):
    """`Atlas` of two images on one grid and a look-up table (`dwijax.evaluation.rois.read_table`).

    Raises:
      InputError: they cannot be read, are on different grids, or the table has no names.
    """
    read_table(table)  # a fault in it is told before the registration
    image, numbers = read_image(fa), read_image(labels)
    if image.shape[:3] != numbers.shape[:3] or not np.allclose(
            image.affine, numbers.affine, atol=1e-2):
        raise InputError(
            labels, found=f"a grid of {'×'.join(map(str, numbers.shape[:3]))} voxels elsewhere or "
            "of another size", expected=f"that of {fa}, {'×'.join(map(str, image.shape[:3]))}",
            remedy="resample the labels to the atlas's FA (nearest neighbour)")
    values, affine, _ = canonical(np.squeeze(read_volumes(image)), image.affine)
    found = canonical(np.squeeze(read_volumes(numbers)), numbers.affine)[0]
    return Atlas(np.asarray(values, np.float64), np.rint(found).astype(np.int32), affine,
                 str(table), str(labels))


def register(atlas, fa, affine):
    """The atlas's labels on a subject's grid, int32 ``[X, Y, Z]``.

    Args:
      atlas: `Atlas`. fa: ``[X, Y, Z]``, 0 outside of the brain. affine: ``[4, 4]``.

    Raises:
      InputError: an image is too small for the registration.
    """
    from dipy.align import affine_registration, syn_registration

    smallest = min(*fa.shape, *atlas.fa.shape)
    if smallest < LEAST:
        raise InputError(
            atlas.path, found=f"images of {'×'.join(map(str, atlas.fa.shape))} and "
            f"{'×'.join(map(str, fa.shape))} voxels", expected=f"at least {LEAST} along each axis",
            remedy="give labels on the subject's grid (labels.nii.gz beside its series)")
    levels = sum(smallest // 2**level > 2 * RADIUS + 1 for level in range(len(SYN_ITERATIONS)))
    told = logging.getLogger("dipy")
    level = told.level
    told.setLevel(logging.ERROR)  # it narrates every level
    try:
        grids = {"moving_affine": atlas.affine, "static_affine": affine}
        fa = np.asarray(fa, np.float64)
        _, matrix = affine_registration(
            atlas.fa, fa, pipeline=list(STEPS), level_iters=list(AFFINE_ITERATIONS), **grids)
        _, mapping = syn_registration(
            atlas.fa, fa, prealign=matrix, level_iters=list(SYN_ITERATIONS[-levels:]),
            radius=RADIUS, **grids)
        moved = mapping.transform(atlas.labels.astype(np.float64), interpolation="nearest")
    finally:
        told.setLevel(level)
    return np.rint(moved).astype(np.int32)

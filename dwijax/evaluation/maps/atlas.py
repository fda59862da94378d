"""Labels of an atlas carried to a subject: affine, then SyN registration of FA, through dipy."""

import logging
from typing import NamedTuple

import numpy as np

from dwijax.errors import InputError
from dwijax.evaluation.maps.rois import read_table, whole_labels
from dwijax.volumes import canonical, read_image, read_on_grid

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


def read_atlas(fa: str, labels: str, table: str) -> Atlas:
    """`Atlas` of two images on one grid and a table (`dwijax.evaluation.maps.rois.read_table`).

    Raises:
      InputError: they cannot be read, are on different grids, or the table has no names.
    """
    read_table(table)  # a fault in it comes before the registration
    image = read_image(fa)
    values = read_on_grid(fa, image.shape, image.affine, dtype=np.float64, what="map of FA")
    found = read_on_grid(labels, image.shape, image.affine, dtype=np.float64, what="label image")
    values, affine, _ = canonical(np.where(np.isfinite(values), values, 0), image.affine)
    found = canonical(whole_labels(found, labels), image.affine)[0]
    return Atlas(values, found.astype(np.int32), affine, str(table), str(labels))


def register(atlas: Atlas, fa: np.ndarray, affine: np.ndarray) -> np.ndarray:
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
    logger = logging.getLogger("dipy")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it narrates every level
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
        logger.setLevel(level)
    return np.rint(moved).astype(np.int32)

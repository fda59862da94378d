"""NIfTI volumes: reading with checks, orientation, matching, masks, padding, writing."""

from dwijax.volumes.masks import filled_slices, into_volume, make_mask, read_mask
from dwijax.volumes.matching import read_on_grid
from dwijax.volumes.orientation import (
    CANONICAL,
    canonical,
    canonical_bvecs,
    orientation_notes,
    orientation_of,
    slice_axis,
    uncanonical,
    uncanonical_affine,
    uncanonical_bvecs,
    voxel_size,
)
from dwijax.volumes.padding import pad_to
from dwijax.volumes.reading import (
    SMALLEST,
    not_usable,
    only_usable,
    read_dwi,
    read_image,
    read_volumes,
    readable,
    usable,
)
from dwijax.volumes.writing import header_like, save_like

__all__ = [
    "CANONICAL",
    "SMALLEST",
    "canonical",
    "canonical_bvecs",
    "filled_slices",
    "header_like",
    "into_volume",
    "make_mask",
    "not_usable",
    "only_usable",
    "orientation_notes",
    "orientation_of",
    "pad_to",
    "read_dwi",
    "read_image",
    "read_mask",
    "read_on_grid",
    "read_volumes",
    "readable",
    "save_like",
    "slice_axis",
    "uncanonical",
    "uncanonical_affine",
    "uncanonical_bvecs",
    "usable",
    "voxel_size",
]

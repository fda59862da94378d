"""NIfTI volumes: reading with checks, orientation, masks, padding, writing."""

from dwijax.data.volumes.masks import make_mask, read_mask
from dwijax.data.volumes.orientation import (
    CANONICAL,
    canonical,
    canonical_bvecs,
    uncanonical,
    uncanonical_affine,
    uncanonical_bvecs,
)
from dwijax.data.volumes.padding import pad_to
from dwijax.data.volumes.reading import read_dwi, read_image, read_volumes
from dwijax.data.volumes.writing import save_like

__all__ = [
    "CANONICAL",
    "canonical",
    "canonical_bvecs",
    "make_mask",
    "pad_to",
    "read_dwi",
    "read_image",
    "read_mask",
    "read_volumes",
    "save_like",
    "uncanonical",
    "uncanonical_affine",
    "uncanonical_bvecs",
]

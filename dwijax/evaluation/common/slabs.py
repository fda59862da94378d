"""Intervals within one head, where there are no other subjects: slabs of it are drawn."""

from typing import NamedTuple

import numpy as np

THICKNESS = 4  # slices: neighbours are too alike to count as two
DRAWS = 2000


class Head(NamedTuple):
    """What is known, voxel by voxel, of the only subject of a group.

    Attributes:
      squares: method to its squared error against the measured DWIs, mean over them, ``[V]``.
      regions: name to bool ``[V]``. slabs: int ``[V]``, number of each voxel's slab.
    """

    squares: dict[str, np.ndarray]
    regions: dict[str, np.ndarray]
    slabs: np.ndarray


class SlabInterval(NamedTuple):
    """Difference of two RMSEs and the interval of 95 % of the draws of slabs."""

    difference: float
    low: float
    high: float

    def __format__(self, digits: str) -> str:
        return "{:{}} [{:{}}, {:{}}]".format(*(x for value in self for x in (value, digits)))


def slabs_of(mask: np.ndarray, axis: int) -> np.ndarray:
    """Number of the slab of each voxel of a mask ``[X, Y, Z]``: int ``[V]``."""
    return np.nonzero(mask)[axis] // THICKNESS


def slab_interval(squares: np.ndarray, others: np.ndarray, slabs: np.ndarray,
                  seed: int = 0) -> SlabInterval:
    """`SlabInterval`, slabs drawn with replacement. It says nothing of other heads.

    Args:
      squares, others: squared errors ``[V]``. slabs: int ``[V]``.
    """
    _, slab = np.unique(slabs, return_inverse=True)
    count = np.bincount(slab)
    a, b = (np.bincount(slab, values) for values in (squares, others))
    drawn = np.random.default_rng(seed).integers(0, len(count), (DRAWS, len(count)))

    def difference(index):
        n = count[index].sum(axis=-1)
        return np.sqrt(a[index].sum(axis=-1) / n) - np.sqrt(b[index].sum(axis=-1) / n)

    low, high = np.quantile(difference(drawn), (0.025, 0.975))
    return SlabInterval(float(difference(np.arange(len(count)))), float(low), float(high))

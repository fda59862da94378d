"""Subjects cut into 2-D slices: the arrays that training gathers its batches from."""

from typing import NamedTuple

import numpy as np

from dwijax.volumes import pad_to


class Batch(NamedTuple):
    """Slices, or crops of them.

    Attributes:
      images: by the name of their channel (`dwijax.data.channels`), ``[N, h, w, c]`` float32, in
        units of each subject's own scale.
      weight: of each voxel, ``[N, h, w, 1]`` float32: 1 in the brain, 0 elsewhere.
      draw: uint32 ``[N]``, for whatever a task draws at random of each.
    """

    images: dict
    weight: np.ndarray
    draw: np.ndarray | None = None


class Slices(NamedTuple):
    """Slices of many subjects.

    Attributes:
      images: as of a `Batch`, ``[S, H, W, c]``.
      mask: brain, ``[S, H, W, 1]`` float32, 0 or 1.
      origins: smallest and largest row and column at which a crop may start so that crops
        cover the brain and little else, ``[S, 2, 2]`` int32 (min/max, row/column).
    """

    images: dict
    mask: np.ndarray
    origins: np.ndarray

    @property
    def size(self):
        """``(H, W)``."""
        return self.mask.shape[1:3]

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(a.nbytes for a in (*self.images.values(), self.mask, self.origins))

    def read(self, index):
        """The `Batch` of the slices ``index``, NumPy's or traced."""
        if not hasattr(index, "astype"):  # a slice or a list
            index = np.arange(len(self.mask))[index]
        return Batch({name: a[index] for name, a in self.images.items()}, self.mask[index],
                     index.astype(np.uint32))


def padded_size(shape, multiple):
    """Smallest sizes ``≥ shape`` that ``multiple`` divides."""
    return tuple(-(-n // multiple) * multiple for n in shape)


def common_size(planes, multiple, patch):
    """``(H, W)`` that slices of all sizes ``planes`` and crops fit into (`padded_size`)."""
    return padded_size([max(*sizes, patch) for sizes in zip(*planes, strict=True)], multiple)


def cut(volume, positions, *, axis=2, size=None):
    """Slices of one volume ``[X, Y, Z]`` or of several ``[X, Y, Z, n]``.

    Args:
      positions: slice numbers along ``axis``, ``[S]``.
      axis: 0 sagittal, 1 coronal, 2 axial (canonical axes).
      size: ``(H, W)`` to zero-pad to around the centre; default: as they are.

    Returns:
      float32 ``[S, H, W, n]``.
    """
    slices = np.moveaxis(np.take(volume, positions, axis), axis, 0)
    slices = pad_to(slices, size or slices.shape[1:3], axes=(1, 2))
    return slices.reshape(*slices.shape[:3], -1).astype(np.float32, copy=False)


def join(batches, multiple, patch):
    """Joins the slices of several subjects, zero-padded to the size of the largest.

    Slices without a single brain voxel are left out.

    Args:
      batches: non-empty list of `Batch` with the same channels.
      multiple: H and W are padded up to it.
      patch: side of the crops that training takes; 0 for whole slices.

    Returns:
      `Slices`.
    """
    size = common_size([batch.weight.shape[1:3] for batch in batches], multiple, patch)
    mask = _joined([batch.weight for batch in batches], size)
    filled = mask.any(axis=(1, 2, 3))
    images = {name: _joined([batch.images[name] for batch in batches], size)[filled]
              for name in batches[0].images}
    mask = mask[filled]
    bounds = crop_bounds(extents(mask[..., 0] > 0), mask.shape[1:3], patch)
    return Slices(images, mask, bounds)


def _joined(arrays, size):
    out = np.zeros((sum(map(len, arrays)), *size, arrays[0].shape[-1]), np.float32)
    first = 0
    for array in arrays:
        pad_to(out[first:first + len(array)], array.shape[1:3], axes=(1, 2))[...] = array
        first += len(array)
    return out


def extents(mask):
    """First and last row and column of the brain.

    Args:
      mask: bool ``[S, H, W]``, none of them empty.

    Returns:
      int32 ``[S, 2, 2]`` (first/last, row/column).
    """
    found = np.empty((len(mask), 2, 2), np.int32)
    for axis, other in ((0, 2), (1, 1)):
        filled = mask.any(axis=other)
        found[:, 0, axis] = filled.argmax(axis=1)
        found[:, 1, axis] = filled.shape[1] - 1 - filled[:, ::-1].argmax(axis=1)
    return found


def crop_bounds(extents, size, patch):
    """Where crops may start: up to a quarter of a side before the brain, never outside the slice.

    Args:
      extents: of the brain, ``[S, 2, 2]`` (first/last, row/column).
      size: ``(H, W)``, at least ``patch``. patch: side of the crops; 0: no crops, all zeros.

    Returns:
      int32 ``[S, 2, 2]`` (smallest/largest, row/column).
    """
    if not patch:
        return np.zeros_like(extents)
    largest = np.asarray(size, np.int32) - patch
    low = np.clip(extents[:, 0] - patch // 4, 0, largest)
    high = np.clip(extents[:, 1] + patch // 4 + 1 - patch, 0, largest)
    return np.stack([low, np.maximum(high, low)], axis=1)

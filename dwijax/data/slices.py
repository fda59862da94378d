"""Subjects cut into 2-D slices: the arrays that training gathers its batches from."""

from typing import NamedTuple

import numpy as np

from dwijax.data.volumes import pad_to


class Slices(NamedTuple):
    """Slices of many subjects, in units of each subject's own scale.

    Attributes:
      b0: mean b0, ``[S, H, W, 1]`` float32.
      dwi: all directions of the shell in acquired order, ``[S, H, W, n]`` float32.
      mask: brain, ``[S, H, W, 1]`` float32, 0 or 1.
      origins: smallest and largest row and column at which a crop may start so that crops
        cover the brain and little else, ``[S, 2, 2]`` int32 (min/max, row/column).
    """

    b0: np.ndarray
    dwi: np.ndarray
    mask: np.ndarray
    origins: np.ndarray


def padded_size(shape, multiple):
    """Smallest sizes ``≥ shape`` that ``multiple`` divides."""
    return tuple(-(-n // multiple) * multiple for n in shape)


def cut(subject, positions, *, axis=2, size=None, directions=None):
    """Cuts slices out of one subject.

    Args:
      subject: a :class:`dwijax.data.subject.Subject`, volumes b0s first, canonical axes.
      positions: slice numbers along ``axis``, ``[S]``.
      axis: 0 sagittal, 1 coronal, 2 axial (canonical axes).
      size: ``(H, W)`` to zero-pad to around the centre; default: as they are.
      directions: positions in the shell of those wanted, ``[n]``; default: all.

    Returns:
      ``(b0 [S, H, W, 1], dwi [S, H, W, n], mask [S, H, W, 1])`` float32, divided by the
      subject's scale.
    """
    volumes = np.flatnonzero(~subject.gtab.b0s_mask)
    if directions is not None:
        volumes = volumes[directions]

    def take(volume):
        slices = np.moveaxis(np.take(volume, positions, axis), axis, 0)
        return pad_to(slices, size or slices.shape[1:3], axes=(1, 2))

    scale = np.float32(subject.scale)
    b0 = take(subject.b0)[..., None].astype(np.float32) / scale
    dwi = take(subject.dwi[..., volumes]).astype(np.float32, copy=False) / scale
    return b0, dwi, take(subject.mask)[..., None].astype(np.float32)


def gather(parts, patch):
    """Joins what :func:`cut` returned for several subjects.

    Slices without a single brain voxel are left out.

    Args:
      parts: non-empty list of ``(b0, dwi, mask)``, all of one ``H, W, n``.
      patch: side of the crops that training takes; 0 for whole slices.
    """
    b0, dwi, mask = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    filled = mask.any(axis=(1, 2, 3))
    mask = mask[filled]
    return Slices(b0[filled], dwi[filled], mask, _origins(mask[..., 0] > 0, patch))


def _origins(mask, patch):
    """A crop may start up to a quarter of its side before the brain, never outside the slice."""
    bounds = np.zeros((len(mask), 2, 2), np.int32)
    if patch:
        for axis, other in ((0, 2), (1, 1)):
            filled = mask.any(axis=other)
            n = filled.shape[1]
            first = filled.argmax(axis=1)
            last = n - 1 - filled[:, ::-1].argmax(axis=1)
            low = np.clip(first - patch // 4, 0, n - patch)
            bounds[:, 0, axis] = low
            bounds[:, 1, axis] = np.maximum(np.clip(last + patch // 4 + 1 - patch, 0, n - patch),
                                            low)
    return bounds

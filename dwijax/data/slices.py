"""Subjects cut into 2-D slices: the arrays that training gathers its batches from."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dwijax.data.mppca import mppca
from dwijax.gradients.harmonics import sh_basis
from dwijax.volumes import pad_to


class Slices(NamedTuple):
    """Slices of many subjects, in units of each subject's own scale.

    Attributes:
      b0: mean b0, ``[S, H, W, 1]`` float32.
      dwi: all directions of the shell in acquired order, then further channels
        (:func:`further`), then FA as measured (`dwijax.data.anisotropy`), if any;
        ``[S, H, W, n]`` float32.
      mask: brain, ``[S, H, W, 1]`` float32, 0 or 1.
      origins: smallest and largest row and column at which a crop may start so that crops
        cover the brain and little else, ``[S, 2, 2]`` int32 (min/max, row/column).
    """

    b0: np.ndarray
    dwi: np.ndarray
    mask: np.ndarray
    origins: np.ndarray

    @property
    def size(self):
        """``(H, W)``."""
        return self.mask.shape[1:3]

    @property
    def nbytes(self):
        """Bytes of all arrays."""
        return sum(a.nbytes for a in self)

    def read(self, index):
        """``(b0, dwi, mask)`` of the slices ``index``."""
        return self.b0[index], self.dwi[index], self.mask[index]


def padded_size(shape, multiple):
    """Smallest sizes ``≥ shape`` that ``multiple`` divides."""
    return tuple(-(-n // multiple) * multiple for n in shape)


def common_size(planes, multiple, patch):
    """``(H, W)`` that slices of all sizes ``planes`` and crops fit into (`padded_size`)."""
    return padded_size([max(*sizes, patch) for sizes in zip(*planes, strict=True)], multiple)


def cut(subject, positions, *, axis=2, size=None, directions=None):
    """Cuts slices out of one subject, in units of its scale.

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
    b0, dwi, mask = cut_unscaled(subject, positions, axis=axis, size=size, directions=directions)
    scale = np.float32(subject.scale)
    return b0 / scale, dwi / scale, mask


def cut_unscaled(subject, positions, *, axis=2, size=None, directions=None):
    """As :func:`cut`, in the intensities of the file."""
    volumes = np.flatnonzero(~subject.gtab.b0s_mask)
    if directions is not None:
        volumes = volumes[directions]

    where = {"axis": axis, "size": size}
    return tuple(cut_map(volume, positions, **where)
                 for volume in (subject.b0, subject.dwi[..., volumes], subject.mask))


def cut_map(volume, positions, *, axis=2, size=None):
    """Slices of one volume ``[X, Y, Z]`` or of several ``[X, Y, Z, n]``, float32 ``[S, H, W, n]``.

    Args:
      positions, axis, size: as :func:`cut`.
    """
    slices = np.moveaxis(np.take(volume, positions, axis), axis, 0)
    slices = pad_to(slices, size or slices.shape[1:3], axes=(1, 2))
    return slices.reshape(*slices.shape[:3], -1).astype(np.float32, copy=False)


def further(subject, positions, *, neighbours=0, project=None, denoise=False, **where):
    """Channels that networks see besides a slice's own b0 and DWIs.

    Args:
      subject, positions: as :func:`cut`, and so is what else is named.
      neighbours: slices on either side, and project: what of them (:func:`surroundings`).
      denoise: with :func:`denoised` behind them.

    Returns:
      list of float32 ``[S, H, W, m]``; empty where nothing is asked for.
    """
    beside = [surroundings(subject, positions, neighbours, project=project, **where)
              ] if neighbours else []
    return beside + ([denoised(subject, positions, **where)] if denoise else [])


def surroundings(subject, positions, count, *, project=None, axis=2, size=None, directions=None):
    """b0 and DWIs of the slices beside each slice, as further channels.

    Beyond the first and the last of ``positions`` that slice is repeated: what lies there may
    belong to another part of a split.

    Args:
      subject, positions, axis, size, directions: as :func:`cut`. count: slices on either side.
      project: of :func:`harmonics`, what stands for the q DWIs; None: they themselves.

    Returns:
      float32 ``[S, H, W, 2 · count · (1 + q)]``: b0 and q DWIs (or so many harmonics,
      :func:`beside_channels`) of the slice ``count`` below, of those in between, of the slice
      ``count`` above.
    """
    positions, out = np.asarray(positions), []
    for offset in [*range(-count, 0), *range(1, count + 1)]:
        beside = np.clip(positions + offset, positions.min(), positions.max())
        b0, dwi, _ = cut(subject, beside, axis=axis, size=size, directions=directions)
        out += [b0, dwi if project is None else dwi @ project]
    return np.concatenate(out, axis=-1)


def harmonics(bvecs, order):
    """What makes DWIs into even spherical harmonics, by least squares: most of their signal, and
    little of their noise, in few channels.

    Args:
      bvecs: the q directions as networks know them, ``[q, 3]``. A table that is turned as a whole
        is no other table to networks, so a scan's own directions would say something else.
      order: even maximal order; 0: none.

    Returns:
      float32 ``[q, c]``, or None.
    """
    return np.linalg.pinv(sh_basis(bvecs, order)[0]).T.astype(np.float32) if order else None


def beside_channels(q, order=0):
    """Channels that stand for one slice beside another (:func:`surroundings`)."""
    return 1 + ((order + 1) * (order + 2) // 2 if order else q)


def denoised(subject, positions, *, axis=2, size=None, directions=None):
    """b0 and DWIs of each slice as MP-PCA leaves them (`dwijax.data.mppca`), as further channels.

    The principal components are of these volumes alone: what is to be predicted takes no part. They
    are of the whole scan, so that what lies above and below a slice helps.

    Args:
      subject, positions, axis, size, directions: as :func:`cut`.

    Returns:
      float32 ``[S, H, W, 1 + q]``: b0 and q DWIs.
    """
    b0s = subject.gtab.b0s_mask
    volumes = np.flatnonzero(~b0s)[slice(None) if directions is None else directions]
    volumes = np.concatenate([np.flatnonzero(b0s), volumes])
    dwi = mppca(subject.dwi[..., volumes], subject.mask)
    b0 = dwi[..., : b0s.sum()].mean(axis=-1)
    clean = replace(subject, dwi=dwi, b0=b0, gtab=subject.gtab[volumes])
    return np.concatenate(cut(clean, positions, axis=axis, size=size)[:2], axis=-1)


def gather(parts, multiple, patch):
    """Joins what :func:`cut` returned for several subjects, zero-padded to the largest.

    Slices without a single brain voxel are left out.

    Args:
      parts: non-empty list of ``(b0, dwi, mask)``, all of one ``n``.
      multiple: H and W are padded up to it.
      patch: side of the crops that training takes; 0 for whole slices.
    """
    size = common_size([mask.shape[1:3] for _, _, mask in parts], multiple, patch)
    b0, dwi, mask = (_joined(arrays, size) for arrays in zip(*parts, strict=True))
    filled = mask.any(axis=(1, 2, 3))
    mask = mask[filled]
    bounds = crop_bounds(extents(mask[..., 0] > 0), mask.shape[1:3], patch)
    return Slices(b0[filled], dwi[filled], mask, bounds)


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

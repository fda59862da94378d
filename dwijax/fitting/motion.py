"""Motion that is left between the volumes of a shell, by what harmonics leave of them.

To first order a volume that has moved by u is S + u · grad S, so that its residual follows the
gradients of its own image. No volume is registered: shifts of some hundredths of a voxel are told.
"""

import numpy as np

from dwijax.dti.robust import NORMAL

ENOUGH = 30_000  # voxels that tell it
_BLOCK = 6  # voxels along an edge: blocks of this size are taken as independent
_FEWEST = 8  # blocks that a standard error can be told by
_MOST = 4.0  # robust SDs that a shift counts as at most: one volume must not decide alone


def motion_between(fitted: np.ndarray, residual: np.ndarray, kept: np.ndarray,
                   mask: np.ndarray) -> np.ndarray:
    """SD over the volumes of their shift along each axis of the array.

    The harmonics follow a part of every shift, and put a part of it into all other volumes. Noise
    makes gradients steeper than they are, and the shifts that are found larger. All are allowed
    for.

    Args:
      fitted: float32 ``[V, q]``, the DWIs as the harmonics have them.
      residual: float32 ``[V, q]``, what these leave. kept: ``[q, q]``, the projection that leaves
        it of DWIs. mask: bool ``[X, Y, Z]``, of the V voxels.

    Returns:
      float64 ``[3]``, voxels; 0 where nothing tells it: no residual, no gradients, or too few
      voxels with all six neighbours in the mask.
    """
    from scipy.optimize import nnls

    voxels, neighbours, block = _inner(mask)
    if len(np.unique(block)) < _FEWEST or not residual.any():
        return np.zeros(3)
    steep, rough = (np.stack([(values[after] - values[before]) / 2
                              for before, after in neighbours], axis=-1)
                    for values in (fitted, residual))  # [n, q, 3]
    squared = (steep.mean(axis=1) ** 2).sum(axis=-1)
    if not np.median(squared) > 0:
        return np.zeros(3)
    # An edge counts as much as gentler slopes: there the model fails first.
    weight = (1 / (1 + squared / np.median(squared)))[:, None, None]
    own = residual[voxels][..., None]

    n, q = steep.shape[:2]
    products = (weight * steep).reshape(n, -1).T @ steep.reshape(n, -1)
    products = products.reshape(q, 3, q, 3).astype(np.float64)
    freedom = np.trace(kept)
    noise = np.einsum("nmi,nmj->ij", weight * rough, rough, optimize=True) / freedom
    products -= np.einsum("mk,ij->mikj", np.eye(q) - kept, noise)
    # What a shift of volume k puts into the sums of volume m, and these by their own gradients.
    reach = np.einsum("mk,mikj->mikj", kept, products)
    inverse = np.linalg.pinv(np.einsum("mimj->mij", reach), hermitian=True)
    sums = np.einsum("nmi->mi", weight * steep * own, dtype=np.float64)
    shift = np.einsum("mij,mj->mi", inverse, sums)
    reach = np.einsum("mil,mlkj->mikj", inverse, reach)

    explained = np.einsum("nmi,mi,m->nm", steep, shift.astype(np.float32),
                          np.diag(kept).astype(np.float32))[..., None]
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.diff(block[order], prepend=-1))
    left = np.add.reduceat((weight * steep * (own - explained))[order], starts, axis=0)
    left = np.einsum("mij,gmj->gmi", inverse, left.astype(np.float64))
    by_noise = (left**2).sum(axis=0)

    limit = _MOST * NORMAL * np.median(np.abs(shift), axis=0)
    found = np.mean(np.clip(shift, -limit, limit) ** 2 - by_noise, axis=0)
    # Mean squares that shifts of variance 1 along each axis would make, against those found.
    return np.sqrt(nnls(np.mean(np.sum(reach**2, axis=2), axis=0), found)[0])


def _inner(mask):
    """Voxels whose six neighbours are in a mask, at most about `ENOUGH`: their numbers among those
    of the mask ``[n]``, those of the neighbours before and after along each axis, and the block
    that each lies in ``[n]``."""
    number = np.full(np.add(mask.shape, 2), -1)
    inside = (slice(1, -1),) * 3
    number[inside][mask] = np.arange(mask.sum())
    steps = [(np.roll(number, 1, axis)[inside], np.roll(number, -1, axis)[inside])
             for axis in range(3)]
    inner = mask & np.all([side >= 0 for pair in steps for side in pair], axis=0)
    place = np.argwhere(inner)
    place = place[::-(-len(place) // ENOUGH) or 1]
    at = tuple(place.T)
    block = np.ravel_multi_index((place // _BLOCK).T, mask.shape)
    return number[inside][at], [(before[at], after[at]) for before, after in steps], block


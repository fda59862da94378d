"""Noise taken out of a whole scan by principal components, in seconds.

MP-PCA (Veraart et al. 2016) finds in every patch which components are noise by the
Marchenko-Pastur law; a voxel is the weighted mean of the patches it lies in (Manjón et al. 2013).
dipy has a patch for every voxel, so that each voxel is in 125 of them, and goes through them one by
one, without saying how far it is. Here patches stand `STRIDE` voxels apart, an eighth of them, many
at a time; as fewer estimates are averaged, about a tenth more noise stays. With a stride of 1 the
result is dipy's.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from dwijax.fitting.noise import marchenko_pastur
from dwijax.process.threads import cores

RADIUS = 2  # patches of 5 × 5 × 5 voxels
STRIDE = 2
_BLOCK = 64  # patches at a time: a few megabytes


def mppca(dwi, head, *, stride=STRIDE, progress=False):
    """A series without what is noise by the Marchenko-Pastur law: of :func:`mppca_and_noise`."""
    return mppca_and_noise(dwi, head, stride=stride, progress=progress)[0]


def mppca_and_noise(dwi, head, *, stride=STRIDE, progress=False):
    """A series without what is noise by the Marchenko-Pastur law, and how much that is.

    Args:
      dwi: float32 ``[X, Y, Z, M]``; at its faces it is mirrored. head: bool ``[X, Y, Z]``.
      stride: voxels from one patch to the next, at most 3. progress: whether to show a bar.

    Returns:
      ``(signal, variance)``: float32 ``[X, Y, Z, M]``, at least 0, and float32 ``[X, Y, Z]``, of
      the noise in a volume by a voxel's patches; both 0 where ``head`` is false.
    """
    from scipy.ndimage import binary_dilation
    from threadpoolctl import threadpool_limits

    width, M = 2 * RADIUS + 1, dwi.shape[3]
    padded = np.pad(dwi, [*[(RADIUS, RADIUS)] * 3, (0, 0)], mode="symmetric")
    # Every voxel of the head has a centre within stride - 1 of it, itself perhaps outside.
    near = binary_dilation(head, np.ones((2 * stride - 1,) * 3))
    grid = np.zeros_like(head)
    grid[::stride, ::stride, ::stride] = True
    centres = np.argwhere(near & grid)

    offsets = np.array(list(itertools.product(range(width), repeat=3)))
    cells = np.ravel_multi_index(offsets.T, padded.shape[:3])
    corners = np.ravel_multi_index(centres.T, padded.shape[:3])
    signal = padded.reshape(-1, M)
    total = np.zeros_like(signal)
    weights, variances = np.zeros((2, len(signal)), np.float32)

    def block(start):
        where = corners[start : start + _BLOCK, None] + cells
        return where, *_without_noise(signal[where])

    # A block for each core, as LAPACK's own threads only get into each other's way with matrices
    # this small; summed in order, so that the bits are always the same.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as pool, tqdm(
            total=len(corners), desc="denoise the scan", unit="patch", leave=False,
            disable=not progress or None) as bar:
        for where, found, kept, variance in pool.map(block, range(0, len(corners), _BLOCK)):
            weight = 1 / (1 + kept)
            for places, patch, share, level in zip(where, found, weight, variance, strict=True):
                total[places] += share * patch
                weights[places] += share
                variances[places] += share * level
            bar.update(len(where))

    inner = (slice(RADIUS, -RADIUS),) * 3
    total, weights, variances = (a.reshape(*padded.shape[:3], *a.shape[1:])[inner]
                                 for a in (total, weights, variances))
    out, level = np.zeros_like(dwi), np.zeros(head.shape, np.float32)
    out[head] = np.maximum(total[head] / weights[head][:, None], 0)
    level[head] = variances[head] / weights[head]
    return out, level


def _without_noise(patches):
    """``[n, P, M]`` voxels of patches, without their noise; how many components each kept; and the
    variance of that noise."""
    P, M = patches.shape[1:]
    mean = patches.mean(axis=1, keepdims=True)
    centred = patches - mean
    # Components of volumes, or of voxels where these are fewer: the same ones, and quicker.
    across = centred if M <= P else np.swapaxes(centred, 1, 2)
    evals, evecs = np.linalg.eigh(np.swapaxes(across, 1, 2) @ across / P)
    evals = np.maximum(evals, 0)

    _, variance = marchenko_pastur(evals[:, -min(M, P - 1) :], P)
    keep = evals >= ((1 + np.sqrt(M / P)) ** 2 * variance)[:, None]

    evecs = evecs * keep[:, None]
    across = across @ evecs @ np.swapaxes(evecs, 1, 2)
    found = across if M <= P else np.swapaxes(across, 1, 2)
    kept = keep.sum(axis=1)
    # The mean and the components that are kept have taken a share of the noise with them.
    variance = variance * P / np.maximum(P - 1 - kept, 1)
    return found + mean, kept.astype(np.float32), variance.astype(np.float32)

"""Whitening of the input channels: statistics of inputs only."""

from typing import NamedTuple

import numpy as np


class Whitening(NamedTuple):
    """``(x - mean [C]) @ matrix [C, C]`` has unit covariance over the training voxels."""

    mean: np.ndarray
    matrix: np.ndarray


def whitening(inputs, mask, *, every=4):
    """Statistics of the channels that the networks see.

    DWIs of one shell are nearly collinear: a few combinations, the mean above all, hold most of
    their variance. Gradient descent crawls along the others, which hold what tells one diffusion
    direction from the next; on whitened channels it does not. The symmetric square root
    (ZCA) is taken because it does not depend on the arbitrary signs of eigenvectors.

    Args:
      inputs: ``[S, H, W, C]`` float32; never targets.
      mask: ``[S, H, W, 1]``; voxels that count.
      every: only every so many slices are read.

    Returns:
      :class:`Whitening`, float32.
    """
    voxels = inputs[::every][mask[::every, ..., 0] > 0].astype(np.float64)
    mean = voxels.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(voxels, rowvar=False))
    # Channels that repeat each other (noise-free inputs) have no variance left to divide by.
    variances = np.maximum(variances, 1e-6 * variances[-1])
    matrix = (axes / np.sqrt(variances)) @ axes.T
    return Whitening(mean.astype(np.float32), matrix.astype(np.float32))

"""Whitening of the input channels: statistics of inputs only."""

from typing import NamedTuple

import numpy as np


class Whitening(NamedTuple):
    """``(x - mean [C]) @ matrix [C, C]`` has unit covariance over the training voxels."""

    mean: np.ndarray
    matrix: np.ndarray


def whitening_slices(count):
    """Numbers of the slices, among ``count``, that statistics are made of: one in four, about
    500 at most."""
    return np.arange(0, count, max(4, -(-count // 512)))


def whitening(inputs, mask, noisy=slice(None)):
    """Statistics of the channels that the networks see.

    DWIs of one shell are nearly collinear: a few combinations, the mean above all, hold most of
    their variance. Gradient descent crawls along the others, which hold what tells one diffusion
    direction from the next; on whitened channels it does not. The symmetric square root
    (ZCA) is taken because it does not depend on the arbitrary signs of eigenvectors.

    Args:
      inputs: ``[S, H, W, C]`` float32; never targets.
      mask: ``[S, H, W, 1]``; voxels that count.
      noisy: bool ``[C]``, channels that hold noise; default: all. What has less variance than any
        combination of these is what denoising has left behind it, and is not blown up to the size
        of a signal.

    Returns:
      :class:`Whitening`, float32.
    """
    voxels = inputs[mask[..., 0] > 0].astype(np.float64)
    mean = voxels.mean(axis=0)
    covariance = np.cov(voxels, rowvar=False)
    variances, axes = np.linalg.eigh(covariance)
    # Channels that repeat each other (noise-free inputs) have no variance left to divide by.
    least = np.linalg.eigvalsh(covariance[noisy][:, noisy])[0]
    variances = np.maximum(variances, max(least, 1e-6 * variances[-1]))
    matrix = (axes / np.sqrt(variances)) @ axes.T
    return Whitening(mean.astype(np.float32), matrix.astype(np.float32))

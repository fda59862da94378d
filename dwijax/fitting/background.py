"""The kind of noise, by the air around a head: Rician, or of several channels.

A magnitude of n channels without signal follows a chi distribution with 2n degrees of freedom: the
mean of M² is 2nσ², its variance 4nσ⁴. One channel, or channels combined with their phases, is
Rayleigh's: noise within the head is then Rician.
"""

import numpy as np

from dwijax.volumes import usable

_AROUND = 3  # voxels around the mask that are left out
_EDGE = 3  # voxels of a block: small, as ghosts and the noise level change from place to place
_ABOVE = 0.9  # share of a block's samples above 0 from which it is noise, not masked
_FEWEST = 20  # blocks


def channels_of(volumes: np.ndarray, mask: np.ndarray) -> float | None:
    """Effective number of channels n = E[M²]² / Var[M²], the median over the darker half of small
    blocks of the background: ghosts, scalp and eyes are in the brighter one.

    Args:
      volumes: float32 ``[X, Y, Z, m]``, some volumes. mask: bool ``[X, Y, Z]``, of the brain.

    Returns:
      float, 1: Rician; above where noise is interpolated, filtered or of several channels, below
      where ghosts are everywhere. None where the background is empty, has been set to 0 or is too
      small.
    """
    from scipy.ndimage import binary_dilation

    outside = _blocks(~binary_dilation(mask, iterations=_AROUND)[..., None]).all(axis=1)
    blocks = _blocks(volumes)[outside].astype(np.float64)
    noise = usable(blocks) & (blocks > 0)
    blocks, noise = (a[noise.mean(axis=1) > _ABOVE] for a in (blocks, noise))
    squares = np.where(noise, blocks, 0) ** 2
    count = noise.sum(axis=1)
    mean = squares.sum(axis=1) / count
    variance = (squares**2).sum(axis=1) / count - mean**2
    varied = variance > 1e-6 * mean**2
    mean, variance = mean[varied], variance[varied]
    if len(mean) < _FEWEST:
        return None
    darker = mean <= np.median(mean)
    return float(np.median(mean[darker] ** 2 / variance[darker]))


def _blocks(volumes):
    """Samples of whole blocks, ``[blocks, samples]``, of ``[X, Y, Z, m]``."""
    X, Y, Z, m = (*(n // _EDGE for n in volumes.shape[:3]), volumes.shape[3])
    cut = volumes[: X * _EDGE, : Y * _EDGE, : Z * _EDGE]
    cut = cut.reshape(X, _EDGE, Y, _EDGE, Z, _EDGE, m).transpose(0, 2, 4, 1, 3, 5, 6)
    return cut.reshape(X * Y * Z, _EDGE**3 * m)

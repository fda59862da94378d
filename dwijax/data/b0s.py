"""Whether volumes that have a b-value but no direction are b0s, by their brightness."""

import numpy as np

from dwijax.gradients import B0_THRESHOLD
from dwijax.volumes import read_volumes, usable

# Such a volume is a b0 if it is brighter than DWIs are where diffusivity is least in a head
# (mm²/s), but for noise, which lifts DWIs ...
_LEAST_DIFFUSIVITY, _ENOUGH = 0.25e-3, 1.5
# ... if of nearly all voxels it makes a diffusivity that there is ...
_LARGEST_DIFFUSIVITY, _IMPOSSIBLE = 3.5e-3, 0.1
# ... and, where there are b0s, looks like them: mean absolute difference over mean.
_LIKE_A_B0 = 0.3
_SAMPLES = 8  # volumes of a kind that it is compared with


def look_like_b0s(image, volumes: np.ndarray, bvals: np.ndarray, bvecs: np.ndarray) -> np.ndarray:
    """Compares volumes without a direction with the DWIs and b0s of their series.

    Args:
      image: nibabel image ``[X, Y, Z, M]``.
      volumes: int ``[n]``, those without a direction.
      bvals: ``[M]``, s/mm². bvecs: ``[M, 3]``, of any length.

    Returns:
      bool ``[n]``: which of them are as bright as b0s are.
    """
    lengths = np.linalg.norm(bvecs, axis=1)
    directed = (lengths > 1e-6) & (bvals >= bvals[volumes].min() / 2)
    b0s = (bvals <= B0_THRESHOLD) & ~directed
    if directed.any():  # of the strongest half, if lengths scale b
        directed &= lengths >= np.median(lengths[directed])
    dwis, b0s = (_spaced(np.flatnonzero(mask)) for mask in (directed, b0s))
    if not len(dwis):
        return np.zeros(len(volumes), bool)
    order, place = np.unique(np.r_[volumes, dwis, b0s], return_inverse=True)
    read = read_volumes(image, order)
    read[~usable(read).all(axis=-1)] = 0  # outside of any mask
    asked, dwi, b0 = np.split(place, [len(volumes), len(volumes) + len(dwis)])
    return np.array([_is_b0(read[..., m], read[..., dwi], read[..., b0], np.median(bvals[dwis]))
                     for m in asked])


def _is_b0(volume, dwi, b0s, b):
    """Whether a volume ``[X, Y, Z]`` is brighter than DWIs ``[X, Y, Z, n]`` of this b, everywhere
    by as much as diffusion can explain, and, if there are some, like the b0s ``[X, Y, Z, m]``."""
    head = volume > 0.15 * np.percentile(volume, 99)
    if not head.any():
        return False
    volume, dwi, b0s = volume[head], dwi[head], b0s[head]
    brighter = np.exp(min(_LEAST_DIFFUSIVITY * b, np.log(_ENOUGH)))
    # A map of ADC or FA may be bright too, but makes of DWIs diffusivities that there are not.
    decay = np.log(np.maximum(volume, 1e-6) / np.maximum(dwi.mean(axis=1), 1e-6))
    impossible = (decay < 0) | (decay > _LARGEST_DIFFUSIVITY * b)
    return bool(
        volume.mean() > brighter * dwi.mean(axis=0).max()
        and impossible.mean() < _IMPOSSIBLE
        and (not b0s.size
             or np.abs(volume - b0s.mean(axis=1)).mean() < _LIKE_A_B0 * b0s.mean()))


def _spaced(index):
    """At most so many of them, evenly spaced."""
    return index[np.unique(np.linspace(0, len(index) - 1, _SAMPLES).astype(int))
                 ] if len(index) else index

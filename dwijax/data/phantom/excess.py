"""Texture below the voxel: what a scan has beyond noise and smooth fits, and signals that have it.

Harmonics, and neighbours, miss how tissue differs from voxel to voxel. How strong that is, a scan
tells by what harmonics leave of it beyond noise; what it looks like, it does not. Here a share of
each voxel's tissue lies along another direction, drawn for that voxel alone.
"""

import numpy as np

from dwijax.data.mppca import mppca_and_noise
from dwijax.data.phantom.noise import rician
from dwijax.fitting.noise import NoiseInSpace, harmonics_residual, local_mean
from dwijax.gradients import GradientTable
from dwijax.volumes import into_volume

_APART = 2  # voxels between those that noise is told by: neighbours share it
_DIFFUSIVITY = 2e-3  # mm²/s, along a stick
_POINTS = 1000  # of an integral over the sphere


def excess_of(dwi: np.ndarray, model: np.ndarray, b0: np.ndarray, bvecs: np.ndarray,
              mask: np.ndarray, found: NoiseInSpace) -> np.ndarray:
    """RMS over directions of what harmonics leave of a scan beyond noise, gains and motion.

    The noise is that of MP-PCA, in voxels that are two apart. Components that are kept, and noise
    that is still shared, make it too small; by how much, the model tells with noise of the scan's
    kind added.

    Args:
      dwi: float32 ``[X, Y, Z, q]``, raw, of one shell. model: float32 ``[X, Y, Z, q]``, a smooth
        fit of it, 0 where there is none. b0: float32 ``[X, Y, Z]``, in the same unit.
      bvecs: ``[q, 3]``. mask: bool ``[X, Y, Z]``. found: `NoiseInSpace` of the DWIs.

    Returns:
      float32 ``[X, Y, Z]``, as a fraction of b0, both as local root mean squares; 0 outside of the
      mask, and everywhere where harmonics leave nothing.
    """
    residual, freedom = harmonics_residual(dwi[mask], bvecs, 4 if len(bvecs) >= 20 else 2)
    if not freedom or not residual.any():
        return np.zeros(mask.shape, np.float32)
    apart = (slice(None, None, _APART),) * 3
    inside = mask[apart]
    if not inside.any():
        return np.zeros(mask.shape, np.float32)
    squares = local_mean(into_volume((residual**2).sum(axis=1) / freedom, mask), mask)

    def by_mppca(series):
        return mppca_and_noise(np.ascontiguousarray(series[apart]), inside)[1]

    noisy = rician(np.moveaxis(model, -1, 0), np.sqrt(squares), np.random.default_rng(0),
                   found.correlation)
    known = by_mppca(np.moveaxis(noisy, 0, -1))
    share = float(np.median(known[inside] / np.maximum(squares[apart][inside], 1e-12)))
    noise, there = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, bool)
    noise[apart], there[apart] = by_mppca(dwi) / max(share, 1e-3), inside

    disturbed = found.gain**2 * np.mean(model**2, axis=-1)
    for axis, sd in enumerate(found.motion):
        disturbed += sd**2 * np.mean(np.gradient(model, axis=axis) ** 2, axis=-1)
    beyond = squares - local_mean(noise, there) - local_mean(disturbed, mask)
    relative = np.maximum(beyond, 0) / np.maximum(local_mean(b0**2, mask), 1e-12)
    return np.where(mask, np.sqrt(relative), 0).astype(np.float32)


def textured(clean: np.ndarray, strength: np.ndarray, gtab: GradientTable, b: float,
             rng: np.random.Generator) -> None:
    """Puts tissue along one direction in place of as much along another, each voxel by itself.

    The signals of two sticks that are at right angles, which is one amplitude for all voxels, but
    drawn at random: exp(-b d (g·u)²) - exp(-b d (g·v)²), of all even degrees.

    Args:
      clean: float32 ``[M, X, Y, Z]``, noise-free signals; changed in place, at least 0 then.
      strength: float32 ``[X, Y, Z]``, RMS over the sphere of what is added at ``b``, in the unit
        of ``clean``. gtab: `GradientTable` of the M volumes. b: s/mm². rng: numpy Generator.
    """
    u, v = rng.standard_normal((2, *strength.shape, 3), dtype=np.float32)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    v -= np.sum(u * v, axis=-1, keepdims=True) * u
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    x2 = ((np.arange(_POINTS) + 0.5) / _POINTS) ** 2  # cosines with any axis are spread evenly
    decay = b * _DIFFUSIVITY
    rms = np.sqrt(2 * np.mean(np.exp(-2 * decay * x2) - np.exp(-decay * (1 - x2))))
    weight = strength / np.float32(rms)
    for volume, bval, g in zip(clean, gtab.bvals, gtab.bvecs.astype(np.float32), strict=True):
        along = np.float32(-bval * _DIFFUSIVITY)
        volume += weight * (np.exp(along * (u @ g) ** 2) - np.exp(along * (v @ g) ** 2))
    np.maximum(clean, 0, out=clean)

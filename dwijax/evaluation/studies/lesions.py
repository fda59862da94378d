"""Lesions (Li et al., Fig. 8): are they still seen by networks that never saw one?

Contrast is what the paper takes: the difference of means of lesion and background over the mean of
the background. Background is the same tissue in a ring around the lesion.
"""

from typing import NamedTuple

import numpy as np

from dwijax.errors import InputError
from dwijax.gradients import GradientTable

RADII = (2, 4, 8)  # voxels
RING = (2, 4)  # voxels outside of the lesion, first and last


class Kind(NamedTuple):
    """What diffusion is like in a lesion: isotropic share of its signal, its diffusivity (µm²/ms)
    and b0 relative to the tissue, and a factor on the diffusivity of the tissue that is left."""

    name: str
    isotropic: float
    diffusivity: float
    b0: float
    slowed: float


# Cytotoxic oedema: everything slower (MD about -40 %), structure still there. Years after: tissue
# lost, water free (MD about +80 %, FA low, bright b0).
KINDS = (Kind("acute", 0.15, 0.45, 1.1, 0.6), Kind("chronic", 0.8, 1.35, 1.7, 1.0))


def sphere(shape: tuple[int, ...], centre: np.ndarray, radius: float) -> np.ndarray:
    """Share of each voxel in a ball, float ``[X, Y, Z]``, its edge one voxel wide."""
    grid = np.indices(shape, dtype=np.float32)
    distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
    return np.clip(radius + 0.5 - distance, 0, 1)


def seat(white: np.ndarray, radius: float, margin: float = RING[-1]) -> np.ndarray:
    """Centre of the ball of this radius that holds, with its ring, most of a tissue; ``[3]``.

    Args:
      white: bool ``[X, Y, Z]``. radius: voxels. margin: of the ring.
    """
    from scipy.ndimage import gaussian_filter

    # A Gaussian as wide as ball and ring: a ball's own sums would cost radius³.
    filled = gaussian_filter(white.astype(np.float32), (radius + margin) / 2, mode="constant")
    return np.array(np.unravel_index(filled.argmax(), white.shape))


def insert(clean: np.ndarray, gtab: GradientTable, share: np.ndarray, kind: Kind) -> np.ndarray:
    """The noise-free signal with a lesion in it.

    Args:
      clean: ``[X, Y, Z, M]``. gtab: its table. share: ``[X, Y, Z]``, 0 to 1.
      kind: `Kind`.

    Returns:
      Like ``clean``.
    """
    b = gtab.bvals / 1000
    b0 = clean[..., gtab.b0s_mask].mean(axis=-1, keepdims=True)
    # With D slowed by a factor, S / S0 is raised to it.
    ratio = np.divide(clean, b0, out=np.zeros_like(clean), where=b0 > 0)
    tissue = b0 * np.power(np.maximum(ratio, 1e-6), kind.slowed)
    free = b0 * np.exp(-b * kind.diffusivity)
    damaged = kind.b0 * ((1 - kind.isotropic) * tissue + kind.isotropic * free)
    return ((1 - share[..., None]) * clean + share[..., None] * damaged).astype(clean.dtype)


def ring(lesion: np.ndarray, tissue: np.ndarray, where: str = "lesion mask") -> np.ndarray:
    """Voxels of ``tissue`` 2 to 4 voxels outside of the lesion, bool ``[X, Y, Z]``.

    Args:
      lesion, tissue: bool ``[X, Y, Z]``. where: what an error names, as a rule the mask's file.

    Raises:
      InputError: the lesion, or the ring, is empty.
    """
    from scipy.ndimage import distance_transform_edt

    if not lesion.any():
        raise InputError(where, found="no lesion voxels", expected="a mask of a lesion",
                         remedy="give another mask")
    distance = distance_transform_edt(~lesion)
    around = (distance >= RING[0]) & (distance <= RING[1]) & tissue
    if not around.any():
        raise InputError(
            where, found=f"no tissue of its kind {RING[0]} to {RING[1]} voxels around the lesion",
            expected="a background to compare with", remedy="give a smaller lesion")
    return around


def contrast(values: np.ndarray, lesion: np.ndarray, background: np.ndarray) -> float:
    """``(mean in the lesion - mean of the background) / mean of the background``."""
    reference = float(values[background].mean(dtype=np.float64))
    return (float(values[lesion].mean(dtype=np.float64)) - reference) / reference


def detected(values: np.ndarray, lesion: np.ndarray, background: np.ndarray,
             expected: float) -> float:
    """Dice of the lesion and the voxels beyond half of its expected contrast.

    Args:
      values: ``[X, Y, Z]``. lesion, background: bool ``[X, Y, Z]``: no other voxels count.
      expected: contrast of the reference, which says which way and how far.
    """
    reference = values[background].mean(dtype=np.float64)
    beyond = (values - reference) / (expected * reference) > 0.5
    found = beyond & (lesion | background)
    return 2 * float((found & lesion).sum()) / float(found.sum() + lesion.sum())

"""A scan's own directions carried to those of a run, and what that costs."""

from typing import NamedTuple

import numpy as np

from dwijax.directions import compare
from dwijax.interpolation import sh_basis, sh_interpolation

WEIGHT = 0.006  # of Laplace-Beltrami, Descoteaux et al. 2007
_BLOCK = 65536  # voxels at a time: a scan is not held twice


class Resampling(NamedTuple):
    """From N measured directions to q others, by regularised spherical harmonics.

    Attributes:
      matrix: float64 ``[q, N]``.
      order: of the harmonics.
      condition_number: of the harmonics at the measured directions, with the regularisation.
      extrapolation: ``[q]``, degrees from each wanted direction to the nearest measured one.
      gain: ``[q]``, noise SD of each result over that of a measured DWI.
    """

    matrix: np.ndarray
    order: int
    condition_number: float
    extrapolation: np.ndarray
    gain: np.ndarray

    def facts(self):
        """For ``dwi.json``."""
        return {
            "method": f"spherical harmonics of order {self.order}, Laplace-Beltrami weight "
                      f"{WEIGHT:g}",
            "condition_number": round(self.condition_number, 3),
            "extrapolation_degrees": [round(float(a), 3) for a in self.extrapolation],
            "noise_gain": [round(float(g), 4) for g in self.gain],
        }

    def in_words(self):
        """One line."""
        q, n = self.matrix.shape
        return (f"the run's {q} input directions were interpolated from the scan's {n}: spherical "
                f"harmonics of order {self.order}, condition number {self.condition_number:.1f}, "
                f"at most {self.extrapolation.max():.1f}° from a measured direction, noise × "
                f"{self.gain.min():.2f} to {self.gain.max():.2f}")


def plan_resampling(bvecs_from, bvecs_to):
    """How to carry one shell to other directions.

    The order is the largest up to 4 with fewer coefficients than measured directions: signals
    at b of 1000 to 3000 s/mm² hold little above it, and at usual noise nothing that can be seen.

    Args:
      bvecs_from: unit, ``[N, 3]``, measured. bvecs_to: unit, ``[q, 3]``.

    Returns:
      `Resampling`.
    """
    order = 4 if len(bvecs_from) > 15 else 2
    matrix = sh_interpolation(bvecs_from, bvecs_to, order=order, weight=WEIGHT)
    basis, degrees = sh_basis(bvecs_from, order)
    rows = np.concatenate([basis, np.sqrt(WEIGHT) * np.diag(degrees * (degrees + 1.0))])
    angles = compare(*np.broadcast_arrays(
        np.asarray(bvecs_to)[:, None], np.asarray(bvecs_from)[None]))
    return Resampling(matrix, order, float(np.linalg.cond(rows)), angles.min(axis=1),
                      np.linalg.norm(matrix, axis=1))


def resample(dwi, plan):
    """Applies a plan.

    Args:
      dwi: float32 ``[..., N]``. plan: `Resampling`.

    Returns:
      float32 ``[..., q]``, not negative.
    """
    flat = dwi.reshape(-1, dwi.shape[-1])
    matrix = plan.matrix.T.astype(np.float32)
    out = np.empty((len(flat), matrix.shape[1]), np.float32)
    for start in range(0, len(flat), _BLOCK):
        part = slice(start, start + _BLOCK)
        np.maximum(flat[part] @ matrix, 0, out=out[part])
    return out.reshape(*dwi.shape[:-1], -1)

"""The noise level of one subject, and where it is known from."""

from typing import NamedTuple

import numpy as np

from dwijax.fitting.noise import repeats_sigma, residual_sigma, robust_sd
from dwijax.gradients import GradientTable


class NoiseLevel(NamedTuple):
    """σ in the unit of the signal, NaN where nothing tells it; ``source`` in words."""

    sigma: float
    source: str


def from_truth(signal: np.ndarray, clean: np.ndarray, b0s_mask: np.ndarray) -> NoiseLevel:
    """`NoiseLevel` of a simulated subject.

    Args:
      signal: ``[V, M]``, measured in the brain. clean: ``[V, M]``, noise-free.
      b0s_mask: bool ``[M]``.
    """
    residual = signal - clean
    # Where the signal is high enough for Gaussian noise, but in the DWIs: their contrast is low,
    # so that residual motion adds little.
    high = ~b0s_mask & (clean > 5 * robust_sd(residual[:, b0s_mask]))
    sigma = robust_sd(residual[high] if high.any() else residual)
    return NoiseLevel(float(sigma), "the noise-free signal")


def from_scan(signal: np.ndarray, gtab: GradientTable) -> NoiseLevel:
    """`NoiseLevel` of a scan: the smaller of two estimates that err upwards.

    Args:
      signal: ``[V, M]``, measured in the brain. gtab: `GradientTable` of the M volumes.
    """
    found = [NoiseLevel(residual_sigma(signal, gtab), "residuals of the tensor fit"),
             NoiseLevel(repeats_sigma(signal[:, gtab.b0s]), f"{len(gtab.b0s)} b0 repeats")]
    found = [level for level in found if np.isfinite(level.sigma)]
    return min(found, default=NoiseLevel(
        np.nan, "nothing: no more volumes than unknowns, and one b0"))

"""Noise added to a scan (Li et al., Fig. 9)."""

import numpy as np

LEVELS = (30, 20, 15, 10, 5, 0)  # dB


def sigma_of(level: float, dwi: np.ndarray) -> float:
    """SD of the noise that is ``level`` dB below the brain's DWIs: dB = 20 log10(RMS / σ).

    The paper's "30db of white Gaussian noise" does not say what it is relative to.

    Args:
      level: dB. dwi: ``[V, M]``, DWIs in the brain.
    """
    return float(np.sqrt(np.mean(np.square(dwi, dtype=np.float64))) / 10 ** (level / 20))


def add(signal: np.ndarray, sigma: float, rng: np.random.Generator, *,
        before_magnitude: bool = True) -> np.ndarray:
    """The signal with more noise: complex and then the magnitude, as a scanner would, or Gaussian
    on the magnitude, as the paper's (negative values are raised to 0).

    Args:
      signal: float32 ``[...]``. sigma: SD. rng: `numpy.random.Generator`.
    """
    real = signal + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    if not before_magnitude:
        return np.maximum(real, 0).astype(np.float32)
    imaginary = sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, imaginary).astype(np.float32)

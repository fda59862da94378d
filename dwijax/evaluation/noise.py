"""The noise level of one subject, and where it is known from."""

import numpy as np


def noise_level(signal, b0s_mask, *, clean=None, predicted=None):
    """SD of the noise in each channel, σ.

    Args:
      signal: ``[V, M]``, measured in the brain. b0s_mask: bool ``[M]``.
      clean: ``[V, M]``, noise-free, or None.
      predicted: ``[V, M]``, the tensor fit's signal, or None; used where there is neither ``clean``
        nor a second b0.

    Returns:
      ``(σ, source)``, in the unit of ``signal`` and in words; NaN where nothing tells it.
    """
    b0 = signal[:, b0s_mask]
    if clean is not None:
        residual = signal - clean
        # Where the signal is high enough for Gaussian noise, but in the DWIs: their contrast is
        # low, so that residual motion adds little.
        rough = _robust_sd(residual[:, b0s_mask])
        high = ~b0s_mask & (clean > 5 * rough)
        return (_robust_sd(residual[high] if high.any() else residual),
                "measured minus noise-free signal")
    if b0.shape[1] > 1:
        from scipy.stats import chi2

        degrees = b0.shape[1] - 1
        variance = np.median(b0.var(axis=1, ddof=1)) / (chi2.median(degrees) / degrees)
        return float(np.sqrt(variance)), f"{b0.shape[1]} b0 repeats"
    if predicted is not None:
        return (_robust_sd((signal - predicted)[:, ~b0s_mask]),
                "residual of the tensor fit (holds its misfit too)")
    return np.nan, "unknown"


def _robust_sd(residual):
    """1.4826 times the median absolute value."""
    return float(1.4826 * np.median(np.abs(residual)))

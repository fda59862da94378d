"""The noise level of one subject, and where it is known from."""

import numpy as np

from dwijax.fitting.voxels import residual_sigma


def from_truth(signal, clean, b0s_mask):
    """σ of a simulated subject.

    Args:
      signal: ``[V, M]``, measured in the brain. clean: ``[V, M]``, noise-free.
      b0s_mask: bool ``[M]``.

    Returns:
      ``(σ, source)``, in the unit of ``signal`` and in words.
    """
    residual = signal - clean
    # Where the signal is high enough for Gaussian noise, but in the DWIs: their contrast is low,
    # so that residual motion adds little.
    high = ~b0s_mask & (clean > 5 * _robust_sd(residual[:, b0s_mask]))
    return _robust_sd(residual[high] if high.any() else residual), "the noise-free signal"


def from_scan(signal, gtab):
    """σ of a scan: the smaller of two estimates that err upwards.

    b0 repeats take drift, motion and pulsation for noise, residuals of the tensor fit its misfit.
    NaN where there are neither.

    Args:
      signal: ``[V, M]``, measured in the brain. gtab: `GradientTable` of the M volumes.

    Returns:
      As `from_truth`.
    """
    found = [(residual_sigma(signal, gtab), "residuals of the tensor fit")]
    if np.isnan(found[0][0]):
        found = [(np.nan, "nothing: no more volumes than unknowns, and one b0")]
    b0s_mask = gtab.b0s_mask
    repeats = int(b0s_mask.sum())
    if repeats > 1:
        from scipy.stats import chi2

        variance = np.median(signal[:, b0s_mask].var(axis=1, ddof=1))
        variance *= (repeats - 1) / chi2.median(repeats - 1)
        found.append((float(np.sqrt(variance)), f"{repeats} b0 repeats"))
    return min(found, key=lambda level: (np.isnan(level[0]), level[0]))


def _robust_sd(residual):
    """1.4826 times the median absolute value."""
    return float(1.4826 * np.median(np.abs(residual)))

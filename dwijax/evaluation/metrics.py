"""Errors over the voxels of a region."""

import numpy as np


def rms(squared):
    """Root of the mean; NaN of nothing."""
    return float(np.sqrt(np.mean(squared, dtype=np.float64))) if np.size(squared) else np.nan


def rmse(values, reference, region):
    """Root mean squared error of ``values [V, ...]`` over ``region`` (bool ``[V]``)."""
    return rms((values[region] - reference[region]) ** 2)


def bias(values, reference, region):
    """Mean of ``values - reference`` over ``region`` (bool ``[V]``); NaN of nothing."""
    difference = values[region] - reference[region]
    return float(difference.mean(dtype=np.float64)) if difference.size else np.nan


def excess(error, sigma):
    """``sqrt(max(error² - σ², 0))``: what an RMSE against measured images holds beside their noise.

    Where the measured DWIs come near the noise floor their SD is below σ (Rician), and this is a
    little too small, for all methods alike.
    """
    return float(np.sqrt(np.maximum(error**2 - sigma**2, 0.0)))

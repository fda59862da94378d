"""Errors over the voxels of a region, and likeness of images inside the brain."""

import numpy as np

from dwijax.volumes import into_volume


def rms(squared: np.ndarray) -> float:
    """Root of the mean; NaN of nothing."""
    return float(np.sqrt(np.mean(squared, dtype=np.float64))) if np.size(squared) else np.nan


def mean(values: np.ndarray) -> float:
    """Mean; NaN of nothing."""
    return float(np.mean(values, dtype=np.float64)) if np.size(values) else np.nan


def rmse(values: np.ndarray, reference: np.ndarray, region: np.ndarray) -> float:
    """Root mean squared error of ``values [V, ...]`` over ``region`` (bool ``[V]``)."""
    return rms((values[region] - reference[region]) ** 2)


def bias(values: np.ndarray, reference: np.ndarray, region: np.ndarray) -> float:
    """Mean of ``values - reference`` over ``region`` (bool ``[V]``); NaN of nothing."""
    return mean(values[region] - reference[region])


def excess(error: float, sigma: float) -> float:
    """``sqrt(max(error² - σ², 0))``: what an RMSE against measured images holds beside their noise.

    Where the measured DWIs come near the noise floor their SD is below σ (Rician), and this is a
    little too small, for all methods alike.
    """
    return np.sqrt(np.maximum(np.square(error) - sigma**2, 0.0))


def psnr(error: float, peak: float) -> float:
    """Peak signal-to-noise ratio in dB: ``20 log10(peak / error)``, ``error`` an RMSE."""
    return float(20 * np.log10(peak / error)) if error else np.inf


def nmse(values: np.ndarray, reference: np.ndarray) -> float:
    """``|x - y|² / |y|²``, in percent; NaN of nothing."""
    power = np.sum(reference**2)
    return float(100 * np.sum((values - reference) ** 2) / power) if power > 0 else np.nan


class Similarity:
    """Structural similarity (Wang et al. 2004) to one reference, inside a mask.

    Local moments by a Gaussian of σ = 1.5 voxels in the plane of the slices, over the mask alone:
    what is outside counts nothing, up to the border.

    Args:
      reference: float32 ``[V]`` or ``[V, n]``, n images.
      mask: bool ``[X, Y, Z]`` with V voxels. axis: of the slices.
      largest: the range of values that the constants are fractions of.
    """

    def __init__(self, reference: np.ndarray, mask: np.ndarray, axis: int, largest: float):
        self._mask, self._axis = mask, axis
        self._c1, self._c2 = (0.01 * largest) ** 2, (0.03 * largest) ** 2
        self._share = self._blur(np.ones(int(mask.sum()), np.float32))
        self._reference = reference
        self._mean = self._local(reference)
        self._variance = self._local(reference**2) - self._mean**2

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """SSIM of images like the reference, ``[V]`` or ``[V, n]``, at every voxel."""
        mean = self._local(values)
        variance = self._local(values**2) - mean**2
        covariance = self._local(values * self._reference) - mean * self._mean
        return ((2 * mean * self._mean + self._c1) * (2 * covariance + self._c2)
                / ((mean**2 + self._mean**2 + self._c1)
                   * (variance + self._variance + self._c2)))

    def _local(self, values):
        blurred = self._blur(values)
        return (blurred.T / self._share).T

    def _blur(self, values):
        from scipy.ndimage import gaussian_filter

        volume = into_volume(values, self._mask)
        axes = tuple(i for i in range(3) if i != self._axis)
        return gaussian_filter(volume, 1.5, mode="constant", truncate=3.5, axes=axes)[self._mask]

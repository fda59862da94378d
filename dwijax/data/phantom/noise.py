"""What the scanner adds: receive-coil shading, residual motion, Rician noise."""

import numpy as np


def shading(rng, shape, strength):
    """Smooth receive sensitivity, float32 [X, Y, Z], about 1: a random cubic in each coordinate.

    Args:
      rng: numpy Generator.
      shape: (X, Y, Z).
      strength: SD of its logarithm.
    """
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij",
                          sparse=True)
    weights = rng.standard_normal(9).astype(np.float32)
    field = 0.6 * (weights[0] * x + weights[1] * y) + 0.3 * weights[2] * z
    field = field + 0.6 * weights[3] * x * y + 0.4 * (weights[4] * x**3 + weights[5] * y**3)
    field = field + 0.4 * weights[6] * x * z + 0.4 * weights[7] * y * z
    # Surface coils: the rim is nearer to them than the middle is.
    field = field + (2.4 + 0.3 * weights[8]) * (x**2 + y**2)
    field = (field - field.mean()) / field.std()
    return np.exp(np.float32(strength) * field).astype(np.float32)


def noise_map(rng, shape):
    """Noise level relative to its mean over the grid, higher in the middle as with parallel
    imaging's g-factor: float32 [X, Y, Z]."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij",
                          sparse=True)
    u, v = rng.uniform(-0.3, 0.3, 2).astype(np.float32)
    level = 1 + np.float32(0.5) * np.exp(-((x - u) ** 2 + (y - v) ** 2) * 2) + 0 * z
    return (level / level.mean()).astype(np.float32)


def moved(volumes, rng, shift_mm, turn_degrees, voxel_size):
    """Give every volume its own small rigid motion, to first order: S + u . grad S.

    Exact enough while motions stay well below a voxel, and far cheaper than resampling.

    Args:
      volumes: float32 [M, X, Y, Z]; changed in place.
      rng: numpy Generator.
      shift_mm, turn_degrees: SD of each shift and of each angle; a number or one for each axis.
      voxel_size: three values, mm.
    """
    shape = volumes.shape[1:]
    x, y, z = np.meshgrid(
        *((np.arange(n, dtype=np.float32) - np.float32(n / 2)) * np.float32(v)
          for n, v in zip(shape, voxel_size, strict=True)), indexing="ij", sparse=True)
    for volume in volumes:
        shift = (shift_mm * rng.standard_normal(3)).astype(np.float32)
        a, b, c = np.radians(turn_degrees * rng.standard_normal(3)).astype(np.float32)
        dx, dy, dz = np.gradient(volume, *(np.float32(v) for v in voxel_size))
        volume += (shift[0] + b * z - c * y) * dx
        volume += (shift[1] + c * x - a * z) * dy
        volume += (shift[2] + a * y - b * x) * dz
    np.maximum(volumes, 0, out=volumes)


def rician(signal, sigma, rng, correlation=(0.0, 0.0, 0.0)):
    """Magnitude of the signal with complex Gaussian noise (Gudbjartsson and Patz 1995).

    Args:
      signal: float32 [M, X, Y, Z].
      sigma: SD of the noise in each channel; number or array that broadcasts to signal[0].
      rng: numpy Generator.
      correlation: of neighbours' noise along each axis, 0 to 0.7.

    Returns:
      float32 like ``signal``.
    """
    measured = np.empty_like(signal)
    for clean, out in zip(signal, measured, strict=True):
        real, imaginary = (shared(part, correlation) for part in rng.standard_normal(
            (2, *clean.shape), dtype=np.float32))
        real *= sigma
        real += clean
        imaginary *= sigma
        np.sqrt(real**2 + imaginary**2, out=out)
    return measured


def shared(noise, correlation):
    """White noise of SD 1 as interpolation leaves it: each voxel with a weight w of both its
    neighbours along each axis, whose correlation is then 2w / (1 + 2w²).

    Args:
      noise: float32 [X, Y, Z]. correlation: along each axis; below 0 taken for 0, at most 0.7.
    """
    from scipy.ndimage import correlate1d

    for axis, r in enumerate(np.clip(correlation, 0, 0.7)):
        if r > 0:
            w = (1 - np.sqrt(1 - 2 * r**2)) / (2 * r)
            kernel = np.array([w, 1, w]) / np.sqrt(1 + 2 * w**2)
            noise = correlate1d(noise, kernel, axis=axis, mode="wrap")
    return noise

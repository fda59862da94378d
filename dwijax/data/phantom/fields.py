"""Random fields and distances on a grid: what the phantom's anatomy is drawn with.

All arrays are float32.  Distances are signed and positive inside, in mm.
"""

from itertools import pairwise

import numpy as np
import scipy.fft


def _wavenumbers(shape, spacing):
    """Squared wavenumber [X, Y, Z//2+1] in 1/mm^2 of a real FFT over a grid of ``spacing`` mm."""
    axes = [np.fft.fftfreq(n, d) for n, d in zip(shape[:-1], spacing[:-1], strict=True)]
    axes.append(np.fft.rfftfreq(shape[-1], spacing[-1]))
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    return sum(k.astype(np.float32) ** 2 for k in grids)


def _filtered(rng, shape, amplitude):
    white = rng.standard_normal(shape, dtype=np.float32)
    field = scipy.fft.irfftn(scipy.fft.rfftn(white) * amplitude, s=shape)
    return (field - field.mean()) / field.std()


def band_noise(rng, shape, spacing, wavelength, bandwidth=0.25):
    """Gaussian random field of one scale: float32 [X, Y, Z], mean 0, SD 1, periodic.

    Args:
      rng: numpy Generator.
      shape: (X, Y, Z).
      spacing: mm per grid step, three values.
      wavelength: mm, centre of the pass band.
      bandwidth: SD of the band relative to its centre wavenumber.
    """
    k = np.sqrt(_wavenumbers(shape, spacing))
    centre = np.float32(1 / wavelength)
    return _filtered(rng, shape, np.exp(-0.5 * ((k - centre) / (bandwidth * centre)) ** 2))


def texture(rng, shape, spacing, exponent, longest=30.0):
    """Gaussian random field whose power falls as k^-exponent, flat beyond ``longest`` mm.

    Returns:
      float32 [X, Y, Z], mean 0, SD 1, periodic.
    """
    k2 = _wavenumbers(shape, spacing) + np.float32(1 / longest**2)
    return _filtered(rng, shape, k2 ** np.float32(-exponent / 4))


def ramp(distance, width):
    """Share of a cell ``width`` wide that lies inside a border at signed ``distance``, 0 to 1."""
    return np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1)


def smooth_step(x, low, high):
    """Cubic from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_min(a, b, radius):
    """Minimum of two distances with the edge where they meet rounded off (polynomial, C1)."""
    h = np.maximum(radius - np.abs(a - b), 0) * np.float32(1 / radius)
    return np.minimum(a, b) - h * h * np.float32(radius / 4)


def ellipsoid(points, centre, radii, yaw=0.0, pitch=0.0):
    """Approximate signed distance to an ellipsoid, turned about z (yaw) and then x (pitch).

    Args:
      points: three arrays (x, y, z) of one shape, mm.
      centre, radii: three values each, mm.
      yaw, pitch: degrees.
    """
    x, y, z = (p - np.float32(c) for p, c in zip(points, centre, strict=True))
    if yaw:
        c, s = np.float32(np.cos(np.radians(yaw))), np.float32(np.sin(np.radians(yaw)))
        x, y = c * x + s * y, c * y - s * x
    if pitch:
        c, s = np.float32(np.cos(np.radians(pitch))), np.float32(np.sin(np.radians(pitch)))
        y, z = c * y + s * z, c * z - s * y
    k0 = np.zeros_like(x)
    k1 = np.full_like(x, 1e-12)
    for p, r in zip((x, y, z), radii, strict=True):
        k0 += (p * np.float32(1 / r)) ** 2
        k1 += (p * np.float32(1 / r**2)) ** 2
    k0, k1 = np.sqrt(k0), np.sqrt(k1)
    return k0 * (1 - k0) / k1


def tube(points, curve, tangents=False):
    """Signed distance to a tube around a polyline, and the polyline's direction nearby.

    Args:
      points: three arrays (x, y, z) of one shape, mm.
      curve: rows of (x, y, z, radius), mm; the radius runs linearly along each segment.
      tangents: whether to return directions; they blend smoothly from segment to segment.

    Returns:
      distance, or (distance, direction [..., 3]) with unit directions.
    """
    curve = np.asarray(curve, np.float32)
    best = np.full(points[0].shape, -1e6, np.float32)
    direction = np.zeros((*points[0].shape, 3), np.float32) if tangents else None
    for start, stop in pairwise(curve):
        axis = stop[:3] - start[:3]
        length2 = axis @ axis
        along = sum((p - s) * a for p, s, a in zip(points, start, axis, strict=False)) / length2
        along = np.clip(along, 0, 1)
        gap2 = sum(
            (p - s - along * a) ** 2 for p, s, a in zip(points, start, axis, strict=False)
        )
        distance = start[3] + along * (stop[3] - start[3]) - np.sqrt(gap2)
        np.maximum(best, distance, out=best)
        if tangents:
            unit = axis / np.sqrt(length2)
            direction += np.exp(np.clip(distance, -40, 20) * np.float32(0.5))[..., None] * unit
    return (best, normalised(direction)) if tangents else best


def normalised(vectors):
    """Unit vectors [..., 3]; zero vectors stay zero."""
    return vectors / np.maximum(np.sqrt((vectors**2).sum(-1, keepdims=True)), 1e-12)


def refined(curve, step=3):
    """Catmull-Rom through the rows of ``curve`` with ``step`` pieces between neighbours."""
    curve = np.asarray(curve, np.float32)
    padded = np.concatenate([2 * curve[:1] - curve[1:2], curve, 2 * curve[-1:] - curve[-2:-1]])
    t = np.arange(step, dtype=np.float32)[:, None] / step
    pieces = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        cubic = 2 * a - 5 * b + 4 * c - d
        pieces.append(0.5 * (2 * b + (c - a) * t + cubic * t**2 + (3 * (b - c) + d - a) * t**3))
    return np.concatenate([*pieces, curve[-1:]])


def block_mean(field, factor):
    """Mean over blocks of ``factor``^3 cells: [X, Y, Z] -> [X/f, Y/f, Z/f]."""
    if factor == 1:
        return field
    x, y, z = (n // factor for n in field.shape)
    return field.reshape(x, factor, y, factor, z, factor).mean((1, 3, 5))

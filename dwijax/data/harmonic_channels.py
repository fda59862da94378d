"""What a network for any gradient table sees of a scan, and what it learns from.

It sees spherical harmonics of the acquired directions (`dwijax.gradients.harmonics.wiener_sh`), of
a slice and of those beside it, the mean b0, and what is known of the scan: its noise, where it is
strong and how neighbours share it, number of directions, what their table does to noise, b.
Harmonics are along the axes of the slice: its
rows, its columns, then the axis that it is cut across.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from dwijax.data.channels import B0, Where
from dwijax.data.domain import noise_level
from dwijax.data.slices import cut
from dwijax.data.subject import Subject
from dwijax.errors import InputError
from dwijax.fitting.noise import noise_in_space
from dwijax.gradients.harmonics import SPREAD, degrees_of, sh_basis, wiener_sh

ORDER = 4  # of the harmonics that networks see
COUNT = len(degrees_of(ORDER))
BESIDE_COUNT = len(degrees_of(2))  # of the slices beside: degrees 0 and 2
# Brings harmonics of every degree to order one.
AMPLITUDES = np.array([1 / SPREAD[degree] for degree in degrees_of(ORDER)], np.float32)
CONDITIONS = 7  # of the scan; and of its noise in space:
SPATIAL = 4
TRUTH_ORDER = 6  # of ln S / S0, without noise
TRUTH_COUNT = len(degrees_of(TRUTH_ORDER))
_LEAST = 1e-3  # of S and S0 that a logarithm is taken of
_UNKNOWN = 0.05  # σ where nothing tells it


class Seen(NamedTuple):
    """What is known of a scan's acquired directions.

    Attributes:
      volumes: int64 ``[q]``, which of the subject's volumes they are, in an order that depends on
        the directions alone.
      projection: float32 ``[c, q]``, from DWIs to harmonics over their `SPREAD`.
      conditions: float32 ``[CONDITIONS]`` of :func:`conditions`.
      noise: `Noise`.
    """

    volumes: np.ndarray
    projection: np.ndarray
    conditions: np.ndarray
    noise: "Noise"


class Noise(NamedTuple):
    """Noise of a scan: σ in units of the median b0, float32 ``[X, Y, Z]`` of σ over its median, and
    the correlation of neighbours along the volume's axes, ``[3]``."""

    sigma: float
    relative: np.ndarray
    correlation: np.ndarray


def frame(axis):
    """Which canonical axis is a slice's rows, its columns, and the one that it is cut across."""
    return [i for i in range(3) if i != axis] + [axis]


def projection(bvecs, sigma):
    """``[c, q]``: from DWIs to harmonics of order one; ``bvecs [q, 3]``, ``sigma`` of the noise."""
    return AMPLITUDES[:, None] * wiener_sh(bvecs, sigma, order=ORDER)


def conditions(projection, sigma, b, b0s):
    """What networks are told of a scan, each of order one, float32 ``[CONDITIONS]``.

    Args:
      projection: ``[c, q]`` of :func:`projection`. sigma: of a volume's noise, in units of the
        median b0. b: s/mm². b0s: number of b0 volumes.
    """
    q, degrees = projection.shape[1], degrees_of(ORDER)
    gain = np.sqrt(np.sum((projection / AMPLITUDES[:, None]) ** 2, axis=1))
    passed = [30 * sigma * gain[degrees == degree].mean() for degree in (2, 4)]
    return np.array([10 * sigma, 10 * sigma / np.sqrt(b0s), 10 / q, np.log(q / 20), *passed,
                     b / 1000], np.float32)


def seen(subject, positions, axis):
    """`Seen` of a subject's directions at ``positions`` of its shell, sliced across ``axis``."""
    volumes, bvecs = ordered(subject, positions)
    noise = _noise(subject, volumes, bvecs)
    onto = projection(bvecs[:, frame(axis)], noise.sigma)
    b = float(np.median(subject.gtab.bvals[volumes]))
    known = conditions(onto, noise.sigma, b, len(subject.gtab.b0s))
    return Seen(volumes, onto.astype(np.float32), known, noise)


def ordered(subject, positions):
    """Volumes and bvecs ``[q, 3]`` of the directions at ``positions`` of the shell in an order and
    with signs of their own: sums do not depend on the scan's."""
    volumes = subject.gtab.dwis[positions]
    bvecs = subject.gtab.bvecs[volumes]
    bvecs = np.where(_positive(bvecs)[:, None], bvecs, -bvecs)
    order = np.lexsort(bvecs.T)
    return volumes[order], bvecs[order]


def _noise(subject, volumes, bvecs):
    """`Noise` of a subject; what was found is kept as long as the subject is."""
    kept = _NOISE.setdefault(subject, {})
    key = volumes.tobytes()
    if key not in kept:
        kept[key] = _measure_noise(subject, volumes, bvecs)
    return kept[key]


_NOISE = WeakKeyDictionary()


def _measure_noise(subject, volumes, bvecs):
    scale, mask = np.float32(subject.scale), subject.mask
    b0, dwi = (subject.dwi[..., index][mask] / scale for index in (subject.gtab.b0s, volumes))
    found = noise_in_space(dwi, bvecs, mask)
    relative = np.ones(mask.shape, np.float32)
    relative[mask] = found.relative
    return Noise(noise_level(b0, dwi, bvecs, mask) or _UNKNOWN, relative, found.correlation)


def _positive(bvecs):
    """Which of an axis' two directions each is: the last coordinate that is not 0 is positive."""
    x, y, z = bvecs.T
    return (z > 0) | ((z == 0) & ((y > 0) | ((y == 0) & (x > 0))))


@dataclass(frozen=True, eq=False)
class Harmonics:
    """Harmonics of the acquired directions, of order one; ``positions [q]`` in the shell."""

    positions: np.ndarray
    count = COUNT

    def at(self, positions):
        return replace(self, positions=positions)

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, count]``."""
        known = seen(subject, self.positions, where.axis)
        return _harmonics(subject, known, where, COUNT)


def _harmonics(subject, known, where, count):
    dwi = cut(subject.dwi[..., known.volumes], where.positions, axis=where.axis, size=where.size)
    return dwi @ (known.projection[:count].T / np.float32(subject.scale))


class HarmonicsBeside(Harmonics):
    """b0 and harmonics of degrees 0 and 2 of the slice below and of the slice above."""

    count = 2 * (1 + BESIDE_COUNT)

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, count]``."""
        known, images = seen(subject, self.positions, where.axis), []
        for there in _beside(where):
            images += [B0()(subject, there), _harmonics(subject, known, there, BESIDE_COUNT)]
        return np.concatenate(images, axis=-1)


def _beside(where):
    """The slices below and above; beyond the first and the last of all these again."""
    own = np.asarray(where.positions)
    return [where._replace(positions=np.clip(own + offset, own.min(), own.max()))
            for offset in (-1, 1)]


class Conditions(Harmonics):
    """What is known of the scan (:func:`conditions`) and what neighbours share of its noise along
    rows, along columns and across slices, the same in all voxels; ln of σ over its median."""

    count = CONDITIONS + SPATIAL

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, count]``."""
        known = seen(subject, self.positions, where.axis)
        level = cut(np.log(known.noise.relative), where.positions, axis=where.axis,
                    size=where.size)
        everywhere = np.concatenate([known.conditions, known.noise.correlation[frame(where.axis)]])
        everywhere = np.broadcast_to(everywhere.astype(np.float32),
                                     (*level.shape[:3], len(everywhere)))
        return np.concatenate([everywhere, level], axis=-1)


@dataclass(frozen=True, eq=False)
class NoiseFree:
    """S0 and harmonics of ln S / S0 at b = 1000 s/mm², of the truth of a simulated subject.

    Of the slice below, of each slice, and of the slice above. ln S is taken to be proportional
    to b.
    """

    count = 3 * (1 + TRUTH_COUNT)

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, count]``; S0 in units of the subject's scale."""
        if where.truth is None:
            raise InputError(
                subject.name, found="no folder truth/ beside its files",
                expected="a simulated subject, from which scans of any table are made",
                remedy="make subjects like this scan first (dwijax simulate --like)")
        truth = subject.companion(where.truth / "dwi.nii.gz", subject.image.shape[3:],
                                  volumes=subject.volumes, what="series")
        b0s_mask = subject.gtab.b0s_mask
        s0 = truth[..., b0s_mask].mean(axis=-1, keepdims=True) / np.float32(subject.scale)
        weighted = truth[..., ~b0s_mask] / np.float32(subject.scale)
        table = subject.gtab[~b0s_mask]
        onto = np.linalg.pinv(sh_basis(table.bvecs[:, frame(where.axis)], TRUTH_ORDER)[0]).T
        logs = np.log(np.maximum(weighted, _LEAST) / np.maximum(s0, _LEAST))
        logs *= (1000 / table.bvals).astype(np.float32)
        volume = np.concatenate([s0, logs @ onto.astype(np.float32)], axis=-1)
        below, above = _beside(where)
        return np.concatenate([
            cut(volume, there.positions, axis=where.axis, size=where.size)
            for there in (below, where, above)], axis=-1)

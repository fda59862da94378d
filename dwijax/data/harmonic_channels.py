"""What a network for any gradient table sees of a scan, and what it learns from.

It sees spherical harmonics of the acquired directions (`dwijax.gradients.harmonics.wiener_sh`), of
a slice and of those beside it, the mean b0, and what is known of the scan: noise, number of
directions, what their table does to noise, b. Harmonics are along the axes of the slice: its
rows, its columns, then the axis that it is cut across.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from dwijax.data.channels import B0, Where
from dwijax.data.domain import noise_level
from dwijax.data.slices import cut
from dwijax.data.subject import Subject
from dwijax.errors import InputError
from dwijax.gradients.harmonics import SPREAD, degrees_of, sh_basis, wiener_sh

ORDER = 4  # of the harmonics that networks see
COUNT = len(degrees_of(ORDER))
BESIDE_COUNT = len(degrees_of(2))  # of the slices beside: degrees 0 and 2
# Brings harmonics of every degree to order one.
AMPLITUDES = np.array([1 / SPREAD[degree] for degree in degrees_of(ORDER)], np.float32)
CONDITIONS = 7
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
    """

    volumes: np.ndarray
    projection: np.ndarray
    conditions: np.ndarray


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
    b0s = subject.gtab.b0s
    volumes = subject.gtab.dwis[positions]
    # In an order and with signs of their own: sums do not depend on those of the scan.
    bvecs = subject.gtab.bvecs[volumes]
    bvecs = np.where(_positive(bvecs)[:, None], bvecs, -bvecs)
    order = np.lexsort(bvecs.T)
    volumes, bvecs = volumes[order], bvecs[order]
    scale = np.float32(subject.scale)
    b0, dwi = (subject.dwi[..., index][subject.mask] / scale for index in (b0s, volumes))
    sigma = noise_level(b0, dwi, bvecs) or _UNKNOWN
    onto = projection(bvecs[:, frame(axis)], sigma)
    b = float(np.median(subject.gtab.bvals[volumes]))
    return Seen(volumes, onto.astype(np.float32), conditions(onto, sigma, b, len(b0s)))


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
    """What is known of the scan (:func:`conditions`), the same in all voxels."""

    count = CONDITIONS

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, count]``."""
        known = seen(subject, self.positions, where.axis).conditions
        plane = where.size or [subject.mask.shape[i] for i in frame(where.axis)[:2]]
        return np.broadcast_to(known, (len(where.positions), *plane, self.count))


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

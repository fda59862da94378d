"""What a slice holds, by name: each channel is made of a subject by a function of its own.

A task declares its channels (`dwijax.tasks.task.Task`); reading a cohort, predicting a scan and
planning memory all use the same ones. ``count`` is how many images a channel has. What networks see
has ``at(positions)``: the same channel of a scan whose inputs stand elsewhere in its shell.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.data.anisotropy import measured_fa
from dwijax.data.mppca import mppca
from dwijax.data.slices import cut
from dwijax.data.subject import Subject
from dwijax.gradients.harmonics import sh_basis


class Where(NamedTuple):
    """Slices of one subject.

    Attributes:
      positions: slice numbers along ``axis``, ``[S]``.
      axis: 0 sagittal, 1 coronal, 2 axial (canonical axes).
      size: ``(H, W)`` to zero-pad to around the centre; None: as they are.
      truth: folder of a phantom's noise-free volumes, or None.
    """

    positions: np.ndarray
    axis: int = 2
    size: tuple | None = None
    truth: Path | None = None


@dataclass(frozen=True, eq=False)
class B0:
    """The mean b0."""

    count = 1

    def at(self, positions):
        return self

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, 1]`` in units of the subject's scale."""
        return _scaled(subject, subject.b0, where)


@dataclass(frozen=True, eq=False)
class Directions:
    """DWIs of the directions at ``positions`` in the shell, ``[n]``, as measured."""

    positions: np.ndarray

    @property
    def count(self):
        return len(self.positions)

    def at(self, positions):
        return replace(self, positions=positions)

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, n]`` in units of the subject's scale."""
        return _scaled(subject, self.volumes(subject, where), where)

    def volumes(self, subject, where):
        """float32 ``[X, Y, Z, n]`` in the file's intensities."""
        return subject.dwi[..., _volumes(subject, self.positions)]


class NoiseFreeDirections(Directions):
    """The same out of a phantom's truth."""

    def volumes(self, subject, where):
        return subject.companion(
            where.truth / "dwi.nii.gz", subject.image.shape[3:], what="series",
            volumes=subject.volumes[_volumes(subject, self.positions)])


class DenoisedDirections(Directions):
    """What MP-PCA (`dwijax.data.mppca`) of these directions, and of no others, leaves of them."""

    def volumes(self, subject, where):
        return mppca(super().volumes(subject, where), subject.mask)


@dataclass(frozen=True, eq=False)
class Beside:
    """b0 and inputs of the slices beside each slice.

    Beyond the first and the last of the slices' positions that slice is repeated: what lies there
    may belong to another part of a split. Images are those of the slice ``reach`` below, of those
    in between, of the slice ``reach`` above.

    Attributes:
      positions: of the inputs in the shell, ``[q]``.
      reach: slices on either side.
      project: ``[q, c]`` of :func:`harmonics`, what stands for the q DWIs; None: they themselves.
    """

    positions: np.ndarray
    reach: int
    project: np.ndarray | None = None

    @property
    def count(self):
        own = len(self.positions) if self.project is None else self.project.shape[1]
        return 2 * self.reach * (1 + own)

    def at(self, positions):
        return replace(self, positions=positions)

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, 2 · reach · (1 + c)]`` in units of the subject's scale."""
        own = np.asarray(where.positions)
        b0, dwi, images = B0(), Directions(self.positions), []
        for offset in [*range(-self.reach, 0), *range(1, self.reach + 1)]:
            there = where._replace(positions=np.clip(own + offset, own.min(), own.max()))
            signal = dwi(subject, there)
            images += [b0(subject, there),
                       signal if self.project is None else signal @ self.project]
        return np.concatenate(images, axis=-1)


@dataclass(frozen=True, eq=False)
class Denoised:
    """Mean b0 and inputs as MP-PCA of the b0s and the inputs leaves them.

    The principal components are of these volumes alone: what is to be predicted takes no part. They
    are of the whole scan, so that what lies above and below a slice helps.
    """

    positions: np.ndarray

    @property
    def count(self):
        return 1 + len(self.positions)

    def at(self, positions):
        return replace(self, positions=positions)

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, 1 + q]`` in units of the subject's scale."""
        b0s = subject.gtab.b0s
        volumes = np.concatenate([b0s, _volumes(subject, self.positions)])
        dwi = mppca(subject.dwi[..., volumes], subject.mask)
        b0 = dwi[..., :len(b0s)].mean(axis=-1, keepdims=True)
        return np.concatenate([_scaled(subject, b0, where),
                               _scaled(subject, dwi[..., len(b0s):], where)], axis=-1)


@dataclass(frozen=True, eq=False)
class MeasuredFA:
    """FA of b0s and the directions at ``positions``; ``correction`` of its bias by noise
    (`dwijax.data.anisotropy.measured_fa`)."""

    positions: np.ndarray
    correction: float
    count = 1

    def __call__(self, subject: Subject, where: Where):
        """float32 ``[S, H, W, 1]``, NaN without a tensor."""
        fa = measured_fa(subject, self.positions, self.correction)
        return cut(fa, where.positions, axis=where.axis, size=where.size)


def harmonics(bvecs, order):
    """What makes DWIs into even spherical harmonics, by least squares: most of their signal, and
    little of their noise, in few images.

    Args:
      bvecs: the q directions as networks know them, ``[q, 3]``. A table that is turned as a whole
        is no other table to networks, so a scan's own directions would say something else.
      order: even maximal order; 0: none.

    Returns:
      float32 ``[q, c]``, or None.
    """
    return np.linalg.pinv(sh_basis(bvecs, order)[0]).T.astype(np.float32) if order else None


def _volumes(subject, positions):
    return subject.gtab.dwis[positions]


def _scaled(subject, volumes, where):
    found = cut(volumes, where.positions, axis=where.axis, size=where.size)
    return found / np.float32(subject.scale)

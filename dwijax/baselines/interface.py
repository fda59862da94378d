"""What all that predicts DWIs is given, and what it must do: baselines and networks alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dwijax.data.subject import Subject
from dwijax.gradients import GradientTable
from dwijax.volumes import into_volume, voxel_size


class Acquired(NamedTuple):
    """Acquired volumes of one subject.

    Attributes:
      signal: float32 ``[V, n + q]``: n b0s, then q DWIs, inside the brain, any intensity unit.
      gtab: `GradientTable` of these ``n + q`` volumes.
      mask: bool ``[X, Y, Z]`` with V voxels set, in the order of ``signal``.
      voxel_size: mm, three values.
      subject: the scan that they are from, for what looks beyond the brain; None: 0 is there.
      volumes: int64 ``[n + q]``, which of the subject's volumes these are.
    """

    signal: np.ndarray
    gtab: GradientTable
    mask: np.ndarray
    voxel_size: np.ndarray
    subject: Subject | None = None
    volumes: np.ndarray | None = None

    def take(self, volumes: np.ndarray) -> "Acquired":
        """The same voxels with fewer volumes."""
        return self._replace(signal=self.signal[:, volumes], gtab=self.gtab[volumes],
                             volumes=None if self.subject is None else self.volumes[volumes])

    def inputs(self, positions: np.ndarray) -> "Acquired":
        """The b0s and those DWIs that have these positions ``[q]`` in the shell."""
        return self.take(np.r_[self.gtab.b0s, self.gtab.dwis[positions]])

    def volume(self) -> np.ndarray:
        """float32 ``[X, Y, Z, n + q]``."""
        if self.subject is None:
            return into_volume(self.signal, self.mask)
        out = self.subject.dwi[..., self.volumes] / np.float32(self.subject.scale)
        out[self.mask] = self.signal
        return out

    def scan(self) -> Subject:
        """The subject without its other volumes."""
        return replace(self.subject, dwi=self.subject.dwi[..., self.volumes], gtab=self.gtab,
                       volumes=self.subject.volumes[self.volumes])


def acquired(subject: Subject) -> Acquired:
    """`Acquired` of all volumes of a subject, in units of its scale."""
    return Acquired(subject.dwi[subject.mask] / np.float32(subject.scale), subject.gtab,
                    subject.mask, voxel_size(subject.affine), subject,
                    np.arange(len(subject.gtab)))


class Predictor(NamedTuple):
    """Networks or a baseline: given the acquired volumes of a subject, asked for other directions.

    Attributes:
      name: for files. short: for figures. label: for tables, with what was tuned.
      predict: ``(Acquired, GradientTable of K directions) -> float32 [V, K]``, in the intensity
        unit of what was acquired.
      predict_volume: the same beyond the brain too, ``[X, Y, Z, K]``; None: it has nothing there.
      predict_first_step: as ``predict``, where the first step of the tensor fit judges
        (`dwijax.fitting.voxels.fit_maps`), for predictions that come from b0s and a tensor fit
        themselves; None: ``predict`` serves.
      denoise: ``Acquired -> Acquired``, what comes before ``predict``; a tensor may be fitted to
        its result too. None: nothing does.
      gtab: table of the K directions that its outputs stand for, whatever it is asked for; None:
        for those that it is asked for.
    """

    name: str
    short: str
    label: str
    predict: Callable[[Acquired, GradientTable], np.ndarray]
    predict_volume: Callable[[Acquired, GradientTable], np.ndarray] | None = None
    predict_first_step: Callable[[Acquired, GradientTable], np.ndarray] | None = None
    denoise: Callable[[Acquired], Acquired] | None = None
    gtab: GradientTable | None = None


class Case(NamedTuple):
    """A subject to learn from or to be tuned on: what is given and what is to be met.

    Attributes:
      acquired: `Acquired`, in units of the subject's scale.
      gtab: table of the K directions.
      measured: float32 ``[V, K]``, the acquired DWIs of these directions, noise and all.
      judged: bool ``[V]``, the voxels that count.
    """

    acquired: Acquired
    gtab: GradientTable
    measured: np.ndarray
    judged: np.ndarray

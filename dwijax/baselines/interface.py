"""What a baseline is given and what it must do."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dwijax.gradients import GradientTable


class Acquired(NamedTuple):
    """Acquired volumes of one subject.

    Attributes:
      signal: float32 ``[V, n + q]``: n b0s, then q DWIs, inside the brain, any intensity unit.
      gtab: `GradientTable` of these ``n + q`` volumes.
      mask: bool ``[X, Y, Z]`` with V voxels set, in the order of ``signal``.
      voxel_size: mm, three values.
      outside: float32 ``[U, n + q]``, the other voxels, for methods that look at neighbours; or
        None where nothing asks for them.
    """

    signal: np.ndarray
    gtab: GradientTable
    mask: np.ndarray
    voxel_size: np.ndarray
    outside: np.ndarray | None = None

    def take(self, volumes):
        """The same voxels with fewer volumes."""
        outside = None if self.outside is None else self.outside[:, volumes]
        return self._replace(signal=self.signal[:, volumes], gtab=self.gtab[volumes],
                             outside=outside)

    def volume(self):
        """float32 ``[X, Y, Z, n + q]``; 0 outside the mask where ``outside`` is not known."""
        out = np.zeros((*self.mask.shape, self.signal.shape[1]), np.float32)
        out[self.mask] = self.signal
        if self.outside is not None:
            out[~self.mask] = self.outside
        return out


class Interpolator(NamedTuple):
    """A baseline, fitted to the acquired volumes of a subject and asked for other directions.

    Attributes:
      name: for files. short: for figures. label: for tables, with what was tuned.
      predict: ``(Acquired, GradientTable of K directions) -> float32 [V, K]``, in the intensity
        unit of what was acquired.
      check: the same where the first step of the tensor fit judges (`voxelwise.fit_maps`), for
        predictions that come from b0s and a tensor fit themselves; None: ``predict`` serves.
      denoise: ``Acquired -> Acquired``, what comes before ``predict``; a tensor may be fitted to
        its result too. None: nothing does.
    """

    name: str
    short: str
    label: str
    predict: Callable
    check: Callable | None = None
    denoise: Callable | None = None


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

"""How far FA and V1 of one scan may be off, by a subject made like it whose truth is known.

Split conformal prediction (Vovk et al. 2005) within classes of like FA: in the simulated subject,
the quantiles of the errors of all voxels whose enhanced FA is about as high are the interval of a
voxel of the scan. They hold as far as the scan is like its likeness: for the share of voxels, not
for each of them.
"""

from typing import NamedTuple

import numpy as np

from dwijax.enhancing.judging import Simulated

LEVELS = (0.68, 0.95)
_CLASSES = 24  # of FA, each with as many voxels


class Intervals(NamedTuple):
    """float32 ``[V, 2]``, of 68 % and of 95 %: ``low`` and ``high`` of FA, ``cone``, largest angle
    of V1 in degrees."""

    low: np.ndarray
    high: np.ndarray
    cone: np.ndarray


def intervals(simulated: Simulated, fa: np.ndarray, *, enhanced: bool = True) -> Intervals:
    """`Intervals` of a scan with the FA ``[V]``; ``enhanced``: whether it is that of acquired and
    added volumes, or of the acquired alone."""
    maps = simulated.enhanced if enhanced else simulated.plain
    counted = maps.determined & simulated.truth.determined
    own, error = maps.fa[counted], (simulated.truth.fa - maps.fa)[counted]
    angle = simulated.v1_error(maps)[counted]
    order = np.argsort(own, kind="stable")
    classes = [part for part in np.array_split(order, _CLASSES) if len(part)]
    centres = np.array([own[part].mean() for part in classes])

    def at(values, share):
        return np.interp(fa, centres, [np.quantile(values[part], share) for part in classes])

    def bounds(sign):
        found = [fa + at(error, (1 + sign * level) / 2) for level in LEVELS]
        return np.clip(np.stack(found, axis=1), 0, 1).astype(np.float32)

    cone = np.stack([at(angle, level) for level in LEVELS], axis=1).astype(np.float32)
    return Intervals(bounds(-1), bounds(1), cone)

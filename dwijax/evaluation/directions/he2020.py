"""Table 1 and Figures 3 and 4 of He et al. 2020, with what the abstract leaves open stated here.

Stated: FA of 30 acquired and the last 32 synthetic DWIs and two volumes of b ≈ 5 is compared with
that of 30 + 32 acquired ("64 GTFA") and of 30 acquired ("32 GTFA") by its RMSE, the 60 outputs with
the measured slices by theirs; mean and SD. MRtrix3 made the maps: `dwijax.fitting.voxels.FIT` is
its default fit.

Chosen: an RMSE is over the brain of one slice. DWIs are divided by the 99.9th percentile of the
subject's input DWIs in the brain, so that they range over about [0, 1]. Of each subject the central
61 slices with brain count, or all there are (`dwijax.data.cohort.CENTRAL`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dwijax.baselines import Acquired
from dwijax.data.cohort import central_slices
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.directions.rows import NETWORKS, PERFECT, FullMaps

PUBLISHED = {"prediction vs 64 GTFA": "0.03", "prediction vs 32 GTFA": "0.04",
             "outputs vs measured DWIs": "0.048 ± 0.0034"}
METHODS = (NETWORKS, PERFECT)  # that the table has, and what limits them


class SliceRow(NamedTuple):
    """One RMSE of one slice of one subject."""

    subject: str
    comparison: str
    method: str
    slice: int
    value: float


class Paper:
    """Table 1 of one subject; ``measured``: its target DWIs ``[V, K]``, ``gtfa``: of 32 and 64."""

    def __init__(self, scan: JudgedScan, axis: int, measured: np.ndarray, inputs: Acquired,
                 gtfa: dict[str, FullMaps]):
        self._subject, self._measured = scan.name, measured
        self._gtfa = {k: m.maps.fa for k, m in gtfa.items()}
        self._slice = np.nonzero(scan.acquired.mask)[axis]
        brain = scan.regions["brain"]
        counted = central_slices(np.unique(self._slice[brain]))
        self._judged = brain & np.isin(self._slice, counted)
        self._counts = np.bincount(self._slice[self._judged])
        dwi = inputs.signal[np.ix_(brain, ~inputs.gtab.b0s_mask)]
        self._scale = float(np.percentile(dwi, 99.9))

    def inputs_rows(self) -> list[SliceRow]:
        """What 32 GTFA itself has against 64 GTFA."""
        return list(self._rows("32 GTFA vs 64 GTFA", "acquired",
                               (self._gtfa["32 GTFA"] - self._gtfa["64 GTFA"]) ** 2))

    def rows(self, method: str, prediction: np.ndarray, fa: np.ndarray) -> Iterator[SliceRow]:
        """Three rows a slice; ``fa [V]``: of inputs and the last of the DWIs ``[V, K]``."""
        for name, reference in self._gtfa.items():
            yield from self._rows(f"prediction vs {name}", method, (fa - reference) ** 2)
        squared = np.mean((prediction - self._measured) ** 2, axis=1) / self._scale**2
        yield from self._rows("outputs vs measured DWIs", method, squared)

    def _rows(self, comparison, method, squared):
        sums = np.bincount(self._slice[self._judged], squared[self._judged])
        for position in np.flatnonzero(self._counts):
            yield SliceRow(self._subject, comparison, method, int(position),
                           float(np.sqrt(sums[position] / self._counts[position])))

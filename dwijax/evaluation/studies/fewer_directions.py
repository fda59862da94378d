"""One scan, of which a few directions are taken as acquired and the others are predicted.

Baselines are tuned on those few, by leaving them out in turn (`dwijax.baselines.own_scan`), so that
they know the scan and nothing else; networks come as they are. Errors are against the noise-free
signal of a simulated scan, or against the measured one.
"""

from typing import NamedTuple

import numpy as np

from dwijax.baselines import GAUSSIAN, Predictor, acquired, tune
from dwijax.baselines.denoising import MARCHENKO_PASTUR
from dwijax.baselines.own_scan import folds
from dwijax.baselines.tuning import Chosen
from dwijax.data.subject import Subject
from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.slabs import SlabInterval, slab_interval, slabs_of
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable

BASELINES = Chosen((GAUSSIAN, MARCHENKO_PASTUR), every_order=False)
TISSUES = ("WM", "GM")


class Score(NamedTuple):
    """Of one method, in units of the subject's scale and of FA.

    Attributes:
      method: as its `Predictor` is called for tables. denoised: whether it denoises first.
      dwi: RMSE of the predicted DWIs in the brain. squares: their squared errors, mean over
        directions, ``[V]``.
      fa: RMSE of the FA of acquired and predicted together, of the brain; NaN without a reference.
      bias: its mean error by tissue.
    """

    method: str
    denoised: bool
    dwi: float
    squares: np.ndarray
    fa: float
    bias: dict[str, float]


class Judged(NamedTuple):
    """Attributes:
      networks: `Score`. baselines: list of `Score`, the tensor fitted to the inputs alone not
        among them. acquired: FA RMSE of the fit of n acquired directions, by n.
      slabs: int ``[V]``.
    """

    networks: Score
    baselines: list[Score]
    acquired: dict[int, float]
    slabs: np.ndarray

    def best(self, *, denoised: bool) -> Score:
        """The baseline with the least error of the DWIs, with or without denoising first."""
        return min((s for s in self.baselines if s.denoised == denoised), key=lambda s: s.dwi)

    def against(self, other: Score) -> SlabInterval:
        """Difference of the networks' DWI RMSE to another's, slabs of the head drawn."""
        return slab_interval(self.networks.squares, other.squares, self.slabs)


def judge(subject: Subject, inputs: np.ndarray, networks: Predictor, *,
          clean: np.ndarray | None = None, fa: np.ndarray | None = None,
          regions: dict[str, np.ndarray] | None = None,
          numbers: tuple[int, ...] = ()) -> Judged:
    """Scores of the networks and of the baselines that the inputs tune.

    Args:
      subject: b0s, then N directions. inputs: positions of those that are acquired, ``[q]``.
      networks: `Predictor`.
      clean: noise-free DWIs ``[V, N]`` in the unit of the scale; None: the measured ones judge.
      fa: reference ``[V]``. regions: bool ``[V]`` by tissue, for its bias.
      numbers: of acquired directions whose fit is told beside.
    """
    whole = acquired(subject)
    dwis = whole.gtab.dwis
    others = np.setdiff1d(np.arange(len(dwis)), inputs)
    given, wanted = whole.inputs(inputs), whole.gtab[dwis[others]]
    expected = whole.signal[:, dwis[others]] if clean is None else clean[:, others]
    everywhere = np.ones(len(expected), bool)

    def score(predictor):
        before = predictor.denoise(given) if predictor.denoise else given
        found = predictor.predict(before, wanted)
        squares = np.mean((found - expected) ** 2, axis=1)
        error, bias = np.nan, {}
        if fa is not None:
            own = fit_maps([given.signal, found], _joined(given.gtab, wanted)).fa
            error = metrics.rmse(own, fa, everywhere)
            bias = {name: metrics.bias(own, fa, regions[name]) for name in TISSUES}
        return Score(predictor.label, predictor.denoise is not None,
                     float(np.sqrt(squares.mean())), squares, error, bias)

    def of_acquired(n):
        part = given if n == len(inputs) else whole.inputs(np.arange(n))
        return metrics.rmse(fit_maps([part.signal], part.gtab).fa, fa, everywhere)

    baselines = tune([], folds(given), axis=2, chosen=BASELINES).baselines
    return Judged(score(networks), [score(b) for b in baselines],
                  {n: of_acquired(n) for n in (len(inputs), *numbers)} if fa is not None else {},
                  slabs_of(whole.mask, 2))


def _joined(a, b):
    return GradientTable(np.r_[a.bvals, b.bvals], np.concatenate([a.bvecs, b.bvecs]),
                         a.b0_threshold)

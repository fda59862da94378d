"""One scan, of which a few directions are taken as acquired and others are predicted.

Baselines are tuned on those few, by leaving them out in turn (`dwijax.baselines.own_scan`), so that
they know the scan and nothing else; networks come as they are. Errors are against the noise-free
signal of a simulated scan, or against measured volumes, whose noise no method shares.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dwijax.baselines import GAUSSIAN, Acquired, Predictor, tune
from dwijax.baselines.denoising import MARCHENKO_PASTUR
from dwijax.baselines.own_scan import folds
from dwijax.baselines.tuning import Chosen
from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.slabs import SlabInterval, slab_interval, slabs_of
from dwijax.fitting.voxels import Maps, fit_maps, principal_directions
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import compare

# Every order of harmonics of S and of ln S, Gaussian processes; harmonics or a process after
# smoothing and after MP-PCA.
BASELINES = Chosen((GAUSSIAN, MARCHENKO_PASTUR), every_order=True)
TISSUES = ("WM", "GM")


class Reference(NamedTuple):
    """What maps are compared with.

    Attributes:
      fa: ``[V]``. md: ``[V]``, µm²/ms. v1: unit directions ``[V, 3]``.
      regions: bool ``[V]`` by name of `dwijax.evaluation.common.regions.REGIONS`.
    """

    fa: np.ndarray
    md: np.ndarray
    v1: np.ndarray
    regions: dict[str, np.ndarray]


class MapErrors(NamedTuple):
    """Of the tensors of acquired and predicted volumes together.

    Attributes:
      fa, md: RMSE in the brain, MD in µm²/ms. v1: median angle in WM, degrees.
      fa_bias, md_bias: mean error by tissue.
    """

    fa: float
    md: float
    v1: float
    fa_bias: dict[str, float]
    md_bias: dict[str, float]


class Score(NamedTuple):
    """Of one method.

    Attributes:
      method: as its `Predictor` is called for tables. denoised: whether it denoises first.
      squares: squared errors of the predicted DWIs, mean over directions, ``[V]``, in units of the
        subject's scale.
      maps: `MapErrors`.
    """

    method: str
    denoised: bool
    squares: np.ndarray
    maps: MapErrors

    @property
    def dwi(self) -> float:
        """RMSE of the predicted DWIs in the brain."""
        return metrics.rms(self.squares)

    def dwi_in(self, region: np.ndarray) -> float:
        """The same in a region, bool ``[V]``."""
        return metrics.rms(self.squares[region])


class Judged(NamedTuple):
    """Attributes:
      networks: `Score`. baselines: list of `Score`; the fit of the inputs alone is the tensor.
      acquired: `MapErrors` of the fit of the inputs alone. slabs: int ``[V]``.
    """

    networks: Score
    baselines: list[Score]
    acquired: MapErrors
    slabs: np.ndarray

    def best(self, *, denoised: bool | None = None) -> Score:
        """The baseline with the least error of the DWIs, of those that denoise first, of those
        that do not, or of all."""
        return min((s for s in self.baselines if denoised in (None, s.denoised)),
                   key=lambda s: s.dwi)

    def against(self, other: Score, region: np.ndarray | None = None) -> SlabInterval:
        """Difference of the networks' DWI RMSE to another's, slabs of the head drawn."""
        region = slice(None) if region is None else region
        return slab_interval(self.networks.squares[region], other.squares[region],
                             self.slabs[region])


def judge(given: Acquired, wanted: GradientTable, expected: np.ndarray, networks: Predictor,
          reference: Reference) -> Judged:
    """Scores of the networks and of the baselines that the inputs tune.

    Args:
      given: b0s and inputs. wanted: table of the N others.
      expected: ``[V, N]``, in the unit of ``given``; noise-free or measured.
      networks: `Predictor`. reference: `Reference`.
    """
    both = replace(given.gtab, bvals=np.r_[given.gtab.bvals, wanted.bvals],
                   bvecs=np.concatenate([given.gtab.bvecs, wanted.bvecs]))

    def score(predictor):
        before = predictor.denoise(given) if predictor.denoise else given
        found = predictor.predict(before, wanted)
        return Score(predictor.label, predictor.denoise is not None,
                     np.mean((found - expected) ** 2, axis=1),
                     map_errors(fit_maps([given.signal, found], both), reference))

    baselines = tune([], folds(given), axis=2, chosen=BASELINES).baselines
    return Judged(score(networks), [score(b) for b in baselines],
                  map_errors(fit_maps([given.signal], given.gtab), reference),
                  slabs_of(given.mask, 2))


def map_errors(maps: Maps, reference: Reference) -> MapErrors:
    """`MapErrors` over voxels with a tensor."""
    regions = {name: region & maps.determined for name, region in reference.regions.items()}
    angles = compare(principal_directions(maps.tensor), reference.v1)[regions["WM"]]
    bias = [{name: metrics.bias(values, expected, regions[name]) for name in TISSUES}
            for values, expected in ((maps.fa, reference.fa), (maps.md, reference.md))]
    return MapErrors(metrics.rmse(maps.fa, reference.fa, regions["brain"]),
                     metrics.rmse(maps.md, reference.md, regions["brain"]),
                     float(np.median(angles)) if angles.size else np.nan, *bias)

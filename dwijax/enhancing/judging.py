"""Two judges of one scan: its own directions that are held back, and a subject made like it.

The first is real, and noisy; it knows nothing of the truth of FA. The second has a truth, but one
that is as smooth as the fit that it was made of. What passes both is called better.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dwijax.baselines import Acquired, Predictor
from dwijax.data.phantom import like
from dwijax.data.subject import Subject
from dwijax.enhancing.mixing import longer, predicted
from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.regions import from_fit
from dwijax.evaluation.common.slabs import SlabInterval, slab_interval, slabs_of
from dwijax.fitting.voxels import Maps, fit_maps, principal_directions
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import compare, spread_subset
from dwijax.volumes import voxel_size

FEWEST = 8  # directions of a scan, of which two can be held back
_SHARE = 5  # one direction of five judges
REGIONS = ("brain", "WM", "GM")


class HeldBack(NamedTuple):
    """Of every method the squared error at the directions held back.

    Attributes:
      directions: how many judged. labels: of the methods, for tables.
      squares: method to ``[V]``, mean over directions, over the squared median b0.
      regions: bool ``[V]`` by name. slabs: int ``[V]``.
    """

    directions: int
    labels: dict[str, str]
    squares: dict[str, np.ndarray]
    regions: dict[str, np.ndarray]
    slabs: np.ndarray

    def joined(self, other: "HeldBack") -> "HeldBack":
        """With the methods of another one of the same directions."""
        return self._replace(labels=self.labels | other.labels,
                             squares=self.squares | other.squares)

    def rmse(self, method: str, region: str = "brain") -> float:
        """Over the median b0, noise and all."""
        return metrics.rms(self.squares[method][self.regions[region]])

    def difference(self, method: str, other: str, region: str = "brain") -> SlabInterval:
        """Of two methods' RMSE, slabs of the head drawn."""
        where = self.regions[region]
        return slab_interval(*(self.squares[name][where] for name in (method, other)),
                             self.slabs[where])


def hold_back(gtab: GradientTable) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the directions that are given and of those that judge, one in five and at least
    two; what is given is well spread.

    Args:
      gtab: of the shell, without b0s, at least `FEWEST` directions.
    """
    count = max(2, len(gtab) // _SHARE)
    given = spread_subset(gtab.bvecs, len(gtab) - count)
    return given, np.setdiff1d(np.arange(len(gtab)), given)


def judge(given: Acquired, wanted: GradientTable, expected: np.ndarray,
          predictors: list[Predictor], fit: Maps) -> HeldBack:
    """`HeldBack` of predictors that have not seen what judges.

    Args:
      given: b0s and directions. wanted: table of the N held back. expected: ``[V, N]`` of them, as
        measured. predictors: of different names. fit: of all that was acquired.
    """
    squares = {p.name: np.mean((predicted(p, given, wanted) - expected) ** 2, axis=1)
               for p in predictors}
    return HeldBack(len(wanted), {p.name: p.label for p in predictors}, squares,
                    from_fit(fit.fa, fit.md), slabs_of(given.mask, 2))


class Simulated(NamedTuple):
    """What became of a subject made like the scan, whose truth is known.

    Attributes:
      plain, enhanced: `Maps` ``[V]``: of its acquired volumes, of these and the added ones.
      truth: `Maps` of the noise-free signal.
      regions: by the truth, bool ``[V]``, of voxels that have all three tensors.
    """

    plain: Maps
    enhanced: Maps
    truth: Maps
    regions: dict[str, np.ndarray]

    def fa_error(self, maps: Maps, region: str = "brain") -> float:
        """RMSE of FA."""
        return metrics.rmse(maps.fa, self.truth.fa, self.regions[region])

    def fa_bias(self, maps: Maps, region: str) -> float:
        """Mean error of FA."""
        return metrics.bias(maps.fa, self.truth.fa, self.regions[region])

    def v1_error(self, maps: Maps) -> np.ndarray:
        """Angle of the principal direction to the truth's, degrees ``[V]``."""
        return compare(principal_directions(maps.tensor), principal_directions(self.truth.tensor))


def simulate(subject: Subject, fit: like.Fit, wanted: GradientTable, predictor: Predictor,
             seed: int = 0) -> Simulated:
    """A subject like the scan, acquired by its table, through the same ways.

    Args:
      subject: of the scan. fit: of `dwijax.data.phantom.like.fit_scan`. wanted: table of the
        directions that are added. predictor: `Predictor`.
      seed: of the subject; training subjects have another.
    """
    own, both = subject.gtab, longer(subject.gtab, wanted)
    rows = tuple((float(b), *map(float, g)) for b, g in zip(both.bvals, both.bvecs, strict=True))
    made = like.simulate_like(
        fit, like.LikeSettings(seed, like.identity(subject), fit.b, table=rows), 0)
    mask, count = made.mask, len(own)
    b0 = made.dwi[..., own.b0s].mean(axis=-1)
    twin = replace(subject, dwi=np.ascontiguousarray(made.dwi[..., :count]), mask=mask, b0=b0,
                   volumes=np.arange(count), scale=float(np.float32(np.median(b0[mask]))))
    clean = made.clean[mask] / np.float32(twin.scale)
    given = Acquired(twin.dwi[mask] / np.float32(twin.scale), own, mask,
                     voxel_size(subject.affine), twin, np.arange(count))
    found = predicted(predictor, given, wanted)
    truth = fit_maps([clean], both)
    plain, enhanced = fit_maps([given.signal], own), fit_maps([given.signal, found], both)
    fitted = plain.determined & enhanced.determined & truth.determined
    regions = {name: region & fitted for name, region in from_fit(truth.fa, truth.md).items()}
    return Simulated(plain, enhanced, truth, regions)

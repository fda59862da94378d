"""Ridge regression from b0 and input DWIs, of one voxel or of its neighbours in the slice too.

The best linear method that the training subjects can teach: what a network of one convolution
without a non-linearity would find.
"""

import numpy as np

from dwijax.baselines.interface import Acquired, Case, Predictor
from dwijax.baselines.moments import add, moments, sample

# Of the mean square of a channel.
WEIGHTS = tuple(float(w) for w in np.geomspace(1e-6, 1e-1, 11))


def features(acquired: Acquired, side: int, axis: int,
             voxels: np.ndarray | None = None) -> np.ndarray:
    """Channels of every voxel and its neighbours in the slice; 0 outside the brain.

    Args:
      acquired: `Acquired`.
      side: of the neighbourhood, odd. axis: of the slices.
      voxels: positions ``[v]`` of those wanted; None: all V.

    Returns:
      float32 ``[v, side² (1 + q)]``: the mean b0, then the DWIs.
    """
    b0s = acquired.gtab.b0s_mask
    channels = np.concatenate([acquired.signal[:, b0s].mean(axis=1, keepdims=True),
                               acquired.signal[:, ~b0s]], axis=1)
    voxels = np.arange(len(channels)) if voxels is None else voxels
    if side == 1:
        return channels[voxels]
    reach = side // 2
    width = [(0, 0) if i == axis else (reach, reach) for i in range(3)]
    # Position of every voxel in `channels`; outside the brain that of a row of zeros.
    index = np.full(acquired.mask.shape, len(channels))
    index[acquired.mask] = np.arange(len(channels))
    index = np.pad(index, width, constant_values=len(channels))
    channels = np.concatenate([channels, np.zeros_like(channels[:1])])
    at = [p[voxels] for p in np.nonzero(acquired.mask)]
    steps = [range(1) if i == axis else range(side) for i in range(3)]
    neighbours = [index[at[0] + i, at[1] + j, at[2] + k]
                  for i in steps[0] for j in steps[1] for k in steps[2]]
    return np.concatenate([channels[n] for n in neighbours], axis=1)


def ridge(matrix: np.ndarray, weight: float, side: int, axis: int) -> Predictor:
    """The method whose ``matrix [K, side² (1 + q)]`` was learnt."""
    def predict(acquired, gtab):
        if len(gtab) != len(matrix):
            raise ValueError(f"{len(gtab)} directions asked for, {len(matrix)} learnt")
        every = 1 << 14
        parts = [features(acquired, side, axis, np.arange(start, min(start + every,
                                                                     len(acquired.signal))))
                 for start in range(0, len(acquired.signal), every)]
        return np.concatenate([p @ matrix.T for p in parts])

    matrix = matrix.astype(np.float32)
    return Predictor(f"ridge{side}", f"ridge {side}×{side}",
                     f"ridge regression, {side}×{side}, weight {weight:.2g}", predict)


class Regression:
    """Normal equations, subject by subject.

    Args:
      side: of the neighbourhood. axis: of the slices.
    """

    def __init__(self, side, axis):
        self._side, self._axis = side, axis
        self._training, self._validation = [], []

    def learn(self, case: Case):
        """Counts a training subject's `Case`."""
        self._add(self._training, case)

    def validate(self, case: Case):
        """Counts a validation subject's `Case`."""
        self._add(self._validation, case)

    def best(self, weights: tuple[float, ...] = WEIGHTS) -> Predictor:
        """`Predictor` with the weight that suits the validation subjects best."""
        xx, xy = (sum(getattr(m, name) for m in self._training) for name in ("xx", "xy"))
        values, vectors = np.linalg.eigh(xx)
        projected = vectors.T @ xy

        def matrix(weight):
            return (vectors @ (projected / (values + weight * values.mean())[:, None])).T

        def error(weight):
            return sum(m.squared_error(matrix(weight)) for m in self._validation)

        weight = min(weights, key=error)
        return ridge(matrix(weight), weight, self._side, self._axis)

    def _add(self, found, case):
        chosen = sample(case.judged)
        x = features(case.acquired, self._side, self._axis, chosen)
        # Directions differ a little from subject to subject; a regression cannot know.
        add(found, moments(x, case.measured[chosen], np.zeros(0), np.zeros(0)))

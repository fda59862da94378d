"""Second moments: all that the squared error of a linear method depends on."""

from typing import NamedTuple

import numpy as np

_VOXELS = 10_000  # of each subject at most, evenly spread


class Moments(NamedTuple):
    """Of inputs ``x [V, p]`` and targets ``y [V, K]``: a grid of linear methods costs next to
    nothing."""

    xx: np.ndarray
    xy: np.ndarray
    yy: float
    bvecs_from: np.ndarray
    bvecs_to: np.ndarray

    def squared_error(self, matrix: np.ndarray) -> float:
        """Of ``y ≈ x @ matrix.T``, summed; ``matrix [K, p]``."""
        return (self.yy - 2 * np.sum(matrix.T * self.xy)
                + np.sum((matrix @ self.xx) * matrix))


def sample(judged: np.ndarray) -> np.ndarray:
    """Positions of the voxels that are looked at, of bool ``[V]``."""
    chosen = np.flatnonzero(judged)
    return chosen[:: max(1, -(-len(chosen) // _VOXELS))]


def moments(x: np.ndarray, y: np.ndarray, bvecs_from: np.ndarray,
            bvecs_to: np.ndarray) -> Moments:
    """`Moments` of float ``[V, p]`` and ``[V, K]``."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return Moments(x.T @ x, x.T @ y, float(np.vdot(y, y)), bvecs_from, bvecs_to)


def add(found: list[Moments], new: Moments):
    """To those of the same directions, as a rule those of all subjects; ``found`` is a list."""
    for i, old in enumerate(found):
        if np.array_equal(old.bvecs_from, new.bvecs_from) and np.array_equal(
                old.bvecs_to, new.bvecs_to):
            found[i] = old._replace(xx=old.xx + new.xx, xy=old.xy + new.xy, yy=old.yy + new.yy)
            return
    found.append(new)


def best(found, grid, matrix):
    """The point of a grid with the least squared error.

    Args:
      found: list of `Moments`.
      grid: iterable of dict, keyword arguments of ``matrix``.
      matrix: ``(bvecs_from, bvecs_to, **point) -> [K, q]``.

    Returns:
      ``(squared error, point)``.
    """
    def error(point):
        return sum(m.squared_error(matrix(m.bvecs_from, m.bvecs_to, **point)) for m in found)

    return min(((error(point), point) for point in grid), key=lambda pair: pair[0])

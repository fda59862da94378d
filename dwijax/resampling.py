"""A scan's own directions carried to those of a run."""

from typing import NamedTuple

import numpy as np

CHUNK = 65536


class Resampling(NamedTuple):
    """From N measured directions to q others.

    Attributes:
      matrix: float64 ``[q, N]``.
      order: of the spherical harmonics.
      condition_number: of their values at the measured directions, weighted as in the fit.
      extrapolation: ``[q]``, degrees from each wanted direction to the nearest measured one.
      gain: ``[q]``, noise SD of each result over that of a measured DWI.
    """

    matrix: np.ndarray
    order: int
    condition_number: float
    extrapolation: np.ndarray
    gain: np.ndarray

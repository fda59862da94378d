"""Ways to fill in directions of one scan: networks, classical ways tuned on it, and their mixture.

Networks and interpolation voxel by voxel err differently, so that a mixture is mostly better than
either. Its weights are found by leaving directions out, and so cannot do worse than the best of
them but by chance.
"""

from dataclasses import replace

import numpy as np

from dwijax.baselines import GAUSSIAN, Acquired, Chosen, Predictor, tune
from dwijax.baselines.denoising import MARCHENKO_PASTUR_QUICK
from dwijax.baselines.moments import sample
from dwijax.baselines.own_scan import folds
from dwijax.data.domain import noise_level
from dwijax.fitting.noise import noise_in_space
from dwijax.gradients import GradientTable
from dwijax.inference.wanted import FEWEST
from dwijax.tasks import calibration

# SH and SH of ln S of orders 2, 4, 6; Gaussian processes; SH or a process after smoothing and
# after MP-PCA.
CLASSICAL = Chosen((GAUSSIAN, MARCHENKO_PASTUR_QUICK), every_order=True)
TENSOR = "tensor"  # the fit of what was acquired, as a way to fill in directions
_LITTLE = 0.02  # weights that are not worth the time of a predictor


def classical(given: Acquired) -> list[Predictor]:
    """All classical ways, tuned by leaving the scan's own directions out in turn; the fit of the
    acquired, of which there is nothing to tune, is the first."""
    return tune([], folds(given), axis=2, chosen=CLASSICAL).baselines


def predicted(predictor: Predictor, given: Acquired, wanted: GradientTable) -> np.ndarray:
    """float32 ``[V, K]``, denoised first where that belongs to it."""
    return predictor.predict(predictor.denoise(given) if predictor.denoise else given, wanted)


def mixing_weights(predictors: list[Predictor], given: Acquired) -> np.ndarray:
    """Weights ``[P]`` of the mixture with the least squared error at directions left out in turn.

    Not negative (Lawson and Hanson 1974): of methods this much alike others would add up noise.
    Where leaving out leaves fewer directions than a network takes, the first has weight 1.
    """
    from scipy.optimize import nnls

    count, cases = len(predictors), folds(given)
    if min(len(case.acquired.gtab.dwis) for case in cases) < FEWEST:
        return np.eye(count)[0]
    xx, xy = np.zeros((count, count)), np.zeros(count)
    for case in cases:
        rows = sample(case.judged)
        found = np.stack([predicted(p, case.acquired, case.gtab)[rows].ravel()
                          for p in predictors]).astype(np.float64)
        xx += found @ found.T
        xy += found @ case.measured[rows].ravel()
    factor = np.linalg.cholesky(xx + 1e-9 * np.trace(xx) * np.eye(count))
    weights, _ = nnls(factor.T, np.linalg.solve(factor, xy))
    weights[weights < _LITTLE] = 0
    return weights / weights.sum()


def mixture(predictors: list[Predictor], weights: np.ndarray) -> Predictor:
    """`Predictor` of the weighted mean."""
    used = [(p, np.float32(w)) for p, w in zip(predictors, weights, strict=True) if w]

    def predict(given, wanted):
        return sum(w * predicted(p, given, wanted) for p, w in used)

    label = " + ".join(f"{w:.2f} {p.label}" for p, w in used)
    return Predictor("enhanced", "enhanced", label, predict)


def held(predictor: Predictor, share: float) -> Predictor:
    """`Predictor` held to the anisotropy of what was acquired (`dwijax.tasks.calibration`), which
    a mean over what might be, or a smooth one, rounds down.

    Args:
      share: of the acquired directions in all that are fitted.
    """
    def predict(given, wanted):
        b0s, dwis = given.gtab.b0s_mask, given.gtab.dwis
        own, b0, acquired = given.gtab[dwis], given.signal[:, b0s], given.signal[:, dwis]
        if len(own) < calibration.LEAST_INPUTS:
            return predictor.predict(given, wanted)
        there = calibration.probes(np.median(own.bvals))
        made = predictor.predict(given, longer(wanted, there))
        found, probed = made[:, : len(wanted)], np.maximum(made[:, len(wanted):], 0)
        sigma = noise_level(b0, acquired, own.bvecs, given.mask)
        if not sigma:  # nothing to take away
            return found
        sigma = np.float32(sigma) * noise_in_space(acquired, own.bvecs, given.mask).relative
        return calibration.scaled(found, calibration.held(
            b0.mean(axis=1), acquired, probed, given.mask, b0.shape[1], (own, there), share,
            sigma), wanted)

    return predictor._replace(predict=predict)


def longer(own: GradientTable, wanted: GradientTable) -> GradientTable:
    """The table of acquired volumes and added ones behind them, along the same axes."""
    return replace(own, bvals=np.r_[own.bvals, wanted.bvals],
                   bvecs=np.concatenate([own.bvecs, wanted.bvecs]))

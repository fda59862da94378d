"""Linear methods of one voxel: spherical harmonics and Gaussian processes."""

import numpy as np

from dwijax.baselines.interface import Predictor
from dwijax.baselines.moments import best
from dwijax.gradients.harmonics import gaussian_process, sh_interpolation

ORDERS = (2, 4, 6)
WEIGHTS = tuple(float(w) for w in np.geomspace(3e-4, 1.0, 16))

ANGLES = tuple(float(a) for a in np.geomspace(0.4, 8.0, 12))  # radians
NOISES = tuple(float(n) for n in np.geomspace(0.01, 10.0, 13))


def spherical_harmonics(order: int, weight: float) -> Predictor:
    """Regularised even spherical harmonics (Descoteaux et al. 2007).

    Args:
      order: maximal order. weight: of Laplace-Beltrami.
    """
    return Predictor(
        f"sh{order}", f"SH {order}", f"SH order {order}, weight {weight:.2g}",
        _predictor(sh_interpolation, {"order": order, "weight": weight}))


def process(covariance: str, angle: float, noise: float) -> Predictor:
    """Gaussian process on the sphere; arguments: `dwijax.gradients.harmonics.gaussian_process`."""
    label = (f"Gaussian process, {covariance}, a = {np.degrees(angle):.0f}°, "
             f"noise/signal {noise:.2g}")
    point = {"covariance": covariance, "angle": angle, "noise": noise}
    return Predictor("gp", "GP", label, _predictor(gaussian_process, point))


def tune_harmonics(found, orders=ORDERS, weights=WEIGHTS):
    """``(squared error, Predictor)`` of the best weight for the best of the orders.

    Args:
      found: list of `Moments` of DWIs.
    """
    error, point = best(found, ({"order": o, "weight": w} for o in orders for w in weights),
                        sh_interpolation)
    return error, spherical_harmonics(**point)


def tune_process(found, angles=ANGLES, noises=NOISES):
    """``(squared error, Predictor)``: the Gaussian process whose hyperparameters predict best.

    Andersson and Sotiropoulos maximise the marginal likelihood or leave each DWI out in turn;
    predicting directions that are left out is what is asked for here.
    """
    grid = ({"covariance": c, "angle": a, "noise": n}
            for c in ("spherical", "exponential") for a in angles for n in noises)
    error, point = best(found, grid, gaussian_process)
    return error, process(**point)


def _predictor(matrix, point):
    def predict(acquired, gtab):
        dwi = ~acquired.gtab.b0s_mask
        weights = matrix(acquired.gtab.bvecs[dwi], gtab.bvecs, **point)
        return acquired.signal[:, dwi] @ weights.T.astype(np.float32)

    return predict

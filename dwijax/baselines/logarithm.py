"""Methods that expand ln S: the tensor, and spherical harmonics beyond it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dwijax.baselines.interface import Predictor
from dwijax.baselines.moments import sample
from dwijax.fitting.voxels import fit_maps, in_chunks, tensor_signal
from dwijax.gradients.harmonics import log_sh_coefficients, log_sh_system, sh_basis

ORDERS = (2, 4)
WEIGHTS = (0.001, *(float(w) for w in np.geomspace(0.003, 0.1, 4)))


def tensor() -> Predictor:
    """The tensor fitted to b0s and DWIs predicts the signal (`dwijax.fitting.voxels.fit_maps`)."""
    def predict(acquired, gtab, first_step=False):
        maps = fit_maps([acquired.signal], acquired.gtab, first_step)
        return tensor_signal(maps, gtab)

    return Predictor("tensor", "tensor", "tensor interpolation", predict,
                     predict_first_step=partial(predict, first_step=True))


def log_harmonics(order: int, weight: float) -> Predictor:
    """Weighted spherical harmonics of ln S: with order 2 and weight 0.001 what the networks of the
    default config add to.

    Args:
      order: maximal order. weight: of Laplace-Beltrami.
    """
    def predict(acquired, gtab):
        dwi = ~acquired.gtab.b0s_mask
        scale = np.median(acquired.signal[:, ~dwi].mean(axis=1))
        rows, start = log_sh_system(acquired.gtab.bvecs[dwi], order, weight)
        wanted = jnp.asarray(sh_basis(gtab.bvecs, order)[0], jnp.float32)
        return scale * in_chunks(lambda x: (_predict(x, rows, start, wanted),),
                                 [acquired.signal[:, dwi] / scale])[0]

    return Predictor("log_sh", "SH of ln S", f"SH of ln S, order {order}, weight {weight:.2g}",
                     predict)


@jax.jit
def _predict(dwi, rows, start, wanted):
    coefficients = log_sh_coefficients(rows, start, dwi)
    return jnp.exp(jnp.einsum("cv,kc->vk", coefficients, wanted))


class LogHarmonicsGrid:
    """Squared errors over a grid of orders and weights, subject by subject."""

    def __init__(self, orders=ORDERS, weights=WEIGHTS):
        self._errors = {(o, w): 0.0 for o in orders for w in weights}

    def add(self, case):
        """Counts a `Case`."""
        chosen = sample(case.judged)
        given = case.acquired._replace(signal=case.acquired.signal[chosen])
        for point in self._errors:
            found = log_harmonics(*point).predict(given, case.gtab)
            self._errors[point] += float(np.sum((found - case.measured[chosen]) ** 2))

    def best(self):
        """`Predictor`."""
        return log_harmonics(*min(self._errors, key=self._errors.get))

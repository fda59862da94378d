"""What the networks of a stack see and what each must produce."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from dwijax.tasks import losses


class Task(NamedTuple):
    """A task of K networks on the same slices.

    Attributes:
      numbers: what each network is called, int ``[K]``; its initialisation depends on it alone.
      in_channels, out_channels: of one network.
      measured: how many of its input channels, the first ones, are as measured; None: all.
      see: ``(b0 [N, H, W, 1], dwi [N, H, W, n + m]) -> x [N, H, W, C]``, what all networks see;
        behind the n directions come m further channels (`dwijax.data.slices.further`), if any;
        what stands behind these it does not see.
      targets: ``(b0, dwi) -> [K, N, H, W, D]``, measured, noise and all.
      reference: ``(weights_k, x) -> [N, H, W, D]``, see :mod:`dwijax.tasks.references`.
      reference_weights: ``[K, ...]``.
      coupled: ``(predictions [K, N, H, W, D], usable [K], b0, dwi, weight) -> scalar``, a loss
        that couples the networks, or None. It is a sum over voxels of ``weight [N, H, W, 1]``
        times what is lost there, so that voxels can be shared out; what a network that is not
        ``usable`` predicts must not matter.
      combine: ``(weights_k, reference, output) -> [N, H, W, D]``, the prediction: their sum, or
        what is made of it.
      loss: ``(prediction, target, weight) -> scalar`` of one network, as
        :func:`dwijax.tasks.losses.squared_error`, which validates in any case.
    """

    numbers: np.ndarray
    in_channels: int
    out_channels: int
    see: Callable
    targets: Callable
    reference: Callable
    reference_weights: Any
    coupled: Callable | None
    measured: int | None = None
    combine: Callable = lambda weights, reference, output: reference + output
    loss: Callable = losses.squared_error


def predictor(task, network, output_scale, whitening=None):
    """``(params, x [N, H, W, C], rows=None) -> [K, N, H, W, D]``: reference and network combined.

    ``rows`` are the positions in the task's stack of the networks that ``params`` belong to, all
    by default.

    Written for one network, lifted once.

    Args:
      task: what the networks see and what their outputs are added to.
      network: one network, :class:`dwijax.models.stack.Network`.
      output_scale: brings the output of a freshly initialised network to a residual's size.
      whitening: :class:`dwijax.data.whitening.Whitening` of the channels, or None.
    """

    def one(params, weights, x, seen):
        return task.combine(
            weights, task.reference(weights, x), output_scale * network.apply(params, seen))

    stacked = jax.vmap(one, in_axes=(0, 0, None, None))

    def predict(params, x, rows=None):
        seen = x if whitening is None else (x - whitening.mean) @ whitening.matrix
        weights = task.reference_weights
        if rows is not None:
            weights = jax.tree.map(lambda a: a[rows], weights)
        return stacked(params, weights, x, seen)

    return predict

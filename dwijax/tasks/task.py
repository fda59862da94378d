"""What the networks of a stack see and what each must produce."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dwijax.tasks import losses


class Task(NamedTuple):
    """A task of K networks on the same slices.

    Images are ``{name: [N, H, W, c]}`` of the task's channels (`dwijax.data.channels`).

    Attributes:
      numbers: what each network is called, int ``[K]``; its initialisation depends on it alone.
      inputs: ``{name: channel}`` that networks see, in this order (`see`).
      outputs: ``{name: channel}`` that losses need besides.
      out_channels: of one network.
      targets: ``images -> [K, N, H, W, D]``, measured, noise and all; None with ``scan``.
      baseline: ``(weights_k, inputs) -> [N, H, W, D]``, the residual baseline that a network's
        output is added to (:mod:`dwijax.tasks.residual_baselines`); ``inputs`` are images.
      baseline_weights: ``[K, ...]``.
      coupled: ``(predictions [K, N, H, W, D], usable [K], images, weight) -> scalar``, a loss
        that couples the networks, or None. It is a sum over voxels of ``weight [N, H, W, 1]``
        times the loss there, so that devices can share voxels out; what a network that is not
        ``usable`` predicts must not matter.
      denoised: names of the inputs without noise of their own.
      disturb: ``images -> images`` that networks see while they learn; targets are of those before.
      scan: ``(images, draw [N]) -> (inputs, targets, precision [N, 1, 1, 1])``, of a task whose
        slices hold what scans are simulated of in every step; None where they hold scans. Voxels
        count by their weight times the precision.
      combine: ``(weights_k, baseline, output) -> [N, H, W, D]``, the prediction: their sum, or
        what is made of it.
      loss: ``(prediction, target, weight) -> scalar`` of one network, as
        :func:`dwijax.tasks.losses.squared_error`, which validates in any case.
    """

    numbers: np.ndarray
    inputs: dict
    outputs: dict
    out_channels: int
    targets: Callable | None
    baseline: Callable
    baseline_weights: Any
    coupled: Callable | None = None
    denoised: tuple = ()
    disturb: Callable = lambda images: images
    scan: Callable | None = None
    combine: Callable = lambda weights, baseline, output: baseline + output
    loss: Callable = losses.squared_error

    @property
    def channels(self):
        """``{name: channel}`` of all that training slices hold."""
        return self.outputs if self.scan else self.inputs | self.outputs

    @property
    def in_channels(self):
        """C of what a network sees."""
        return sum(channel.count for channel in self.inputs.values())

    def see(self, images):
        """``x [N, H, W, C]``, what all networks see: the inputs side by side."""
        return jnp.concatenate([images[name] for name in self.inputs], axis=-1)

    def learn(self, batch):
        """``(x, targets, weight)`` of a `dwijax.data.slices.Batch`."""
        if self.scan is None:
            return self.see(self.disturb(batch.images)), self.targets(batch.images), batch.weight
        inputs, targets, precision = self.scan(batch.images, batch.draw)
        return self.see(inputs), targets, batch.weight * precision

    def split(self, x):
        """``{name: [N, H, W, c]}``, what `see` has put side by side."""
        ends = np.cumsum([channel.count for channel in self.inputs.values()])[:-1]
        return dict(zip(self.inputs, jnp.split(x, ends, axis=-1), strict=True))

    def noisy(self):
        """bool ``[C]``: which channels of ``x`` hold noise of their own."""
        return np.concatenate([np.full(channel.count, name not in self.denoised)
                               for name, channel in self.inputs.items()])


def predictor(task, network, output_scale, whitening=None):
    """``(params, x [N, H, W, C], rows=None) -> [K, N, H, W, D]``: baseline and network combined.

    ``rows`` are the positions in the task's stack of the networks that ``params`` belong to, all
    by default.

    Written for one network, lifted once.

    Args:
      task: what the networks see and what their outputs are added to.
      network: one network, :class:`dwijax.models.stack.Network`.
      output_scale: brings the output of a freshly initialised network to a residual's size.
      whitening: :class:`dwijax.data.whitening.Whitening` of the channels, or None.
    """

    def one(params, weights, inputs, seen):
        return task.combine(
            weights, task.baseline(weights, inputs), output_scale * network.apply(params, seen))

    stacked = jax.vmap(one, in_axes=(0, 0, None, None))

    def predict(params, x, rows=None):
        seen = x if whitening is None else (x - whitening.mean) @ whitening.matrix
        weights = task.baseline_weights
        if rows is not None:
            weights = jax.tree.map(lambda a: a[rows], weights)
        return stacked(params, weights, task.split(x), seen)

    return predict

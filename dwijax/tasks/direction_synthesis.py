"""He et al. 2020: networks that synthesise further directions."""

import jax
import jax.numpy as jnp
import numpy as np

from dwijax import dti
from dwijax.data import channels
from dwijax.tasks import losses, residual_baselines
from dwijax.tasks.task import Task


def direction_synthesis(gtab, b0s, inputs, targets, *, residual="sh", sh_order=2, sh_weight=0.001,
                        sh_log=True, fa_weight=0.0, fa_correction=None, b0_input=True, neighbours=0,
                        neighbours_order=0, denoised=False):
    """He et al. 2020: each network synthesises one more DWI from b0 and the input DWIs.

    Args:
      gtab: table of the shell's n directions in acquired order, without b0s.
      b0s: number of b0 volumes behind the mean b0 (its weight in the FA loss).
      inputs: positions of the inputs among the n directions, ``[q]``.
      targets: positions of the targets, ``[K]``.
      residual: name of the residual baseline. sh_order, sh_weight, sh_log: of its harmonics.
      fa_weight: weight of the FA loss relative to the squared error of the DWIs; 0 without.
      fa_correction: the FA to be reached is that of b0s and measured targets, with so much of its
        bias taken away (`dwijax.data.anisotropy`); None: that of b0, inputs and targets.
      b0_input: whether the networks see the mean b0 too.
      neighbours: slices on either side of which the networks see b0 and inputs too;
        neighbours_order: as spherical harmonics of this order, 0: as they are
        (`dwijax.data.channels.Beside`).
      denoised: whether they see b0 and inputs without noise too (`dwijax.data.channels.Denoised`),
        of which the residual baseline is then made.

    Raises:
      ValueError: an input is among the targets, or something needs the b0 that is not seen.
    """
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    q = len(inputs)
    if np.intersect1d(inputs, targets).size:
        raise ValueError("a direction cannot be both input and target")
    if not b0_input and (neighbours or residual == "tensor"):
        raise ValueError("neighbouring slices and the tensor need the b0")
    estimate, weights = residual_baselines.build(
        residual, gtab, inputs, targets, order=sh_order, weight=sh_weight, log=sh_log)

    seen = {"b0": channels.B0()} if b0_input else {}
    seen["inputs"] = channels.Directions(inputs)
    if neighbours:
        seen["beside"] = channels.Beside(
            inputs, neighbours, channels.harmonics(gtab.bvecs[inputs], neighbours_order))
    if denoised:
        seen["denoised"] = channels.Denoised(inputs)
    learnt = {"targets": channels.Directions(targets)}

    def baseline(weights, images):
        if denoised:
            return estimate(weights, images["denoised"])
        # Baselines expect a b0 in front; those that can do without give it no weight.
        b0 = images["b0"] if b0_input else jnp.zeros_like(images["inputs"][..., :1])
        return estimate(weights, jnp.concatenate([b0, images["inputs"]], axis=-1))

    def measured(images):
        return jnp.moveaxis(images["targets"], -1, 0)[..., None]

    coupled = None
    if fa_weight:
        learnt["b0"] = channels.B0()
        if fa_correction is not None:
            learnt["fa"] = channels.MeasuredFA(targets, fa_correction)
        order = np.concatenate([inputs, targets])
        design = dti.design_with_b0(gtab.bvals[order], gtab.bvecs[order])
        volumes = jnp.asarray([b0s] + [1] * q, jnp.float32)

        def coupled(predictions, usable, images, weight):
            acquired = jnp.concatenate([images["b0"], images["inputs"]], axis=-1)
            # Replaced before the fit: 0 times NaN is NaN.
            synthetic = jnp.where(
                usable, jnp.moveaxis(predictions[..., 0], 0, -1), images["targets"])
            counts = jnp.concatenate([volumes, usable.astype(jnp.float32)])
            reached = images["fa"][..., 0] if fa_correction is not None else losses.fitted_fa(
                jnp.concatenate([acquired, images["targets"]], axis=-1), design, counts)
            fa = losses.fa_loss(jnp.concatenate([acquired, synthetic], axis=-1), reached,
                                design, counts, weight)
            # One network moves FA by about 1/K: K restores the scale of its own squared error.
            return fa_weight * len(targets) * fa

    return Task(targets, seen, learnt, 1, measured, baseline, weights, coupled,
                denoised=("denoised",) * denoised)


def joined(task):
    """The same by one network with K outputs, instead of K networks with one: the larger network
    that He et al. mention.

    Args:
      task: :class:`Task` of K networks with one channel each, predictions being sums.

    Returns:
      :class:`Task` of a single network, number 0. Its loss is the mean over the K outputs, and the
      loss that couples them keeps its weight relative to that of one output.
    """
    k = len(task.numbers)

    def together(outputs):  # [K, ..., 1] -> [..., K]
        return jnp.moveaxis(outputs[..., 0], 0, -1)

    def baseline(weights, inputs):
        return together(jax.vmap(task.baseline, in_axes=(0, None))(weights, inputs))

    def coupled(predictions, usable, images, weight):
        single = jnp.moveaxis(predictions[0], -1, 0)[..., None]
        return task.coupled(single, jnp.broadcast_to(usable, k), images, weight) / k

    return task._replace(
        numbers=np.zeros(1, int), out_channels=k,
        targets=lambda images: together(task.targets(images))[None], baseline=baseline,
        baseline_weights=jax.tree.map(lambda a: a[None], task.baseline_weights),
        coupled=task.coupled and coupled)

"""He et al. 2020: networks that synthesise further directions."""

import jax
import jax.numpy as jnp
import numpy as np

from dwijax import dti
from dwijax.data.slices import beside_channels
from dwijax.tasks import losses, references
from dwijax.tasks.task import Task


def direction_synthesis(gtab, b0s, inputs, targets, *, residual="sh", sh_order=2, sh_weight=0.001,
                        sh_log=True, fa_weight=0.0, fa_measured=False, b0_input=True, neighbours=0,
                        neighbours_order=0, denoised=False):
    """He et al. 2020: each network synthesises one more DWI from b0 and the input DWIs.

    Args:
      gtab: table of the shell's n directions in acquired order, without b0s.
      b0s: number of b0 volumes behind the mean b0 (its weight in the FA loss).
      inputs: positions of the inputs among the n directions, ``[q]``.
      targets: positions of the targets, ``[K]``.
      residual: name of the reference. sh_order, sh_weight, sh_log: of its spherical harmonics.
      fa_weight: weight of the FA loss relative to the squared error of the DWIs; 0 without.
      fa_measured: whether the FA to be reached is the last channel of ``dwi``
        (`dwijax.data.anisotropy`); otherwise it is that of b0, inputs and targets.
      b0_input: whether the networks see the mean b0 too.
      neighbours: slices on either side of which the networks see b0 and inputs too;
        neighbours_order: as spherical harmonics of this order, 0: as they are
        (`dwijax.data.slices.surroundings`).
      denoised: whether they see b0 and inputs without noise too (`dwijax.data.slices.denoised`),
        of which the reference is then made.

    Raises:
      ValueError: an input is among the targets, or something needs the b0 that is not seen.
    """
    inputs, targets = np.asarray(inputs), np.asarray(targets)
    q = len(inputs)
    if np.intersect1d(inputs, targets).size:
        raise ValueError("a direction cannot be both input and target")
    if not b0_input and (neighbours or residual == "tensor"):
        raise ValueError("neighbouring slices and the tensor need the b0")
    of_slice, weights = references.build(
        residual, gtab, inputs, targets, order=sh_order, weight=sh_weight, log=sh_log)

    beside = 2 * neighbours * beside_channels(q, neighbours_order)
    behind = beside + denoised * (1 + q)  # channels behind the directions

    def acquired(b0, dwi):
        return jnp.concatenate([b0, dwi[..., inputs]], axis=-1)

    def see(b0, dwi):
        seen = acquired(b0, dwi) if b0_input else dwi[..., inputs]
        return jnp.concatenate([seen, dwi[..., len(gtab):len(gtab) + behind]], axis=-1)

    def reference(weights, x):
        if denoised:
            return of_slice(weights, x[..., -1 - q:])
        # References expect a b0 in front; those that can do without give it no weight.
        return of_slice(weights, x[..., :1 + q] if b0_input else
                        jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 0)]))

    def measured(b0, dwi):
        return jnp.moveaxis(dwi[..., targets], -1, 0)[..., None]

    coupled = None
    if fa_weight:
        order = np.concatenate([inputs, targets])
        design = dti.design_matrix(np.concatenate([[0.0], gtab.bvals[order]]),
                                   np.concatenate([np.zeros((1, 3)), gtab.bvecs[order]]))
        volumes = jnp.asarray([b0s] + [1] * q, jnp.float32)

        def coupled(predictions, usable, b0, dwi, weight):
            seen, there = acquired(b0, dwi), dwi[..., targets]
            # Replaced before the fit: 0 times what is no number is no number.
            synthetic = jnp.where(usable, jnp.moveaxis(predictions[..., 0], 0, -1), there)
            counts = jnp.concatenate([volumes, usable.astype(jnp.float32)])
            reached = dwi[..., -1] if fa_measured else losses.fitted_fa(
                jnp.concatenate([seen, there], axis=-1), design, counts)
            fa = losses.fa_loss(jnp.concatenate([seen, synthetic], axis=-1), reached,
                                design, counts, weight)
            # One network moves FA by about 1/K: K restores the scale of its own squared error.
            return fa_weight * len(targets) * fa

    channels = int(b0_input) + q + beside
    return Task(targets, channels + denoised * (1 + q), 1, see, measured, reference, weights,
                coupled, channels)


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

    def reference(weights, x):
        return together(jax.vmap(task.reference, in_axes=(0, None))(weights, x))

    def coupled(predictions, usable, b0, dwi, weight):
        apart = jnp.moveaxis(predictions[0], -1, 0)[..., None]
        return task.coupled(apart, jnp.broadcast_to(usable, k), b0, dwi, weight) / k

    return Task(np.zeros(1, int), task.in_channels, k, task.see,
                lambda b0, dwi: together(task.targets(b0, dwi))[None], reference,
                jax.tree.map(lambda a: a[None], task.reference_weights),
                task.coupled and coupled, task.measured)

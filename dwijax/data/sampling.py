"""Which slices, and which crop of each, make up the batch of a step.

One pure function of (seed, step): a resumed run, another dispatch length or another number of
hosts sees the same batches.
"""

import jax
import jax.numpy as jnp
from jax import lax

from dwijax.data.slices import Batch


def batch_slices(seed, step, slices, batch):
    """Slice numbers of a batch.

    Every epoch is a fresh permutation of all slices; the remainder that does not fill a batch is
    left to the next epoch's luck.

    Args:
      seed: int.
      step: int32 scalar, traced.
      slices: number of slices S.
      batch: N; where N > S the permutation is repeated.

    Returns:
      int32 ``[N]``.
    """
    per_epoch = max(slices // batch, 1)
    epoch, position = step // per_epoch, step % per_epoch
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 0), epoch)
    order = jax.random.permutation(key, slices)
    return order[(position * batch + jnp.arange(batch)) % slices]


def crop_origins(seed, step, lowest, highest, stride=1):
    """First row and column of each crop, uniform over ``lowest``, ``lowest + stride``, ...,
    ``highest`` (which is always one of them, so that crops reach every voxel).

    Args:
      lowest, highest: int32 ``[N, 2]``. stride: between crops.

    Returns:
      int32 ``[N, 2]``.
    """
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), step)
    steps = -((lowest - highest) // stride)
    drawn = jax.random.randint(key, lowest.shape, 0, steps + 1)
    return jnp.minimum(lowest + stride * drawn, highest)


def sample(seed, step, bounds, *, batch, patch, stride=1):
    """Slice numbers ``[N]``, first rows and columns ``[N, 2]`` of the crops of a batch, and random
    bits for each, uint32 ``[N]``.

    Args:
      bounds: where crops of each slice may start, int32 ``[S, 2, 2]``.
      batch: N. patch: side of the crops; 0: whole slices, which start at 0.
      stride: between crops.
    """
    index = batch_slices(seed, step, bounds.shape[0], batch)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 2), step)
    draw = jax.random.bits(key, (batch,))
    if not patch:
        return index, jnp.zeros((batch, 2), jnp.int32), draw
    return index, crop_origins(seed, step, bounds[index, 0], bounds[index, 1], stride), draw


def take_batch(slices, seed, step, *, batch, patch, stride=1, part=0, parts=1):
    """Gathers the batch of a step, or one of its equal parts, out of arrays on the device.

    Args:
      slices: :class:`dwijax.data.slices.Slices` of device arrays.
      batch: N. patch: side of the crops; 0 for whole slices. stride: between crops.
      part, parts: which of how many parts; N then is ``batch / parts``.

    Returns:
      `dwijax.data.slices.Batch`.
    """
    drawn = sample(seed, step, slices.origins, batch=batch, patch=patch, stride=stride)
    size = batch // parts
    index, origins, draw = (lax.dynamic_slice_in_dim(a, part * size, size) for a in drawn)
    if not patch:
        return slices.read(index)._replace(draw=draw)

    def crop(array):
        size = (1, patch, patch, array.shape[-1])
        zero = jnp.int32(0)
        return jax.vmap(
            lambda i, o: lax.dynamic_slice(array, (i, o[0], o[1], zero), size)[0]
        )(index, origins)

    return Batch(*jax.tree.map(crop, (slices.images, slices.mask)), draw)

"""Whole slices through networks patch by patch, as SuperDTI's are trained; overlaps averaged."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def tile_origins(length, patch, stride):
    """Where patches start so that they cover every pixel: multiples of ``stride``, and the end.

    Args:
      length: of the axis, at least ``patch``. patch: side. stride: at most ``patch``.

    Returns:
      int64 ascending.

    Raises:
      ValueError: patches of this size and stride cannot cover the axis.
    """
    if not 0 < stride <= patch <= length:
        raise ValueError(f"patches of {patch} every {stride} cannot cover {length} pixels")
    return np.unique(np.append(np.arange(0, length - patch, stride), length - patch))


def tiled(predict, patch, stride):
    """``predict`` on overlapping patches instead of whole slices.

    A network sees zeros beyond the border of a patch. With a patch as large as the receptive field
    its centre pixel is the only one that does not.

    Args:
      predict: ``(params, x [N, H, W, C]) -> [K, N, H, W, D]``.
      patch: side of the patches. stride: between them.

    Returns:
      A function like ``predict``: the mean over all patches that hold a pixel.
    """

    def predict_tiled(params, x):
        n, h, w, c = x.shape
        grid = np.meshgrid(tile_origins(h, patch, stride), tile_origins(w, patch, stride))
        origins = jnp.asarray(np.stack(grid, -1).reshape(-1, 2), jnp.int32)
        one = jax.eval_shape(predict, params, jnp.zeros((n, patch, patch, c), x.dtype))
        zero = jnp.int32(0)

        def add(i, total):
            row, column = origins[i]
            part = lax.dynamic_slice(x, (zero, row, column, zero), (n, patch, patch, c))
            at = (zero, zero, row, column, zero)
            there = lax.dynamic_slice(total, at, one.shape)
            return lax.dynamic_update_slice(total, there + predict(params, part), at)

        start = jnp.zeros((*one.shape[:2], h, w, one.shape[-1]), one.dtype)
        count = np.zeros((h, w, 1), np.float32)
        for column, row in zip(*(g.ravel() for g in grid[::-1]), strict=True):
            count[row:row + patch, column:column + patch] += 1
        return lax.fori_loop(0, len(origins), add, start) / count

    return predict_tiled

"""Axes brought to given lengths and back."""

from collections.abc import Sequence

import numpy as np


def pad_to(array: np.ndarray, shape: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """Brings axes to given lengths around their centre, with zeros or by cutting.

    Its own inverse: ``pad_to(pad_to(x, larger, axes), lengths_of_x, axes)`` is `x`, bit for bit.

    Args:
      array: NumPy array.
      shape: wanted lengths, one per axis.
      axes: which axes.

    Returns:
      An array of the same dtype; a view where nothing is added.
    """
    widths, window = [(0, 0)] * array.ndim, [slice(None)] * array.ndim
    for axis, wanted in zip(axes, shape, strict=True):
        before = abs(wanted - array.shape[axis]) // 2
        after = abs(wanted - array.shape[axis]) - before
        if wanted > array.shape[axis]:
            widths[axis] = (before, after)
        else:
            window[axis] = slice(before, array.shape[axis] - after)
    array = array[tuple(window)]
    return np.pad(array, widths) if any(map(any, widths)) else array

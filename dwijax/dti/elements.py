"""The six elements of a tensor: one order inside, conversions at the borders.

Inside dwijax a tensor is an array ``[..., 6]`` of Dxx, Dxy, Dyy, Dxz, Dyz, Dzz (the lower triangle
row by row, as dipy orders it) in µm²/ms (1 µm²/ms = 1e-3 mm²/s), so that brain tissue is of order
one and float32 keeps all its digits.
"""

import jax.numpy as jnp
import numpy as np

ELEMENTS = ("xx", "xy", "yy", "xz", "yz", "zz")

# Position of the outer tool's k-th element in our order.
MRTRIX_ORDER = (0, 2, 5, 1, 3, 4)  # MRtrix3 dwi2tensor: D11 D22 D33 D12 D13 D23
FSL_ORDER = (0, 1, 3, 2, 4, 5)  # FSL dtifit --save_tensor: Dxx Dxy Dxz Dyy Dyz Dzz
DIPY_ORDER = (0, 1, 2, 3, 4, 5)  # dipy lower_triangular: the order used here

MM2_PER_S = 1e-3  # one µm²/ms, in mm²/s

_ROW_COLUMN = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))
_ELEMENT_OF = np.array([[0, 1, 3], [1, 2, 4], [3, 4, 5]])


def to_order(tensor, order):
    """Our elements ``[..., 6]`` in another tool's order, e.g. ``MRTRIX_ORDER``."""
    return tensor[..., np.asarray(order)]


def from_order(tensor, order):
    """Elements ``[..., 6]`` in another tool's order, e.g. ``FSL_ORDER``, in ours."""
    return tensor[..., np.argsort(order)]


def to_matrix(tensor):
    """Elements ``[..., 6]`` as symmetric matrices ``[..., 3, 3]``."""
    return tensor[..., _ELEMENT_OF]


def from_matrix(matrix):
    """Symmetric matrices ``[..., 3, 3]`` as elements ``[..., 6]`` (the lower triangle is read)."""
    rows, columns = np.array(_ROW_COLUMN).T
    return matrix[..., rows, columns]


def congruence(tensor, matrix):
    """``A D Aᵀ``: the tensor ``[..., 6]`` under a linear map ``[..., 3, 3]`` of space.

    With a rotation (or reflection) ``R`` whose columns are the old axes in the new frame this moves
    a tensor between frames, e.g. from image to scanner space.
    """
    d = to_matrix(tensor)
    moved = jnp.einsum("...ij,...jk,...lk->...il", matrix, d, matrix, precision="highest")
    return from_matrix(moved)

"""Do the volumes and the table belong together?

Two questions that need no tensor and do not depend on which way round the axes are: does each
volume look like what its b-value says (`dwijax.checking.looks`), and are the DWIs in the order of
their directions (`dwijax.checking.order`)?
"""

from itertools import permutations
from typing import NamedTuple

import numpy as np

from dwijax.checking.looks import LEAST_OF_SHELL, STRANGERS, compare_looks
from dwijax.checking.order import compare_order
from dwijax.gradients import GradientTable
from dwijax.gradients import shells as shells_of
from dwijax.gradients.directions import compare

UNRELATED = 0.5  # `Order.explained` below which a table says nothing about the volumes
_SAME_ROW = 3.0  # degrees; rows of nearer directions are interchangeable


class Companions(NamedTuple):
    """Attributes:
      misfits: list of `dwijax.checking.looks.Misfit`, by volume.
      swapped: ``(lower, higher)`` nominal b of two shells of which the higher is brighter; or None.
      explained: `Order.explained`, the least of all shells; None where it cannot be told.
      restored: the same in the order of `rows`.
      rows: int ``[M]``, the row of the table that each volume belongs to; None where no other
        order is better.
      change: what has happened to the order, in words; "" where nothing has.
    """

    misfits: list
    swapped: tuple | None = None
    explained: float | None = None
    restored: float | None = None
    rows: np.ndarray | None = None
    change: str = ""

    @property
    def verdict(self):
        """``"together"``, ``"apart"`` or ``"unknown"``."""
        if self.misfits or self.swapped or self.rows is not None:
            return "apart"
        if self.explained is None:
            return "unknown"
        return "together" if self.explained >= UNRELATED else "apart"


def compare_with_table(signal: np.ndarray, gtab: GradientTable,
                       blocks: np.ndarray) -> Companions:
    """Compares volumes with their table.

    Args:
      signal: ``[V, M]``, all volumes in some voxels of the brain.
      gtab: `dwijax.gradients.GradientTable`.
      blocks: int ``[V]``, pieces of the brain, see `compare_order`.

    Returns:
      `Companions`.
    """
    given = np.arange(signal.shape[1])
    inside = _inside(signal)
    signal, blocks = signal[inside], blocks[inside]
    labels, groups = np.rint(gtab.bvals).astype(int), shells_of(gtab.bvals, gtab.b0_threshold)
    for nominal, index in groups:
        labels[index] = nominal
    shells = {b: index for b, index in groups if b and len(index) >= LEAST_OF_SHELL}
    if not shells:
        return Companions([])
    misfits, classes = compare_looks(signal, labels, shells)
    strangers = [m.volume for m in misfits if m.seen in STRANGERS]
    levels = {b: np.median(signal[:, index]) for b, index in shells.items()}
    swapped = next(((a, b) for a, b in permutations(shells, 2)
                    if b > 1.2 * a and levels[b] > 1.1 * levels[a]), None)
    rows, orders = _aligned(labels, classes), []
    for b in shells:
        volumes = np.flatnonzero((classes == b) & (labels[rows] == b))
        order = compare_order(signal[:, volumes], gtab.bvecs[rows[volumes]], blocks,
                            np.flatnonzero(np.isin(volumes, strangers)))
        if order is not None:
            orders.append(order)
            rows[volumes] = rows[volumes][order.rows]
    kinds = _interchangeable(labels, gtab.bvecs)
    explained, restored = (min((getattr(o, name) for o in orders), default=None)
                           for name in ("explained", "restored"))
    # Rows that say nothing about the directions are no other order.
    other = (kinds[rows] != kinds[given]).any() and (restored is None or restored >= UNRELATED)
    return Companions(misfits, swapped, explained, restored, rows if other else None,
                      _change(rows, kinds, labels) if other else "")


def _inside(signal):
    """Voxels in the field of view of all volumes that are not empty, bool ``[V]``; all voxels
    where these are few."""
    positive = signal > 0
    inside = positive[:, positive.mean(axis=0) > 0.5].all(axis=1)
    return inside if inside.mean() > 0.2 else np.ones(len(signal), bool)


def _aligned(labels, classes):
    """Rows for volumes, ``[M]``: those of each class in turn where there are as many volumes of
    every class as rows, otherwise as given."""
    rows = np.arange(len(labels))
    for b in np.unique(labels):
        if np.count_nonzero(classes == b) != np.count_nonzero(labels == b):
            return np.arange(len(labels))
        rows[classes == b] = np.flatnonzero(labels == b)
    return rows


def _interchangeable(labels, bvecs):
    """The first row of the table that says the same as each row, ``[M]``."""
    kinds = np.arange(len(labels))
    for m, label in enumerate(labels):
        alike = labels[:m] == label
        if label:
            alike &= compare(bvecs[:m], np.broadcast_to(bvecs[m], (m, 3))) < _SAME_ROW
        if alike.any():
            kinds[m] = kinds[alike.argmax()]
    return kinds


def _change(rows, kinds, labels):
    """What has happened to an order, in words."""
    M, wanted = len(rows), kinds[rows]
    away = np.flatnonzero(wanted != kinds)
    if len(away) == 2:
        return f"volumes {away[0]} and {away[1]} are exchanged"
    for i in range(M):  # taken out: are the others those of the table but for one row, in order?
        for j in np.flatnonzero(kinds == wanted[i]):
            if (np.insert(np.delete(kinds, j), i, kinds[j]) == wanted).all():
                return f"volume {i} belongs to row {j} of the table, the others are in its order"
    if (kinds[::-1] == wanted).all():
        return "the volumes are in reversed order"
    for k in range(1, M // 2 + 1):
        if any((np.roll(kinds, turn) == wanted).all() for turn in (k, -k)):
            return f"the volumes have moved by {k} places, round the end"
    dwi, row = labels[rows] > 0, labels > 0
    if (kinds[row] == wanted[dwi]).all():
        return "the b0s stand at other places, the DWIs are in their order"
    if (kinds[row][::-1] == wanted[dwi]).all():
        return "the DWIs are in reversed order"
    listed = ", ".join(f"volume {m} to row {rows[m]}" for m in away[:3])
    return f"{len(away)} volumes belong to other rows of the table: {listed}" + (
        ", …" if len(away) > 3 else "")

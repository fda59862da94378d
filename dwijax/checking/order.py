"""Are the volumes of a shell in the order of its directions?

To first order the signal of every voxel is a quadratic form of the direction, g'Qg: what differs
between the volumes of one shell lies, in all voxels, in the five dimensions that the traceless
forms of the table's directions span. Reversing or exchanging axes turns these forms into each
other and leaves the five dimensions where they are; another order of the volumes does not. So
the share of the differences that lies in them tells a wrong order from wrong axes, and needs
neither fibres that fit together nor a tensor fit.

Which order would do better is a quadratic assignment problem, solved by exchanges of two volumes
from a few likely starts (Koopmans and Beckmann 1957).
"""

from typing import NamedTuple

import numpy as np

from dwijax.gradients.orientation import standard_errors

LEAST = 12  # directions; of fewer the forms explain too much, whatever their order
CERTAIN = 4.0  # standard errors; the best of thousands of orders is above 3 by chance
_GAIN = 0.005  # of the share; less is an exchange of directions a few degrees apart
_STRUCTURE = 0.02  # share of the differences in five dimensions above an even one; noise has less
# Share of the right order, and more: 0.85 to 1. With directions and volumes that have nothing to
# do with each other, exchanges reach 0.6 to 0.88.
_RIGHT, _RIGHT_OF_ANY = 0.8, 0.9
_MOST_TO_MOVE = 200  # volumes; moves of one volume cost their cube


class Order(NamedTuple):
    """Attributes:
      explained: share of the differences between volumes that quadratic forms of their directions
        explain, 1: as much as any five dimensions could, 0: as much as of directions at random.
      rows: int ``[N]``, the row of the table that each volume belongs to; ``range(N)`` where no
        other order is found that is better, and good.
      restored: the same share in that order.
      margin: by how many standard errors that order is better; 0 for the given one.
    """

    explained: float
    rows: np.ndarray
    restored: float
    margin: float


def compare_order(signal, bvecs, blocks, doubtful=()):
    """Compares the order of volumes with that of a table.

    Args:
      signal: ``[V, N]``, the volumes of one shell. bvecs: unit, ``[N, 3]``.
      blocks: int ``[V]``, the piece of the brain of each voxel; pieces count as independent.
      doubtful: volumes that are no DWI of this shell; they may belong anywhere.

    Returns:
      `Order`, or None where nothing can be told: fewer than `LEAST` directions, directions in a
      plane, or volumes that differ by no more than noise.
    """
    N = len(bvecs)
    if N - len(doubtful) < LEAST:
        return None
    kept, differences = _differences(signal)
    if differences is None:
        return None
    # Volumes that do not take part are as far from all places alike.
    differences[:, list(doubtful)] = 0
    likeness = differences.T @ differences / len(differences)
    np.fill_diagonal(likeness, 1)
    span = _span(bvecs)
    values = np.linalg.eigvalsh(likeness)
    even = span.shape[1] / (N - 1)
    most, noise = values[-5:].sum() / N, (1 + np.sqrt(N / len(differences))) ** 2 - 1
    if span.shape[1] < 5 or most - even < _STRUCTURE + 2 * 5 * noise / N:
        return None

    def share(order):
        return float((_explained(span, likeness[np.ix_(order, order)]) / N - even) / (most - even))

    given = np.arange(N)
    found, simple = _search(span, likeness, share)
    there, then = share(given), share(found)
    margin = 0.0
    if then - there >= _GAIN and then >= (_RIGHT if simple else _RIGHT_OF_ANY):
        better = (_by_voxel(differences[:, found], span) - _by_voxel(differences, span))
        margin = standard_errors(np.bincount(blocks[kept], better))
    if margin < CERTAIN:
        found, then, margin = given, there, 0.0
    return Order(there, np.argsort(found), then, margin)


def _differences(signal):
    """Which voxels are used, bool ``[V]``, and their deviations from the mean DWI, float64
    ``[.., N]``: T2 and gains taken out, each volume of variance 1; None where they are few."""
    gains = np.median(signal, axis=0)
    level = signal / np.where(gains > 0, gains, np.inf)
    mean = level.mean(axis=1, dtype=np.float64)
    kept = mean > 0
    if np.count_nonzero(kept) < 10 * signal.shape[1]:
        return kept, None
    mean = mean[kept, None]
    # Brighter voxels have less noise; fluid far brighter than tissue is not worth more.
    weight = np.minimum(mean / np.median(mean), 2)
    x = np.clip(level[kept] / mean - 1, -1, 1) * weight
    x -= x.mean(axis=0)
    x -= x.mean(axis=1, keepdims=True)
    spread = np.sqrt((x * x).mean(axis=0))
    return kept, x / np.where(spread > 0, spread, 1)


def _span(bvecs):
    """Orthonormal basis ``[N, 5]`` (fewer columns where directions are degenerate) of quadratic
    forms of mean 0 over the directions."""
    x, y, z = np.asarray(bvecs, np.float64).T
    forms = np.stack([x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    u, values, _ = np.linalg.svd(forms - forms.mean(axis=0), full_matrices=False)
    return u[:, :5][:, values[:5] > 1e-6 * values[0]]


def _explained(span, likeness):
    return np.sum(span * (likeness @ span))


def _by_voxel(differences, span):
    return ((differences @ span) ** 2).sum(axis=1)


def _search(span, likeness, share):
    """The simplest of the best orders found, volume ``order[r]`` for row r of the table; whether it
    is a turn or a move, or exchanges a quarter of the volumes at most."""
    N = len(likeness)
    given = np.arange(N)
    projection = span @ span.T
    exchanged = _exchange(span, likeness, given)
    if (exchanged == given).all() and share(given) >= _RIGHT:
        return given, True
    turned = sorted(((k, np.roll(row, k)) for row in (given, given[::-1])
                     for k in range(-(N // 2), (N + 1) // 2)), key=lambda start: abs(start[0]))
    found = [given, *(order for _, order in turned)]
    starts = [max(found, key=share)]
    if N <= _MOST_TO_MOVE:
        moved = [_move(projection, likeness, start) for start in (given, *starts)]
        starts += [*moved, _move(projection, likeness, moved[0])]
    found += starts
    simple = len(found)
    found += [exchanged] + [_exchange(span, likeness, start) for start in starts]
    shares = np.array([share(order) for order in found])
    best = int((shares >= shares.max() - _GAIN).argmax())
    return found[best], best < simple or np.count_nonzero(found[best] != given) <= N / 4


def _exchange(span, likeness, order):
    """Exchanges two volumes as long as that adds to what is explained."""
    order = order.copy()
    for _ in range(4 * len(order)):
        gains = _gains(span, likeness[np.ix_(order, order)])
        i, j = np.unravel_index(gains.argmax(), gains.shape)
        if gains[i, j] <= 1e-9:
            break
        order[[i, j]] = order[[j, i]]
    return order


def _gains(span, likeness):
    """What exchanging i and j adds to the trace of P × likeness, ``[N, N]``, P the projection on
    the span: 2 Σ (P_ik - P_jk)(C_jk - C_ik) over the other k, where C has a diagonal of 1."""
    projection, both = span @ span.T, span @ (span.T @ likeness)
    own, diagonal = np.diag(both), np.diag(projection)
    gains = both + both.T - own[:, None] - own
    gains -= (diagonal[:, None] - projection) * (likeness - 1)
    gains -= (projection - diagonal) * (1 - likeness)
    return 2 * gains


def _move(projection, likeness, order):
    """The best of all orders with one volume taken out and put in elsewhere."""
    N = len(order)
    start = np.sum(projection * likeness[np.ix_(order, order)])
    best, found = start + 1e-9, order
    for i in range(N):
        for step in (1, -1):
            now, value = order.copy(), start
            there = likeness[np.ix_(order, order)]
            for a in range(i, N - 1 if step > 0 else 0, step):  # pass one neighbour after another
                b = a + step
                weight, change = projection[a] - projection[b], there[b] - there[a]
                value += 2 * (weight @ change - weight[a] * change[a] - weight[b] * change[b])
                for array in (now, there, there.T):
                    array[[a, b]] = array[[b, a]]
                if value > best:
                    best, found = value, now.copy()
    return found

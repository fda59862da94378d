"""Sets of diffusion directions: comparison, conditioning and design.

A direction and its opposite measure the same thing: everything here is about axes.
"""

import functools
import math
from importlib.resources import files

import numpy as np

# Closer than this two axes are one: their DWIs differ by less than 0.1 % at b = 1000, and what an
# input holds its target holds. Tables designed as one have 7° and more between neighbours; a table
# put together from several series may have 2°, which still is another direction.
SAME_AXIS = 1.0  # degrees


def compare(bvecs_a, bvecs_b):
    """Angles between axes, element by element; a direction and its opposite are the same axis.

    Args:
      bvecs_a: unit, [n, 3].
      bvecs_b: unit, [n, 3].

    Returns:
      float64 [n], degrees, 0 to 90.
    """
    a, b = np.asarray(bvecs_a, np.float64), np.asarray(bvecs_b, np.float64)
    if a.shape != b.shape or a.shape[-1:] != (3,):
        raise ValueError(f"two arrays [n, 3] are needed, not {a.shape} and {b.shape}")
    # The arc cosine alone loses half the digits of small angles.
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(sine, np.abs(np.sum(a * b, axis=-1))))


def repeated(bvecs, within=SAME_AXIS):
    """Directions that have been measured before.

    Args:
      bvecs: unit, [n, 3]. within: degrees; an axis and its opposite are one.

    Returns:
      list of ``(i, k, angle)``: each k with a nearly equal i < k, the first of them; degrees.
    """
    bvecs = np.asarray(bvecs, np.float64)
    found = []
    for k in range(1, len(bvecs)):
        angles = compare(bvecs[:k], np.broadcast_to(bvecs[k], (k, 3)))
        if (angles < within).any():
            i = int(np.argmax(angles < within))
            found.append((i, k, float(angles[i])))
    return found


def match(bvecs_a, bvecs_b):
    """Finds in a second table the directions of a first one, each used at most once.

    Args:
      bvecs_a: unit, [n, 3].
      bvecs_b: unit, [m, 3], m ≥ n.

    Returns:
      (assignment, angles): int64 [n], so that ``bvecs_b[assignment]`` is the same axes in the
      order of `bvecs_a`, with the smallest possible sum of squared angles; float64 [n], degrees.
    """
    from scipy.optimize import linear_sum_assignment

    a, b = np.asarray(bvecs_a, np.float64), np.asarray(bvecs_b, np.float64)
    if len(a) > len(b):
        raise ValueError(f"{len(a)} directions cannot be found among {len(b)}")
    angles = compare(*np.broadcast_arrays(a[:, None], b[None]))
    rows, assignment = linear_sum_assignment(angles**2)
    return assignment, angles[rows, assignment]


def turn(bvecs_from, bvecs_to):
    """The rotation that brings axes nearest to others, one to one.

    Least squares over the signed vectors (Kabsch 1976); the signs are those of the nearer ends.

    Args:
      bvecs_from: unit, [n, 3]. bvecs_to: unit, [n, 3], less than about 45° away.

    Returns:
      float64 [3, 3]: ``bvecs_to ≈ ± bvecs_from @ rotation.T``.
    """
    a, b = np.asarray(bvecs_from, np.float64), np.asarray(bvecs_to, np.float64)
    signs = np.where(np.sum(a * b, axis=1) < 0, -1.0, 1.0)
    u, _, vt = np.linalg.svd((signs[:, None] * b).T @ a)
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt


def angle_of(rotation):
    """By how much a rotation ``[3, 3]`` turns, degrees."""
    axis = rotation - rotation.T
    sine = np.linalg.norm(axis) / math.sqrt(8)
    return float(np.degrees(np.arctan2(sine, (np.trace(rotation) - 1) / 2)))


def condition_number(bvecs):
    """Condition number of the tensor's quadratic form on these directions: what sets are chosen by.

    Not what commands print under this name, which is that of the whole design, with b0s
    (`dwijax.dti.condition_number`). The 2-norm condition number of the rows (x², y², z², 2xy, 2xz,
    2yz), the diffusivity columns of dipy's and MRtrix3's design matrices at one b-value. Evenly
    spread directions have about 1.58; infinite if the directions leave a tensor element
    undetermined.

    Args:
      bvecs: unit, [n, 3].

    Returns:
      float.
    """
    x, y, z = np.asarray(bvecs, np.float64).T
    form = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)
    values = np.linalg.svd(form, compute_uv=False)
    if len(values) < 6 or values[-1] <= values[0] * 1e-12:
        return math.inf
    return float(values[0] / values[-1])


def best_conditioned(bvecs, size):
    """The directions of a table that determine a tensor best (six or more) or, where there are
    fewer, are spread best.

    Least-energy subsets grown from every direction, improved by exchanges; of these the one with
    the least condition number.

    Args:
      bvecs: unit, [n, 3].
      size: how many, at most n.

    Returns:
      int64 [size], ascending.
    """
    points = np.asarray(bvecs, np.float64)
    energy = _repulsion(points)[0]
    np.fill_diagonal(energy, np.inf)

    def quality(chosen):
        pairs = energy[np.ix_(chosen, chosen)][np.triu_indices(size, 1)]
        return condition_number(points[chosen]), pairs.sum()

    return np.sort(min((_spread(energy, start, size) for start in range(len(points))),
                       key=quality))


def spread_subset(bvecs, n, first=0):
    """Positions of n directions that are well spread, ascending int64 [n].

    From the direction ``first``, each next one has the least energy among those before it, then
    each is exchanged while that helps.

    Args:
      bvecs: unit directions, ``[N, 3]``.
    """
    energy = _repulsion(np.asarray(bvecs, np.float64))[0]
    np.fill_diagonal(energy, np.inf)
    return np.sort(_spread(energy, first, n))


def direction_set(n, seed=0):
    """A set of axes in which every leading subset is nearly uniform.

    Charges of both signs of each axis are dispersed over the sphere until their electrostatic
    energy is least (Jones et al. 1999, Optimal strategies for measuring diffusion in anisotropic
    systems), then put in order so that each next axis has the least energy among those before it
    (Cook et al. 2007, Optimal acquisition orders of diffusion-weighted MRI measurements). The
    first six are chosen together, so that they determine a tensor well.

    The 90 of the phantom (``direction_set(90)``) are kept in ``directions_90.txt``: in which of
    many near minima the search ends hangs on the last bit, which differs between processors.

    Args:
      n: how many.
      seed: of the random start; the same seed gives the same set, on one kind of processor.

    Returns:
      float64 [n, 3], unit, read-only.
    """
    return _direction_set(int(n), int(seed))


def added_directions(bvecs, n, seed=0):
    """Axes that together with given ones are spread as evenly as they can be.

    As :func:`direction_set`, with the given ones held in place.

    Args:
      bvecs: given unit directions, ``[q, 3]``. n: how many to add. seed: of the random start.

    Returns:
      float64 [n, 3], unit; each leading part fills the largest gaps there are.
    """
    from scipy.optimize import minimize

    fixed = np.asarray(bvecs, np.float64)

    def energy(free):
        points = np.concatenate([fixed, free.reshape(-1, 3)])
        value, gradient = _dispersion(points.ravel())
        return value, gradient.reshape(-1, 3)[len(fixed):].ravel()

    start = np.random.default_rng(seed).normal(size=3 * n)
    free = minimize(energy, start, jac=True, method="L-BFGS-B",
                    options={"maxiter": 2000, "maxfun": 4000}).x.reshape(n, 3)
    free /= np.linalg.norm(free, axis=1, keepdims=True)
    pairs = _repulsion(np.concatenate([fixed, free]))[0]
    np.fill_diagonal(pairs, np.inf)
    load, order = pairs[:len(fixed)].sum(axis=0)[len(fixed):], []
    while len(order) < n:
        order.append(int(np.argmin(load)))
        load = load + pairs[len(fixed) + order[-1], len(fixed):]
    return free[order]


@functools.lru_cache(maxsize=16)
def _direction_set(n, seed):
    if n < 1:
        raise ValueError(f"at least one direction is needed, not {n}")
    points = _kept() if (n, seed) == (90, 0) else _search(n, seed)
    points.flags.writeable = False
    return points


def _kept():
    with (files("dwijax.gradients") / "directions_90.txt").open(encoding="utf-8") as lines:
        return np.loadtxt(lines)


def _search(n, seed):
    from scipy.optimize import minimize

    start = np.random.default_rng(seed).normal(size=3 * n)
    # dipy's fixed-step dispersion stops short: 9° between neighbours of 90, here 14.5°.
    options = {"maxiter": 5000, "maxfun": 10000}
    free = minimize(_dispersion, start, jac=True, method="L-BFGS-B", options=options).x
    points = free.reshape(n, 3)
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return points[_incremental_order(points)]


def _dispersion(free):
    """Energy of vectors of any length, taken as axes, and its gradient; float64 [3n] in and out."""
    free = free.reshape(-1, 3)
    lengths = np.linalg.norm(free, axis=1, keepdims=True)
    points = free / lengths
    energy, slope = _repulsion(points)
    gradient = 2 * slope @ points
    gradient -= np.sum(gradient * points, axis=1, keepdims=True) * points
    return energy.sum(), (gradient / lengths).ravel()


def _repulsion(points):
    """Energy of each pair of axes and its derivative by their cosine, float64 [n, n] each."""
    cosines = points @ points.T
    # Directions that are measured twice repel each other beyond all others, not without end.
    near, far = np.maximum(2 - 2 * cosines, 1e-9), np.maximum(2 + 2 * cosines, 1e-9)
    np.fill_diagonal(near, np.inf)
    np.fill_diagonal(far, np.inf)
    return near**-0.5 + far**-0.5, near**-1.5 - far**-1.5


def _incremental_order(points):
    """Greedy least-energy order, int64 [n], behind the six best spread directions."""
    energy = _repulsion(points)[0]
    np.fill_diagonal(energy, np.inf)  # nothing is chosen twice
    n, block = len(points), min(6, len(points))
    # A greedy start is three orthogonal axes and their diagonals: a badly conditioned tensor.
    candidates = [_spread(energy, start, block) for start in range(n)]
    order = list(min(candidates, key=lambda chosen: condition_number(points[chosen])))
    load = energy[order].sum(axis=0)
    while len(order) < n:
        order.append(int(np.argmin(load)))
        load = load + energy[order[-1]]
    return np.array(order)


def _spread(energy, start, size):
    """Indices of `size` directions, greedy from `start`, then exchanged while that helps."""
    chosen = [start]
    while len(chosen) < size:
        chosen.append(int(np.argmin(energy[chosen].sum(axis=0))))
    for _ in range(20 * size):
        before = list(chosen)
        for i in range(size if size > 1 else 0):
            rest = chosen[:i] + chosen[i + 1 :]
            chosen[i] = int(np.argmin(energy[rest].sum(axis=0)))
        if chosen == before:
            break
    return chosen

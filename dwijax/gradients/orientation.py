"""Is a table of directions the right way round?  Fibres that fit together tell.

Every mix-up of conventions (an axis reversed, two exchanged) is one of 48 signed permutations of
the axes; as a direction and its opposite are the same, 24 remain. Each turns the principal
direction of diffusion in every voxel without changing FA. Only with the right one do neighbouring
voxels along a fibre point at each other. MRtrix3's ``dwigradcheck`` compares the lengths of
streamlines (Jeurissen et al. 2014); here it is the fibre coherence index of Schilling et al. 2019
(Magn Reson Imaging 58:82-89), which takes a second and has no parameters of tracking.
"""

import itertools
from typing import NamedTuple

import numpy as np

from dwijax.volumes import into_volume

ANISOTROPIC = 0.25  # FA from which a principal direction is taken for a fibre's
_COSINE = np.cos(np.radians(30.0))  # Schilling et al.: fibre and neighbour within 30°
_BLOCK = 20.0  # mm; pieces of brain that are taken as independent for the margin
CERTAIN = 3.0  # standard errors between the best and the next, or the given one


class Orientation(NamedTuple):
    """What the fibres say.

    Attributes:
      names: of the 24 candidates, best first, such as ``"x reversed, y and z exchanged"``.
      matrices: ``[24, 3, 3]``, in the same order: ``bvecs @ matrix.T`` is the candidate's table.
      scores: ``[24]``, coherence, 1 for the given table.
      given: position of the given table among them.
      margin: in standard errors, how far the given table is above the best other one (negative:
        below it).
    """

    names: list
    matrices: np.ndarray
    scores: np.ndarray
    given: int
    margin: float

    @property
    def verdict(self):
        """``"right"``, ``"wrong"`` or ``"uncertain"``."""
        if abs(self.margin) < CERTAIN:
            return "uncertain"
        return "right" if self.margin > 0 else "wrong"

    @property
    def rival(self):
        """Position of the best table that is not the given one."""
        return int(self.given == 0)


def candidates():
    """The 24 signed permutations of the axes that are rotations, ``[24, 3, 3]``, identity first.

    The other 24 are their negatives, which are the same for axes.
    """
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                found.append(matrix)
    return np.array(found)


def check_orientation(v1, fa, mask, voxel_size, to_array):
    """Scores all candidates.

    Args:
      v1: principal directions with the given table, float ``[V, 3]`` along the array's axes.
      fa: ``[V]``, 0 where a voxel shall not count (cerebrospinal fluid).
      mask: bool ``[X, Y, Z]`` with V voxels.
      voxel_size: mm, three values.
      to_array: ``[3, 3]``, signed permutation from the frame of the bvecs file to the array's
        axes; candidates are named in the file's.

    Returns:
      `Orientation`.
    """
    matrices = candidates()
    along = to_array @ matrices @ to_array.T
    scores = coherence(v1, fa, mask, voxel_size, along)
    total = scores.sum(axis=1)
    order = np.argsort(-total, kind="stable")
    given = int(np.flatnonzero(order == 0)[0])
    rival = order[int(given == 0)]
    margin = standard_errors(scores[0] - scores[rival])
    relative = total[order] / total[0] if total[0] > 0 else total[order]
    return Orientation([axes_in_words(m) for m in matrices[order]], matrices[order], relative,
                       given, margin)


def coherence(v1, fa, mask, voxel_size, matrices):
    """Fibre coherence index of candidate tables, piece by piece of the brain.

    Summed over pairs of neighbours in which both principal directions lie within 30° of the line
    between them: the sum of their FA.

    Args:
      v1, fa, mask, voxel_size: as above. matrices: ``[n, 3, 3]``, along the array's axes.

    Returns:
      float64 ``[n, B]``, by block of about 20 mm.
    """
    vectors = into_volume(v1.astype(np.float32), mask)
    weight = into_volume(np.where(fa >= ANISOTROPIC, fa, 0).astype(np.float32), mask)
    size = np.asarray(voxel_size, float)
    blocks = blocks_of(np.indices(mask.shape), mask.shape, voxel_size)
    scores = np.zeros((len(matrices), blocks.max() + 1))
    # Where voxels are not cubes, neighbours are as many voxels away as make one; otherwise a table
    # that turns fibres into the finer plane would find more of them.
    steps = np.maximum(np.rint(size.max() / size).astype(int), 1)
    for unit in itertools.product((-1, 0, 1), repeat=3):
        if unit <= (0, 0, 0):
            continue
        offset = np.array(unit) * steps
        a, b = _overlap(mask.shape, offset)
        both = (weight[a] > 0) & (weight[b] > 0)
        from_, to = vectors[a][both], vectors[b][both]
        pair, where = (weight[a] + weight[b])[both], blocks[a][both]
        line = offset * size / np.linalg.norm(offset * size)
        for k, matrix in enumerate(matrices):
            turned = (matrix.T @ line).astype(np.float32)
            joined = (np.abs(from_ @ turned) > _COSINE) & (np.abs(to @ turned) > _COSINE)
            scores[k] += np.bincount(where[joined], pair[joined], minlength=scores.shape[1])
    return scores


def blocks_of(place, shape, voxel_size, edge=_BLOCK):
    """Pieces of a brain.

    Args:
      place: int ``[3, ...]``, voxels. shape: of the image, three values. voxel_size: mm.
      edge: of a piece, mm; pieces of about 20 mm are taken as independent.

    Returns:
      int of the shape of ``place[0]``.
    """
    size = np.reshape(voxel_size, (3, *[1] * (np.ndim(place) - 1)))
    counts = ((np.array(shape[:3]) - 1) * np.ravel(voxel_size) // edge).astype(int) + 1
    return np.ravel_multi_index((np.asarray(place) * size // edge).astype(int), counts)


def axes_in_words(matrix):
    """A candidate in words: what to do to the given table, ``"as given"`` for nothing."""
    order = np.abs(matrix).argmax(axis=1)
    signs = matrix[range(3), order]
    names = "xyz"
    if (order == range(3)).all():
        exchanged = ""
    elif (order == range(3)).any():
        exchanged = " and ".join(names[i] for i in range(3) if order[i] != i) + " exchanged"
    else:
        exchanged = "x, y, z read as " + ", ".join(names[i] for i in order)
    # Reversing two axes or the third is the same; the shorter is said.
    minus = [i for i in range(3) if signs[i] < 0]
    if len(minus) > 1:
        minus = [i for i in range(3) if i not in minus]
    reversed_ = (" and ".join(names[i] for i in minus) + " reversed") if minus else ""
    return ", then ".join(filter(None, (exchanged, reversed_))) or "as given"


def _overlap(shape, offset):
    """Slices of the voxels that have a neighbour at ``offset``, and of these neighbours."""
    a = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(offset, shape, strict=True))
    b = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(offset, shape, strict=True))
    return a, b


def standard_errors(differences):
    """A sum over blocks ``[B]`` in units of its standard error; a block of exactly 0 holds nothing
    and does not count."""
    used = differences[differences != 0]
    if len(used) < 2:
        return 0.0
    spread = used.std(ddof=1) * np.sqrt(len(used))
    return float(used.sum() / spread) if spread > 0 else float(np.sign(used.sum()) * np.inf)

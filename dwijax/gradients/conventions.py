"""What a pair of FSL files leaves open: which volumes are b0s, and what lengths of vectors mean."""

import numpy as np

from dwijax.errors import InputError
from dwijax.gradients.shells import span

# Rounding to two digits moves a norm by less; from about here on MRtrix3 scales b too.
ROUNDING = 0.01
_NOMINAL = 0.05  # a nominal b is that of the longest vector, which then is about 1 long
# Without volumes below the usual threshold the lowest ones are b0s, if they are no higher than this
# and no other volume is within so much of them: HCP 7T's have b = 60 to 70 (imaging gradients).
_HIGHEST_B0, _CLEAR_OF_B0 = 100.0, 200.0


def lowest(bvals, usual, notes):
    """The b0 threshold of a scan whose b0s may have a b of their own, s/mm².

    Args:
      bvals: [M], s/mm². usual: the threshold where there are volumes at or below it.
      notes: list, to which a line is added where it is another one.
    """
    low = bvals <= _HIGHEST_B0
    if (bvals <= usual).any() or not low.any() or (
            bvals[~low].min(initial=np.inf) < bvals[low].max() + _CLEAR_OF_B0):
        return usual
    threshold = float(np.ceil(bvals[low].max()))
    notes.append(f"no volume has b at most {usual:g}: the {low.sum()} with "
                 f"b={span(bvals[low])} are taken for b0s (--b0-threshold {threshold:g})")
    return threshold


def by_length(bvals, bvecs, b0_threshold, where, notes):
    """b-values with what the lengths of the vectors say of b.

    Args:
      bvals: [M], s/mm². bvecs: [M, 3], as in the file. b0_threshold: s/mm².
      where: what an error names. notes: list, to which a line is added where lengths mean anything.

    Returns:
      float64 [M], s/mm².

    Raises:
      InputError: it is not clear whether they are in b already.
    """
    norms = np.linalg.norm(bvecs, axis=1)
    weighted = (bvals > b0_threshold) & (norms > 1e-6)
    b, lengths = bvals[weighted], norms[weighted]
    if not (np.abs(lengths - 1) > ROUNDING).any():
        return bvals
    told = f"lengths of {lengths.min():.3g} to {lengths.max():.3g}"
    unit = np.median(b / lengths**2)  # the b of a vector of length 1
    if np.ptp(b) > _NOMINAL * b.max() and (
            np.abs(lengths - np.sqrt(b / unit)) <= ROUNDING).all():
        notes.append(f"vectors have {told}, √(b/{unit:.0f}): b has them already, they are "
                     "normalised")
        return bvals
    if np.ptp(b) <= ROUNDING * b.max() and abs(lengths.max() - 1) <= _NOMINAL:
        scaled = np.where(weighted, bvals * norms**2, bvals)
        notes.append(f"vectors have {told} at one nominal b={b.max():g}: b is multiplied by the "
                     f"squared length (now {span(scaled[weighted])}), as MRtrix3 does, and they "
                     "are normalised")
        return scaled
    raise InputError(
        where,
        found=f"{told} (not unit length) at b={span(b)}, in "
              f"{named(np.flatnonzero(weighted)[np.abs(lengths - 1) > ROUNDING])} "
              "(counted from 0)",
        expected="unit vectors, or lengths √(b/b_max), or one nominal b that they scale",
        remedy="if b is right as it stands, normalise the vectors; if their lengths encode b and b "
               "has them not yet, multiply b by the squared length first",
    )


def named(index):
    """``volumes 3, 4, 5``: which ones, the first eight of them."""
    listed = ", ".join(map(str, index[:8])) + (", …" if len(index) > 8 else "")
    return f"volume{'s' * (len(index) > 1)} {listed}"

"""Shells: groups of volumes with nearly the same b-value, and volumes that belong to none.

Scanners let b vary by some percent about the protocol's value, so that 990, 1000 and 1005 are one
shell; free b-values (DSI, random b) lie as near to their neighbours, but do not end anywhere.
"""

import numpy as np

from dwijax.errors import InputError

B0_THRESHOLD = 50.0  # s/mm²; volumes at or below it count as b0, as in dipy
LEAST = 3  # volumes of a shell, the fewest that determine a mean diffusivity
# A shell's b-values are within 5 % of their median (s/mm²: or within this).
WIDTH, LEAST_WIDTH = 0.05, 30.0
# A gap that is wider than this ends a shell ...
_GAP, _LEAST_GAP = 0.05, 20.0
# ... and so does a narrower one, if it is this many times the mean gap inside, of as many volumes.
_CONTRAST, _MANY = 12, 6


def shells(bvals, b0_threshold=B0_THRESHOLD):
    """Groups volumes by b-value.

    Sorted b-values are cut wherever neighbours are more than 5 % (at least 20 s/mm²) apart, and
    what is still wider than ±5 % (at least ±30 s/mm²) of its median at its widest gaps. A group
    is a shell if it has three volumes and ends with a clear gap on either side: one of 5 %, or one
    far wider than those inside the group. `unshelled` are the rest.

    Args:
      bvals: [M], s/mm².
      b0_threshold: s/mm²; volumes at or below it are b0s.

    Returns:
      List of (nominal b, indices): int and int64 [n] in acquired order, ascending in b; b0 first.
    """
    bvals = np.asarray(bvals, np.float64)
    order = np.argsort(bvals, kind="stable")
    b0s, order = np.sort(order[bvals[order] <= b0_threshold]), order[bvals[order] > b0_threshold]
    found = [np.sort(order[part]) for part in _dense(bvals[order])]
    return [(0, b0s)] * bool(b0s.size) + [(_nominal(np.median(bvals[i])), i) for i in found]


def unshelled(bvals, b0_threshold=B0_THRESHOLD):
    """Volumes above the b0 threshold that belong to no shell, int64 [n], in acquired order."""
    taken = [index for _, index in shells(bvals, b0_threshold)]
    return np.setdiff1d(np.arange(len(bvals)), np.concatenate([[], *taken]).astype(np.int64))


def listed(gtab):
    """What shells a table has, in words."""
    there = [f"b={b} ({_volumes(len(index))})" for b, index in shells(gtab.bvals,
                                                                      gtab.b0_threshold)]
    loose = unshelled(gtab.bvals, gtab.b0_threshold)
    if loose.size:
        there.append(f"no shell ({_volumes(loose.size)}, b={span(gtab.bvals[loose])})")
    return ", ".join(there)


def span(bvals):
    """``1000``, or ``500 to 1500``: the range of b-values, rounded to whole s/mm²."""
    low, high = round(float(np.min(bvals))), round(float(np.max(bvals)))
    return f"{low}" if low == high else f"{low} to {high}"


def select_shell(gtab, b, tolerance=0.1, where="gradient table"):
    """Volumes of the shell nearest to `b`.

    Args:
      gtab: `GradientTable`.
      b: b-value wanted, s/mm²; 0 for the b0s.
      tolerance: largest relative difference between `b` and the shell's median.
      where: what an error names, as a rule the bval file.

    Returns:
      int64 [n], in acquired order.

    Raises:
      InputError: no shell is near enough; names those there are.
    """
    there = [shell for shell in shells(gtab.bvals, gtab.b0_threshold)
             if (shell[0] == 0) == (b <= gtab.b0_threshold)]
    nearest = min(there, key=lambda shell: abs(shell[0] - b), default=None)
    if nearest is None or (b > gtab.b0_threshold and (
            abs(np.median(gtab.bvals[nearest[1]]) - b) > tolerance * b)):
        raise InputError(
            where,
            found=f"the shells {listed(gtab)}",
            expected=f"a shell within {tolerance:.0%} of b={b:g} s/mm²: at least {LEAST} volumes, "
                     f"all within {WIDTH:.0%} of their median",
            remedy="choose one of these shells (dwijax fit takes any b-values)",
        )
    return nearest[1]


def _dense(b):
    """Slices of ascending b-values that are shells."""
    gaps = np.diff(b)
    clear = gaps > np.maximum(_LEAST_GAP, _GAP * b[:-1])
    parts = [tuple(part[[0, -1]] + [0, 1]) for part in
             np.split(np.arange(len(b)), np.flatnonzero(clear) + 1) if part.size]
    found = []
    while parts:
        start, stop = parts.pop()
        centre = np.median(b[start:stop])
        if max(b[stop - 1] - centre, centre - b[start]) > max(LEAST_WIDTH, WIDTH * centre):
            cut = start + 1 + int(gaps[start:stop - 1].argmax())
            parts += [(start, cut), (cut, stop)]
            continue
        inside = (b[stop - 1] - b[start]) / max(stop - start - 1, 1)
        ends = [k for k in (start - 1, stop - 1) if 0 <= k < len(gaps)]
        if stop - start >= LEAST and all(
                clear[k] or (stop - start >= _MANY and gaps[k] >= _CONTRAST * inside)
                for k in ends):
            found.append(slice(start, stop))
    return sorted(found, key=lambda part: part.start)


def _nominal(b):
    """The round number a scanner's protocol would state for `b`."""
    hundreds = 100 * round(b / 100)
    return int(hundreds if abs(b - hundreds) <= 0.01 * b else 10 * round(b / 10))


def _volumes(n):
    return f"{n} volume{'s' * (n != 1)}"

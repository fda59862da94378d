"""Splits into training, validation and test that share nothing.

Subjects are split whole. The slices of a single scan are alike, share its noise where it was
resampled, and must be split into slabs with a gap; what comes of it holds within that subject only.
"""

import itertools

import numpy as np

from dwijax.errors import InputError

LEAST_GAP = 3  # slices; spline resampling and 3-D denoising correlate neighbours about this far


def subject_split(names, fractions=(0.7, 0.15, 0.15), seed=0, families=None):
    """Draws the subjects of each part; families stay together.

    Families are drawn in random order, large ones first, each for the part that lacks most: with
    families of one this is a plain draw of as many subjects as the fractions say; a part can
    exceed its share by less than the largest family.

    Args:
      names: of all subjects, unique.
      fractions: of subjects in each part, summing to 1; a part whose fraction is above 0 gets at
        least one family.
      seed: of the draw.
      families: one for each name (the person of several scans, relatives), None for none.

    Returns:
      tuple of sorted lists of names, one per fraction.

    Raises:
      InputError: there are fewer families than parts, or a name stands twice.
    """
    disjoint_subjects(names)
    together = {}
    of = dict(zip(names, families or [None] * len(names), strict=True))
    for name in sorted(names):
        alone = of[name] is None
        together.setdefault((alone, name if alone else of[name]), []).append(name)
    groups = list(together.values())
    _sizes(len(groups), fractions, "subjects" if len(groups) == len(names) else "families")
    sizes = _sizes(len(names), fractions, "subjects")
    drawn = [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]
    parts = [[] for _ in fractions]
    for left, group in zip(range(len(drawn), 0, -1), sorted(drawn, key=len, reverse=True),
                           strict=True):
        lack = [size - len(part) for size, part in zip(sizes, parts, strict=True)]
        empty = [k for k, size in enumerate(sizes) if size and not parts[k]]
        open_to = empty if len(empty) == left else [k for k, size in enumerate(sizes) if size]
        parts[max(open_to, key=lack.__getitem__)] += group
    return tuple(sorted(part) for part in parts)


def disjoint_subjects(*parts):
    """Refuses a split in which a subject stands twice.

    Args:
      *parts: lists of names.

    Raises:
      InputError: names the subjects.
    """
    names = [name for part in parts for name in part]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "split",
            found=f"{', '.join(map(str, twice[:8]))} more than once",
            expected="every subject in one part",
            remedy="remove them from all parts but one",
        )


def slab_split(n_slices, fractions=(0.6, 0.15, 0.25), gap=LEAST_GAP):
    """Cuts the slices of one scan into contiguous slabs, in the order of the parts.

    Args:
      n_slices: of the scan.
      fractions: of the slices that are not in a gap, summing to 1; a part whose fraction is above
        0 gets at least one slice, one whose fraction is 0 none, and no gap.
      gap: slices left out between neighbouring slabs, at least 3.

    Returns:
      tuple of int64 [n], one per fraction: the slice numbers.

    Raises:
      InputError: the gap is too small or there are too few slices.
    """
    if gap < LEAST_GAP:
        raise InputError(
            "split.gap",
            found=f"{gap} slices",
            expected=f"at least {LEAST_GAP}",
            remedy="choose a larger gap",
        )
    gaps = gap * (sum(fraction > 0 for fraction in fractions) - 1)
    sizes = _sizes(n_slices - gaps, fractions, f"slices ({n_slices} less {gaps} in gaps)")
    slabs, start = [], 0
    for size in sizes:
        slabs.append(np.arange(start, start + size))
        start += size + gap * (size > 0)
    return tuple(slabs)


def disjoint_slabs(*parts, gap=LEAST_GAP):
    """Refuses a split of one scan whose parts overlap or come closer than the gap.

    Args:
      *parts: slice numbers of each part, any iterables of int.
      gap: least number of slices between slices of two parts.

    Raises:
      InputError: names the slices.
    """
    part_of = sorted((int(s), k) for k, part in enumerate(parts) for s in part)
    for (a, part_a), (b, part_b) in itertools.pairwise(part_of):
        if part_a != part_b and b - a <= gap:
            raise InputError(
                "split",
                found=f"slices {a} and {b} in different parts",
                expected=f"at least {gap} slices between the parts",
                remedy="leave a gap",
            )


def _sizes(n, fractions, what):
    """Whole numbers that sum to n, in proportion, at least 1 where the fraction is above 0."""
    fractions = np.asarray(fractions, np.float64)
    if not (fractions.min() >= 0 and abs(fractions.sum() - 1) <= 1e-6):  # nor NaN
        raise InputError(
            "split.fractions",
            found=", ".join(f"{fraction:g}" for fraction in fractions),
            expected="fractions from 0 to 1 that sum to 1",
            remedy="change them",
        )
    least = (fractions > 0).astype(int)
    if n < least.sum():
        raise InputError(
            "split",
            found=f"{max(n, 0)} {what}",
            expected=f"at least {least.sum()}, one for each part",
            remedy="give more or ask for fewer parts",
        )
    sizes = np.maximum(np.floor(fractions * n + 1e-9).astype(int), least)
    while sizes.sum() != n:
        step = 1 if sizes.sum() < n else -1
        movable = (fractions > 0) & (sizes + step >= least)
        lack = np.where(movable, step * (fractions * n - sizes), -np.inf)
        sizes[np.argmax(lack)] += step
    return [int(size) for size in sizes]

"""Splits share nothing."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwijax.data.split import disjoint_slabs, disjoint_subjects, slab_split, subject_split
from dwijax.errors import InputError

PARTS = st.lists(st.integers(0, 10), min_size=1, max_size=4).filter(any)


@given(st.integers(1, 80), PARTS, st.integers(0, 3))
def test_every_subject_stands_in_one_part(n, weights, seed):
    fractions = np.array(weights) / sum(weights)
    names = [f"{i:03}" for i in range(n)]
    wanted = sum(f > 0 for f in fractions)
    if n < wanted:
        with pytest.raises(InputError, match=f"{n} subjects; expected at least {wanted}"):
            subject_split(names, fractions, seed)
        return
    parts = subject_split(names[::-1], fractions, seed)
    disjoint_subjects(*parts)
    assert sorted(itertools.chain(*parts)) == names
    assert parts == subject_split(names, fractions, seed)
    for part, fraction in zip(parts, fractions, strict=True):
        assert (len(part) > 0) == (fraction > 0)
        assert len(part) == 1 or abs(len(part) - fraction * n) < len(fractions)


FAMILIES = st.lists(st.integers(1, 6), min_size=1, max_size=30)


@given(FAMILIES, st.integers(0, 5), PARTS, st.integers(0, 3))
def test_no_family_straddles_a_split(sizes, alone, weights, seed):
    fractions = np.array(weights) / sum(weights)
    families = [f"f{i}" for i, size in enumerate(sizes) for _ in range(size)] + [None] * alone
    names = [f"{i:03}" for i in range(len(families))]
    family_of = dict(zip(names, families, strict=True))
    wanted = sum(f > 0 for f in fractions)
    if len(sizes) + alone < wanted:
        with pytest.raises(InputError, match=f"expected at least {wanted}"):
            subject_split(names, fractions, seed, families)
        return
    parts = subject_split(names, fractions, seed, families)
    assert sorted(itertools.chain(*parts)) == names
    where = [{family_of[name] for name in part} - {None} for part in parts]
    for a, b in itertools.combinations(where, 2):
        assert not a & b
    for part, fraction in zip(parts, fractions, strict=True):
        assert (len(part) > 0) == (fraction > 0)
        if len(sizes) + alone >= 2 * wanted:
            assert len(part) < fraction * len(names) + max(sizes) + len(fractions)
    assert parts == subject_split(names, fractions, seed, families)


def test_large_families_leave_the_shares_nearly_as_asked():
    families = [f"f{i // 4}" for i in range(400)]
    names = [f"{i:03}" for i in range(400)]
    parts = subject_split(names, (0.7, 0.15, 0.15), 1, families)
    assert [len(part) for part in parts] == [280, 60, 60]


def test_another_seed_is_another_split():
    names = [str(i) for i in range(30)]
    assert subject_split(names, seed=0) != subject_split(names, seed=1)
    assert [len(part) for part in subject_split(names, (0.5, 0.25, 0.25))] in (
        [15, 8, 7],
        [15, 7, 8],
    )


def test_a_subject_in_two_parts_is_refused():
    with pytest.raises(InputError, match="b more than once"):
        disjoint_subjects(["a", "b"], ["c"], ["b"])
    with pytest.raises(InputError, match="a more than once"):
        subject_split(["a", "a", "b"])


@given(st.integers(1, 120), PARTS, st.integers(3, 6))
def test_slabs_are_contiguous_and_apart(n, weights, gap):
    fractions = np.array(weights) / sum(weights)
    parts = sum(f > 0 for f in fractions)
    if n < parts + gap * (parts - 1):
        with pytest.raises(InputError, match="at least"):
            slab_split(n, fractions, gap)
        return
    slabs = slab_split(n, fractions, gap)
    disjoint_slabs(*slabs, gap=gap)
    used = [slab for slab in slabs if len(slab)]
    assert len(used) == parts
    assert used[0][0] == 0 and used[-1][-1] == n - 1
    for slab in slabs:
        assert slab.dtype == np.int64
        assert np.all(np.diff(slab) == 1)
    for a, b in itertools.pairwise(used):
        assert b[0] - a[-1] - 1 == gap


def test_slabs_of_forty_slices():
    train, validation, test = slab_split(40, (0.6, 0.15, 0.25))
    assert [len(train), len(validation), len(test)] == [20, 5, 9]
    assert list(validation) == [23, 24, 25, 26, 27]


@pytest.mark.parametrize("parts", [([0, 1, 2], [2, 3]), ([0, 1], [4, 5]), ([0, 9], [5])])
def test_slabs_that_touch_are_refused(parts):
    with pytest.raises(InputError, match="in different parts"):
        disjoint_slabs(*parts, gap=4 if parts[1] == [5] else 3)
    disjoint_slabs([0, 1, 2], [6, 7], [])


def test_small_gaps_and_odd_fractions_are_refused():
    with pytest.raises(InputError, match="at least 3"):
        slab_split(40, gap=2)
    for fractions in ((0.5, 0.4), (1.5, -0.5)):
        with pytest.raises(InputError, match="sum to 1"):
            slab_split(40, fractions)

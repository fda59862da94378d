"""Shells: what scanners vary about one, free b-values, what is asked for."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dwijax.errors import InputError
from dwijax.gradients import (
    GradientTable,
    condition_number,
    direction_set,
    read_gradients,
    select_shell,
    shells,
    unshelled,
)


def shell_sizes(bvals, **options):
    return [(b, len(index)) for b, index in shells(bvals, **options)]


def test_nearby_b_values_make_one_shell():
    bvals = [5, 995, 1005, 0, 2000, 1990, 2012.5, 700, 1000]
    found = shells(bvals)
    assert [b for b, _ in found] == [0, 1000, 2000]
    assert [list(index) for _, index in found] == [[0, 3], [1, 2, 8], [4, 5, 6]]
    assert list(unshelled(bvals)) == [7]  # one volume makes no shell
    assert shell_sizes([1000, 1060, 1130, 60, 80.5]) == []


def test_the_threshold_of_b0s_is_the_caller_s():
    bvals = [60, 65, 70, *[1000] * 6]
    assert shell_sizes(bvals) == [(60, 3), (1000, 6)]
    assert shell_sizes(bvals, b0_threshold=70) == [(0, 3), (1000, 6)]


STEPS = np.arange(5) * 5.0


@pytest.mark.parametrize("nominal, jitter", [
    (1000, [-10, -5, 0, 5, 10]), (1000, [-30, 0, 25]), (2000, STEPS - 15), (3000, STEPS - 30),
    (400, [-10, 10, 0]), (1000, [-45, -10, 0, 20, 45])])
def test_what_scanners_vary_about_a_protocol_is_one_shell(nominal, jitter):
    bvals = nominal + np.tile(jitter, 8)
    assert shell_sizes(np.r_[0, bvals]) == [(0, 1), (nominal, len(bvals))]


@settings(max_examples=50)
@given(st.integers(60, 300), st.integers(0, 2**31 - 1), st.sampled_from(["even", "drawn"]))
def test_free_b_values_are_not_a_shell_and_a_shell_among_them_is(n, seed, how):
    rng = np.random.default_rng(seed)
    free = np.linspace(600, 1500, n) if how == "even" else rng.uniform(600, 1500, n)
    every = rng.permutation(free)
    sizes = [size for _, size in shell_sizes(every)]
    # Drawn ones have gaps of 5 % by chance, and what stands between two of them is a shell. Of 8000
    # draws of 60 they took 68 % at most, the largest 27 %; of 100, 30 % and 21 %.
    assert sum(sizes) <= (0 if how == "even" else 0.75 * n)
    assert max(sizes, default=0) <= n / 3
    bvals = np.r_[[0.0] * 3, every, np.full(n, 3000.0) + rng.uniform(-30, 30, n)]
    assert (0, 3) in shell_sizes(bvals) and (3000, n) in shell_sizes(bvals)
    found = np.concatenate([i for _, i in shells(bvals)] + [unshelled(bvals)])
    np.testing.assert_array_equal(np.sort(found), np.arange(len(bvals)))
    for nominal, index in shells(bvals):
        if nominal:
            centre = np.median(bvals[index])
            assert np.abs(bvals[index] - centre).max() <= max(30, 0.05 * centre)


def test_volumes_at_one_b_among_free_ones_are_a_shell():
    bvals = np.r_[np.linspace(500, 1500, 50), np.full(30, 1000.0)]
    (nominal, index), = shells(bvals)
    assert nominal == 1000 and set(range(50, 80)) <= set(index) and len(index) < 40


def test_shells_that_jitter_nearly_bridges_are_two():
    rng = np.random.default_rng(0)
    bvals = np.r_[1000 + rng.uniform(-30, 30, 30), 1100 + rng.uniform(-30, 30, 30)]
    assert shell_sizes(bvals) == [(1000, 30), (1100, 30)]


def test_diffusion_spectrum_imaging_is_many_shells():
    grid = (np.indices((11, 11, 11)).reshape(3, -1) - 5).T
    squares = (grid**2).sum(axis=1)
    found = shells(8000 / 25 * squares[squares <= 25])
    assert len(found) > 10 and max(len(index) for _, index in found) < 100


def test_select_shell_names_what_there_is():
    gtab = GradientTable([0, 995, 1000, 1000, 2000, 2000, 2000, 500, 600],
                         np.r_[np.zeros((1, 3)), direction_set(8)])
    np.testing.assert_array_equal(select_shell(gtab, 1000), [1, 2, 3])
    np.testing.assert_array_equal(select_shell(gtab, 0), [0])
    with pytest.raises(InputError, match=r"b=0 \(1 volume\), b=1000 \(3 volumes\), b=2000 "
                       r"\(3 volumes\), no shell \(2 volumes, b=500 to 600\).*b=1500"):
        select_shell(gtab, 1500)
    with pytest.raises(InputError):
        select_shell(gtab[1:], 0)
    with pytest.raises(InputError):
        select_shell(gtab[:1], 1000)


def test_hcp_shell_out_of_three_interleaved(shared_data):
    folder = shared_data / "gradients"
    three = read_gradients(folder / "hcp_3shell_288.bval", folder / "hcp_3shell_288.bvec")
    one = read_gradients(folder / "hcp_b1000_90dir.bval", folder / "hcp_b1000_90dir.bvec")
    assert [(b, len(index)) for b, index in shells(three.bvals)] == [
        (0, 18),
        (1000, 90),
        (2000, 90),
        (3000, 90),
    ]
    chosen = three[select_shell(three, 1000)]
    np.testing.assert_array_equal(chosen.bvecs, one[select_shell(one, 1000)].bvecs)
    assert condition_number(chosen.bvecs[:6]) == pytest.approx(5.65, abs=0.01)
    assert condition_number(chosen.bvecs[:12]) < 1.77

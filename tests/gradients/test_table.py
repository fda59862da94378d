"""Gradient tables: reading every lawful layout, refusing the rest; b0s and lengths."""


import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dwijax.errors import InputError
from dwijax.gradients import (
    GradientTable,
    direction_set,
    find_b0s,
    read_gradients,
    write_gradients,
)

BVALS = "0 1000 995.5 2000\n"
BVECS = "0 1 0 0.6\n0 0 1 0\n0 0 0 0.8\n"
EXPECTED = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]])


def table(tmp_path, bvals=BVALS, bvecs=BVECS):
    for name, text in (("bvals", bvals), ("bvecs", bvecs)):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_gradients(tmp_path / "bvals", tmp_path / "bvecs")


@pytest.mark.parametrize(
    ("bvals", "bvecs"),
    [
        (BVALS, BVECS),
        ("0\n1000\n995.5\n2000\n", "0 0 0\n1 0 0\n0 1 0\n0.6 0 0.8"),
        ("0\t1000\t995.5\t2000   \r\n\r\n", "0\t1\t0\t0.6 \t\r\n0 0 1 0\r\n \r\n0 0 0 0.8\r\n\n"),
        ("\ufeff# exported\n 0 1e3 9.955e2 2000", "# exported\n" + BVECS),
    ],
)
def test_layouts_of_the_text_files(tmp_path, bvals, bvecs):
    gtab = table(tmp_path, bvals, bvecs)
    np.testing.assert_array_equal(gtab.bvals, [0, 1000, 995.5, 2000])
    np.testing.assert_allclose(gtab.bvecs, EXPECTED, atol=1e-15)
    assert gtab.bvals.dtype == gtab.bvecs.dtype == np.float64
    np.testing.assert_array_equal(gtab.b0s_mask, [True, False, False, False])


def test_three_volumes_are_read_as_fsl_writes_them(tmp_path):
    gtab = table(tmp_path, "0 1000 1000", "0 0.6 0\n0 0.8 0\n0 0 1\n")
    np.testing.assert_allclose(gtab.bvecs, [[0, 0, 0], [0.6, 0.8, 0], [0, 0, 1]], atol=1e-15)


def test_rounded_directions_are_normalised_and_b0_directions_kept(tmp_path):
    gtab = table(tmp_path, "5 1000 1000", "0.3 0.605 0\n0.4 0.803 0\n0 0 0.995\n")
    np.testing.assert_allclose(np.linalg.norm(gtab.bvecs, axis=1), 1, atol=1e-15)
    np.testing.assert_array_equal(gtab.bvals, [5, 1000, 1000])


@pytest.mark.parametrize(
    ("bvals", "bvecs", "words"),
    [
        ("", BVECS, ["bvals", "no numbers"]),
        ("0 1000 abc 2000", BVECS, ["bvals", "'abc'"]),
        ("0 1_000 1000 2000", BVECS, ["'1_000'"]),
        ("0,1000,1000,2000", BVECS, ["separated by blanks"]),
        (b"\xff\xfe\x00\x01", BVECS, ["bvals", "not text"]),
        ("0 1000\n1000 2000", BVECS, ["2 rows of 2 numbers", "one row or one column"]),
        ("0 1000 1000", BVECS, ["bvecs", "4 directions", "3 b-values"]),
        (BVALS, "0 1 0 0\n0 0 1 0\n", ["bvecs", "2 rows of 4", "3 rows of 4"]),
        (BVALS, "0 1 0 0\n0 0 1\n0 0 0 1\n", ["rows of 3 to 4"]),
        (BVALS, "0 1 0 nan\n0 0 1 0\n0 0 0 0\n", ["bvecs", "not a number", "volume 3"]),
        (BVALS, "0 1 0 inf\n0 0 1 0\n0 0 0 0\n", ["not a number", "volume 3"]),
        ("0 nan 1000 2000", BVECS, ["bvals", "not a number", "volume 1"]),
        ("0 -1000 1000 2000", BVECS, ["negative", "volume 1"]),
        ("0 1 1 2", BVECS, ["at most 2", "1000"]),
        ("0 1e9 1e9 2e9", BVECS, ["at most 2e+09", "s/mm²"]),
        (BVALS, "0 1 0 0\n0 0 0 0\n0 0 0 1\n", ["no direction", "volume 2", "trace"]),
        (BVALS, "0 1 0 0\n0 0 0.7 0\n0 0 0 0.9\n", ["unit length", "volumes 2, 3", "b=996 to"]),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, bvals, bvecs, words):
    with pytest.raises(InputError) as caught:
        table(tmp_path, bvals, bvecs)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_missing_file_folder_and_huge_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_gradients(tmp_path / "bvals", tmp_path / "bvecs")
    with pytest.raises(InputError, match="directory"):
        read_gradients(tmp_path, tmp_path)
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="MiB"):
        read_gradients(tmp_path / "huge", tmp_path / "huge")


CHARACTERS = "0123456789.-+e \t\n#naif"
NUMBERS = ("0", "1", "1000", "-1", "0.6", "0.8", "1e3", "nan", "\n")
KINDS = (bytes, lambda noise: "".join(CHARACTERS[b % len(CHARACTERS)] for b in noise).encode(),
         lambda noise: " ".join(NUMBERS[b % len(NUMBERS)] for b in noise).encode())


# Ten files an example: drawing them is what takes the time.
@settings(max_examples=1_000, phases=[Phase.generate])
@given(st.binary(min_size=1_000, max_size=1_000))
def test_any_bytes_are_read_or_refused(tmp_path_factory, noise):
    """Noise, noise of the right characters, and right numbers in wrong tables."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "good.bval").write_text(BVALS)
    (folder / "good.bvec").write_text(BVECS)
    for start in range(0, 1_000, 100):
        kind, length, *rest = noise[start:start + 100]
        (folder / "fuzzed").write_bytes(KINDS[kind % 3](bytes(rest[:length % 99])))
        files = ("fuzzed", "good.bvec") if kind < 128 else ("good.bval", "fuzzed")
        try:
            gtab = read_gradients(*(folder / file for file in files))
        except InputError as error:
            assert "\n" not in str(error)
            continue
        assert np.isfinite(gtab.bvals).all() and np.isfinite(gtab.bvecs).all()
        assert len(gtab.bvals) == len(gtab.bvecs) > 0


def test_write_and_read_are_exact(tmp_path):
    rng = np.random.default_rng(0)
    bvecs = rng.normal(size=(20, 3))
    gtab = GradientTable(
        np.r_[0, rng.uniform(900, 1100, 19)],
        np.r_[[[0, 0, 0]], (bvecs / np.linalg.norm(bvecs, axis=1, keepdims=True))[1:]],
    )
    write_gradients(gtab, tmp_path / "x.bval", tmp_path / "x.bvec")
    back = read_gradients(tmp_path / "x.bval", tmp_path / "x.bvec")
    np.testing.assert_array_equal(back.bvals, gtab.bvals)
    np.testing.assert_array_equal(back.bvecs, gtab.bvecs)
    assert len((tmp_path / "x.bvec").read_text().splitlines()) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.bval", "x.bvec"]


def test_table_is_indexed_like_an_array_and_read_only():
    gtab = GradientTable([0, 1000, 2000], [[0, 0, 0], [1, 0, 0], [0, 0, 1]])
    assert len(gtab[gtab.b0s_mask]) == len(gtab[1]) == 1
    np.testing.assert_array_equal(gtab[[2, 1]].bvals, [2000, 1000])
    np.testing.assert_array_equal(gtab[::-1].bvecs, gtab.bvecs[::-1])
    with pytest.raises(ValueError, match="read-only"):
        gtab.bvals[0] = 5
    with pytest.raises(InputError):
        GradientTable([0, 1000], [[0, 0, 0]])


def test_what_is_a_b0_goes_with_a_table(tmp_path):
    (tmp_path / "b").write_text("65 60 1000 1000 1000")
    (tmp_path / "v").write_text("0 0 1 0 0\n0 0 0 1 0\n0 0 0 0 1")
    gtab = read_gradients(tmp_path / "b", tmp_path / "v", 100)
    assert gtab[::-1].b0s_mask.sum() == gtab.b0s_mask.sum() == 2 and gtab[1].b0s_mask.all()
    assert not gtab.notes
    with pytest.raises(InputError, match=r"volumes 0, 1 .*above b=50"):
        read_gradients(tmp_path / "b", tmp_path / "v", 50)


@pytest.mark.parametrize("bvals, threshold", [
    ("65 60 70 1000", 70), ("65 60.5 1000 1000", 65), ("0 65 1000 1000", 50),
    ("60 100 200 1000", 50), ("110 120 1000 1000", 50), ("100 1000 1000 2000", 100)])
def test_b0s_of_hcp_7t_are_found_and_told(tmp_path, capsys, bvals, threshold):
    gtab = table_of(tmp_path, bvals, direction_set(4), b0_threshold=None)
    assert gtab.b0_threshold == threshold
    assert ("taken for b0s" in capsys.readouterr().err) == (threshold != 50) == bool(gtab.notes)


@pytest.mark.parametrize("threshold", [np.nan, -1, np.inf])
def test_impossible_thresholds(tmp_path, threshold):
    with pytest.raises(InputError, match="--b0-threshold"):
        table_of(tmp_path, "0 1000 1000", direction_set(3), b0_threshold=threshold)


def test_without_a_b0_the_option_is_named():
    gtab = GradientTable([120.0, 1000], direction_set(2))
    with pytest.raises(InputError, match=r"b is 120 .*HCP 7T: 60 to 70.*--b0-threshold 120"):
        find_b0s(gtab, "dwi.bval")
    np.testing.assert_array_equal(find_b0s(GradientTable([120.0, 1000], direction_set(2), 120),
                                           "dwi.bval"), [0])


def table_of(folder, bvals, bvecs, **options):
    (folder / "b").write_text(bvals if isinstance(bvals, str) else " ".join(map(str, bvals)))
    np.savetxt(folder / "v", np.asarray(bvecs).T)
    return read_gradients(folder / "b", folder / "v", **options)


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1), st.sampled_from([1000.0, 3000.0]))
def test_lengths_scale_a_nominal_b_once(tmp_path_factory, seed, b):
    folder, rng = tmp_path_factory.getbasetemp(), np.random.default_rng(seed)
    lengths = np.r_[1.0, rng.uniform(0.3, 1, 11)]
    gtab = table_of(folder, [0, *[b] * 12],
                    np.r_[np.zeros((1, 3)), direction_set(12) * lengths[:, None]])
    np.testing.assert_allclose(gtab.bvals[1:], b * lengths**2)
    np.testing.assert_allclose(np.linalg.norm(gtab.bvecs[1:], axis=1), 1)
    assert "squared length" in gtab.notes[0]
    # What is written reads back as it is: nothing is scaled twice.
    write_gradients(gtab, folder / "b", folder / "v")
    again = read_gradients(folder / "b", folder / "v")
    np.testing.assert_array_equal(again.bvals, gtab.bvals)
    # And b that has the lengths already stays.
    known = table_of(folder, gtab.bvals, np.r_[np.zeros((1, 3)), direction_set(12)
                                               * lengths[:, None]])
    np.testing.assert_array_equal(known.bvals, gtab.bvals)
    np.testing.assert_allclose(known.bvecs, gtab.bvecs, atol=1e-12)
    assert "already" in known.notes[0]


def test_lengths_within_rounding_mean_nothing(tmp_path, capsys):
    bvecs = direction_set(12).round(2)
    assert np.abs(np.linalg.norm(bvecs, axis=1) - 1).max() > 0.003
    gtab = table_of(tmp_path, [1000] * 12, bvecs)
    assert not gtab.notes and not capsys.readouterr().err and (gtab.bvals == 1000).all()


@pytest.mark.parametrize("bvals, lengths", [
    ([1000] * 6, [0.5] * 6),  # a shell taken out of b to 4000, or nominal b
    ([1000, 1000, 1000, 2000, 2000, 2000], [0.9, 1, 0.95, 1, 0.97, 1]),
    ([1000] * 6, [1, 1, 1, 1, 1, 2])])
def test_lengths_of_which_nobody_knows_what_they_mean(tmp_path, bvals, lengths):
    with pytest.raises(InputError, match=r"lengths of .*normalise .*multiply b by the squared"):
        table_of(tmp_path, bvals, direction_set(6) * np.array(lengths)[:, None])

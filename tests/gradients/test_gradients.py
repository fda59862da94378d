"""Gradient tables: reading every lawful layout, refusing the rest, frames, shells, sets."""

import hashlib
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dwijax.errors import InputError
from dwijax.gradients import (
    GradientTable,
    compare,
    condition_number,
    direction_set,
    find_b0s,
    fsl_to_world,
    match,
    read_gradients,
    select_shell,
    shells,
    unshelled,
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
    taken = sum(size for _, size in shell_sizes(every))
    assert taken <= (0 if how == "even" else n / 2)
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


def test_angles_are_those_of_axes_and_accurate_when_small():
    a = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    b = np.array([[-1.0, 0, 0], [np.cos(1e-9), np.sin(1e-9), 0], [0, 0, 1], [0, 0.6, 0.8]])
    np.testing.assert_allclose(
        compare(a, b), [0, np.degrees(1e-9), 90, np.degrees(np.arccos(0.8))], rtol=1e-7
    )
    with pytest.raises(ValueError, match=r"\[n, 3\]"):
        compare(a, b[:2])


def test_match_finds_permuted_flipped_and_turned_directions():
    rng = np.random.default_rng(1)
    b = direction_set(30)
    order = rng.permutation(30)[:20]
    turned = b[order] @ Rotation.from_rotvec([0.02, 0, 0.01]).as_matrix().T
    a = turned * rng.choice([-1, 1], (20, 1))
    assignment, angles = match(a, b)
    np.testing.assert_array_equal(assignment, order)
    assert 0 < angles.max() < np.degrees(0.03)
    with pytest.raises(ValueError, match="30 directions"):
        match(b, a)


# Unit vectors, the affine and what MRtrix3 3.0.3 prints for them (mrinfo -fslgrad -dwgrad).
GOLDEN_BVECS = [[1, 0, 0], [0.6, 0.8, 0], [0.26726124, 0.53452248, 0.80178373]]
GOLDEN_TURN = Rotation.from_euler("xyz", [12, -20, 31], degrees=True).as_matrix()
GOLDEN_WORLD = [
    [-0.805473789630709, -0.483977467006893, -0.342020153861635],
    [-0.935073399323762, 0.351062951308609, -0.0489136187129289],
    [-0.661200421845954, 0.0181974665977766, 0.749988569486332],
]
GOLDEN_WORLD_PIR = [  # the same text file beside the same image stored along P, I, R
    [-0.564736406931671, 0.801811789390931, 0.195373092005065],
    [-0.195098150250488, 0.761502383713939, -0.618102605856687],
    [0.59092642125857, 0.789698829848099, -0.164868804796672],
]


def oblique(codes):
    """A scaled, turned RAS grid stored along `codes`."""
    affine = np.eye(4)
    affine[:3, :3] = GOLDEN_TURN @ np.diag([2, 2.5, 3])
    affine[:3, 3] = [1, 2, 3]
    ras, wanted = (nib.orientations.axcodes2ornt(c) for c in ("RAS", codes))
    change = nib.orientations.ornt_transform(ras, wanted)
    return affine @ nib.orientations.inv_ornt_aff(change, (4, 5, 6))


@pytest.mark.parametrize(
    ("codes", "world"), [("RAS", GOLDEN_WORLD), ("LAS", GOLDEN_WORLD), ("PIR", GOLDEN_WORLD_PIR)]
)
def test_world_frame_is_that_of_mrtrix(codes, world):
    rotation = fsl_to_world(oblique(codes))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(np.array(GOLDEN_BVECS) @ rotation.T, world, atol=5e-8)


@pytest.mark.skipif(not shutil.which("mrinfo"), reason="MRtrix3 is not installed")
@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SPL", "AIL", "RSA"])
def test_world_frame_against_mrtrix_itself(tmp_path, codes):
    gtab = GradientTable(np.full(30, 1000.0), direction_set(30))
    write_gradients(gtab, tmp_path / "bvals", tmp_path / "bvecs")
    image = nib.Nifti1Image(np.ones((4, 5, 6, 30), np.uint8), oblique(codes))
    nib.save(image, tmp_path / "dwi.nii")
    command = ["mrinfo", "-quiet", "-fslgrad", "bvecs", "bvals", "dwi.nii", "-dwgrad"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    theirs = np.array([line.split() for line in done.stdout.splitlines()], float)
    ours = gtab.bvecs @ fsl_to_world(nib.load(tmp_path / "dwi.nii").affine).T
    np.testing.assert_allclose(ours, theirs[:, :3], atol=1e-6)


def nearest_angle(bvecs):
    """Smallest angle between two axes of a set, degrees."""
    i, j = np.triu_indices(len(bvecs), 1)
    return compare(bvecs[i], bvecs[j]).min()


def largest_hole(bvecs):
    """Angle from the loneliest point of the sphere to the nearest axis, degrees."""
    points = np.random.default_rng(0).normal(size=(3000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.degrees(np.arccos(np.abs(points @ np.asarray(bvecs).T).max(axis=1).min()))


@pytest.mark.parametrize("n", [12, 30, 60, 90])
def test_every_leading_subset_is_nearly_uniform(n):
    chosen = direction_set(n)
    np.testing.assert_allclose(np.linalg.norm(chosen, axis=1), 1, atol=1e-12)
    shuffled = [np.random.default_rng(i).permutation(chosen) for i in range(20)]
    for q in (q for q in (6, 10, 12, 18, 30, 60) if q < n):
        assert condition_number(chosen[:q]) < 2.8
        assert condition_number(chosen[:q]) < np.mean([condition_number(s[:q]) for s in shuffled])
        assert largest_hole(chosen[:q]) < 0.96 * np.mean([largest_hole(s[:q]) for s in shuffled])
        angles = [nearest_angle(s[:q]) for s in shuffled]
        assert nearest_angle(chosen[:q]) > (1.5 if q < n / 6 else 0.999) * np.mean(angles)
    assert condition_number(chosen) == pytest.approx(1.58, abs=0.04)


def test_direction_set_is_well_spread_and_the_same_each_time():
    chosen = direction_set(30)
    assert nearest_angle(direction_set(90)) > 14
    direction_set.__globals__["_direction_set"].cache_clear()
    np.testing.assert_array_equal(direction_set(30), chosen)
    assert not np.array_equal(direction_set(30, seed=1), chosen)
    np.testing.assert_allclose(nearest_angle(direction_set(6)), 63.43, atol=0.1)  # icosahedron
    assert direction_set(1).shape == (1, 3)
    with pytest.raises(ValueError, match="at least one"):
        direction_set(0)


def test_the_kept_set_is_the_same_on_every_processor_and_as_good_as_a_new_one():
    kept = direction_set(90)
    assert hashlib.sha256(kept.astype("<f8").tobytes()).hexdigest().startswith("428785fd3dc9edf9")
    search, energy = (direction_set.__globals__[name] for name in ("_search", "_repulsion"))
    assert energy(kept)[0].sum() < 1.0001 * energy(search(90, 0))[0].sum()


def test_condition_number_of_the_icosahedron_and_of_too_few():
    assert condition_number(direction_set(6)) == pytest.approx(np.sqrt(2.5), abs=1e-3)
    assert condition_number(direction_set(5)) == np.inf
    planar = [[np.cos(t), np.sin(t), 0] for t in np.linspace(0, 3, 12)]
    assert condition_number(planar) == np.inf

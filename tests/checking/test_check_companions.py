"""``dwijax check``: do volumes and table belong together, whichever way round the axes are?"""

import functools

import nibabel as nib
import numpy as np
import pytest
from dipy.data import get_fnames
from hypothesis import given, settings
from hypothesis import strategies as st

from dwijax import cli
from dwijax.checking import looks
from dwijax.checking.companions import compare_with_table
from dwijax.checking.order import compare_order
from dwijax.data.layouts import find_subjects
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable, orientation, read_gradients
from dwijax.gradients.directions import compare, direction_set

REAL = ("canon_60dir_b1500", "philips_12dir_b1000", "siemens_20dir_b1000_repeated",
        "siemens_sagittal_20dir_b2000")


def blocks_of(place, shape, size):
    return orientation.blocks_of(np.array(place), shape, size,
                                 np.cbrt(len(place[0]) * np.prod(size) / 64))


def loaded(dwi, mask, gtab):
    """``(signal [V, M], gtab, blocks)`` of a scan on disk."""
    image, mask = nib.load(dwi), np.asarray(nib.load(mask).dataobj) > 0
    signal = np.asarray(image.dataobj, np.float32)[mask]
    blocks = blocks_of(np.nonzero(mask), mask.shape, np.linalg.norm(image.affine[:3, :3], axis=0))
    step = -(-len(signal) // 4000)
    return signal[::step], gtab, blocks[::step]


@functools.cache
def real():
    """dipy's small_64D: a piece of a brain, 1 b0 and 64 directions."""
    data, bval, bvec = get_fnames(name="small_64D")
    image = nib.load(data)
    bvals, bvecs = np.loadtxt(bval), np.loadtxt(bvec).reshape(-1, 3)
    bvecs = np.where(bvals[:, None] > 50, bvecs, 0)
    norms = np.linalg.norm(bvecs, axis=1, keepdims=True)
    gtab = GradientTable(bvals, np.divide(bvecs, norms, out=np.zeros_like(bvecs), where=norms > 0))
    signal = np.asarray(image.dataobj, np.float32)
    return signal.reshape(-1, 65), gtab, blocks_of(
        np.indices(signal.shape[:3]).reshape(3, -1), signal.shape[:3], (2, 2, 2))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A simulated head: 3 b0s among 24 directions at two b-values each, two shells."""
    folder = tmp_path_factory.mktemp("simulated")
    bvals = np.r_[0.0, np.full(12, 1000.0), 0.0, np.full(12, 1000.0), 0.0, np.full(24, 2000.0)]
    axes = direction_set(24)
    bvecs = np.zeros((51, 3))
    bvecs[bvals > 0] = np.r_[axes, axes]
    np.savetxt(folder / "b", bvals[None])
    np.savetxt(folder / "g", bvecs.T)
    assert cli.main(["simulate", str(folder / "out"), "--subjects", "1", "--workers", "1",
                     "--bvals", str(folder / "b"), "--bvecs", str(folder / "g"), "--quiet",
                     "--shape", "44", "54", "20", "--voxel-size", "3.2"]) == 0
    return find_subjects(folder / "out", "hcp")[0]


@pytest.fixture(scope="module")
def head(simulated):
    """Its first shell alone."""
    signal, gtab, blocks = loaded(simulated.dwi, simulated.mask,
                                  read_gradients(simulated.bval, simulated.bvec))
    first = gtab.bvals < 1500
    return signal[:, first], gtab[first], blocks


@pytest.fixture(params=["real", "simulated"])
def scan(request, head):
    return real() if request.param == "real" else head


def permuted(gtab, name):
    """Where the volumes of an image have come from, ``[M]``."""
    given, dwi = np.arange(len(gtab)), np.flatnonzero(~gtab.b0s_mask)
    b0s = np.flatnonzero(gtab.b0s_mask)
    m, n = dwi[3], dwi[len(dwi) // 2 + 2]
    rng = np.random.default_rng(1)
    order = given.copy()
    if name == "one to the end":
        return np.r_[np.delete(given, m), m], f"volume {len(gtab) - 1} belongs to row {m} "
    if name == "one in between":
        order = np.insert(np.delete(given, n), m, n)
        return order, f"volume {m} belongs to row {n} "
    if name == "exchanged":
        order[[m, n]] = n, m
        return order, f"volumes {m} and {n} are exchanged"
    if name == "b0 and DWI exchanged":
        order[[b0s[0], n]] = n, b0s[0]
        return order, f"volumes {b0s[0]} and {n} are exchanged"
    if name == "reversed":
        return given[::-1], "reversed order"
    if name == "round the end":
        return np.roll(given, 4), "moved by 4 places"
    if name == "b0s last":
        return np.r_[dwi, b0s], "b0"
    if name == "a quarter scrambled":
        some = rng.choice(dwi, len(dwi) // 4, replace=False)
        order[some] = np.roll(some, 1)
        return order, "volumes belong to other rows"
    order[dwi] = rng.permutation(dwi)
    return order, ""


@pytest.mark.parametrize("name", [
    "one to the end", "one in between", "exchanged", "b0 and DWI exchanged", "reversed",
    "round the end", "b0s last", "a quarter scrambled", "another table"])
def test_another_order_is_found_and_named(scan, name):
    signal, gtab, blocks = scan
    order, words = permuted(gtab, name)
    found = compare_with_table(signal[:, order], gtab, blocks)
    assert found.verdict == "apart"
    if name == "another table":
        assert found.explained < 0.3 and found.rows is None
        return
    assert found.restored > 0.9
    if name != "b0s last" or np.count_nonzero(gtab.b0s_mask) > 1:
        assert words in found.change
    assert_rows(found, gtab, order)


def assert_rows(found, gtab, order):
    """Every volume has found its row again, b0s and repeated directions any of theirs."""
    true, mine = gtab[order], gtab[found.rows]
    np.testing.assert_allclose(true.bvals, mine.bvals, atol=10)
    weighted = ~true.b0s_mask
    assert compare(true.bvecs[weighted], mine.bvecs[weighted]).max() < 3.1


def test_axes_and_turns_of_the_table_do_not_touch_the_order(scan):
    signal, gtab, blocks = scan
    weighted = np.flatnonzero(~gtab.b0s_mask)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    given = compare_order(signal[:, weighted], gtab.bvecs[weighted], blocks)
    assert given.explained > 0.9 and given.margin == 0
    for matrix in [*orientation.candidates()[1:], turn]:
        found = compare_order(signal[:, weighted], gtab.bvecs[weighted] @ matrix.T, blocks)
        assert found.explained == pytest.approx(given.explained, abs=1e-9)
        assert found.margin == 0


def test_a_wrong_order_is_found_below_wrong_axes(scan):
    signal, gtab, blocks = scan
    order, words = permuted(gtab, "exchanged")
    flipped = GradientTable(gtab.bvals, gtab.bvecs * [-1, 1, 1])
    assert words in compare_with_table(signal[:, order], flipped, blocks).change


@settings(max_examples=10)
@given(st.data())
def test_any_two_exchanged_dwis_are_told(head, data):
    signal, gtab, blocks = head
    weighted = np.flatnonzero(~gtab.b0s_mask)
    m, n = data.draw(st.lists(st.sampled_from(list(weighted)), min_size=2, max_size=2,
                              unique=True))
    order = np.arange(len(gtab))
    order[[m, n]] = n, m
    found = compare_with_table(signal[:, order], gtab, blocks)
    assert found.change == f"volumes {min(m, n)} and {max(m, n)} are exchanged"


def inserted(scan, image, at, b=None):
    """The scan with one more volume ``[V]``, and a DWI's row once more at the end of the table."""
    signal, gtab, blocks = scan
    row = np.flatnonzero(~gtab.b0s_mask)[-1]
    table = GradientTable(np.r_[gtab.bvals, gtab.bvals[row] if b is None else b],
                          np.r_[gtab.bvecs, gtab.bvecs[[row]]])
    return np.insert(signal, at, image, axis=1), table, blocks


def maps(scan):
    signal, gtab, _ = scan
    b0s = gtab.b0s_mask
    found = fit_maps([signal / np.median(signal[:, b0s])], gtab, first_step=True)
    return {looks.MEAN: signal[:, ~b0s].mean(axis=1),
            looks.DIFFUSIVITY: 1e-3 * np.maximum(found.md, 0), looks.OTHER: 1000 * found.fa,
            looks.B0: 1.1 * signal[:, b0s][:, 0], looks.DWI: signal[:, ~b0s][:, 5]}


@pytest.mark.parametrize("seen", [looks.MEAN, looks.DIFFUSIVITY, looks.OTHER])
@pytest.mark.parametrize("b", [None, 0.0])
def test_an_appended_mean_or_map_is_told(head, seen, b):
    M = len(head[1])
    found = compare_with_table(*inserted(head, maps(head)[seen], M, b))
    assert found.misfits == [(M, 1000 if b is None else 0, seen)]
    assert found.verdict == "apart" and found.rows is None and found.explained > 0.9


@pytest.mark.parametrize("seen", [looks.MEAN, looks.DIFFUSIVITY, looks.OTHER])
def test_volumes_behind_an_inserted_mean_or_map_have_moved(head, seen):
    M = len(head[1])
    found = compare_with_table(*inserted(head, maps(head)[seen], 6))
    assert (6, 1000, seen) in found.misfits
    assert f"volume 6 belongs to row {M} " in found.change
    assert found.explained < 0.6 and found.restored > 0.9


@pytest.mark.parametrize("seen, b", [(looks.B0, None), (looks.DWI, 0.0)])
def test_wrong_b_values_are_told(scan, seen, b):
    M = len(scan[1])
    found = compare_with_table(*inserted(scan, maps(scan)[seen], M, b))
    assert found.misfits == [(M, 1000 if b is None else 0, seen)] and found.explained > 0.9


def test_a_volume_of_another_shell_is_told(simulated):
    signal, gtab, blocks = loaded(simulated.dwi, simulated.mask,
                                  read_gradients(simulated.bval, simulated.bvec))
    assert compare_with_table(signal, gtab, blocks).verdict == "together"
    order = np.arange(len(gtab))
    order[[5, 40]] = 40, 5
    found = compare_with_table(signal[:, order], gtab, blocks)
    assert found.misfits == [(5, 1000, "b=2000"), (40, 2000, "b=1000")]
    assert found.change == "volumes 5 and 40 are exchanged"
    swapped = GradientTable(np.where(gtab.bvals > 0, 3000 - gtab.bvals, 0), gtab.bvecs)
    assert compare_with_table(signal, swapped, blocks).swapped == (1000, 2000)


@pytest.mark.parametrize("gain", [0.3, 0.6, 1.5, 2.5])
def test_a_dark_or_bright_volume_is_still_what_it_is(scan, gain):
    signal, gtab, blocks = scan
    signal = signal.copy()
    signal[:, [4, 9]] *= gain
    assert compare_with_table(signal, gtab, blocks).verdict == "together"
    signal[:, 4] = 0
    assert compare_with_table(signal, gtab, blocks).verdict == "together"


def field(gtab, noise, seed=0):
    """Fibres that turn slowly through a box of uniform S0: unlike a brain, and right."""
    shape = (20, 24, 12)
    x, y, z = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    a, e = 1.5 * x + 0.7 * y, 0.9 * z - 0.3 * x
    v = np.stack([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)], axis=-1)
    adc = 0.2e-3 + (0.1 + 1.3 * y[..., None]) * 1e-3 * (v @ gtab.bvecs.T) ** 2
    signal = 1000 * np.exp(-gtab.bvals * adc)
    rng = np.random.default_rng(seed)
    signal = np.hypot(signal + noise * rng.normal(size=signal.shape),
                      noise * rng.normal(size=signal.shape))
    return signal.reshape(-1, len(gtab)).astype(np.float32), gtab, blocks_of(
        np.indices(shape).reshape(3, -1), shape, (2, 2, 2))


@pytest.mark.parametrize("q", [3, 6, 12, 30])
@pytest.mark.parametrize("shells", [(500,), (1000,), (3000,), (200, 1000), (1000, 2000, 3000)])
@pytest.mark.parametrize("noise", [0, 20, 100])
def test_no_alarm_where_all_fibres_run_alike(q, shells, noise):
    bvals = np.r_[0.0, 0.0, np.repeat(shells, q)]
    bvecs = np.r_[np.zeros((2, 3)), *[direction_set(q)] * len(shells)]
    assert compare_with_table(*field(GradientTable(bvals, bvecs), noise)).verdict != "apart"


@pytest.mark.parametrize("snr", [10, 5, 2])
def test_no_alarm_in_noise(scan, snr):
    signal, gtab, blocks = scan
    rng = np.random.default_rng(snr)
    sigma = np.median(signal[:, gtab.b0s_mask]) / snr
    noisy = np.hypot(signal + sigma * rng.normal(size=signal.shape),
                     sigma * rng.normal(size=signal.shape))
    assert compare_with_table(noisy, gtab, blocks).verdict != "apart"


def test_no_alarm_for_few_directions_of_many(scan):
    signal, gtab, blocks = scan
    rng = np.random.default_rng(5)
    b0s, weighted = np.flatnonzero(gtab.b0s_mask), np.flatnonzero(~gtab.b0s_mask)
    for q in (2, 6, 9, 12, 13, 15, 20) * 3:
        some = np.r_[b0s, rng.choice(weighted, q, replace=False)]
        assert compare_with_table(signal[:, some], gtab[some], blocks).verdict != "apart"


@pytest.mark.parametrize("name", REAL)
def test_real_scans_and_their_orders(shared_data, name):
    files = next(f for f in find_subjects(shared_data, "plain") if f.name == name)
    signal, gtab, blocks = loaded(files.dwi, shared_data / name / "mask.nii.gz",
                                  read_gradients(files.bval, files.bvec))
    right = compare_with_table(signal, gtab, blocks)
    assert right.verdict == "together" and right.explained > 0.9
    for fault in ("one to the end", "one in between", "exchanged", "reversed",
                  "b0 and DWI exchanged"):
        order, _ = permuted(gtab, fault)
        found = compare_with_table(signal[:, order], gtab, blocks)
        assert found.verdict == "apart" and found.change, fault
        assert_rows(found, gtab, order)
    order, _ = permuted(gtab, "another table")
    assert compare_with_table(signal[:, order], gtab, blocks).explained < 0.5
    for seen, image in maps((signal, gtab, blocks)).items():
        b = 0.0 if seen == looks.DWI else None
        found = compare_with_table(*inserted((signal, gtab, blocks), image, len(gtab), b))
        assert [m.seen for m in found.misfits] == [seen]

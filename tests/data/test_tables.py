"""Directions of a scan found among others; tables of a cohort brought into one order."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dwijax.data.channels import B0, Directions
from dwijax.data.cohort import Member, load_slices
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import Subject
from dwijax.errors import InputError
from dwijax.gradients import GradientTable, write_gradients
from dwijax.gradients.directions import angle_of, compare, direction_set, turn
from dwijax.gradients.matching import (
    TOLERANCE,
    find_directions,
    in_order_of,
    spread,
    spread_in_words,
)

WANTED = direction_set(30)


def rotation(degrees, seed=0):
    axis = np.random.default_rng(seed).normal(size=3)
    return Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()


@settings(max_examples=40)
@given(st.permutations(range(60)), st.integers(0, 2**30))
def test_any_order_and_any_signs_are_recovered_exactly(order, seed):
    table = direction_set(60)
    own = table[order] * np.random.default_rng(seed).choice([-1.0, 1.0], (60, 1))
    found = find_directions(own, table[:30])
    assert found.fits and found.angles.max() < 1e-6 and found.turned < 1e-6
    np.testing.assert_array_equal(np.asarray(order)[found.order], np.arange(30))


@settings(max_examples=25)
@given(st.floats(0, 4.9), st.integers(0, 2**20))
def test_rotations_within_the_tolerance_keep_the_assignment(degrees, seed):
    order = np.random.default_rng(seed).permutation(30)
    own = (WANTED @ rotation(degrees, seed).T)[order]
    found = find_directions(own, WANTED)
    np.testing.assert_array_equal(order[found.order], np.arange(30))
    assert found.fits
    assert found.angles.max() <= degrees + 1e-6
    assert found.turned == pytest.approx(degrees, abs=1e-6)
    assert found.rest.max() < 1e-5


def test_the_first_directions_are_preferred_where_they_fit():
    """Two axes 1.7° apart: the one in its place is taken, whichever is nearer."""
    own = np.concatenate([WANTED @ rotation(1.0).T, WANTED[:1]])
    assert find_directions(own, WANTED).in_order


def test_a_table_turned_as_a_whole_is_found_and_one_turned_too_far_is_not():
    turned = WANTED @ rotation(15.0).T
    found = find_directions(turned, WANTED)
    assert found.fits and found.angles.max() > TOLERANCE
    assert found.turned == pytest.approx(15) and found.rest.max() < 1e-5
    np.testing.assert_allclose(found.rotation, rotation(15.0), atol=1e-9)
    assert not find_directions(WANTED @ rotation(25.0).T, WANTED).fits
    assert not find_directions(direction_set(30, seed=3), WANTED).fits


def test_turn_is_the_least_squares_rotation():
    rng = np.random.default_rng(4)
    noisy = WANTED @ rotation(7.0).T + 0.03 * rng.normal(size=WANTED.shape)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    expected, _ = Rotation.align_vectors(noisy, WANTED)
    signs = rng.choice([-1.0, 1.0], (30, 1))
    np.testing.assert_allclose(turn(WANTED, noisy * signs), expected.as_matrix(), atol=1e-9)
    assert angle_of(expected.as_matrix()) == pytest.approx(np.degrees(expected.magnitude()))


def subject(own, b=1000.0):
    """Two b0s and DWIs whose value is the direction's position (times 10, plus 100)."""
    gtab = GradientTable(np.r_[0, 0, np.full(len(own), b)],
                         np.concatenate([np.zeros((2, 3)), own]))
    dwi = np.zeros((3, 4, 5, len(gtab)), np.float32)
    dwi[..., :2] = 1000
    dwi[..., 2:] = 100 + 10 * np.arange(len(own))
    return Subject("s", dwi, gtab, np.ones((3, 4, 5), bool), np.eye(4), "LAS", None,
                   np.arange(len(gtab)), dwi[..., 0], 1000.0)


TABLE = GradientTable(np.full(30, 1000.0), WANTED)
LIKE = {"where": "own.bvec", "name": "the first"}


def test_a_subject_is_put_in_order_with_its_own_bvecs():
    order = np.random.default_rng(5).permutation(30)
    turned = WANTED @ rotation(3.0).T
    found = in_order_of(subject(turned[order]), TABLE, **LIKE)
    np.testing.assert_array_equal(found.dwi[0, 0, 0, 2:], 100 + 10 * np.argsort(order))
    np.testing.assert_array_equal(found.volumes, np.r_[0, 1, 2 + np.argsort(order)])
    np.testing.assert_allclose(found.gtab.bvecs[2:], turned)
    same = subject(turned)
    assert in_order_of(same, TABLE, **LIKE) is same


def test_another_table_is_refused_with_its_reason():
    other = subject(direction_set(40, seed=2))
    with pytest.raises(InputError, match=r"own.bvec: found direction \d+ of the first at .*°"):
        in_order_of(other, TABLE, **LIKE)
    with pytest.raises(InputError, match="20 directions"):
        in_order_of(subject(WANTED[:20]), TABLE, **LIKE)


def test_slices_of_a_cohort_are_in_one_order(tmp_path):
    """The same head twice, the second time with its volumes shuffled: the same slices."""
    rng = np.random.default_rng(6)
    dwi = rng.uniform(50, 100, (8, 10, 4, 32)).astype(np.float32)
    gtab = GradientTable(np.r_[0, 0, TABLE.bvals], np.concatenate([np.zeros((2, 3)), WANTED]))
    members = []
    for name, order in (("a", np.arange(32)), ("b", rng.permutation(32))):
        folder = tmp_path / name
        folder.mkdir()
        nib.save(nib.Nifti1Image(dwi[..., order], np.diag([-2.0, 2, 2, 1])), folder / "dwi.nii")
        nib.save(nib.Nifti1Image(np.ones((8, 10, 4), np.uint8), np.diag([-2.0, 2, 2, 1])),
                 folder / "mask.nii")
        write_gradients(gtab[order], folder / "dwi.bval", folder / "dwi.bvec")
        members.append(Member(find_subjects(folder, "plain")[0], None))
    seen = []
    options = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0}
    channels = {"b0": B0(), "dwi": Directions(np.arange(30))}
    (images, *_), tables, _, b0s = load_slices(
        members, lambda *_: channels, look=seen.append, **options)
    assert b0s == 2 and [s.name for s in seen] == ["a", "b"]
    np.testing.assert_array_equal(images["dwi"][:4], images["dwi"][4:])
    np.testing.assert_array_equal(tables[0].bvecs, tables[1].bvecs)
    again = load_slices(members[1:], lambda *_: channels, like=tables[0], **options)[0]
    np.testing.assert_array_equal(again.images["dwi"], images["dwi"][4:])


def test_spread_names_the_worst():
    tables = [GradientTable(TABLE.bvals, WANTED @ rotation(d, 1).T) for d in (0.0, 1.0, 8.0)]
    found = spread(["a", "b", "c"], tables)
    assert found["worst_subject"] == "c" and found["subjects"] == 3
    assert found["largest_angle"] == pytest.approx(compare(tables[2].bvecs, WANTED).max())
    assert found["largest_turn"] == pytest.approx(8.0)
    both = np.concatenate([compare(t.bvecs, WANTED) for t in tables[1:]])
    assert found["median_angle"] == pytest.approx(np.median(both))
    assert "(c)" in spread_in_words(found) and "turned by up to 8.0°" in spread_in_words(found)
    assert spread(["a"], tables[:1])["largest_angle"] == 0

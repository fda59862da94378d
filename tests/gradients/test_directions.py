"""Directions: angles of axes, frames as MRtrix3 has them, sets that are nearly uniform."""

import hashlib
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dwijax.gradients import (
    GradientTable,
    compare,
    condition_number,
    direction_set,
    fsl_to_world,
    match,
    write_gradients,
)


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

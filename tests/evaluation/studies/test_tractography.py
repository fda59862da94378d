"""Streamlines on fields with known ones."""

import json
import os

import nibabel as nib
import numpy as np
import pytest

from dwijax import cli
from dwijax.evaluation.studies import tractography as tracts

SHAPE, AFFINE = (40, 40, 6), np.diag([-2.0, 2, 2, 1])
AFFINE[:3, 3] = 40, -40, 0


@pytest.fixture(scope="module")
def ring():
    """Eigenvectors along circles around the middle, signs at random, FA in most of a ring of 8 to
    14 voxels (all of it would be a circle without end)."""
    rng = np.random.default_rng(0)
    i, j, _ = np.indices(SHAPE) - np.array([19.5, 19.5, 0])[:, None, None, None]
    radius = np.hypot(i, j)
    v1 = np.stack([-j, i, 0 * i], -1) / np.maximum(radius, 1e-6)[..., None]
    v1 *= rng.choice([-1.0, 1.0], SHAPE)[..., None]
    fa = np.where((radius > 8) & (radius < 14) & (i > -3), 0.6, 0.05)
    seeds = np.zeros(SHAPE, bool)
    seeds[30, 19:21, 3] = True
    return fa, v1, seeds


def test_streamlines_follow_the_circle_they_start_on(ring):
    fa, v1, seeds = ring
    lines = tracts.track(fa, v1, AFFINE, seeds)
    assert lines
    for line in lines:
        voxels = (line - AFFINE[:3, 3]) / np.diag(AFFINE)[:3]
        radius = np.hypot(voxels[:, 0] - 19.5, voxels[:, 1] - 19.5)
        np.testing.assert_allclose(radius, 10.5, atol=0.4)
        np.testing.assert_allclose(voxels[:, 2], 3, atol=0.01)
        assert np.linalg.norm(np.diff(line, axis=0), axis=1).sum() > 50


def test_no_seeds_no_streamlines(ring):
    fa, v1, seeds = ring
    assert tracts.track(fa, v1, AFFINE, np.zeros_like(seeds)) == []
    assert not tracts.visit_map([], AFFINE, SHAPE).any()
    assert np.isnan(tracts.distance([], []))


def test_waypoints_overlap_and_distance():
    x = np.arange(0, 20.1, 2.5, dtype=np.float32)  # steps smaller than a voxel, as trackers take
    a = [np.stack([x, 0 * x, 0 * x], axis=1)]
    b = [line + np.float32([0, 3, 0]) for line in a]
    assert tracts.distance(a, a) == 0 and tracts.distance(a, b) == pytest.approx(3)
    assert tracts.distance(a, [line[::-1] for line in a]) == pytest.approx(0, abs=1e-5)
    visited = tracts.visit_map(a, np.diag([5.0, 5, 5, 1]), (5, 2, 1))
    assert visited[:, 0, 0].all() and not visited[:, 1].any()
    assert tracts.dice(visited, visited) == 1 and tracts.dice(visited, ~visited) == 0
    end = np.zeros((5, 2, 1), bool)
    end[4, 0] = True
    assert len(tracts.passing(a, np.diag([5.0, 5, 5, 1]), [end])) == 1
    assert not tracts.passing(b, np.diag([5.0, 5, 5, 1]), [end])


@pytest.mark.parametrize("ending", [".tck", ".trk"])
def test_the_command_writes_what_others_read(ring, tmp_path, ending, capsys):
    fa, v1, seeds = ring
    axes = AFFINE[:3, :3] / np.linalg.norm(AFFINE[:3, :3], axis=0)
    paths = [tmp_path / f"{name}.nii.gz" for name in ("fa", "v1", "seeds")]
    for path, values in zip(paths, (fa, v1 @ axes.T, seeds), strict=True):
        nib.save(nib.Nifti1Image(values.astype(np.float32), AFFINE), path)
    out = tmp_path / f"ring{ending}"
    command = ["track", str(paths[0]), str(paths[1]), "--seeds", str(paths[2]), "--frame",
               "scanner", "-o", str(out)]
    assert cli.main([*command, "--density", "1"]) == 0
    assert "streamlines" in capsys.readouterr().out
    loaded = nib.streamlines.load(out).streamlines
    expected = tracts.track(fa, v1, AFFINE, seeds)
    assert len(loaded) == len(expected) == 2
    np.testing.assert_allclose(loaded[0], expected[0], atol=0.01)
    assert cli.main(command) == 2 and "--force" in capsys.readouterr().err
    assert cli.main([*command, "--force", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["out"] == str(out) and told["streamlines"] >= 2 and told["median_length_mm"] > 50
    (tmp_path / "text.nii").write_text("no image\n" * 200)
    os.mkfifo(tmp_path / "pipe")
    for faulty in (["--through", str(paths[1])], ["--threshold", "0.9"],
                   *(["--seeds", str(tmp_path / name)] for name in ("text.nii", "pipe", "none"))):
        assert cli.main([*command[:-1], str(tmp_path / "no.tck"), *faulty]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "no.tck").exists()

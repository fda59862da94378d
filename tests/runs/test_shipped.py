"""The network that comes with the package: whole, small, and better than what it starts from."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dwijax.baselines import acquired
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import simulate
from dwijax.data.subject import load_subject
from dwijax.evaluation.common.regions import from_fit
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set, spread_subset
from dwijax.gradients.harmonics import sh_basis
from dwijax.inference import load_run, synthesise, volumes
from dwijax.inference.held_back import held_back
from dwijax.inference.volumes import for_table
from dwijax.runs import export
from dwijax.runs.weights import SHIPPED

SNR, Q = 20.0, 30


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A phantom that it has not learnt from: another seed, another table."""
    folder = tmp_path_factory.mktemp("phantom")
    simulate(folder, subjects=1, seed=77, workers=1, progress=False, shape=(40, 48, 12),
             voxel_size=3.0, n_directions=60, b0s=3)
    return find_subjects(folder, "phantom")[0]


@pytest.fixture(scope="module")
def run():
    return load_run(SHIPPED)


def test_it_is_whole_small_and_says_what_it_learnt_from():
    about, arrays = export.read(SHIPPED)
    assert SHIPPED.stat().st_size < 2 * 2**20
    assert all(np.isfinite(a).all() for a in arrays.values())
    for words in ("licence of the scans: BSD-2-Clause", "commit", "Not a medical device",
                  "one network", "simulated"):
        assert words in about["card"], words


def test_predict_needs_no_run(files, dwijax, tmp_path):
    said = dwijax("predict", files.dwi, "--bvals", files.bval, "--bvecs", files.bvec, "--mask",
                  files.mask, "-o", tmp_path / "out")
    assert said.returncode == 0, said.stderr
    assert nib.load(tmp_path / "out" / "dwi.nii.gz").shape[3] == 3 + 90
    about = json.loads((tmp_path / "out" / "dwi.json").read_text())
    assert about["run"].endswith("any_table.dwijax") and len(about["synthetic_volumes"]) == 30


def test_it_predicts_held_back_directions_better_than_harmonics(files, run):
    """Less noise is left: the noise of the held-back volumes themselves is in both figures."""
    found = held_back(run, load_subject(files))
    assert found.networks < found.harmonics


def test_a_turned_table_predicts_as_well(files, run):
    """Twenty rotations of a table: the error of other directions against the noise-free signal
    changes by less than 2 %."""
    subject = load_subject(files)
    truth = np.asarray(nib.load(files.truth / "dwi.nii.gz").dataobj)[..., subject.volumes]
    truth = truth[subject.mask] / np.float32(subject.scale)
    b0s, dwis = subject.gtab.b0s, subject.gtab.dwis
    s0 = truth[:, b0s].mean(1, keepdims=True)
    logs = np.log(np.maximum(truth[:, dwis], 1e-3) / np.maximum(s0, 1e-3))
    harmonics = logs @ np.linalg.pinv(sh_basis(subject.gtab.bvecs[dwis], 6)[0]).T
    rng = np.random.default_rng(0)

    def signal(bvecs):
        return s0 * np.exp(np.minimum(harmonics @ sh_basis(bvecs, 6)[0].T, 0))

    def error(turn):
        bvecs, wanted = direction_set(Q) @ turn.T, direction_set(60)
        clean = np.concatenate([s0, signal(bvecs)], axis=1)
        noise = rng.standard_normal((2, *clean.shape)) / SNR
        dwi = np.zeros((*subject.mask.shape, 1 + Q), np.float32)
        dwi[subject.mask] = np.hypot(clean + noise[0], noise[1])
        gtab = GradientTable(np.r_[0.0, np.full(Q, 1000.0)], np.r_[np.zeros((1, 3)), bvecs])
        scan = replace(subject, dwi=dwi, gtab=gtab, volumes=np.arange(1 + Q), b0=dwi[..., 0],
                       scale=float(np.float32(np.median(dwi[..., 0][subject.mask]))))
        asked = for_table(run, gtab[gtab.dwis], GradientTable(np.full(60, 1000.0), wanted))
        found = synthesise(asked, scan)[subject.mask]
        return np.sqrt(np.mean((found - signal(wanted)) ** 2))

    errors = np.array([error(turn) for turn in Rotation.random(20, random_state=0).as_matrix()])
    assert np.abs(errors / errors.mean() - 1).max() < 0.02
    assert errors.mean() < 0.6 / SNR


def test_anisotropy_is_held_to_the_acquired(files, run, monkeypatch):
    """From twelve directions FA of white matter is right in the mean, where the posterior mean is
    too round; and no direction depends on what others are wanted."""
    subject = load_subject(files)
    dwis = subject.gtab.dwis
    truth = np.asarray(nib.load(files.truth / "dwi.nii.gz").dataobj)[..., subject.volumes]
    clean = fit_maps([truth[subject.mask] / np.float32(subject.scale)], subject.gtab)
    white = from_fit(clean.fa, clean.md)["WM"]
    given = acquired(subject).inputs(spread_subset(subject.gtab.bvecs[dwis], 12))
    scan, wanted = given.scan(), subject.gtab[dwis]
    both = replace(given.gtab, bvals=np.r_[given.gtab.bvals, wanted.bvals],
                   bvecs=np.concatenate([given.gtab.bvecs, wanted.bvecs]))

    def made(wanted):
        asked = for_table(run, given.gtab[given.gtab.dwis], wanted)
        return synthesise(asked, scan)[subject.mask] / np.float32(scan.scale)

    def bias():
        maps = fit_maps([given.signal, made(wanted)], both)
        return float(np.mean((maps.fa - clean.fa)[white & maps.determined]))

    np.testing.assert_array_equal(made(wanted[:3]), made(wanted)[:, :3])
    held = bias()
    monkeypatch.setattr(volumes, "MOST", 12)
    free = bias()
    assert abs(held) < abs(free) / 2 and abs(held) < 0.015, (held, free)

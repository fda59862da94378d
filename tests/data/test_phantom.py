"""The phantom: reproducible, anatomically rich, physically right, and readable as real data is."""

import json

import nibabel as nib
import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel

from benchmarks.realism import describe
from dwijax.cli import main
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import acquisition, make_settings, simulate, simulate_subject
from dwijax.data.phantom.noise import moved, rician
from dwijax.data.phantom.recipe import RECIPES
from dwijax.data.phantom.regions import BACKGROUND, NAMES, WHITE
from dwijax.data.phantom.signal import Tissue, evaluate
from dwijax.data.phantom.store import truth_maps
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.gradients import GradientTable, read_gradients, write_gradients

COARSE = {"shape": (32, 40, 12), "voxel_size": 4.4}  # the default field of view
TINY = {"shape": (16, 20, 6), "voxel_size": 6.0, "n_directions": 6, "b0s": 1}


@pytest.fixture(scope="module")
def default_size():
    return simulate_subject(make_settings(seed=1, n_directions=12, b0s=2), 0)


@pytest.fixture(scope="module")
def coarse():
    """Six subjects of each generator."""
    return {
        name: [simulate_subject(make_settings(seed=1, generator=name, n_directions=12, **COARSE), i)
               for i in range(6)]
        for name in RECIPES
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tiny subjects on disk, from two processes."""
    out = tmp_path_factory.mktemp("phantom") / "cohort"
    simulate(out, subjects=2, seed=5, workers=2, progress=False, **TINY)
    return out


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bits_whatever_the_count_and_the_workers(folder, tmp_path):
    simulate(tmp_path / "one", subjects=1, first=1, seed=5, workers=1, progress=False, **TINY)
    again = contents(tmp_path / "one" / "sub-001")
    assert len(again) == 13
    assert again == contents(folder / "sub-001")


def test_subjects_seeds_and_generators_differ(coarse):
    first = coarse["default"][0]
    reseeded = simulate_subject(make_settings(seed=2, n_directions=12, **COARSE), 0)
    for other in (coarse["default"][1], coarse["shifted"][0], reseeded):
        assert (first.tissue != other.tissue).mean() > 0.05


def test_noise_level_leaves_anatomy_alone(coarse):
    quiet = simulate_subject(make_settings(seed=1, n_directions=12, snr=np.inf, **COARSE), 0)
    assert np.array_equal(quiet.clean, coarse["default"][0].clean)
    assert np.array_equal(quiet.dwi, quiet.clean)


@pytest.mark.parametrize("generator", RECIPES)
def test_most_white_matter_holds_crossings(coarse, generator):
    for subject in coarse[generator]:
        populations = subject.populations[subject.tissue == WHITE]
        assert (populations > 1).mean() >= 0.6
        assert (populations > 2).mean() >= 0.1
        assert (populations == 1).mean() >= 0.02


@pytest.mark.parametrize("generator", RECIPES)
def test_subjects_differ_no_more_than_people_do(coarse, generator):
    fa, md = [], []
    for subject in coarse[generator]:
        maps = truth_maps(subject)
        white = subject.fractions[..., 3] > 0.7
        fa.append([maps["fa"][white].mean(), maps["fa"][subject.mask].mean()])
        md.append([maps["md"][white].mean(), maps["md"][subject.mask].mean()])
    assert (np.std(fa, axis=0, ddof=1) <= 0.015).all()
    assert (np.std(md, axis=0, ddof=1) <= 0.03 * np.mean(md, axis=0)).all()
    assert 0.3 < np.mean(fa, axis=0)[0] < 0.5
    assert 0.65e-3 < np.mean(md, axis=0)[0] < 0.85e-3


def test_forty_regions_of_a_hundred_voxels(default_size):
    assert default_size.dwi.shape == (56, 68, 24, 14)
    counts = np.bincount(default_size.labels.ravel(), minlength=len(NAMES) + 1)[1:]
    assert (counts >= 100).sum() >= 40
    assert not default_size.labels[default_size.tissue == BACKGROUND].any()
    inside = default_size.mask
    assert 0.45 < inside.mean() < 0.75


def test_borders_are_mixed(default_size):
    shares = default_size.fractions
    total = shares[default_size.mask].sum(-1)
    assert shares.min() > -1e-5 and total.max() < 1 + 1e-5
    largest = shares[default_size.mask].max(-1)
    assert 0.25 < (largest < 0.9).mean() < 0.8


def test_contrast_at_b0(default_size):
    b0 = default_size.clean[..., 0]
    wm, csf, cortex = (
        np.median(b0[default_size.fractions[..., k] > 0.95]) for k in (3, 0, 1)
    )
    assert csf > 2 * wm
    assert 1.1 < cortex / wm < 1.7


def test_noise_has_the_asked_snr(coarse):
    for subject in (coarse["default"][0], coarse["default"][3]):
        sigma = subject.sigma.mean()
        assert subject.snr == 20
        air = subject.clean[..., 0] == 0
        assert subject.dwi[air].mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
        bright = subject.clean > 15 * sigma
        noise = (subject.dwi - subject.clean)[bright]
        assert noise.std() == pytest.approx(sigma, rel=0.03)
        assert 1000 / sigma == pytest.approx(20, rel=0.05)


def test_rician_moments():
    rng = np.random.default_rng(0)
    nu, sigma = 3.0, 2.0
    sample = rician(np.full((4, 50000), nu, np.float32), np.float32(sigma), rng)
    assert (sample.astype(np.float64) ** 2).mean() == pytest.approx(nu**2 + 2 * sigma**2, rel=0.01)
    assert sample.dtype == np.float32


def test_shifted_snr_and_motion(coarse):
    levels = [subject.snr for subject in coarse["shifted"]]
    assert 12 <= min(levels) < max(levels) <= 30
    volumes = np.zeros((1, 12, 12, 12), np.float32)
    volumes += np.arange(12, dtype=np.float32)[:, None, None] + 5
    before = volumes.copy()
    moved(volumes, np.random.default_rng(0), 0.3, 0.0, (2.0, 2.0, 2.0))
    shift = (volumes - before)[0] / 0.5  # a ramp of 0.5 per mm
    assert 0 < np.abs(shift).max() < 1 and np.ptp(shift) < 1e-4


def test_varying_noise_keeps_its_mean():
    subject = simulate_subject(make_settings(seed=1, varying_noise=True, **TINY), 0)
    steady = simulate_subject(make_settings(seed=1, **TINY), 0)
    assert subject.sigma.mean() == pytest.approx(steady.sigma.mean(), rel=1e-5)
    assert subject.sigma.max() > 1.2 * subject.sigma.min()


def test_signal_of_one_compartment():
    axis = np.array([[[0.6, 0.0, 0.8]]], np.float32)
    one = np.ones((1, 1), np.float32)
    tissue = Tissue(np.array([0]), 900 * one, 1.7 * one, 0.4 * one, axis)
    bvals = np.array([0.0, 5, 1000, 1000, 3000])
    bvecs = np.array([[1.0, 0, 0], [1, 0, 0], [0.6, 0, 0.8], [0, 1, 0], [1, 0, 0]])
    cosine = bvecs @ axis[0, 0]
    expected = 900 * np.exp(-bvals / 1000 * (0.4 + 1.3 * cosine**2))
    np.testing.assert_allclose(evaluate(tissue, bvals, bvecs)[:, 0], expected, rtol=1e-5)


def test_small_b_is_weighted_too():
    gtab = GradientTable(np.array([0.0, 5, 1000]), np.tile([[1.0, 0, 0]], (3, 1)))
    subject = simulate_subject(make_settings(seed=1, gtab=gtab, **COARSE), 0)
    s0, s5, _ = np.moveaxis(subject.clean[subject.fractions[..., 0] > 0.999], -1, 0)
    np.testing.assert_allclose(np.log(s0 / s5) / 0.005, 3.0, rtol=0.05)
    assert (subject.clean[subject.mask][:, 1] < subject.clean[subject.mask][:, 0]).all()


def test_truth_agrees_with_dipy(folder):
    truth = folder / "sub-000" / "truth"
    files = find_subjects(folder, "phantom")[0]
    mask = nib.load(files.mask).get_fdata() > 0
    gtab = read_gradients(files.bval, files.bvec)
    clean = nib.load(truth / "dwi.nii.gz").get_fdata()
    table = gradient_table(gtab.bvals, bvecs=gtab.bvecs, b0_threshold=50)
    fit = TensorModel(table, fit_method="WLS").fit(clean[mask])
    fa = nib.load(truth / "fa.nii.gz").get_fdata()[mask]
    assert np.percentile(np.abs(fit.fa - fa), 99) < 5e-3
    md = nib.load(truth / "md.nii.gz").get_fdata()[mask]
    np.testing.assert_allclose(md, fit.md, rtol=0.01)
    v1 = nib.load(truth / "v1.nii.gz").get_fdata()[mask]
    ordered = fa > 0.3
    along = np.abs((v1 * fit.evecs[..., 0]).sum(-1))[ordered]
    assert np.percentile(along, 1) > 0.999


def test_files_are_a_scan_like_any_other(folder):
    names = [files.name for files in find_subjects(folder, "phantom")]
    assert names == ["sub-000", "sub-001"]
    files = find_subjects(folder, "hcp")[1]
    subject = load_subject(files)
    assert subject.dwi.shape == (16, 20, 6, 7)
    assert subject.orientation == "LAS" and np.linalg.det(subject.affine) < 0
    drawn = simulate_subject(make_settings(seed=5, **TINY), 1)
    step = nib.load(files.dwi).dataobj.slope
    assert step != 1 and step < drawn.sigma.min() / 19
    assert np.abs(subject.dwi - drawn.dwi).max() <= 0.51 * step
    np.testing.assert_array_equal(subject.gtab.bvecs, drawn.gtab.bvecs)
    table = (folder / "sub-001" / "truth" / "labels.tsv").read_text().splitlines()
    assert len(table) == len(NAMES) + 1


def test_running_again(folder, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    options = {"seed": 5, "progress": False, **TINY}
    assert simulate(folder, subjects=2, **options) == ["sub-000", "sub-001"]
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    with pytest.raises(InputError, match="other settings"):
        simulate(folder, subjects=2, **(options | {"seed": 6}))
    (tmp_path / "something").touch()
    with pytest.raises(InputError, match="no phantom"):
        simulate(tmp_path, subjects=1, **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["something"]


def test_an_interrupted_subject_is_made_again(tmp_path):
    options = {"seed": 5, "progress": False, "workers": 1, **TINY}
    simulate(tmp_path, subjects=1, **options)
    (tmp_path / "sub-000").rename(tmp_path / ".sub-000.partial")
    (tmp_path / ".sub-000.partial" / "truth" / "fa.nii.gz").unlink()
    simulate(tmp_path, subjects=1, **options)
    assert (tmp_path / "sub-000" / "truth" / "fa.nii.gz").is_file()
    assert not (tmp_path / ".sub-000.partial").exists()


def test_lesions(coarse):
    settings = make_settings(seed=1, n_directions=12, lesions=True, **COARSE)
    damaged, healthy = simulate_subject(settings, 0), coarse["default"][0]
    lesion = damaged.lesion & (damaged.fractions[..., 3] > 0.8)
    assert lesion.any() and not healthy.lesion.any()
    sick, well = truth_maps(damaged), truth_maps(healthy)
    assert sick["fa"][lesion].mean() < 0.8 * well["fa"][lesion].mean()
    assert sick["md"][lesion].mean() > 1.15 * well["md"][lesion].mean()
    assert damaged.clean[lesion][:, 0].mean() > healthy.clean[lesion][:, 0].mean()


def test_any_table(tmp_path, capsys):
    two = acquisition(8, shells=(1000.0, 3000.0), b0s=3)
    assert len(two) == 19 and two.b0s_mask.sum() == 3
    write_gradients(two, tmp_path / "b.bval", tmp_path / "b.bvec")
    out, bvals, bvecs = (str(tmp_path / name) for name in ("out", "b.bval", "b.bvec"))
    grid = ["--subjects", "1", "--shape", "16", "20", "6", "--voxel-size", "6"]
    line = ["simulate", out, *grid, "--workers", "1", "--quiet", "--rotate-bvecs", "1",
            "--bvals", bvals]
    assert main(line) == 2
    assert "--bvecs" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*line, "--bvecs", bvecs]) == 0
    assert capsys.readouterr().out == ""
    scan = tmp_path / "out" / "sub-000" / "T1w" / "Diffusion"
    own = read_gradients(scan / "bvals", scan / "bvecs")
    np.testing.assert_array_equal(own.bvals, two.bvals)
    angles = np.degrees(np.arccos(np.clip((own.bvecs * two.bvecs).sum(1), -1, 1)))
    assert 0.01 < angles.max() < 8
    record = json.loads((tmp_path / "out" / "phantom.json").read_text())
    assert record["settings"]["rotate_degrees"] == 1.0 and len(record["hash"]) == 16


@pytest.mark.parametrize("wrong", [
    {"generator": "odd"}, {"shape": (3, 20, 6)}, {"voxel_size": 0.0}, {"snr": -1.0}, {"seed": -1},
    {"n_directions": 0}, {"b0s": 0}, {"shells": ()},
])
def test_wrong_settings_are_one_line(wrong, tmp_path):
    with pytest.raises(InputError) as told:
        simulate(tmp_path / "out", subjects=1, progress=False, **(TINY | wrong))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_realism_numbers(coarse):
    subject = coarse["default"][0]
    numbers = describe(subject.dwi, subject.gtab, subject.mask, (4.4,) * 3, subject.sigma.mean())
    finite = {name: value for name, value in numbers.items() if name != "SH4/SH2"}
    assert np.isfinite(list(finite.values())).all()
    assert numbers["residual/sigma"] == pytest.approx(1, abs=0.2)
    for image in ("b0", "FA", "DWI", "mean DWI"):
        shares = [value for name, value in numbers.items() if name.startswith(f"{image} ")
                  and name.endswith("mm")]
        assert sum(shares) == pytest.approx(1)

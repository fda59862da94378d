"""Voxels without a tensor and fits without degrees of freedom, from the command line."""

import json

import nibabel as nib
import numpy as np
import pytest

from dwijax import cli, dti
from dwijax.data.cohort import Member
from dwijax.data.layouts import find_subjects
from dwijax.evaluation.common.scans import read_scan
from dwijax.evaluation.maps.protocol import fit_of, judge
from dwijax.gradients import GradientTable, write_gradients
from tests.dti.conftest import random_tensors, scheme
from tests.malformed import SHAPE, save
from tests.tiny_run import GTAB

BVALS = np.r_[0.0, 5.0, 995.0, 1003.0, np.full(6, 1000.0)]  # not quite one b, as on a scanner
TABLE = GradientTable(BVALS, np.r_[np.zeros((2, 3)), GTAB.bvecs])
TRUTH = random_tensors(np.prod(SHAPE)).reshape(*SHAPE, 6) / 2  # MD about 0.8 µm²/ms
MD = TRUTH[..., [0, 2, 5]].sum(-1) / 3 * 1e-3


def write_scan(folder, data, table=TABLE, dtype=np.int16):
    folder.mkdir()
    save(folder / "dwi.nii", data.astype(dtype))
    save(folder / "mask.nii", np.ones(data.shape[:3], np.uint8))
    write_gradients(table, folder / "dwi.bval", folder / "dwi.bvec")
    return folder


def signal(table=TABLE, tensors=TRUTH):
    design = np.asarray(dti.design_matrix(table.bvals, table.bvecs))
    return np.rint(10_000 * np.exp(tensors @ design[:, :6].T))


def command(capsys, name, scan, *options):
    """``(status, what it told as JSON, stderr)``."""
    files = [scan / "dwi.nii", "--bvals", scan / "dwi.bval", "--bvecs", scan / "dwi.bvec",
             "--mask", scan / "mask.nii"]
    status = cli.main([name, *map(str, files), *map(str, options), "--json"])
    told = capsys.readouterr()
    return status, json.loads(told.out), told.err


def load(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture
def broken(tmp_path):
    """Seven voxels without a b0, one saturated in all volumes, one in a DWI, one with zeros."""
    data = signal()
    data[0, 0, :4, :2] = data[0, 1, :3, :2] = 0
    data[5, 4, 3] = 4095
    data[5, 4, 2, 4] = 32767
    data[5, 4, 1, 5:7] = 0
    lost = np.zeros(SHAPE, bool)
    lost[0, 0, :4] = lost[0, 1, :3] = lost[5, 4, 3] = True
    return write_scan(tmp_path / "scan", data), lost


def test_fit_counts_voxels_without_a_b0_and_keeps_the_others(broken, tmp_path, capsys):
    scan, lost = broken
    status, told, _ = command(capsys, "fit", scan, "-o", tmp_path / "dti", "--maps", "all")
    assert status == 0 and told["voxels_without_tensor"] == 8
    assert told["voxels_with_samples_left_out"] == 9
    for path in (tmp_path / "dti").glob("*.nii.gz"):
        values = load(path)
        assert np.isfinite(values).all() and not values[lost].any(), path
    np.testing.assert_allclose(load(tmp_path / "dti" / "md.nii.gz")[~lost], MD[~lost], atol=2e-5)
    written = json.loads((tmp_path / "dti" / "fit.json").read_text())
    assert written["voxels_without_tensor"] == 8
    # Raising eigenvalues, or zeros to a floor, makes no tensor.
    for options in (["--positive"], ["--floor", "10"]):
        _, told, _ = command(capsys, "fit", scan, "-o", tmp_path / "dti", "--force", *options)
        assert told["voxels_without_tensor"] == 8
        assert not load(tmp_path / "dti" / "md.nii.gz")[lost].any()


def test_predict_counts_them_where_one_looks(tiny_run, broken, tmp_path, capsys):
    scan, lost = broken
    out = tmp_path / "out"
    status, told, _ = command(capsys, "predict", scan, "-o", out, "--run", tiny_run)
    assert status == 0
    line, = (note for note in told["notes"] if "without a tensor" in note)
    assert "8 voxels without a tensor" in line
    assert json.loads((out / "dwi.json").read_text())["fit"]["voxels_without_tensor"] == 8
    assert line in (out / "report.html").read_text()
    md = load(out / "md.nii.gz")
    assert np.isfinite(md).all() and not md[lost].any() and np.abs(md).max() < 0.01


def test_one_condition_number(tiny_run, tmp_path, capsys):
    """Of the same volumes ``fit``, ``check`` and ``predict`` tell the same, that of the design."""
    scan = write_scan(tmp_path / "scan", signal())
    _, fitted, _ = command(capsys, "fit", scan, "-o", tmp_path / "dti")
    design = np.asarray(dti.design_matrix(BVALS * 1000 / BVALS.max(), TABLE.bvecs))
    assert fitted["condition_number"] == pytest.approx(np.linalg.cond(design), abs=0.006)

    _, checked, _ = command(capsys, "check", scan)
    assert checked["condition"] == pytest.approx(fitted["condition_number"], abs=0.006)
    row, = (row for row in checked["conditions"] if row["directions"] == 8)
    assert row["first"] == checked["condition"]
    assert row["even"] == pytest.approx(dti.evenly_spread(2, 8), abs=0.006)

    _, told, _ = command(capsys, "predict", scan, "-o", tmp_path / "out", "--run", tiny_run)
    known = json.loads((tmp_path / "out" / "dwi.json").read_text())["fit"]["condition_number"]
    assert any(f"condition number of the tensor design {known:.1f}" in n for n in told["notes"])
    (tmp_path / "longer").mkdir()
    for name in ("dwi.bval", "dwi.bvec"):
        (tmp_path / "longer" / name).write_bytes((tmp_path / "out" / name).read_bytes())
    save(tmp_path / "longer" / "dwi.nii", load(tmp_path / "out" / "dwi.nii.gz"))
    save(tmp_path / "longer" / "mask.nii", np.ones(SHAPE, np.uint8))
    _, again, _ = command(capsys, "fit", tmp_path / "longer", "-o", tmp_path / "dti", "--force")
    assert again["condition_number"] == known


@pytest.mark.parametrize("b0s", [1, 4])
def test_evenly_spread_directions_have_the_condition_number_of_many(b0s):
    table = GradientTable(*scheme(n_b0=100 * b0s, n=1500))
    bvals = np.where(table.b0s_mask, 0, table.bvals)
    assert dti.condition_number(bvals, table.bvecs) == pytest.approx(
        dti.evenly_spread(b0s, 15), rel=0.01)


def test_without_degrees_of_freedom_nothing_is_told_of_the_noise(tmp_path, capsys):
    table = TABLE[np.array([0, *range(2, 8)])]
    scan = write_scan(tmp_path / "scan", signal(table), table)
    status, told, err = command(capsys, "fit", scan, "-o", tmp_path / "dti", "--maps", "all")
    assert status == 0 and told["voxels_without_degrees_of_freedom"] == np.prod(SHAPE)
    line, = (line for line in err.splitlines() if "NaN" in line)
    assert line.split(": ", 1)[1] in told["notes"]
    for name in ("sigma", "rmse", "residuals", "fa_se", "md_se", "covariance"):
        assert name in line
        assert np.isnan(load(tmp_path / "dti" / f"{name}.nii.gz")).all(), name
    np.testing.assert_allclose(load(tmp_path / "dti" / "md.nii.gz"), MD, atol=2e-5)
    _, _, err = command(capsys, "fit", scan, "-o", tmp_path / "dti", "--force")
    assert "NaN" not in err  # nobody asked


def test_degrees_of_freedom_are_counted_voxel_by_voxel(tmp_path, capsys):
    data = signal() + np.random.default_rng(0).integers(-50, 50, (*SHAPE, 10))
    data[2, 2, 2, [1, 4, 6]] = 0
    scan = write_scan(tmp_path / "scan", data)
    save(scan / "mask.nii", np.pad(np.ones((4, 5, 4), np.uint8), [(0, 2), (0, 0), (0, 0)]))
    _, told, err = command(capsys, "fit", scan, "-o", tmp_path / "dti", "--maps", "sigma", "md_se")
    assert told["voxels_without_degrees_of_freedom"] == 1 and "1 voxels" in err
    for name in ("sigma", "md_se"):
        values = load(tmp_path / "dti" / f"{name}.nii.gz")
        assert np.isnan(values[2, 2, 2]) and np.isnan(values).sum() == 1
        assert (values[:4][~np.isnan(values[:4])] > 0).all() and not values[4:].any()


def test_evaluation_judges_no_voxel_without_a_tensor(broken, capsys):
    scan, lost = broken
    files, = find_subjects(scan.parent, "plain")
    read = read_scan(Member(files, None), GTAB, shell=1000, axis=2)
    assert "8 voxels of 120 without a tensor are not judged" in capsys.readouterr().err
    judged = read.volume(read.regions["brain"])
    assert judged.sum() == 112 and not any(read.volume(r)[judged == 0].any()
                                           for r in read.regions.values())
    fit = fit_of(read.acquired.inputs(np.arange(6)))
    few = fit_of(read.acquired.inputs(np.arange(3)))
    for found in (fit, few):
        assert not found.md[~found.determined].any()
        assert found.determined[read.regions["brain"]].mean() > 0.95
    rows = {row[:4]: row.value for row in judge(read, {"fit 6": fit, "fit 3": few}, [])}
    mean = rows["MD mean", "", "brain", "fit 6"]
    assert mean == pytest.approx(1e3 * MD[~lost].mean(), rel=0.02)

"""``dwijax check``: orientation, odd volumes, domain; the command as a user types it."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from dwijax.data import domain
from dwijax.data.files import SubjectFiles
from dwijax.data.layouts import find_subjects
from dwijax.data.scan import open_scan
from dwijax.gradients import GradientTable, orientation, read_gradients, write_gradients
from dwijax.gradients.directions import direction_set

REAL = ("canon_60dir_b1500", "philips_12dir_b1000", "siemens_20dir_b1000_repeated",
        "siemens_sagittal_20dir_b2000")
FAULTS = {  # name: rows of the faulty table
    "x reversed": np.diag([-1.0, 1, 1]),
    "y reversed": np.diag([1.0, -1, 1]),
    "z reversed": np.diag([1.0, 1, -1]),
    "y and z exchanged": np.eye(3)[[0, 2, 1]],
}


def test_there_are_24_candidates_and_none_is_another_for_axes():
    found = orientation.candidates()
    assert len(found) == 24
    np.testing.assert_array_equal(found[0], np.eye(3))
    for i, a in enumerate(found):
        assert np.linalg.det(a) == pytest.approx(1)
        for b in found[i + 1:]:
            assert not np.allclose(a, b) and not np.allclose(a, -b)
    assert len({orientation.axes_in_words(m) for m in found}) == 24


def test_candidates_are_named_by_what_to_do():
    assert orientation.axes_in_words(np.eye(3)) == "as given"
    for name, matrix in FAULTS.items():
        assert orientation.axes_in_words(matrix) == name
        assert orientation.axes_in_words(-matrix) == name
    assert orientation.axes_in_words(np.diag([-1.0, -1, 1])) == "z reversed"
    assert orientation.axes_in_words(np.eye(3)[[1, 2, 0]]) == "x, y, z read as y, z, x"


def straws(size=(2.0, 2.0, 2.0), extent=(48.0, 44.0, 40.0)):
    """Thin straight bundles in all directions: their principal directions ``[V, 3]``, a mask."""
    rng = np.random.default_rng(3)
    shape = tuple(int(e // s) for e, s in zip(extent, size, strict=True))
    points = np.moveaxis(np.indices(shape), 0, -1) * np.asarray(size)
    field, mask = np.zeros((*shape, 3)), np.zeros(shape, bool)
    for _ in range(40):
        along = rng.normal(size=3)
        along /= np.linalg.norm(along)
        away = points - rng.uniform(0, 1, 3) * extent
        inside = np.linalg.norm(away - (away @ along)[..., None] * along, axis=-1) < 3.0
        field[inside], mask[inside] = along, True
    return field[mask], mask


@pytest.mark.parametrize("size", [(2.0, 2.0, 2.0), (2.0, 2.0, 3.0), (1.0, 2.0, 2.0)])
@pytest.mark.parametrize("name", ["as given", *FAULTS])
def test_fibres_of_a_known_shape_tell_every_fault(name, size):
    """No candidate but the right one stays inside the bundles, whatever the voxels' shape."""
    v1, mask = straws(size)
    fault = FAULTS.get(name, np.eye(3))
    found = orientation.check_orientation(v1 @ fault.T, np.full(len(v1), 0.6), mask, size,
                                          np.eye(3))
    assert found.names[0] == name
    assert found.verdict == ("right" if name == "as given" else "wrong")


def test_names_are_those_of_the_files_axes():
    v1, mask = straws()
    to_array = np.eye(3)[[2, 0, 1]] * [[1], [-1], [1]]  # array axes = to_array @ file axes
    faulty = v1 @ to_array @ FAULTS["x reversed"].T @ to_array.T
    found = orientation.check_orientation(faulty, np.full(len(v1), 0.6), mask, (2, 2, 2), to_array)
    assert found.names[0] == "x reversed"


def test_without_fibres_nothing_is_claimed():
    rng = np.random.default_rng(0)
    mask = np.ones((14, 14, 14), bool)
    v1 = rng.normal(size=(mask.sum(), 3))
    v1 /= np.linalg.norm(v1, axis=1, keepdims=True)
    found = orientation.check_orientation(v1, np.full(len(v1), 0.5), mask, (2, 2, 2), np.eye(3))
    assert found.verdict == "uncertain"
    nothing = orientation.check_orientation(v1, np.zeros(len(v1)), mask, (2, 2, 2), np.eye(3))
    assert nothing.verdict == "uncertain"


@pytest.mark.parametrize("b0s, q", [(6, 30), (1, 30), (4, 6)])
def test_noise_level_of_known_noise(b0s, q):
    rng = np.random.default_rng(1)
    bvecs = direction_set(q)
    form = rng.normal(size=(20_000, 3, 3)) * 0.05
    clean = 0.4 + np.einsum("mi,vij,mj->vm", bvecs, form, bvecs)
    noisy = [x + 0.03 * rng.normal(size=x.shape) for x in (np.ones((20_000, b0s)), clean)]
    mask = np.ones((20, 20, 50), bool)
    assert domain.noise_level(*noisy, bvecs, mask) == pytest.approx(0.03, rel=0.04)
    assert domain.noise_level(noisy[0][:, :1], noisy[1][:, :3], bvecs[:3], mask) is None


def test_domain_is_the_range_of_the_subjects():
    rng = np.random.default_rng(2)
    bvecs = direction_set(12)

    def numbers(gain, b=1000.0, size=(2.0, 2.0, 2.5)):
        b0s = 1 + 0.1 * rng.normal(size=(5000, 2))
        dwi = gain * (0.4 + 0.1 * rng.normal(size=(5000, 12)))
        return domain.summary_of(b0s, dwi, np.full(12, b), bvecs, np.ones((10, 20, 25), bool), size)

    known = domain.join([numbers(g) for g in (0.95, 1.0, 1.05)])
    assert json.loads(json.dumps(known)) == known and known["subjects"] == 3
    inside = {name: ok for name, *_, ok in domain.compare(numbers(1.0), known)}
    assert all(inside.values()) and set(inside) == {"b", "voxel size", "SNR", "b0", "mean DWI"}
    far = {name: ok for name, *_, ok in domain.compare(
        numbers(0.5, b=2000.0, size=(1.0, 1.0, 1.0)), known)}
    assert not (far["b"] or far["voxel size"] or far["mean DWI"]) and far["b0"]
    assert domain.compare(numbers(1.0), {}) == []


def files(folder, bvec="dwi.bvec"):
    return [folder / "dwi.nii.gz", "--bvals", folder / "dwi.bval", "--bvecs", folder / bvec,
            "--mask", folder / "mask.nii.gz"]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """Thin oblique bundles in grey matter, as files: only the right table keeps to them. (Where
    neighbouring fibres are alike in all directions, no table is worse than another.)"""
    folder = tmp_path_factory.mktemp("a scan")
    rng = np.random.default_rng(0)
    shape, affine = (36, 36, 24), np.diag([-2.5, 2.5, 2.5, 1])
    place = np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2
    # One direction in front, another behind: no turn or exchange of axes keeps both.
    fibres, bundles = np.zeros((*shape, 3)), np.zeros(shape, bool)
    for part, first in ((place[..., 1] < 0, [1, 1, 0]), (place[..., 1] > 0, [0, 1, 1])):
        frame = np.linalg.qr(np.column_stack([first, [1, 0, 0], [0, 0, 1]]))[0]
        u, w = np.moveaxis(place @ frame[:, 1:] % 8 - 4, -1, 0)
        bundles |= part & (np.hypot(u, w) < 1.8)
        fibres[part] = frame[:, 0]
    gtab = GradientTable(np.r_[np.zeros(3), np.full(20, 1000.0)],
                         np.concatenate([np.zeros((3, 3)), direction_set(20)]))
    along = (fibres @ gtab.bvecs.T) ** 2
    adc = np.where(bundles[..., None], 0.3 + 1.4 * along, 0.8)
    mask = np.linalg.norm(place / shape, axis=-1) < 0.5
    signal = 1000 * np.exp(-gtab.bvals * 1e-3 * adc) * mask[..., None]
    noise = 25 * rng.standard_normal((2, *signal.shape))
    signal = np.hypot(signal + noise[0], noise[1]).astype(np.float32)
    nib.save(nib.Nifti1Image(signal, affine), folder / "dwi.nii.gz")
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "mask.nii.gz")
    write_gradients(gtab, folder / "dwi.bval", folder / "dwi.bvec")
    return folder


def test_the_page_of_a_phantom(phantom, tmp_path, dwijax):
    done = dwijax("check", *files(phantom), "-o", tmp_path / "page")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 60
    assert "nothing suspect" in lines and any("orientation: right" in line for line in lines)
    assert any(line.split()[:3] == ["b", "=", "1000"] and "20 volumes" in line for line in lines)
    assert any(line.split()[:3] == ["motion", "between", "volumes"] and "mm" in line
               for line in lines)
    assert any(line.split()[:4] == ["channels", "of", "the", "noise"] and "(1: Rician)" in line
               for line in lines)
    page = (tmp_path / "page.md").read_text()
    assert "page.png" in page and "orientation: right" in page
    assert nib.load(phantom / "dwi.nii.gz").shape[0] == 36
    assert (tmp_path / "page.png").stat().st_size > 20_000
    again = dwijax("check", *files(phantom), "-o", tmp_path / "page")
    assert again.returncode == 2 and "page.md" in again.stderr and "--force" in again.stderr


def test_a_flipped_phantom_is_named_and_mended(phantom, tmp_path, dwijax):
    gtab = read_gradients(phantom / "dwi.bval", phantom / "dwi.bvec")
    flipped = GradientTable(gtab.bvals, gtab.bvecs * [-1, 1, 1])
    write_gradients(flipped, phantom / "dwi.bval", phantom / "flipped.bvec")
    done = dwijax("check", *files(phantom, "flipped.bvec"), "--write-bvecs",
                  tmp_path / "mended.bvec")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the directions are wrong" in done.stdout and "with x reversed" in done.stdout
    assert "−x, y, z of the present" in done.stdout
    mended = read_gradients(phantom / "dwi.bval", tmp_path / "mended.bvec")
    weighted = ~gtab.b0s_mask
    np.testing.assert_allclose(mended.bvecs[weighted], gtab.bvecs[weighted], atol=1e-6)


def test_an_unusable_scan_is_one_line_and_status_2(phantom, dwijax):
    done = dwijax("check", *files(phantom, "dwi.bval"))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", REAL)
def test_real_scans_are_right_and_faults_are_named(shared_data, name):
    from dwijax.checking.scan import check_scan

    folder = shared_data / name
    files = next(f for f in find_subjects(shared_data, "plain") if f.name == name)
    report = check_scan(open_scan(replace(files, mask=folder / "mask.nii.gz")))
    assert report.orientation.verdict == "right"
    # The tensors of a faulty table are those of the right one, turned: the command's answer to it
    # follows from the same fit.
    place = {n: k for k, n in enumerate(report.orientation.names)}
    assert all(report.orientation.scores[place[fault]] < 0.95 for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_real_scan_from_files(shared_data, tmp_path, fault):
    from dwijax.checking import page
    from dwijax.checking.scan import check_scan

    folder = shared_data / "philips_12dir_b1000"
    gtab = read_gradients(folder / "dwi.bval", folder / "dwi.bvec")
    faulty = GradientTable(gtab.bvals, gtab.bvecs @ FAULTS[fault].T)
    write_gradients(faulty, tmp_path / "b", tmp_path / "g")
    report = check_scan(open_scan(SubjectFiles(
        "faulty", folder / "dwi.nii.gz", tmp_path / "b", tmp_path / "g", folder / "mask.nii.gz")))
    assert report.orientation.verdict == "wrong" and report.orientation.names[0] == fault
    assert any(fault in line for line in page.warnings(report))

"""What belongs to a scan, through the commands: frames, orientations, NaN outside the mask."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dwijax import cli
from dwijax.fitting.frames import stated_frame
from dwijax.gradients import GradientTable, direction_set, fsl_to_world, write_gradients
from tests.malformed import good_scan, save

SHAPE = (24, 14, 8)
GTAB = GradientTable(np.r_[0.0, np.full(12, 1000.0)],
                     np.r_[np.zeros((1, 3)), direction_set(12)])
ALONG = np.array([1, 1, 0]) / np.sqrt(2)  # the tract, in array axes


def oblique(voxels):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [20, 15, 30], degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(voxels)
    return affine


def tract(folder, affine):
    """A straight tract across the array, and seeds in its middle; its direction in RAS+."""
    folder.mkdir()
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    to_array = fsl_to_world(axes).T @ axes  # array axes to FSL's
    tensor = 0.3e-3 * np.eye(3) + 1.4e-3 * np.outer(ALONG, ALONG)
    bvecs = GTAB.bvecs @ to_array  # along the array's axes
    i, j, k = np.indices(SHAPE)
    inside = (np.abs(i - j - 5) <= 3) & (np.abs(k - 4) <= 2)
    decay = np.where(inside[..., None], np.einsum("mi,ij,mj->m", bvecs, tensor, bvecs), 0.8e-3)
    save(folder / "dwi.nii", (1000 * np.exp(-GTAB.bvals * decay)).astype(np.float32), affine)
    save(folder / "mask.nii", np.ones(SHAPE, np.uint8), affine)
    save(folder / "seeds.nii", (inside & (i == 12)).astype(np.uint8), affine)
    write_gradients(GTAB, folder / "dwi.bval", folder / "dwi.bvec")
    return axes @ ALONG


def command(name, folder, *options, dwi="dwi.nii", mask="mask.nii"):
    paths = [folder / dwi, "--bvals", folder / "dwi.bval", "--bvecs", folder / "dwi.bvec",
             *(["--mask", folder / mask] if mask else [])]
    if name == "simulate":
        paths = [folder / "like", "--like", *paths, "--subjects", 1, "--workers", 1]
    return cli.main([str(word) for word in (name, *paths, *options, "--quiet")])


def load(path):
    return np.asarray(nib.load(path, mmap=False).dataobj)


def turned(path, codes):
    """Stores an image along other axes."""
    image = nib.Nifti1Image(load(path), nib.load(path).affine)
    source, target = nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
    nib.save(image.as_reoriented(nib.orientations.ornt_transform(source, target)), path)


def track(fa, v1, folder, *options):
    """Largest angle, degrees, of a streamline to a direction in RAS+; None if refused."""
    out = folder / "lines.tck"
    status = cli.main([str(word) for word in (
        "track", fa, v1, "--seeds", folder / "seeds.nii", "-o", out, "--min-length", 8, "--force",
        "--quiet", *options)])
    if status:
        assert not out.exists() or options
        return lambda along: None
    lines = nib.streamlines.load(out).streamlines
    assert len(lines) > 10
    ends = [(line[-1] - line[0]) / np.linalg.norm(line[-1] - line[0]) for line in lines]
    return lambda along: np.degrees(np.arccos(np.clip(np.abs(ends @ along), 0, 1))).max()


@pytest.mark.parametrize("voxels", [(2, 2, 3), (-2, 2, 3)])
@pytest.mark.parametrize(("naming", "fa", "v1"), [
    ("dwijax", "fa", "v1"), ("fsl", "dti_FA", "dti_V1"), ("mrtrix", "fa", "v1"),
    ("bids", *(f"sub-1/dwi/sub-1_model-tensor_param-{p}_dwimap" for p in ("fa", "evec1")))])
def test_tracking_takes_the_frame_that_the_json_tells(tmp_path, capfd, voxels, naming, fa, v1):
    folder = tmp_path / "scan"
    along = tract(folder, oblique(voxels))
    (folder / "dwi.nii").rename(folder / "sub-1_dwi.nii")
    out = folder / "dti"
    assert command("fit", folder, "-o", out, "--naming", naming, dwi="sub-1_dwi.nii") == 0
    fa, v1 = (out / f"{name}.nii.gz" for name in (fa, v1))
    assert track(fa, v1, folder)(along) < 2
    right = "fsl" if naming == "fsl" else "scanner"
    for sidecar in v1.parent.glob("*.json"):
        sidecar.unlink()
    (folder / "lines.tck").unlink()
    assert track(fa, v1, folder)(along) is None
    assert "give --frame" in capfd.readouterr().err
    assert track(fa, v1, folder, "--frame", right)(along) < 2
    assert track(fa, v1, folder, "--frame", {"fsl": "scanner"}.get(right, "fsl"))(along) > 20


def test_maps_and_seeds_may_be_stored_along_other_axes(tmp_path, capfd):
    folder = tmp_path / "scan"
    along = tract(folder, oblique((2, 2, 3)))
    out = folder / "dti"
    assert command("fit", folder, "-o", out) == command(
        "fit", folder, "-o", out / "fsl", "--naming", "fsl") == 0
    turned(folder / "seeds.nii", "PIR")
    turned(out / "v1.nii.gz", "LIP")
    assert track(out / "fa.nii.gz", out / "v1.nii.gz", folder)(along) < 2
    (folder / "lines.tck").unlink()
    # FSL's frame is that of the axes: whether they were turned with the voxels nobody tells.
    turned(out / "fsl" / "dti_V1.nii.gz", "LIP")
    assert track(out / "fsl" / "dti_FA.nii.gz", out / "fsl" / "dti_V1.nii.gz", folder)(
        along) is None
    assert "in another orientation" in capfd.readouterr().err


def test_where_the_frames_are_one_nothing_need_be_told(tmp_path):
    folder = tmp_path / "scan"
    along = tract(folder, np.diag([-2.0, -2, -2, 1]))
    assert command("fit", folder, "-o", folder / "dti", "--maps", "fa", "v1") == 0
    (folder / "dti" / "fit.json").unlink()
    assert track(folder / "dti" / "fa.nii.gz", folder / "dti" / "v1.nii.gz", folder)(along) < 2


def test_a_json_that_tells_of_other_files_tells_nothing(tmp_path):
    (tmp_path / "fit.json").write_text(json.dumps(
        {"frame": "FSL image space", "files": {"v1": "dti_V1.nii.gz"}}))
    (tmp_path / "maps.json").write_text(json.dumps(
        {"frame": "scanner, RAS+ mm", "files": {"v1": "v1.nii.gz"}}))
    assert stated_frame(tmp_path / "dti_V1.nii.gz") == ("fsl", tmp_path / "fit.json")
    assert stated_frame(tmp_path / "v1.nii") == ("scanner", tmp_path / "maps.json")
    assert stated_frame(tmp_path / "other_v1.nii") == (None, None)
    stem = "sub-1_model-tensor"
    (tmp_path / f"{stem}_dwimap.json").write_text(json.dumps({"evec1": {"ReferenceAxes": "ijk"}}))
    (tmp_path / "sub-2_dwimap.json").write_text(json.dumps({"ReferenceAxes": "xyz"}))
    path = tmp_path / f"{stem}_param-evec1_dwimap.nii.gz"
    assert stated_frame(path) == ("array", tmp_path / f"{stem}_dwimap.json")
    (tmp_path / f"{stem}_param-evec1_dwimap.json").write_text('{"ReferenceAxes": "bvec"}')
    assert stated_frame(path)[0] == "fsl"


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '{"frame": 3}', '{"frame": "moon"}'])
def test_a_json_that_tells_no_frame_is_one_line(tmp_path, capfd, content):
    folder = tmp_path / "scan"
    tract(folder, oblique((2, 2, 3)))
    for name, values in (("fa", np.ones(SHAPE)), ("v1", np.ones((*SHAPE, 3)))):
        save(folder / f"{name}.nii", values.astype(np.float32), oblique((2, 2, 3)))
    (folder / "fit.json").write_text(content)
    assert track(folder / "fa.nii", folder / "v1.nii", folder)(ALONG) is None
    err = capfd.readouterr().err
    assert "fit.json" in err and "--frame" in err and err.count("\n") == 1


def test_gradient_deviations_are_matched_in_space(tmp_path, capfd):
    """Their numbers are those of the directions' frame however their voxels are stored."""
    folder = good_scan(tmp_path / "scan")
    affine, shape = nib.load(folder / "dwi.nii").affine, load(folder / "mask.nii").shape
    nine = np.random.default_rng(0).normal(size=(*shape, 9)).astype(np.float32) * 0.05
    mask = np.ones(shape, np.uint8)
    mask[2] = 0
    nine[2] = np.nan
    save(folder / "mask.nii", mask, affine)

    def fitted(out):
        assert command("fit", folder, "--grad-dev", folder / "g.nii", "-o", folder / out) == 0
        return load(folder / out / "tensor.nii.gz"), capfd.readouterr()

    save(folder / "g.nii", nine, affine)
    expected, said = fitted("las")
    assert said == ("", "")
    for codes in ("RAS", "PIR"):
        save(folder / "g.nii", nine, affine)
        turned(folder / "g.nii", codes)
        found, said = fitted(codes)
        np.testing.assert_array_equal(found, expected)
        assert ("its voxels are moved" in said.err) == (codes == "PIR")
    save(folder / "g.nii", nine, affine + np.eye(4, k=3) * 500)
    assert command("fit", folder, "--grad-dev", folder / "g.nii", "-o", folder / "no") == 2
    err = capfd.readouterr().err
    assert "a grad_dev 250.0 voxels away" in err and "] against [" in err
    nine[0, 0, 0, 3] = np.inf
    save(folder / "g.nii", nine, affine)
    assert command("fit", folder, "--grad-dev", folder / "g.nii", "-o", folder / "no") == 2
    assert "not finite in volume 3" in capfd.readouterr().err


@pytest.fixture
def ball(tmp_path):
    """A head of 6 voxels radius in air, NaN in most of the air."""
    folder = good_scan(tmp_path / "ball")
    data = np.asarray(nib.load(folder / "dwi.nii").dataobj, np.float32)
    rng = np.random.default_rng(1)
    radius = np.linalg.norm(np.indices((20, 20, 16)) - np.array([10, 10, 8])[:, None, None, None],
                            axis=0)
    full = rng.choice(data.reshape(-1, 10), radius.shape) * (radius < 6)[..., None]
    full += rng.random(full.shape, np.float32)
    full[radius > 8] = np.nan
    save(folder / "dwi.nii", full.astype(np.float32))
    save(folder / "mask.nii", (radius < 6).astype(np.uint8))
    return folder


@pytest.mark.parametrize("mask", ["mask.nii", None])
@pytest.mark.parametrize("name", ["fit", "predict", "check", "simulate"])
def test_nan_outside_the_mask_is_allowed(ball, tiny_run, capfd, name, mask):
    options = {"fit": ["-o", ball / "out"], "predict": ["-o", ball / "out", "--run", tiny_run]}
    status = command(name, ball, *options.get(name, ()), mask=mask)
    assert status == 0 or (name, status) == ("check", 1)
    assert capfd.readouterr() == ("", "")
    if "-o" in options.get(name, ()):
        assert np.isfinite(load(ball / "out" / "fa.nii.gz")).all()
    if name == "predict":
        stored, made = load(ball / "dwi.nii"), load(ball / "out" / "dwi.nii.gz")
        np.testing.assert_array_equal(made[..., :10], stored)  # as they were measured
        assert np.isfinite(made[..., 10:]).all()


@pytest.mark.parametrize("name", ["fit", "predict", "check", "simulate"])
def test_nan_inside_the_mask_is_refused(ball, tiny_run, capfd, name):
    data = load(ball / "dwi.nii")
    data[10, 10, 8, 4] = np.nan
    save(ball / "dwi.nii", data)
    options = {"fit": ["-o", ball / "out"], "predict": ["-o", ball / "out", "--run", tiny_run]}
    assert command(name, ball, *options.get(name, ())) == 2
    err = capfd.readouterr().err
    assert "1 values that are not finite in volume 4" in err and err.count("\n") == 1


@pytest.mark.parametrize(("name", "five"), [("fit", False), ("fit", True), ("predict", True)])
def test_nifti2_goes_in_and_comes_out(tmp_path, tiny_run, capfd, name, five):
    """Also with its volumes along the fifth axis."""
    folder = good_scan(tmp_path / "scan")
    data, affine = load(folder / "dwi.nii"), nib.load(folder / "dwi.nii").affine
    data = data[..., None, :] if five else data
    nib.save(nib.Nifti2Image(data, affine), folder / "two.nii.gz")
    out = folder / "out"
    options = ["--run", tiny_run] if name == "predict" else []
    assert command(name, folder, "-o", out, *options, dwi="two.nii.gz") == 0
    assert capfd.readouterr() == ("", "")
    images = sorted(out.glob("*.nii.gz"))
    assert len(images) >= 7
    assert all(type(nib.load(path)) is nib.Nifti2Image for path in images)
    assert all(len(nib.load(path).shape) <= 4 for path in images)
    if name == "fit":
        assert command(name, folder, "-o", folder / "one") == 0
        np.testing.assert_array_equal(load(out / "fa.nii.gz"), load(folder / "one" / "fa.nii.gz"))


@pytest.mark.parametrize(("name", "codes"), [
    ("fit", (0, 0)), ("fit", (1, 1)), ("check", (0, 0)), ("check", (1, 1)), ("predict", (1, 1))])
def test_no_orientation_or_two_are_told(tmp_path, tiny_run, capfd, name, codes):
    folder = good_scan(tmp_path / "scan")
    image = nib.Nifti1Image(load(folder / "dwi.nii"), None)
    image.set_sform(np.diag([2.0, 2, 2.5, 1]), codes[0])
    image.set_qform(np.diag([-2.0, 2, 2.5, 1]), codes[1])
    nib.save(image, folder / "dwi.nii")
    save(folder / "mask.nii", np.ones((6, 5, 4), np.uint8), nib.load(folder / "dwi.nii").affine)
    options = {"fit": ["-o", folder / "out"], "check": []}.get(
        name, ["-o", folder / "out", "--run", tiny_run])
    line = [str(word) for word in (
        name, folder / "dwi.nii", "--bvals", folder / "dwi.bval", "--bvecs", folder / "dwi.bvec",
        "--mask", folder / "mask.nii", *options)]
    assert cli.main(line) == (1 if name == "check" else 0)
    said = "".join(capfd.readouterr())
    assert said.count("no orientation" if codes == (0, 0) else "of opposite hand") == 1
    told = {"fit": "fit.json", "predict": "dwi.json"}.get(name)
    if told:
        assert "sform" in (folder / "out" / told).read_text()


@pytest.mark.parametrize(("kind", "words"), [
    ("one voxel", "found 1 voxels in the mask; expected at least 100"),
    ("a thin sheet", "nothing left of it"), ("one slice", "20×20×1")])
def test_too_little_to_simulate_like_is_one_line(ball, capfd, kind, words):
    mask = np.zeros((20, 20, 16), np.uint8)
    if kind == "one slice":
        save(ball / "dwi.nii", np.nan_to_num(load(ball / "dwi.nii")[:, :, 8:9]))
        mask = load(ball / "mask.nii")[:, :, 8:9]
    elif kind == "one voxel":
        mask[10, 10, 8] = 1
    else:  # in a corner, from where a shift takes it out
        mask[:, :6, 0] = 1
        save(ball / "dwi.nii", np.where(mask[..., None], 300, load(ball / "dwi.nii"))
             .astype(np.float32))
    save(ball / "mask.nii", mask)
    status = command("simulate", ball, "--subjects", 4)
    err = capfd.readouterr().err
    assert status == 2 and words in err and err.count("\n") == 1

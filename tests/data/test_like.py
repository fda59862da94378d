"""Subjects made like a scan: what the fit keeps, how it turns, what is written and told."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from dipy.denoise import localpca
from scipy.spatial.transform import Rotation
from scipy.stats import rice

from dwijax.cli import main
from dwijax.data.cohort import Member
from dwijax.data.layouts import find_subjects
from dwijax.data.mppca import mppca, mppca_and_noise
from dwijax.data.phantom import acquisition, like, simulate
from dwijax.data.phantom.noise import shared
from dwijax.data.simulated import made_like
from dwijax.data.subject import load_subject
from dwijax.fitting.noise import noise_in_space
from dwijax.gradients import direction_set
from dwijax.gradients.harmonics import sh_basis

SETTINGS = like.LikeSettings(seed=0, identity="", shell=1000)
STILL = dict.fromkeys(("deformation", "pose_degrees", "pose_shift", "s0", "diffusivity",
                       "anisotropy", "shading"), 0.0)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A phantom with crossing fibres, as a scan of its own."""
    folder = tmp_path_factory.mktemp("scan")
    simulate(folder, subjects=1, seed=2, workers=1, progress=False, shape=(24, 28, 10),
             voxel_size=5.0, n_directions=24, b0s=3)
    return find_subjects(folder, "phantom")[0]


@pytest.fixture(scope="module")
def fit(scan):
    return like.fit_scan(load_subject(scan))


def _few_components(volumes, shape, noise=0.05):
    """Three components that vary smoothly in space, and the same with noise."""
    rng = np.random.default_rng(volumes)
    where = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    clean = (2 + np.sin(where / 4)) @ rng.uniform(0.1, 0.3, (3, volumes))
    return clean, (clean + noise * rng.standard_normal(clean.shape)).astype(np.float32)


@pytest.mark.parametrize("volumes", [30, 140])  # fewer and more than a patch has voxels
def test_with_a_patch_for_every_voxel_mppca_is_dipys(volumes):
    noisy = _few_components(volumes, (9, 9, 9))[1]
    inner = (slice(4, -4),) * 3  # further out dipy has fewer patches: it does not mirror
    head = np.zeros(noisy.shape[:3], bool)
    head[2:-2, 2:-2, 2:-2] = True  # the centres of all patches that hold what is compared
    expected = localpca.mppca(noisy, mask=head, patch_radius=2, suppress_warning=True)[inner]
    found = mppca(noisy, head, stride=1)[inner]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (found - noisy[inner]).std() > 0.02


def test_patches_that_are_apart_take_nearly_as_much_noise_out():
    clean, noisy = _few_components(30, (13, 12, 10))
    head = np.ones(clean.shape[:3], bool)
    head[:2] = False
    dense, sparse = (mppca(noisy, head, stride=stride) for stride in (1, 2))
    assert not sparse[~head].any()
    left = [(found - clean)[head].std() for found in (dense, sparse)]
    assert left[0] < left[1] < 1.2 * left[0] < 0.5 * 0.05
    # Nothing to take out, as at a border that was filled with zeros: no warning, no change.
    np.testing.assert_array_equal(mppca(np.zeros_like(noisy), head), 0)


def test_patches_tell_the_level_of_white_noise():
    noisy = _few_components(30, (16, 15, 14))[1]
    head = np.zeros(noisy.shape[:3], bool)
    head[4:-4, 4:-4, 4:-4] = True  # further out patches hold voxels twice
    variance = mppca_and_noise(noisy, head)[1]
    assert not variance[~head].any()
    assert np.sqrt(np.median(variance[head])) == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize("snr", [0.5, 3.0, 15.0, 30.0])
def test_the_mean_of_a_magnitude_is_inverted(snr):
    """Against scipy's Rice distribution."""
    mean = np.float32(0.1 * rice(snr).mean())
    assert like.noise_free(mean, 0.1) == pytest.approx(0.1 * snr, rel=2e-3)
    assert like.noise_free(np.float32(0.1), 0.1) == 0


@pytest.mark.parametrize("order", [2, 4])
def test_harmonics_at_turned_directions_are_dipys(order):
    rng = np.random.default_rng(0)
    bvecs = rng.normal(size=(5, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    turns = Rotation.random(6, random_state=1).as_matrix().reshape(1, 2, 3, 3, 3)
    count = (order + 1) * (order + 2) // 2
    coefficients = rng.normal(size=(1, 2, 3, count))
    found = like.evaluate(coefficients, order, turns, bvecs)
    for voxel in np.ndindex(1, 2, 3):
        expected = sh_basis(bvecs @ turns[voxel].T, order)[0] @ coefficients[voxel]
        np.testing.assert_allclose(found[:, *voxel], expected, atol=1e-5)


def test_a_turned_head_takes_its_fibres_along():
    """A bar and the fibres along it still have one axis after a pose, which is another one."""
    grid = np.stack(np.meshgrid(*[np.arange(25.0) - 12] * 3, indexing="ij"), axis=-1)
    bar = (np.abs(grid[..., 0]) < 9) & (np.linalg.norm(grid[..., 1:], axis=-1) < 2.5)
    directions = np.random.default_rng(0).standard_normal((300, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    along_x = np.linalg.lstsq(sh_basis(directions, 4)[0], -1.7 * directions[:, 0] ** 2 - 0.3)[0]
    scan = like.Fit(bar.astype(np.float32), np.broadcast_to(along_x, (*bar.shape, 15)), 4, bar,
                    acquisition(6), np.diag([2.0, 2, 2, 1]), 0.0, 1.0,
                    np.ones(bar.shape, np.float32), np.zeros(3), 0.0, np.zeros(3),
                    np.zeros(1, np.float32), 2, np.zeros(bar.shape, np.float32))
    still = SETTINGS.as_dict() | STILL | {"pose_degrees": 20.0}
    size = np.full(3, 2.0)
    place = like.displaced(np.random.default_rng(3), bar.shape, size, like.LikeSettings(**still))
    found, turns = like.warp(scan, place, size)
    axis = np.linalg.svd(grid[found.b0 > 0.5], full_matrices=False)[2][0]
    signal = like.evaluate(found.attenuation, 4, turns, directions)[:, 12, 12, 12]
    fibre = directions[signal.argmin()]
    assert np.degrees(np.arccos(abs(axis @ fibre))) < 8
    assert np.degrees(np.arccos(abs(axis[0]))) > 15


def test_unmoved_it_is_the_scan_without_its_noise(scan, fit):
    """Nearer to the truth than the scan; its noise, table and place are the scan's."""
    subject = load_subject(scan)
    settings = like.LikeSettings(**SETTINGS.as_dict() | STILL)
    made = like.simulate_like(fit, settings, 0)
    np.testing.assert_array_equal(made.mask, subject.mask)
    np.testing.assert_array_equal(made.gtab.bvecs, subject.gtab.bvecs)
    truth = np.asarray(nib.load(scan.truth / "dwi.nii.gz").dataobj)[..., subject.volumes]
    inside = subject.mask
    noise = (subject.dwi - truth)[inside].std()
    assert (made.clean - truth)[inside].std() < 0.75 * noise
    assert abs((made.clean - truth)[inside].mean()) < 0.2 * noise
    assert made.sigma[0, 0, 0] == pytest.approx(noise, rel=0.15)
    assert (made.dwi - made.clean)[inside].std() == pytest.approx(made.sigma[0, 0, 0], rel=0.05)
    assert set(np.unique(made.tissue)) == {0, 1, 2, 4} and not made.tissue[~inside].any()


def test_noise_is_as_the_scan_has_it(scan):
    """Shared by neighbours, uneven, with gains: found again in a subject that is made like it."""
    subject, rng = load_subject(scan), np.random.default_rng(0)
    shape, dwis = subject.mask.shape, subject.gtab.dwis
    level = 20 * np.exp(0.4 * np.linspace(-1, 1, shape[0]))[:, None, None]
    white = rng.standard_normal((len(subject.gtab), *shape)).astype(np.float32)
    noise = np.stack([level * shared(x, (0.5, 0.3, 0.0)) for x in white], axis=-1)
    truth = np.asarray(nib.load(scan.truth / "dwi.nii.gz").dataobj)[..., subject.volumes]
    gains = np.ones(len(subject.gtab))
    gains[dwis] += 0.03 * rng.standard_normal(len(dwis))
    noisy = replace(subject, dwi=np.float32(truth * gains + noise))
    made = like.simulate_like(like.fit_scan(noisy), like.LikeSettings(
        **SETTINGS.as_dict() | STILL), 0)

    def found(dwi):
        return noise_in_space(dwi[subject.mask][:, dwis], subject.gtab.bvecs[dwis], subject.mask)

    own, again = found(noisy.dwi), found(made.dwi)
    np.testing.assert_allclose(own.correlation, (0.5, 0.3, 0.0), atol=0.1)
    np.testing.assert_allclose(again.correlation, own.correlation, atol=0.1)
    assert np.corrcoef(own.relative, again.relative)[0, 1] > 0.7
    assert again.gain == pytest.approx(own.gain, rel=0.5) and own.gain > 0.015


def test_volumes_move_and_slices_drop_out_as_those_of_the_scan(scan):
    """The truth is what it is without them; so is a subject with white noise."""
    subject = load_subject(scan)
    dwi, b0s = subject.dwi.copy(), len(subject.gtab.b0s)
    dwi[..., 5, b0s + 2] *= 0.4
    dwi[..., 3, 0] *= 0.4  # of a b0
    dwi[..., 6, b0s + 4] *= 1.8
    fit = like.fit_scan(replace(subject, dwi=dwi))
    lost, = fit.dropouts[fit.dropouts > 0]
    assert lost == pytest.approx(0.6, abs=0.06) and fit.slice_axis == 2
    judged = np.sum(subject.mask.sum(axis=(0, 1)) >= 100)
    assert fit.dropouts.shape == (judged * len(subject.gtab.dwis),)

    still = like.LikeSettings(**SETTINGS.as_dict() | STILL | {"snr": 1e6})
    share = np.float32([0, 0, 0, 0.5])
    fit = fit._replace(gain=0.0, motion=np.zeros(3), dropouts=share)
    made = like.simulate_like(fit, still, 0)
    plain = like.simulate_like(fit._replace(dropouts=share[:1]), still, 0)
    np.testing.assert_array_equal(made.clean, plain.clean)
    ratio = (made.dwi * fit.mask[..., None]).sum(axis=(0, 1)) / (
        plain.dwi * fit.mask[..., None]).sum(axis=(0, 1))  # [Z, M]
    assert np.isclose(ratio[:, b0s:], 0.5, atol=0.01).mean() == pytest.approx(0.25, abs=0.1)
    assert (np.isclose(ratio, 0.5, atol=0.01) | np.isclose(ratio, 1, atol=0.01)).all()
    np.testing.assert_allclose(ratio[:, :b0s], 1, atol=0.01)

    shifts = np.array([0.3, 0.0, 0.15])
    far = like.simulate_like(fit._replace(motion=shifts, dropouts=share[:1]), still, 0)
    np.testing.assert_array_equal(far.clean, plain.clean)
    slopes = np.stack(np.gradient(plain.clean[..., b0s:], axis=(0, 1, 2)), axis=-1)
    change = (far.dwi - plain.dwi)[..., b0s:]
    inside = fit.mask & (plain.clean.min(axis=-1) > 0.2 * fit.scale)
    found = np.stack([np.linalg.lstsq(slopes[inside][:, m], change[inside][:, m])[0]
                      for m in range(change.shape[-1])])
    np.testing.assert_allclose(np.sqrt(np.mean(found**2, axis=0)), shifts, rtol=0.4, atol=0.01)
    white = replace(still, white_noise=True)
    np.testing.assert_array_equal(
        like.simulate_like(fit._replace(motion=shifts), white, 0).dwi,
        like.simulate_like(fit._replace(dropouts=share[:1]), white, 0).dwi)


def test_slices_are_those_of_the_stored_image(scan):
    """A sagittal scan: its last axis runs to the right, the first one in LAS."""
    image = nib.load(scan.dwi)
    ornt = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("PSR"))
    subject = replace(load_subject(scan), image=image.as_reoriented(ornt), orientation="PSR")
    assert like.fit_scan(subject).slice_axis == 0
    subject.image.header.set_dim_info(slice=1)
    assert like.fit_scan(subject).slice_axis == 2


def test_white_noise_is_no_excess_and_more_is(scan):
    """Whatever the scan's level, and shared by neighbours or not."""
    subject, rng = load_subject(scan), np.random.default_rng(0)
    truth = np.asarray(nib.load(scan.truth / "dwi.nii.gz").dataobj)[..., subject.volumes]
    inside, b0 = subject.mask, subject.b0.mean(where=subject.mask)
    sigma = (subject.dwi - truth)[inside].std() / b0

    def excess(dwi):
        return np.median(like.fit_scan(replace(subject, dwi=np.float32(dwi))).excess[inside])

    white = rng.standard_normal((len(subject.gtab), *inside.shape)).astype(np.float32)
    noise = np.stack([shared(x, (0.4, 0.4, 0.4)) for x in white], axis=-1)
    assert excess(subject.dwi) < 0.2 * sigma
    assert excess(truth + sigma * b0 * noise) < 0.2 * sigma
    # Volumes as a whole, each with a pattern that neighbours share: noise it is not.
    grid = np.indices(inside.shape).reshape(3, -1).T
    waves = np.stack([np.cos(grid @ k).reshape(inside.shape) for k in
                      rng.uniform(-1, 1, (truth.shape[-1], 3))], axis=-1)
    assert excess(subject.dwi + 1.5 * sigma * b0 * np.sqrt(2) * waves) > 0.8 * sigma


def test_texture_is_as_strong_as_the_excess_and_no_harmonics(fit):
    strength = np.where(fit.mask, np.linspace(0.0, 0.02, fit.mask.shape[0])[:, None, None], 0)
    fit = fit._replace(excess=strength.astype(np.float32))
    points = direction_set(90)
    table = ((0.0, 0.0, 0.0, 0.0), *((fit.b, *map(float, g)) for g in points))
    settings = like.LikeSettings(**SETTINGS.as_dict() | STILL | {"table": table})
    plain, rough = (like.simulate_like(fit, replace(settings, texture=texture), 0)
                    for texture in (False, True))
    bright = fit.mask & (plain.clean.min(axis=-1) > 0.2 * fit.scale)  # nothing is cut at 0
    added = (rough.clean - plain.clean)[bright] / plain.clean[bright][:, :1]
    np.testing.assert_array_equal(added[:, 0], 0)
    np.testing.assert_allclose(np.sqrt(np.mean(added[:, 1:]**2, axis=1)), strength[bright],
                               rtol=0.03, atol=1e-5)
    assert abs(np.mean(added[:-1, 1:] * added[1:, 1:])) < 0.05 * np.mean(added[:, 1:]**2)
    basis = sh_basis(points, 6)[0]
    left, left_rough = (
        logs - logs @ np.linalg.pinv(basis).T @ basis.T for logs in
        (np.log(made.clean[bright][:, 1:] / made.clean[bright][:, :1]) for made in (plain, rough)))
    assert np.abs(left).max() < 1e-5
    assert np.sqrt(np.mean(left_rough**2)) > 1e-4
    # Its maps are those of the truth with it: otherwise directions and FA would be of the fit.
    assert (rough.tissue != plain.tissue).any()


def test_shared_noise_keeps_its_variance():
    noise = np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32)
    found = shared(noise, (0.6, 0.0, -0.2))
    assert found.std() == pytest.approx(1, rel=0.02)
    for axis, r in enumerate((0.6, 0.0, 0.0)):
        assert np.mean(found * np.roll(found, 1, axis)) == pytest.approx(r, abs=0.02)


def test_any_other_table_scans_the_same_signal(scan, fit):
    """The scan's directions in another order and turned round: its volumes; half of its b: the
    square root of the attenuation; twice a direction: the same."""
    still = SETTINGS.as_dict() | STILL
    own = like.simulate_like(fit, like.LikeSettings(**still), 0)
    b0s = np.flatnonzero(fit.gtab.b0s_mask)
    order = np.random.default_rng(0).permutation(np.flatnonzero(~fit.gtab.b0s_mask))
    rows = [(0.0, 0.0, 0.0, 0.0), *((float(b), *g) for b, g in zip(
        np.r_[fit.gtab.bvals[order], fit.gtab.bvals[order] / 2],
        np.r_[-fit.gtab.bvecs[order], fit.gtab.bvecs[order]].tolist(), strict=True))]
    made = like.simulate_like(fit, like.LikeSettings(**still | {"table": tuple(rows)}), 0)
    inside, n = fit.mask, len(order)
    s0 = own.clean[inside][:, b0s[:1]]
    np.testing.assert_allclose(made.clean[inside][:, :1], s0, rtol=1e-6)
    np.testing.assert_allclose(made.clean[inside][:, 1:1 + n], own.clean[inside][:, order],
                               rtol=1e-3)
    np.testing.assert_allclose(made.clean[inside][:, 1 + n:], np.sqrt(
        s0 * own.clean[inside][:, order]), rtol=1e-3)
    assert made.gtab.b0s_mask.sum() == 1 and len(made.gtab) == 1 + 2 * n


@pytest.mark.parametrize("codes", ["LAS", "RAS"])
def test_the_command_with_a_table_of_its_own(scan, tmp_path, codes):
    """In FSL's convention of the scan's image, however that is stored; or N directions more."""
    image = nib.load(scan.dwi)
    subject = load_subject(scan)
    stored = image.as_reoriented(nib.io_orientation(image.affine)) if codes == "RAS" else image
    bvals = np.loadtxt(scan.bval)
    assert "".join(nib.aff2axcodes(stored.affine)) == codes
    nib.save(stored, tmp_path / "dwi.nii.gz")
    np.savetxt(tmp_path / "dwi.bval", bvals[None])
    # FSL's x of a RAS image runs against its first axis, as it does in the LAS one.
    np.savetxt(tmp_path / "dwi.bvec", np.loadtxt(scan.bvec))
    keep = np.r_[0, np.flatnonzero(bvals > 50)[::-1][:8]]
    np.savetxt(tmp_path / "few.bval", bvals[None, keep])
    np.savetxt(tmp_path / "few.bvec", np.loadtxt(scan.bvec)[:, keep])
    command = ["simulate", str(tmp_path / "made"), "--like", str(tmp_path / "dwi.nii.gz"),
               "--bvals", str(tmp_path / "dwi.bval"), "--bvecs", str(tmp_path / "dwi.bvec"),
               "--subjects", "1", "--quiet"]
    assert main([*command, "--table", str(tmp_path / "few")]) == 0
    made = load_subject(find_subjects(tmp_path / "made", "phantom")[0])
    weighted = ~made.gtab.b0s_mask
    assert weighted.sum() == 8
    np.testing.assert_allclose(
        made.gtab.bvecs[weighted], subject.gtab.bvecs[~subject.gtab.b0s_mask][::-1][:8], atol=1e-5)
    command[1] = str(tmp_path / "more")
    assert main([*command, "--add", "10"]) == 0
    more = load_subject(find_subjects(tmp_path / "more", "phantom")[0])
    assert (~more.gtab.b0s_mask).sum() == (~subject.gtab.b0s_mask).sum() + 10
    assert main([*command, "--add", "10", "--table", str(tmp_path / "few")]) == 2


def test_subjects_differ_and_are_reproducible(fit):
    one, again, two = (like.simulate_like(fit, SETTINGS, i) for i in (0, 0, 1))
    np.testing.assert_array_equal(one.dwi, again.dwi)
    inside = one.mask & two.mask
    assert inside.sum() > 0.6 * fit.mask.sum()
    change = np.abs(one.clean - two.clean)[inside].mean() / one.clean[inside].mean()
    assert change > 0.05


def test_the_command_and_its_record(scan, tmp_path, capsys):
    out = tmp_path / "made"
    table = ["--bvals", str(scan.bval), "--bvecs", str(scan.bvec)]
    command = ["simulate", str(out), "--like", str(scan.dwi), "--mask", str(scan.mask), *table,
               "--subjects", "1", "--quiet"]
    assert main(command) == 0
    found = find_subjects(out, "phantom")
    subject = load_subject(found[0])
    identity = like.identity(load_subject(scan))
    assert json.loads((out / "phantom.json").read_text())["like"] == identity
    assert made_like([Member(found[0], None)]) == [identity]
    assert made_like([Member(scan, None)]) == []
    assert like.identity(subject) != identity
    truth = nib.load(found[0].truth / "fa.nii.gz").get_fdata()
    assert 0.1 < truth[subject.mask].mean() < 0.6
    # Again: it is there already. Like another level of noise: not into this folder.
    written = (out / "like-000" / "truth" / "dwi.nii.gz").stat().st_mtime_ns
    assert main(command) == 0
    assert (out / "like-000" / "truth" / "dwi.nii.gz").stat().st_mtime_ns == written
    assert main([*command, "--snr", "5"]) == 2
    for wrong in (["--lesions"], ["--shells", "1000", "2000"], ["--voxel-size", "3"]):
        assert main([*command, *wrong]) == 2
    assert main(["simulate", str(tmp_path / "none"), "--texture", "--quiet"]) == 2
    assert main([*command, "--texture"]) == 2  # another setting: not into this folder
    without = [word for word in command if word not in table]
    assert main(without) == 2
    told = capsys.readouterr().err
    assert "one of the two: the scan decides it" in told and "--texture: found no --like" in told


def test_a_scan_with_two_shells_is_asked_which(tmp_path):
    gtab = acquisition(8, (1000.0, 2000.0), 1)
    simulate(tmp_path / "two", subjects=1, workers=1, progress=False, shape=(16, 20, 6),
             voxel_size=6.0, gtab=gtab)
    scan = find_subjects(tmp_path / "two", "phantom")[0]
    command = ["simulate", str(tmp_path / "made"), "--like", str(scan.dwi), "--bvals",
               str(scan.bval), "--bvecs", str(scan.bvec), "--subjects", "1", "--quiet"]
    assert main(command) == 2
    assert not (tmp_path / "made").exists()

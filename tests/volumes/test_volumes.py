"""Volumes: exact orientation, lawful and broken files, masks, headers of what is written."""

import os

import nibabel as nib
import numpy as np
import pytest

from dwijax.errors import InputError
from dwijax.fitting.samples import read_samples
from dwijax.gradients import direction_set, fsl_to_world
from dwijax.volumes import (
    canonical,
    canonical_bvecs,
    make_mask,
    only_usable,
    pad_to,
    read_dwi,
    read_mask,
    read_on_grid,
    read_volumes,
    save_like,
    uncanonical,
    uncanonical_affine,
    uncanonical_bvecs,
)
from tests.volumes.images import ORIENTATIONS, SHAPE, ras_affine, restored, series


@pytest.mark.parametrize("oblique", [0, 20])
def test_every_storage_order_gives_the_same_canonical_scan(oblique):
    image = series(affine=ras_affine(oblique))
    world = direction_set(12)
    expected = canonical(image.get_fdata(dtype=np.float32), image.affine)
    expected_bvecs = world @ fsl_to_world(expected[1])
    assert np.linalg.det(expected[1]) < 0
    assert nib.aff2axcodes(expected[1]) == ("L", "A", "S")
    for codes in ORIENTATIONS:
        stored = restored(image, codes)
        array = stored.get_fdata(dtype=np.float32)
        moved, affine, orientation = canonical(array, stored.affine)
        assert orientation == codes
        np.testing.assert_array_equal(moved, expected[0])
        np.testing.assert_allclose(affine, expected[1], atol=1e-12)

        bvecs = world @ fsl_to_world(stored.affine)  # as FSL's text file beside it has them
        np.testing.assert_allclose(
            canonical_bvecs(bvecs, orientation), expected_bvecs, rtol=0, atol=1e-12
        )
        np.testing.assert_array_equal(
            uncanonical_bvecs(canonical_bvecs(bvecs, orientation), orientation), bvecs
        )
        np.testing.assert_array_equal(uncanonical(moved, orientation), array)
        np.testing.assert_allclose(
            uncanonical_affine(affine, array.shape, orientation), stored.affine, atol=1e-12
        )


def test_canonical_axes_are_the_axes_of_the_directions():
    """A world direction along array axis i is the i-th unit vector, for a canonical scan."""
    affine = canonical(np.zeros(SHAPE), ras_affine(20))[1]
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ fsl_to_world(affine), np.eye(3), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_volumes_are_read_with_their_scale_in_any_order(tmp_path, dtype, ending):
    image = series(dtype)
    image.header.set_slope_inter(1 if np.dtype(dtype).kind == "f" else 0.37, 0)
    path = tmp_path / f"ä b{ending}"
    nib.save(image, path)
    opened = read_dwi(path)
    array = read_volumes(opened)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, nib.load(path).get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(read_volumes(opened, [2, 0]), array[..., [2, 0]])
    assert read_volumes(opened, []).shape == SHAPE[:3] + (0,)


def test_slope_and_intercept_of_the_header_are_applied(tmp_path):
    raw = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    image = nib.Nifti1Image(raw, ras_affine())
    nib.save(image, tmp_path / "x.nii")
    contents = bytearray((tmp_path / "x.nii").read_bytes())
    contents[112:120] = np.array([37.125, -4], "<f4").tobytes()
    (tmp_path / "x.nii").write_bytes(contents)
    np.testing.assert_array_equal(
        read_volumes(read_dwi(tmp_path / "x.nii")), raw * np.float32(37.125) - 4
    )


def test_trailing_axis_of_one_is_dropped(tmp_path):
    nib.save(series(np.int16, shape=(*SHAPE, 1)), tmp_path / "x.nii.gz")
    image = read_dwi(tmp_path / "x.nii.gz")
    assert image.shape == image.header.get_data_shape() == SHAPE
    whole = nib.load(tmp_path / "x.nii.gz").get_fdata(dtype=np.float32)[..., 0]
    np.testing.assert_array_equal(read_volumes(image), whole)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("shape", [(4, 5, 6, 1, 3), (4, 5, 6, 1, 1, 3), (4, 5, 6, 3, 1, 1),
                                   (4, 5, 6, 1, 3, 1)])
def test_volumes_may_lie_along_a_later_axis(tmp_path, shape, ending):
    data = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    nib.save(nib.Nifti1Image(data.reshape(shape), ras_affine()), tmp_path / f"x{ending}")
    image = read_dwi(tmp_path / f"x{ending}")
    assert image.shape == image.header.get_data_shape() == SHAPE
    np.testing.assert_array_equal(read_volumes(image, [2, 0]), data[..., [2, 0]])
    index = np.array([0, 17, 119])
    samples = read_samples(image, index, np.arange(3), tmp_path)
    np.testing.assert_array_equal(samples.chunk(0, 3), data.reshape(120, 3, order="F")[index].T)
    save_like(tmp_path / "fa.nii", np.ones(SHAPE[:3]), image)
    assert nib.load(tmp_path / "fa.nii").shape == SHAPE[:3]


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SLA"])
def test_what_belongs_to_a_scan_is_matched_in_any_order(tmp_path, codes):
    nine = np.random.default_rng(2).normal(size=(*SHAPE[:3], 9)).astype(np.float32)
    nine[0, 0, 0] = np.nan
    scan = restored(nib.Nifti1Image(np.zeros(SHAPE[:3], np.uint8), ras_affine(20)), codes)
    expected = restored(nib.Nifti1Image(nine, ras_affine(20)), codes).get_fdata(dtype=np.float32)
    for stored in ("RAS", "LPS", "IRP"):
        nib.save(restored(nib.Nifti1Image(nine, ras_affine(20)), stored), tmp_path / "g.nii.gz")
        found = read_on_grid(tmp_path / "g.nii.gz", scan.shape, scan.affine, (9,))
        np.testing.assert_array_equal(found, expected)
        few = read_on_grid(tmp_path / "g.nii.gz", scan.shape, scan.affine, (9,), volumes=[7, 1])
        np.testing.assert_array_equal(few, expected[..., [7, 1]])
    with pytest.raises(InputError, match=r"expected shape .*×3"):
        read_on_grid(tmp_path / "g.nii.gz", scan.shape, scan.affine, (3,))


def test_another_grid_is_refused_with_both_affines(tmp_path):
    nib.save(mask_image(), tmp_path / "m.nii")
    for shape, affine in ((SHAPE, ras_affine() + np.eye(4, k=3) * 5), ((4, 5, 7), ras_affine())):
        with pytest.raises(InputError) as caught:
            read_on_grid(tmp_path / "m.nii", shape, affine)
        x = 10 - 5 * (shape == SHAPE)
        assert f"[2 0 0 -10; 0 2.5 0 7; 0 0 3 3] against [2 0 0 -{x}; 0" in str(caught.value)


@pytest.mark.parametrize(("value", "words"), [
    (np.nan, "1 values that are not finite in volume 2"),
    (-np.inf, "1 values that are not finite in volume 2"), (1e38, "up to 1e\\+38 in volume 2")])
def test_what_is_no_number_is_0_outside_the_mask_and_refused_inside(tmp_path, value, words):
    image = series()
    image.dataobj[0, 0, 0, 2] = value
    nib.save(image, tmp_path / "x.nii.gz")
    array = read_volumes(read_dwi(tmp_path / "x.nii.gz"), [1, 2])
    assert array[0, 0, 0, 1] == np.float32(value) or np.isnan(value)
    mask = np.ones(SHAPE[:3], bool)
    with pytest.raises(InputError, match=words):
        only_usable(array, mask, "x", [1, 2])
    mask[0, 0, 0] = False
    expected = np.where(np.isnan(array) | (np.abs(array) > 1e15), 0, array)
    only_usable(array, mask, "x", [1, 2])
    np.testing.assert_array_equal(array, expected)
    assert array[0, 0, 0, 1] == 0


def mask_image(codes="RAS", dtype=np.uint8, affine=None, fill=None):
    data = np.random.default_rng(1).integers(0, 2, SHAPE[:3]).astype(dtype)
    if fill is not None:
        data[:] = fill
    return restored(nib.Nifti1Image(data, ras_affine() if affine is None else affine), codes)


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SLA"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_mask_of_the_same_grid_is_taken_in_any_order(tmp_path, codes, dtype):
    nib.save(mask_image("PSR", dtype), tmp_path / "mask.nii.gz")
    image = restored(series(), codes)
    mask = read_mask(tmp_path / "mask.nii.gz", image.shape, image.affine)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, np.asarray(mask_image(codes).dataobj) > 0)


def test_mask_may_have_a_trailing_axis_of_one(tmp_path):
    image = mask_image()
    nib.save(
        nib.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine), tmp_path / "m.nii"
    )
    assert read_mask(tmp_path / "m.nii", SHAPE, ras_affine()).shape == SHAPE[:3]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (
            nib.Nifti1Image(np.ones((4, 5, 7), np.uint8), ras_affine()),
            "4×5×7; expected the image's",
        ),
        (nib.Nifti1Image(np.ones(SHAPE, np.uint8), ras_affine()), "a 3-D mask"),
        (mask_image(affine=ras_affine() + np.eye(4, k=3) * 5), "2.5 voxels away"),
        (mask_image(affine=ras_affine(20)), "voxels away"),
        (mask_image(fill=0), "an empty mask"),
        (mask_image(dtype=np.float32, fill=0.3), "not whole numbers"),
        (mask_image(dtype=np.float32, fill=np.nan), "not finite"),
        (mask_image(dtype=np.int16, fill=-1), "0 outside"),
        (mask_image(dtype=np.float64, fill=1e300), "between 1e+300"),
        (mask_image(dtype=np.float32, fill=np.inf), "between inf"),
    ],
)
def test_wrong_masks_are_refused(tmp_path, image, words):
    nib.save(image, tmp_path / "mask.nii.gz")
    with pytest.raises(InputError) as caught:
        read_mask(tmp_path / "mask.nii.gz", SHAPE, ras_affine())
    assert words in str(caught.value)


def test_nan_in_a_mask_is_outside(tmp_path):
    image = mask_image(dtype=np.float32)
    expected = np.asarray(image.dataobj) > 0
    image.dataobj[~expected] = np.nan
    nib.save(image, tmp_path / "m.nii")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.nii", SHAPE, ras_affine()), expected)


def test_mask_is_made_from_the_b0s(capfd):
    grid = np.stack(np.meshgrid(*[np.arange(-16, 16)] * 3, indexing="ij"))
    ball = np.linalg.norm(grid, axis=0) < 11
    noise = np.random.default_rng(0).normal(size=(*ball.shape, 3)) * 5
    dwi = np.abs(ball[..., None] * [300, 0, 0] + noise).astype(np.float32)
    mask = make_mask(dwi[..., :1])
    assert mask.dtype == bool
    assert 2 * (mask & ball).sum() / (mask.sum() + ball.sum()) > 0.92  # medians round corners
    assert capfd.readouterr() == ("", "")
    dwi[..., 0][grid[0] < -8] = np.nan
    assert not make_mask(dwi[..., :1])[grid[0] < -8].any()
    with pytest.raises(InputError, match="no head"):
        make_mask(np.zeros_like(dwi))


def test_made_mask_resembles_the_given_one(shared_data):
    folder = shared_data / "philips_12dir_b1000"
    image = read_dwi(folder / "dwi.nii.gz")
    given = read_mask(folder / "mask.nii.gz", image.shape, image.affine)
    made = make_mask(read_volumes(image, [0]))
    assert 2 * (made & given).sum() / (made.sum() + given.sum()) > 0.95


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_saved_maps_keep_the_header(tmp_path, kind):
    header = kind.header_class()
    header.set_xyzt_units("mm", "sec")
    image = kind(np.ones(SHAPE, np.int16), ras_affine(20), header)
    image.set_sform(ras_affine(20), 1)
    image.set_qform(ras_affine(20), 3)
    image.header.set_slope_inter(3.5, 1)
    image.header.set_zooms((2, 2.5, 3, 4.2))
    image.header["cal_max"] = 900
    nib.save(image, tmp_path / "in.nii.gz")
    like = read_dwi(tmp_path / "in.nii.gz")

    fa = np.random.default_rng(0).random(SHAPE[:3], np.float32)
    for array in (fa, np.stack([fa] * 7, -1)):
        save_like(tmp_path / "deep" / "fa.nii.gz", array, like)
        back = nib.load(tmp_path / "deep" / "fa.nii.gz")
        assert type(back) is kind
        assert back.get_data_dtype() == np.float32
        np.testing.assert_array_equal(back.get_fdata(dtype=np.float32), array)
        np.testing.assert_array_equal(back.affine, like.affine)
        for code in ("sform_code", "qform_code", "xyzt_units", "srow_x", "quatern_b"):
            assert back.header[code] == pytest.approx(like.header[code])
        assert back.header["cal_max"] == 0
    assert back.header.get_zooms()[3] == pytest.approx(4.2)
    assert os.listdir(tmp_path / "deep") == ["fa.nii.gz"]
    save_like(tmp_path / "labels.nii.gz", fa > 0.5, like, dtype=np.uint8)
    labels = nib.load(tmp_path / "labels.nii.gz")
    assert labels.get_data_dtype() == np.uint8
    assert np.isnan(labels.header["scl_slope"]) or labels.header["scl_slope"] == 1
    np.testing.assert_array_equal(labels.get_fdata() > 0, fa > 0.5)


def test_failed_writing_leaves_what_was_there(tmp_path):
    (tmp_path / "fa.nii.gz").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        save_like(tmp_path / "fa.nii.gz", np.ones(SHAPE[:3]), series())
    assert os.listdir(tmp_path) == ["fa.nii.gz"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_like(tmp_path / "file" / "fa.nii.gz", np.ones(SHAPE[:3]), series())
    with pytest.raises(InputError, match="ends in"):
        save_like(tmp_path / "fa.png", np.ones(SHAPE[:3]), series())
    with pytest.raises(ValueError, match="is not like"):
        save_like(tmp_path / "fa.nii", np.ones((2, 2, 2)), series())


@pytest.mark.parametrize(("n", "wanted"), [(5, 8), (8, 5), (5, 5), (1, 16), (6, 9), (9, 6)])
def test_padding_is_its_own_inverse(n, wanted):
    array = np.random.default_rng(0).random((2, n, 7, 3), np.float32)
    padded = pad_to(array, (wanted, 12), (1, 2))
    assert padded.shape == (2, wanted, 12, 3)
    assert padded.dtype == np.float32
    back = pad_to(padded, (n, 7), (1, 2))
    if wanted >= n:
        np.testing.assert_array_equal(back, array)
        assert padded.sum(dtype=np.float64) == pytest.approx(array.sum(dtype=np.float64))
    else:
        np.testing.assert_array_equal(pad_to(back, (wanted, 12), (1, 2)), padded)

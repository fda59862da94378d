"""Finding and loading subjects: layouts, the canonical scan, its scale, what is refused."""

import dataclasses

import nibabel as nib
import numpy as np
import pytest

from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.gradients import (
    direction_set,
    fsl_to_world,
    read_gradients,
)
from tests.data.datasets import BVALS, HCP, SHAPE, write_scan


def test_hcp_layout(tmp_path):
    write_scan(tmp_path / "100307" / "T1w" / "Diffusion", names=HCP)
    write_scan(tmp_path / "100206", names=(*HCP[:3], None))
    (tmp_path / "100307" / "T1w" / "Diffusion" / "grad_dev.nii.gz").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "phantom.json").touch()
    first, second = find_subjects(tmp_path, "hcp")
    assert (first.name, second.name) == ("100206", "100307")
    assert first.dwi == tmp_path / "100206" / "data.nii.gz"
    assert first.mask is None and first.grad_dev is None and first.truth is None
    assert second.mask.parent == second.grad_dev.parent == second.dwi.parent
    assert find_subjects(tmp_path / "100307", "hcp") == [second]


def test_phantom_layout_needs_its_truth(tmp_path):
    write_scan(tmp_path / "sub-00" / "T1w" / "Diffusion", names=HCP)
    with pytest.raises(InputError, match="without truth"):
        find_subjects(tmp_path, "phantom")
    (tmp_path / "sub-00" / "truth").mkdir()
    assert find_subjects(tmp_path, "phantom")[0].truth == tmp_path / "sub-00" / "truth"
    assert find_subjects(tmp_path, "hcp")[0].truth == tmp_path / "sub-00" / "truth"


def test_plain_layout(tmp_path):
    for name in ("b", "a"):
        write_scan(tmp_path / name)
    (tmp_path / "a" / "mask.nii.gz").unlink()
    assert [(f.name, f.mask is None) for f in find_subjects(tmp_path, "plain")] == [
        ("a", True),
        ("b", False),
    ]
    single = find_subjects(tmp_path / "b", "plain")
    assert [f.name for f in single] == ["b"]
    assert single[0].bval == tmp_path / "b" / "dwi.bval"


def test_layout_faults_are_named(tmp_path):
    with pytest.raises(InputError, match="one of hcp, phantom, plain"):
        find_subjects(tmp_path, "HCP")
    with pytest.raises(InputError, match="no such folder"):
        find_subjects(tmp_path / "none", "hcp")
    with pytest.raises(InputError, match="cannot be read"):
        find_subjects(tmp_path / ("long" * 100), "hcp")
    with pytest.raises(InputError, match="no subject in its 0 folders"):
        find_subjects(tmp_path, "plain")
    write_scan(tmp_path / "a")
    (tmp_path / "a" / "dwi.bvec").unlink()
    with pytest.raises(InputError, match=r"without dwi\.bvec"):
        find_subjects(tmp_path, "plain")
    with pytest.raises(InputError, match="SUBJECT/T1w/Diffusion/data"):
        find_subjects(tmp_path, "hcp")


def loaded(folder, **options):
    return load_subject(find_subjects(folder, "plain")[0], **options)


def test_subject_holds_b0s_and_then_the_shell(tmp_path):
    subject = loaded(write_scan(tmp_path / "x"))
    np.testing.assert_array_equal(subject.volumes, [0, 4, 1, 3, 5, 6, 7, 8])
    np.testing.assert_array_equal(subject.gtab.bvals, BVALS[subject.volumes])
    data = nib.load(tmp_path / "x" / "dwi.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(subject.dwi, data[..., subject.volumes])
    np.testing.assert_allclose(subject.b0, data[..., [0, 4]].mean(-1), rtol=1e-6)
    assert subject.dwi.dtype == subject.b0.dtype == np.float32
    assert subject.dwi.flags.c_contiguous and subject.mask.flags.c_contiguous
    assert subject.scale == np.float32(subject.scale) == np.median(subject.b0[subject.mask])
    edit(tmp_path / "x", bvals=[5, 1000, 2000, 995, 0, 1005, 1000, 1000, 2010, 2000])
    assert loaded(tmp_path / "x", shell=2000).dwi.shape[-1] == 5


@pytest.mark.parametrize("codes", ["RAS", "PIR", "ASL", "SLP", "LPI"])
def test_storage_order_changes_nothing_for_the_networks(tmp_path, codes):
    expected = loaded(write_scan(tmp_path / "las"))
    subject = loaded(write_scan(tmp_path / "other", codes))
    for field in ("dwi", "mask", "b0", "scale", "volumes"):
        np.testing.assert_array_equal(getattr(subject, field), getattr(expected, field))
    np.testing.assert_allclose(subject.affine, expected.affine, atol=1e-12)
    np.testing.assert_allclose(subject.gtab.bvecs, expected.gtab.bvecs, rtol=0, atol=1e-12)
    stored = nib.load(tmp_path / "other" / "dwi.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(subject.stored(subject.dwi), stored[..., subject.volumes])


def edit(folder, **changes):
    """Overwrites parts of a scan with what `changes` say."""
    image = nib.load(folder / "dwi.nii.gz")
    data = image.get_fdata(dtype=np.float32)
    if "data" in changes:
        nib.save(nib.Nifti1Image(changes["data"](data), image.affine), folder / "dwi.nii.gz")
    if "bvals" in changes:
        (folder / "dwi.bval").write_text(" ".join(map(str, changes["bvals"])))
    if "bvecs" in changes:
        np.savetxt(folder / "dwi.bvec", changes["bvecs"])
    if "mask" in changes:
        mask, affine = changes["mask"], changes.get("mask_affine", image.affine)
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "mask.nii.gz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": lambda d: d[..., 0]}, "4-D"),
        ({"data": lambda d: d[..., :9]}, "10 b-values; expected one for each of the 9"),
        ({"data": lambda d: d * np.nan}, "not finite"),
        ({"data": np.zeros_like}, "a positive signal"),
        ({"bvals": [0] + [1000] * 8}, "9 b-values"),
        ({"bvecs": direction_set(9).T}, "9 directions"),
        ({"bvals": [1000] * 10}, "no b0"),
        ({"bvals": [0] * 2 + [2000] * 8}, "a shell within 10% of b=1000"),
        ({"bvals": [0] * 5 + [1000] * 5}, "5 directions at b=1000; expected at least 6"),
        ({"mask": np.ones((5, 6, 8))}, "5×6×8"),
        ({"mask": np.zeros(SHAPE)}, "empty mask"),
        ({"mask": np.ones(SHAPE), "mask_affine": np.diag([-2, 2, 2.5, 1])}, "voxels away"),
    ],
)
def test_unfit_scans_are_refused_in_one_line(tmp_path, changes, words):
    edit(write_scan(tmp_path / "x"), **changes)
    with pytest.raises(InputError) as caught:
        loaded(tmp_path / "x", min_directions=6)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_of_a_subject(tmp_path):
    files = find_subjects(write_scan(tmp_path / "x"), "plain")[0]
    for field in ("dwi", "bval", "bvec", "mask"):
        with pytest.raises(InputError, match="no such file"):
            load_subject(dataclasses.replace(files, **{field: tmp_path / "none"}))


def test_real_scans_load(shared_data):
    shells = {"canon": 1500, "philips": 1000, "siemens_20": 1000, "siemens_sag": 2000}
    files = find_subjects(shared_data, "plain")
    assert len(files) == 4
    for scan in files:
        shell = next(b for name, b in shells.items() if scan.name.startswith(name))
        subject = load_subject(scan, shell=shell)
        assert nib.aff2axcodes(subject.affine) == ("L", "A", "S")
        assert subject.dwi.shape[:3] == subject.mask.shape
        inside, outside = subject.b0[subject.mask], subject.b0[~subject.mask]
        assert np.median(inside) == pytest.approx(subject.scale)
        assert subject.scale > 3 * np.median(outside)


def test_sagittal_scan_keeps_its_world_directions(shared_data):
    files = find_subjects(shared_data / "siemens_sagittal_20dir_b2000", "plain")[0]
    subject = load_subject(files, shell=2000)
    assert subject.orientation == "PSR"
    stored = read_gradients(files.bval, files.bvec)[subject.volumes]
    np.testing.assert_allclose(
        subject.gtab.bvecs @ fsl_to_world(subject.affine).T,
        stored.bvecs @ fsl_to_world(subject.image.affine).T,
        atol=1e-12,
    )

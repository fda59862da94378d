"""BIDS datasets as people have them."""

import json
import os
import shutil

import numpy as np
import pytest

from dwijax.data.bids import applicable, named, of_scan
from dwijax.data.layouts import find_subjects
from dwijax.errors import InputError
from tests.data.datasets import DERIVED, DESCRIPTION, bids_scan, describe


def names(root):
    return [files.name for files in find_subjects(root, "bids")]


@pytest.fixture
def root(tmp_path):
    return describe(tmp_path / "bids")


def tables(folder, stem, like):
    for kind in ("bval", "bvec"):
        shutil.copy(f"{like}.{kind}", folder / f"{stem}.{kind}")


def test_names_are_taken_apart():
    file = named("x/sub-01_ses-a-b_run-02_acq-1.5mm_dwi.nii.gz")
    assert file.entities == {"sub": "01", "ses": "a-b", "run": "2", "acq": "1.5mm"}
    assert (file.suffix, file.extension) == ("dwi", ".nii.gz")
    assert named("dwi.bval")[1:] == ({}, "dwi", ".bval")
    assert named("sub-01_run-00_dwi.nii").entities["run"] == "0"


@pytest.mark.parametrize("part", ["phase", "real", "imag"])
def test_images_without_magnitude_are_left_out(root, capfd, part):
    folder = root / "sub-1" / "dwi"
    bids_scan(folder, "sub-1_part-mag")
    bids_scan(folder, f"sub-1_part-{part}")
    tables(folder, "sub-1_dwi", folder / "sub-1_part-mag_dwi")
    assert names(root) == ["sub-1_part-mag"]
    assert f"left out 1 of 2 series, no magnitude images (part-phase, real or imag): sub-1_part-" \
           f"{part}_dwi.nii.gz" in capfd.readouterr().err


def test_nearest_applicable_table_with_most_entities(root):
    """A table of another run is nobody else's; run-1 is run-01; more entities beat fewer."""
    folder = root / "sub-1" / "ses-x" / "dwi"
    for stem in ("run-1_acq-a", "run-2_acq-a", "run-2_acq-b"):
        bids_scan(folder, f"sub-1_ses-x_{stem}", tables=False)
    bids_scan(root / "sub-2" / "dwi", "sub-2", tables=False)
    bids_scan(root / "x", "x")
    like = root / "x" / "x_dwi"
    for place, stem in [(root, "dwi"), (root, "acq-b_dwi"), (root / "sub-1", "sub-1_dwi"),
                        (root / "sub-1", "sub-1_run-2_dwi"), (folder, "sub-1_ses-x_run-01_dwi"),
                        (folder, "sub-1_ses-x_sbref")]:
        tables(place, stem, like)
    shutil.rmtree(root / "x")
    found = {files.name: files.bval.relative_to(root) for files in find_subjects(root, "bids")}
    assert {name: str(path) for name, path in found.items()} == {
        "sub-1_ses-x_run-1_acq-a": "sub-1/ses-x/dwi/sub-1_ses-x_run-01_dwi.bval",
        "sub-1_ses-x_run-2_acq-a": "sub-1/sub-1_run-2_dwi.bval",
        "sub-1_ses-x_run-2_acq-b": "sub-1/sub-1_run-2_dwi.bval",
        "sub-2": "dwi.bval"}
    assert [[path.name for path in level] for level in applicable(
        folder / "sub-1_ses-x_run-2_acq-b_dwi.nii.gz", ".bval")] == [
            ["sub-1_run-2_dwi.bval", "sub-1_dwi.bval"], ["acq-b_dwi.bval", "dwi.bval"]]


def test_two_tables_that_apply_alike_are_refused(root):
    folder = root / "sub-1" / "dwi"
    bids_scan(folder, "sub-1_acq-a_run-1")
    os.rename(folder / "sub-1_acq-a_run-1_dwi.bval", folder / "sub-1_acq-a_dwi.bval")
    shutil.copy(folder / "sub-1_acq-a_dwi.bval", folder / "sub-1_run-1_dwi.bval")
    with pytest.raises(InputError, match=r"sub-1_acq-a_dwi.bval and sub-1_run-1_dwi.bval"):
        names(root)


def test_series_without_weighted_volumes_are_left_out(root, capfd):
    folder = root / "sub-1" / "dwi"
    bids_scan(folder, "sub-1_dir-AP")
    for stem in ("sub-1_dir-PA_run-1", "sub-1_dir-PA_run-2"):
        bids_scan(folder, stem)
        (folder / f"{stem}_dwi.bval").write_text("0 5 0\n")
    bids_scan(folder, "sub-1_dir-PA_run-3", tables=False)  # one volume, without tables
    import nibabel as nib

    path = folder / "sub-1_dir-PA_run-3_dwi.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.diag([-2, 2, 2, 1.0])), path)
    assert names(root) == ["sub-1_dir-AP"]
    told = capfd.readouterr().err
    assert "left out 3 of 4 series, without a diffusion-weighted volume: sub-1_dir-PA" in told
    assert told.count("\n") == 1
    shutil.rmtree(folder)
    bids_scan(folder, "sub-1")
    (folder / "sub-1_dwi.bval").write_text("0 5 0\n")
    with pytest.raises(InputError, match="no diffusion-weighted magnitude series"):
        names(root)


def test_a_series_in_several_spaces_is_taken_once(tmp_path, capfd):
    root = describe(tmp_path / "prep", DERIVED)
    folder = root / "sub-1" / "dwi"
    for stem in ("run-1_space-MNI_desc-preproc", "run-1_space-T1w_desc-preproc",
                 "run-2_desc-preproc", "run-2_space-T1w_desc-preproc"):
        bids_scan(folder, f"sub-1_{stem}")
    assert names(root) == ["sub-1_run-1_space-T1w_desc-preproc", "sub-1_run-2_desc-preproc"]
    assert "left out 2 of 4 series, in a further space" in capfd.readouterr().err


def test_derivative_without_its_generator_is_read_with_a_line(tmp_path, capfd):
    root = describe(tmp_path / "prep", {k: v for k, v in DERIVED.items() if k != "GeneratedBy"})
    bids_scan(root / "sub-1" / "dwi", "sub-1_desc-preproc")
    assert names(root) == ["sub-1_desc-preproc"]
    told = capfd.readouterr().err
    assert "no GeneratedBy" in told and told.count("\n") == 1


def test_old_derivatives_are_known_by_their_pipeline(tmp_path):
    root = describe(tmp_path / "prep", DESCRIPTION | {"PipelineDescription": {"Name": "qsiprep"}})
    bids_scan(root / "sub-1" / "dwi", "sub-1_desc-preproc")
    bids_scan(root / "sub-1" / "dwi", "sub-1_desc-raw")
    assert names(root) == ["sub-1_desc-preproc"]


def test_what_is_no_scan_is_not_looked_at(root):
    """Sessions with dashes, a dataset without participants.tsv, sbref, macOS's shadow files."""
    folder = root / "sub-1" / "ses-pre-op" / "dwi"
    bids_scan(folder, "sub-1_ses-pre-op")
    for name in ("sub-1_ses-pre-op_sbref.nii.gz", "._sub-1_ses-pre-op_dwi.nii.gz",
                 "sub-1_ses-pre-op_dwi.nii.gz.part", "sub-1_ses-pre-op_desc-x_ADC.nii.gz"):
        (folder / name).touch()
    bids_scan(root / "derivatives" / "sub-9" / "dwi", "sub-9")
    (root / "sub-2" / "anat").mkdir(parents=True)
    (root / "sourcedata").symlink_to(root)  # a loop
    found, = find_subjects(root, "bids")
    assert (found.name, found.family) == ("sub-1_ses-pre-op", "sub-1")


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda f: (f / "sub-1_dwi.nii.gz").unlink() or (f / "sub-1_dwi.nii.gz").symlink_to(
        ".git/annex/objects/x"), "a link to nothing"),
    (lambda f: (f / "sub-1_dwi.bval").unlink() or (f / "sub-1_dwi.bval").symlink_to("none"),
     "a link to nothing"),
    (lambda f: (f / "sub-1_dwi.nii.gz").unlink() or os.mkfifo(f / "sub-1_dwi.nii.gz"), "a pipe"),
    (lambda f: [p.rename(f / p.name.replace("sub-1", "sub-3")) for p in list(f.iterdir())],
     "sub-3 in the folder sub-1"),
    (lambda f: shutil.copy(f / "sub-1_dwi.nii.gz", f / "sub-1_dwi.nii"), "the same scan"),
    (lambda f: (f / "sub-1_dwi.bvec").unlink(), "no .bvec"),
])
def test_faults_of_one_scan_are_its_own(root, spoil, words):
    bids_scan(root / "sub-1" / "dwi", "sub-1")
    bids_scan(root / "sub-2" / "dwi", "sub-2")
    spoil(root / "sub-1" / "dwi")
    with pytest.raises(InputError, match=words):
        names(root)
    bad = {}
    assert [files.name for files in find_subjects(root, "bids", bad)] == ["sub-2"]
    assert len(bad) == 1 and words in str(*bad.values())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_descriptions_of_other_encodings(root, encoding):
    bids_scan(root / "sub-1" / "dwi", "sub-1")
    text = json.dumps(DESCRIPTION | {"Name": "Étude"}, ensure_ascii=False)
    (root / "dataset_description.json").write_bytes(text.encode(encoding))
    assert names(root) == ["sub-1"]


@pytest.mark.parametrize(("image", "scan", "fits"), [
    ("sub-1_dseg.nii.gz", "sub-1_run-2_desc-preproc_dwi.nii.gz", True),
    ("sub-1_run-02_space-T1w_desc-aparc_dseg.nii.gz", "sub-1_run-2_dwi.nii.gz", True),
    ("sub-1_run-1_dseg.nii.gz", "sub-1_run-2_dwi.nii.gz", False),
    ("sub-1_run-1_dseg.nii.gz", "sub-1_dwi.nii.gz", False),
    ("labels.nii.gz", "sub-1_dwi.nii.gz", True),
    ("sub-1_dseg.nii.gz", "dwi.nii.gz", True),
])
def test_labels_of_another_run_are_not_a_scans(image, scan, fits):
    assert of_scan(image, scan) is fits


@pytest.mark.parametrize("name", ["bvals", "bvecs"])
def test_hcp_subjects_without_a_table_are_told_apart_from_folders_without_images(tmp_path, name):
    for subject in "ab":
        bids_scan(tmp_path / subject / "T1w" / "Diffusion", "x")
        for old, new in [("x_dwi.nii.gz", "data.nii.gz"), ("x_dwi.bval", "bvals"),
                         ("x_dwi.bvec", "bvecs")]:
            (tmp_path / subject / "T1w" / "Diffusion" / old).rename(
                tmp_path / subject / "T1w" / "Diffusion" / new)
    (tmp_path / "notes").mkdir()
    (tmp_path / "a" / "T1w" / "Diffusion" / name).unlink()
    bad = {}
    assert [files.name for files in find_subjects(tmp_path, "hcp", bad)] == ["b"]
    assert list(bad) == ["a"] and name in str(bad["a"])

"""Cohorts as labs keep them: BIDS datasets and manifests."""

import json
import os
import shutil

import numpy as np
import pytest

from dwijax.data.cohort import split_cohort
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from tests.data.datasets import DERIVED, DESCRIPTION, bids_scan, describe, write_scan


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two subjects; sessions, runs; tables at the root, at a session, beside the image."""
    root = describe(tmp_path_factory.mktemp("bids") / "raw")
    write_scan(root, names=("x.nii.gz", "dwi.bval", "dwi.bvec", None))
    (root / "x.nii.gz").unlink()
    bids_scan(root / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a_run-1", tables=False)
    bids_scan(root / "sub-01" / "ses-a" / "dwi", "sub-01_ses-a_run-2", tables=False)
    shutil.copy(root / "dwi.bval", root / "sub-01" / "ses-a" / "sub-01_ses-a_dwi.bval")
    bids_scan(root / "sub-01" / "ses-b" / "dwi", "sub-01_ses-b", tables=False, ending=".nii")
    bids_scan(root / "sub-02" / "dwi", "sub-02")
    (root / "sub-02" / "anat").mkdir()
    (root / "sub-02" / "anat" / "sub-02_T1w.nii.gz").touch()
    (root / "sub-02" / "dwi" / "sub-02_sbref.nii.gz").touch()
    (root / "sub-02" / "dwi" / "sub-02_dwi.json").write_text("{broken")
    return root


def test_raw_dataset(raw):
    found = find_subjects(raw, "bids")
    assert [(f.name, f.family) for f in found] == [
        ("sub-01_ses-a_run-1", "sub-01"), ("sub-01_ses-a_run-2", "sub-01"),
        ("sub-01_ses-b", "sub-01"), ("sub-02", "sub-02")]
    first, second, third, fourth = found
    session = raw / "sub-01" / "ses-a" / "sub-01_ses-a_dwi.bval"
    assert first.bval == second.bval == session and third.bval == raw / "dwi.bval"
    assert first.bvec == second.bvec == third.bvec == raw / "dwi.bvec"
    assert fourth.bval == raw / "sub-02" / "dwi" / "sub-02_dwi.bval"
    assert all(f.mask is None for f in found) and third.dwi.suffix == ".nii"
    assert load_subject(first, shell=1000).dwi.shape[-1] == 8


def test_preprocessed_dataset_takes_the_mask_of_the_same_space(tmp_path):
    root = describe(tmp_path / "raw" / "derivatives" / "prep", DERIVED)
    folder = root / "sub-01" / "ses-a" / "dwi"
    mask = "sub-01_ses-a_space-T1w_desc-brain_mask.nii.gz"
    bids_scan(folder, "sub-01_ses-a_run-1_space-T1w_desc-preproc", mask=mask)
    bids_scan(folder, "sub-01_ses-a_run-2_space-T1w_desc-preproc",
              mask="sub-01_ses-a_run-2_space-T1w_desc-brain_mask.nii.gz")
    bids_scan(folder, "sub-01_ses-a_run-1_space-T1w_desc-denoised")
    bids_scan(root / "sub-02" / "dwi", "sub-02_desc-preproc",
              mask="sub-02_space-T1w_desc-brain_mask.nii.gz")
    (root / "sub-02" / "anat").mkdir()
    (root / "sub-02" / "anat" / "sub-02_desc-brain_mask.nii.gz").touch()
    one, two, three = find_subjects(root, "bids")
    assert one.name == "sub-01_ses-a_run-1_space-T1w_desc-preproc"
    assert one.mask == folder / mask and "run-2" in two.mask.name
    assert three.name == "sub-02_desc-preproc" and three.mask is None
    assert load_subject(two, shell=1000).mask.any()


def test_scans_of_a_person_stay_together(raw):
    for seed in range(5):
        cohort = split_cohort(raw, "bids", fractions=(0.5, 0.5, 0.0), seed=seed, axis=2, shell=1000)
        parts = [{m.files.family for m in part} for part in cohort[:3]]
        assert {len(part) for part in parts[:2]} == {1} and parts[0] != parts[1]


@pytest.mark.parametrize(("content", "words"), [
    (None, "no such file"),
    ("{", "no JSON"),
    ("[" * 100_000, "no JSON"),
    ("[]", "no Name"),
    ('{"Name": "x"}', "no BIDSVersion"),
    (json.dumps(DESCRIPTION), "no diffusion scan"),
    (json.dumps(DERIVED), "sub-*_desc-preproc_dwi"),
])
def test_what_is_no_dataset(tmp_path, content, words):
    if content is not None:
        (tmp_path / "dataset_description.json").write_text(content)
    with pytest.raises(InputError) as caught:
        find_subjects(tmp_path, "bids")
    assert words in str(caught.value)


def test_scans_without_a_table_and_twins_on_disk(tmp_path):
    folder = describe(tmp_path) / "sub-1" / "dwi"
    bids_scan(folder, "sub-1", tables=False)
    with pytest.raises(InputError, match=r"sub-1_dwi\.nii\.gz: found no \.bval"):
        find_subjects(tmp_path, "bids")
    bids_scan(folder, "sub-1_run-1")  # a table of another run is not this scan's
    bids_scan(folder, "sub-1_run-2", tables=False)
    shutil.copy(folder / "sub-1_run-1_dwi.bval", folder / "sub-1_dwi.bval")
    shutil.copy(folder / "sub-1_run-1_dwi.bvec", folder / "sub-1_dwi.bvec")
    names = [f.bval.name for f in find_subjects(tmp_path, "bids")]
    assert names == ["sub-1_dwi.bval", "sub-1_run-1_dwi.bval", "sub-1_dwi.bval"]
    bids_scan(folder, "sub-1", ending=".nii")
    with pytest.raises(InputError, match="the same scan as"):
        find_subjects(tmp_path, "bids")


HEADER = "subject\tdwi\tbval\tbvec\tmask\tsplit\tfamily\n"


@pytest.fixture
def listed(tmp_path):
    """Writes a manifest beside two scans, `a b` and `ü`."""
    for name in ("a b", "ü"):
        write_scan(tmp_path / name)

    def write(text):
        (tmp_path / "cohort.tsv").write_text(text, encoding="utf-8")
        return tmp_path / "cohort.tsv"

    return write


def row(subject, folder="a b", mask="", split="", family=""):
    files = "\t".join(f"{folder}/dwi.{kind}" for kind in ("nii.gz", "bval", "bvec"))
    return f"{subject}\t{files}\t{mask}\t{split}\t{family}\n"


def test_manifest_is_read(listed, tmp_path):
    mask = tmp_path / "ü" / "mask.nii.gz"
    path = listed("\ufeff" + HEADER + row("s2", "ü", mask, "train") + "\n"
                  + row("s1", mask="n/a", split="test", family="f").replace("\n", "\r\n"))
    first, second = find_subjects(path, "manifest")
    assert (first.name, first.mask, first.split, first.family) == ("s1", None, "test", "f")
    assert (second.name, second.mask, second.split, second.family) == ("s2", mask, "train", None)
    assert load_subject(second, shell=1000).dwi.shape[-1] == 8


def test_least_manifest(listed):
    text = (HEADER + row("s")).replace("\tmask\tsplit\tfamily", "").replace("\t\t\t", "")
    assert find_subjects(listed(text), "manifest")[0].mask is None


def test_split_of_a_manifest_is_taken(listed):
    def split(*rows):
        return split_cohort(listed(HEADER + "".join(rows)), "manifest",
                            fractions=(0.4, 0.3, 0.3), seed=0, axis=2, shell=1000)

    stated = split(row("a", split="validation"), row("b", split="train"), row("c", split="train"))
    names = [[m.files.name for m in part] for part in stated[:3]]
    assert names == [["b", "c"], ["a"], []]
    with pytest.raises(InputError, match="no validation in split"):
        split(row("a", split="train"), row("b", split="train"))
    drawn = split(*(row(f"{i}{k}", family=f"f{i}") for i in range(3) for k in "xy"))
    assert sorted(len(part) for part in drawn[:3]) == [2, 2, 2]
    assert all(len({m.files.family for m in part}) == 1 for part in drawn[:3])


@pytest.mark.parametrize(("text", "words"), [
    ("", "no column 'subject'"),
    (HEADER, "no scan"),
    (HEADER.replace("bvec", "bvecs") + row("s"), "no column 'bvec'"),
    (HEADER.replace("family", "families") + row("s"), "unknown column 'families'"),
    (HEADER.replace("family", "mask") + row("s"), "twice the column 'mask'"),
    (HEADER.replace("\t", ",") + row("s"), "separated by tabs"),
    (HEADER + row("s").replace("\t", " "), "line 2: found 1 columns"),
    (HEADER + row(""), "line 2, column subject: found nothing"),
    (HEADER + row("s", "nowhere"), "line 2, column dwi: found no file"),
    (HEADER + row("s") + row("t", mask="none.nii"), "line 3, column mask: found no file"),
    (HEADER + row("s", mask="a b"), "column mask: found no file"),
    (HEADER + row("s", mask="\0"), "column mask: found no file"),
    (HEADER + row("s", split="training"), "column split: found 'training'"),
    (HEADER + row("s") + row("s"), "line 3, column subject: found 's', as in line 2"),
    (HEADER + row("s", split="train") + row("t"), "line 3, column split: found nothing"),
    (HEADER + row("s", split="train", family="f") + row("t", split="test", family="f"),
     "line 3, column split: found test, and train for the same family in line 2"),
])
def test_faults_of_a_manifest_name_line_and_column(listed, text, words):
    with pytest.raises(InputError) as caught:
        find_subjects(listed(text), "manifest")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [
    "..", ".", "a/b", "/etc", "a\\b", "a\0b", "a\x7f", "x" * 300, "ü" * 150, "y" * 10**7],
    ids=range(10))
def test_names_of_subjects_are_plain(listed, name):
    with pytest.raises(InputError, match="line 2, column subject: found") as caught:
        find_subjects(listed(HEADER + row(name)), "manifest")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "x" * 240, os.fsdecode(b"\xff\xfe")])
def test_folders_whose_names_are_no_names(tmp_path, name):
    write_scan(tmp_path / name)
    with pytest.raises(InputError, match="a subject's name") as caught:
        find_subjects(tmp_path, "plain")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "words"), [
    ("A text\nthat is no table.\n", "no column 'subject'"), ("x" * 10**7, "no column 'subject'"),
    (HEADER + row("s", "y" * 10**6), "found no file"), ("\0" * 99, "no column 'subject'"),
    (b"\xff" + HEADER.encode(), "not text"), (HEADER.encode("utf-16"), "not text")],
    ids=range(6))
def test_texts_that_are_no_manifest(tmp_path, content, words):
    path = tmp_path / "cohort.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as caught:
        find_subjects(path, "manifest")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("layout", ["hcp", "plain", "bids", "manifest"])
@pytest.mark.parametrize("name", ["pipe", "a\0b", "x" * 5000, os.fsdecode(b"\xff"), ""])
def test_roots_that_are_none(tmp_path, monkeypatch, layout, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(InputError) as caught:
        find_subjects(name, layout)
    assert "\n" not in str(caught.value)


def test_links_keep_the_names_they_have_in_the_cohort(tmp_path, capfd):
    write_scan(tmp_path / "elsewhere" / "dwi")
    write_scan(tmp_path / "other" / "dwi")
    (tmp_path / "cohort").mkdir()
    for name in ("elsewhere", "other", "gone"):
        (tmp_path / "cohort" / name).symlink_to(tmp_path / name / "dwi")
    found = find_subjects(tmp_path / "cohort", "plain")
    assert [files.name for files in found] == ["elsewhere", "other"]
    assert capfd.readouterr().err == f"{tmp_path}/cohort/gone: a link to nothing, passed over\n"


def test_what_is_no_manifest(tmp_path):
    (tmp_path / "binary").write_bytes(np.arange(256, dtype=np.uint8).tobytes())
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**40)
    for name, words in [("none", "no such file"), ("binary", "not text"), ("huge", "MiB"),
                        (".", "a folder")]:
        with pytest.raises(InputError, match=words):
            find_subjects(tmp_path / name, "manifest")

"""Regions of interest: labels, an atlas, lesions."""

import os
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from dwijax.data.cohort import Member
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.evaluation.common.scans import read_scan
from dwijax.evaluation.maps import protocol
from dwijax.evaluation.maps.atlas import Atlas, read_atlas, register
from dwijax.evaluation.maps.rois import read_rois, read_table
from dwijax.evaluation.studies import map_studies


def test_tables_of_labels(tmp_path):
    bids, freesurfer = tmp_path / "a.tsv", tmp_path / "b.txt"
    bids.write_text("index\tname\tcolor\n1\tleft thalamus\t#fff\n7\tprecuneus\t#000\n")
    freesurfer.write_text("#No. Label Name: R G B A\n\n10  Left-Thalamus  0 118 14 0\n")
    assert read_table(bids) == {1: "left thalamus", 7: "precuneus"}
    assert read_table(freesurfer) == {10: "Left-Thalamus"}
    for text in ("nonsense\n", "index\tname\nx\ty\n", "index\tname\n1\t\n", "index\tname\n1\n",
                 "1\n", "", "index\tname\n", "index\tname\n1\t" + "x" * 10**6):
        bids.write_text(text)
        with pytest.raises(InputError, match="no table of labels"):
            read_table(bids)
    bids.write_bytes("1 noyau caudé\n".encode("latin-1"))
    assert list(read_table(bids)) == [1]
    os.mkfifo(tmp_path / "pipe")
    for name in ("none.txt", "pipe", ".", "a\0b", "x" * 999):
        with pytest.raises(InputError):
            read_table(tmp_path / name)


def test_labels_that_do_not_fit_are_refused(phantom, tmp_path):
    files = find_subjects(phantom, "phantom")[0]
    subject = load_subject(files)
    voxels = int(subject.mask.sum())
    tissue = {name: np.zeros(voxels, bool) for name in ("GM", "WM", "CSF")}
    image, table = files.truth / "labels.nii.gz", files.truth / "labels.tsv"
    found = read_rois(image, table, subject, tissue, least=10)
    labels = np.asarray(nib.load(image).dataobj)
    assert len(found) == sum(np.bincount(labels[labels > 0]) >= 10)
    assert {r.group for r in found if "thalamus" in r.name} == {"subcortical"}
    short = tmp_path / "short.tsv"
    short.write_text("index\tname\n1\tone\n")
    with pytest.raises(InputError, match=r"no name for \d+ labels"):
        read_rois(image, short, subject, tissue)
    moved = tmp_path / "moved.nii.gz"
    nib.save(nib.Nifti1Image(labels, np.diag([5.0, 5, 5, 1])), moved)
    with pytest.raises(InputError, match="voxels away"):
        read_rois(moved, table, subject, tissue)
    for values, words in ((labels + 0.5, "no labels"), (labels * 1e300, "no labels")):
        nib.save(nib.Nifti1Image(values, subject.image.affine), moved)
        with pytest.raises(InputError, match=words):
            read_rois(moved, table, subject, tissue)
    # The same labels stored otherwise, with NaN for none.
    other = np.where(labels, labels, np.nan).astype(np.float32)
    other = nib.Nifti1Image(other, subject.image.affine).as_reoriented([[2, 1], [0, -1], [1, 1]])
    nib.save(other, moved)
    again = read_rois(moved, table, subject, tissue, least=10)
    assert [roi.name for roi in again] == [roi.name for roi in found]
    for one, two in zip(again, found, strict=True):
        np.testing.assert_array_equal(one.voxels, two.voxels)


def test_an_atlas_may_be_stored_in_two_orientations(tmp_path):
    fa = np.random.default_rng(0).random((9, 10, 11)).astype(np.float32)
    labels, affine = np.rint(fa * 9).astype(np.int16), np.diag([-2.0, 2, 2, 1])
    table = tmp_path / "labels.txt"
    table.write_text("1 one\n")
    nib.save(nib.Nifti1Image(np.where(fa > 0.1, fa, np.nan), affine), tmp_path / "fa.nii")
    nib.save(nib.Nifti1Image(labels, affine).as_reoriented([[2, 1], [0, -1], [1, 1]]),
             tmp_path / "labels.nii")
    found = read_atlas(tmp_path / "fa.nii", tmp_path / "labels.nii", table)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.fa, np.where(fa > 0.1, fa, 0))
    nib.save(nib.Nifti1Image(labels, np.diag([-2.0, 2, 2.2, 1])), tmp_path / "labels.nii")
    with pytest.raises(InputError, match="voxels away"):
        read_atlas(tmp_path / "fa.nii", tmp_path / "labels.nii", table)


def test_an_atlas_is_carried_to_a_subject():
    """An ellipsoid of two labels, moved and stretched."""
    def head(centre, radii):
        i, j, k = ((g - c) / r for g, c, r in zip(np.indices((22, 26, 16)), centre, radii,
                                                  strict=True))
        inside = i**2 + j**2 + k**2
        return np.clip(1.5 - inside, 0, 1), np.where(inside < 1, np.where(j > 0, 2, 1), 0)

    affine = np.diag([-2.0, 2, 2, 1])
    fa, labels = head((10, 12, 7), (7, 9, 5))
    subject_fa, expected = head((11, 13.5, 8), (8, 9, 5.5))
    found = register(Atlas(fa, labels, affine, "", ""), subject_fa, affine)
    for number in (1, 2):
        a, b = found == number, expected == number
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.85
    with pytest.raises(InputError, match="at least 9"):
        register(Atlas(fa, labels, affine, "", "labels"), subject_fa[..., :6], affine)


def test_a_lesion_mask_beside_a_scan(phantom, tmp_path):
    files = find_subjects(phantom, "phantom")[0]
    dwi = tmp_path / "dwi.nii.gz"
    dwi.symlink_to(files.dwi)
    member = Member(replace(files, dwi=dwi, truth=None), None)
    subject = load_subject(files)
    how = {"gtab": subject.gtab[~subject.gtab.b0s_mask], "shell": 1000, "axis": 2}
    white = subject.mask & (np.indices(subject.mask.shape)[0] < 12)
    for lesion, fault in ((white, None), (np.zeros_like(white), "empty"), (white[1:], "shape")):
        nib.save(nib.Nifti1Image(lesion.astype(np.uint8), subject.image.affine),
                 tmp_path / "lesion.nii.gz")
        if fault:
            with pytest.raises(InputError, match=f"lesion.nii.gz: .*{fault}"):
                read_scan(member, **how)
            continue
        scan = read_scan(member, **how)
        assert scan.regions["lesion"].sum() == white.sum()
        rows = list(map_studies.judge_measured_lesion([], scan, {
            "all": protocol.from_fit(scan.references["all acquired"])}))
        assert {r.quantity for r in rows} >= {"lesion FA contrast", "lesion MD contrast"}

"""One bad subject is named and, where that is asked for, left out."""

import gzip
import json
import os
import shutil

import jax
import nibabel as nib
import numpy as np
import pytest

from dwijax import cli
from dwijax.data.cohort import Member, load_slices, split_cohort
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import simulate
from dwijax.data.simulated import made_like
from dwijax.data.store import open_store
from dwijax.errors import InputError
from dwijax.evaluation.common.scans import usable
from dwijax.gradients.directions import direction_set
from dwijax.inference import load_run
from dwijax.training import loop
from dwijax.training.reading import read_cohort
from tests.cohorts import SPEC, config_of, everything, same_bits, write_subject
from tests.data.datasets import describe

SPLIT = ("--split", "0.5", "0.25", "0.25")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Six subjects of three matrix sizes."""
    root = tmp_path_factory.mktemp("sound")
    for i in range(6):
        write_subject(root / f"s{i}", ((9, 8, 6), (12, 9, 5), (8, 14, 6))[i % 3], seed=i)
    return root


@pytest.fixture
def root(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "cohort")


def prepare(root, store, *options, capfd=None, layout="plain"):
    capfd.readouterr()
    try:
        status = cli.main(["prepare", str(root), str(store), "--layout", layout, *SPLIT, "--json",
                           *options])
    except SystemExit as left:  # by the parser
        status = left.code
    return status, *capfd.readouterr()


def image(path, change):
    old = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asarray(old.dataobj)), old.affine), path)


def cut_gzip(folder):
    packed = gzip.compress((folder / "dwi.nii").read_bytes(), mtime=0)
    (folder / "dwi.nii").unlink()
    (folder / "dwi.nii.gz").write_bytes(packed[:-20])


FAULTS = {
    "unreadable image": lambda f: (f / "dwi.nii").write_bytes(b"no image" * 99),
    "cut image": lambda f: (f / "dwi.nii").write_bytes((f / "dwi.nii").read_bytes()[:-9]),
    "broken compression": cut_gzip,
    "a link to nothing": lambda f: (f / "dwi.nii").unlink() or (f / "dwi.nii").symlink_to("gone"),
    "a folder for an image": lambda f: (f / "dwi.nii").unlink() or (f / "dwi.nii").mkdir(),
    "not finite": lambda f: image(f / "dwi.nii", lambda d: np.where(
        d > 500, np.nan, d).astype(np.float32)),
    "table of another length": lambda f: (f / "dwi.bval").write_text("0 0 1000"),
    "no bval": lambda f: (f / "dwi.bval").unlink(),
    "a pipe for a table": lambda f: (f / "dwi.bval").unlink() or os.mkfifo(f / "dwi.bval"),
    "no such shell": lambda f: (f / "dwi.bval").write_text("0 0 " + "3000 " * 14),
    "no b0": lambda f: (f / "dwi.bval").write_text("1000 " * 16) and np.savetxt(
        f / "dwi.bvec", direction_set(16).T),
    "an empty mask": lambda f: image(f / "mask.nii", np.zeros_like),
    "mask of another shape": lambda f: image(f / "mask.nii", lambda m: m[:-1]),
    "denoised together": lambda f: (f / "dwi.json").write_text('{"Denoising": "MP-PCA"}'),
    "both endings": lambda f: shutil.copy(f / "mask.nii", f / "dwi.nii.gz"),
    "other directions": lambda f: (f / "dwi.bvec").write_text(
        "\n".join((f / "dwi.bvec").read_text().splitlines()[i] for i in (1, 2, 0))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_subject_is_named_and_left_out(root, tmp_path, capfd, fault):
    cohort = split_cohort(root, "plain", fractions=(0.5, 0.25, 0.25), seed=0, **SPEC)
    name = cohort.train[1].files.name
    FAULTS[fault](root / name)
    status, out, err = prepare(root, tmp_path / "store", capfd=capfd)
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert f"subject {name}, " in err and "dwijax prepare: --skip-bad" in err
    assert not (tmp_path / "store").exists()
    status, out, err = prepare(root, tmp_path / "store", "--skip-bad", capfd=capfd)
    assert status == 0 and err.startswith(f"subject {name} is left out: ") and err.count("\n") == 1
    told = json.loads(out)
    assert told["train"] + told["validation"] + told["test"] == 5
    kept = open_store(tmp_path / "store").cohort
    assert name not in {m.files.name for part in kept[:3] for m in part}


def test_all_bad_subjects_are_named_at_once(root, tmp_path, capfd):
    for name in ("s0", "s2", "s4", "s5"):
        (root / name / "dwi.bvec").write_text("x")
    status, _, err = prepare(root, tmp_path / "store", capfd=capfd)
    assert status == 2 and err.count("\n") == 1
    assert "4 of 6 subjects that cannot be used: s0 (" in err and ", s5; expected" in err
    for name in ("s1", "s3"):
        (root / name / "mask.nii").write_text("x")
    status, _, err = prepare(root, tmp_path / "store", "--skip-bad", capfd=capfd)
    assert status == 2 and "6 of 6 subjects" in err and "--skip-bad" not in err


def test_where_most_have_other_directions_the_first_is_suspected(root, tmp_path, capfd):
    cohort = split_cohort(root, "plain", fractions=(0.5, 0.25, 0.25), seed=0, **SPEC)
    FAULTS["other directions"](cohort.train[0].files.dwi.parent)
    with pytest.raises(InputError, match=f"of {cohort.train[0].files.name} at"):
        load_slices(cohort.train + cohort.validation, everything, multiple=1, patch=0,
                    skip_bad=True, **SPEC)
    status, _, err = prepare(root, tmp_path / "store", "--skip-bad", capfd=capfd)
    assert status == 2 and "subjects that cannot be used" in err


def test_slices_are_padded_to_the_largest(sound):
    cohort = split_cohort(sound, "plain", fractions=(0.5, 0.25, 0.25), seed=0, **SPEC)
    members = cohort.train + cohort.validation
    for ordered in (members, members[::-1]):
        slices = load_slices(ordered, everything, multiple=4, patch=0, **SPEC)[0]
        assert slices.size == (12, 16)
        alone = [load_slices([m], everything, multiple=1, patch=0, **SPEC)[0] for m in ordered]
        assert slices.mask.sum() == sum(a.mask.sum() for a in alone)
        h, w = alone[0].size
        top, left = (12 - h) // 2, (16 - w) // 2
        count = len(alone[0].mask)
        for name, image in alone[0].images.items():
            found = slices.images[name][:count]
            np.testing.assert_array_equal(found[:, top:top + h, left:left + w], image)
            assert np.count_nonzero(found) == np.count_nonzero(image)


def test_a_store_of_several_sizes_gives_what_the_files_give(sound, tmp_path, capfd):
    status, _, err = prepare(sound, tmp_path / "store", capfd=capfd)
    assert (status, err) == (0, "")
    opened = open_store(tmp_path / "store")
    for part in ("train", "validation"):
        members = getattr(opened.cohort, part)
        for patch in (0, 8):
            ours = opened.slices(part, everything, multiple=2, patch=patch)[0].load()
            files = load_slices(members, everything, multiple=2, patch=patch, **SPEC)[0]
            assert same_bits(ours, files)


def test_manifest_with_a_bad_line(root, tmp_path, capfd):
    lines = ["subject\tdwi\tbval\tbvec\tmask\tfamily"] + [
        "\t".join([f"s{i}", *(f"s{i}/{name}" for name in (
            "dwi.nii", "dwi.bval", "dwi.bvec", "mask.nii")), f"f{i}"]) for i in range(6)]
    lines[2] = lines[2].replace("s1/dwi.nii", "s1/gone.nii")
    (root / "cohort.tsv").write_text("\n".join(lines))
    options = {"layout": "manifest", "capfd": capfd}
    status, _, err = prepare(root / "cohort.tsv", tmp_path / "store", **options)
    assert status == 2 and "subject s1, " in err and "line 3, column dwi" in err
    status, _, err = prepare(root / "cohort.tsv", tmp_path / "store", "--skip-bad", **options)
    assert status == 0 and err.startswith("subject s1 is left out") and err.count("\n") == 1
    text = (tmp_path / "store" / "store.json").read_text()
    families = {entry["files"]["family"] for entry in json.loads(text)["subjects"]["train"]}
    assert families < {f"f{i}" for i in range(6)}  # and no paths


def test_one_part_must_not_be_empty(root, tmp_path, capfd):
    status, _, err = prepare(root, tmp_path / "store", "--split", "0.5", "0", "0.5", capfd=capfd)
    assert status == 2 and "no validation in split" in err and "dwijax prepare: --split" in err


@pytest.mark.parametrize("name", ["a\0b", os.fsdecode(b"\xff"), "x" * 300, "", ".", "s0/dwi.nii/x"])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_stores_that_cannot_be_written(root, tmp_path, monkeypatch, capfd, name, force):
    monkeypatch.chdir(root)
    before = sorted(map(str, tmp_path.rglob("*")))
    status, out, err = prepare(root, name, *force, capfd=capfd)
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def test_an_inherited_sidecar_that_is_broken_is_told_once(tmp_path, capfd):
    root = describe(tmp_path / "bids")
    for i in range(4):
        write_subject(root / f"sub-{i}" / "dwi", (6, 6, 4), i)
        for name in ("dwi.nii", "dwi.bval", "dwi.bvec"):
            (root / f"sub-{i}" / "dwi" / name).rename(root / f"sub-{i}" / "dwi" / f"sub-{i}_{name}")
    (root / "dwi.json").write_text("{")
    status, _, err = prepare(root, tmp_path / "store", capfd=capfd, layout="bids")
    assert status == 0 and err.count("\n") == 1 and "dwi.json: no JSON" in err


def train(root, workdir, **fields):
    config = config_of(**{"data.layout": "plain", "data.root": str(root), "steps": 2,
                          "data.split": (0.5, 0.25, 0.25), **fields})
    with jax.numpy_dtype_promotion("standard"):
        loop.train(config, workdir, quiet=True)


def test_training_and_evaluation_leave_out_what_they_are_told_to(root, tmp_path, capfd):
    cohort = split_cohort(root, "plain", fractions=(0.5, 0.25, 0.25), seed=0, **SPEC)
    training, validation, test = ([m.files.name for m in part] for part in cohort[:3])
    for name in (training[1], test[0]):
        FAULTS["not finite"](root / name)  # is seen when its volumes are read
    with pytest.raises(InputError, match=f"subject {training[1]}.*skip_bad=True"):
        train(root, tmp_path / "run")
    capfd.readouterr()
    train(root, tmp_path / "run", **{"data.skip_bad": True})
    assert f"subject {training[1]} is left out" in capfd.readouterr().err
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    kept = [name for name in training if name != training[1]]
    assert about["subjects"]["train"] == list(about["normalisation"]["training_scales"]) == kept
    assert about["subjects"]["validation"] == validation

    run = load_run(tmp_path / "run")
    judged = usable(run, read_cohort(run.config))
    assert [[m.files.name for m in part] for part in judged[:3]] == [kept, validation, test[1:]]
    assert capfd.readouterr().err.startswith(f"subject {test[0]} is left out")


def test_training_on_several_sizes_and_whole_slices(sound, tmp_path):
    train(sound, tmp_path / "run", **{"patch": 0, "model.levels": 2})
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert all(np.isfinite(json.loads(line)["validation_loss"]) for line in lines
               if "validation_loss" in line)


@pytest.mark.parametrize("content", [
    "{", "[]", "null", '{"like": {}}', "[" * 10**5, b"\xff\xfe\x00"])
def test_a_record_that_is_none_stops_only_simulation(tmp_path, content):
    write_subject(tmp_path / "s", (6, 6, 4), 0)
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "phantom.json").write_bytes(content)
    made_like([Member(files, None) for files in find_subjects(tmp_path, "plain")])
    with pytest.raises(InputError, match=r"phantom\.json"):
        simulate(tmp_path, subjects=1, shape=(20, 24, 12), progress=False)

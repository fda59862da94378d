"""A run's subjects and files are settled when it begins: changes do no harm or are refused."""

import contextlib
import json
import os
import shutil

import jax
import numpy as np
import pytest

from dwijax.data import cohort as cohorts
from dwijax.data.store import write_store
from dwijax.errors import InputError
from dwijax.runs import checkpoint, folders, record
from dwijax.runs.description import PARTS
from dwijax.training import loop
from dwijax.training.reading import read_cohort
from tests.cohorts import SPEC, SPLIT, config_of, write_subject

STEPS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Eight subjects, and runs of a few steps: of their files, of one scan, of a store."""
    place = tmp_path_factory.mktemp("resume")
    for i in range(8):
        write_subject(place / "study" / f"s{i}", (12, 12, 4), seed=i)
    write_subject(place / "one" / "s0", (8, 8, 28), seed=0)
    cohort = cohorts.split_cohort(place / "study", "plain", fractions=SPLIT, seed=0, **SPEC)
    write_store(place / "store", cohort, **SPEC)
    for name in RUNS:
        train(place, name)
    return place


RUNS = {
    "study": {"data.layout": "plain"},
    "one": {"data.layout": "plain", "data.within_subject": True},
    "store": {"data.layout": "store"},
}


def config(place, name, **fields):
    return config_of(**RUNS[name] | {
        "data.root": str(place / name), "patch": 0, "steps": STEPS,
        "log_every": 2, "validate_every": 2, "checkpoint_every": 2} | fields)


def train(place, name, **fields):
    with jax.numpy_dtype_promotion("standard"):
        return loop.train(config(place, name, **fields), place / f"{name}-run", quiet=True)


def described(place, name):
    return json.loads((place / f"{name}-run" / "config.json").read_text())


def resumed(place, name, *, judging=False):
    """``(cohort, lines)`` of the same command again, or of the evaluation."""
    said = []
    about = folders.read(place / f"{name}-run")[-1]
    return read_cohort(config(place, name), about, judging=judging, say=said.append), said


@contextlib.contextmanager
def altered(path):
    """Lets a file or folder be altered, and puts it back as it was, times included."""
    kept = path.with_name(f".{path.name}.kept")
    (shutil.copytree if path.is_dir() else shutil.copy2)(path, kept)
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            (shutil.rmtree if path.is_dir() else os.unlink)(path)
        kept.rename(path)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def names(cohort):
    return {part: [m.files.name for m in getattr(cohort, part)] for part in PARTS}


@pytest.mark.parametrize("name", RUNS)
def test_nothing_changed_nothing_said(place, name, monkeypatch):
    """No file is read again; the split is the record's, the seed and shares are not asked."""
    monkeypatch.setattr(record, "_contents", lambda path: pytest.fail("read again"))
    monkeypatch.setattr(cohorts, "split_cohort", lambda *_, **__: pytest.fail("drawn again"))
    about = described(place, name)
    cohort, said = resumed(place, name, judging=True)
    assert names(cohort) == {part: about["subjects"][part] for part in PARTS}
    assert not said and cohort.within_subject == (name == "one")
    if name == "one":
        parts = [cohort.train[0], cohort.validation[0], cohort.test[0]]
        assert [p.slices.tolist() for p in parts] == [
            about["scans"]["chosen"][part][0][0] for part in PARTS]
        assert len(np.unique(np.concatenate([p.slices for p in parts]))) == sum(
            len(p.slices) for p in parts)


def test_description_is_never_written_again(place):
    path = place / "study-run" / "config.json"
    before = path.read_bytes(), path.stat().st_mtime_ns
    train(place, "study")
    train(place, "study", memory_gb=32.0, log_every=1, checkpoint_keep=5)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    train(place, "study", seed=0)
    for field, value in (("seed", 1), ("data.split", (0.25, 0.5, 0.25)), ("model.width", 3)):
        with pytest.raises(InputError, match=f"another config: {field} "):
            train(place, "study", **{field: value})
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("part", PARTS)
def test_removed_subject(place, part):
    """Any of the three parts: report 03. The others are never drawn again."""
    about = described(place, "study")
    name = about["subjects"][part][0]
    with altered(place / "study" / name) as folder:
        shutil.rmtree(folder)
        if part == "test":
            cohort, said = resumed(place, "study")
            assert names(cohort) == {p: about["subjects"][p] for p in ("train", "validation")} | {
                "test": about["subjects"]["test"][1:]}
            assert said == [f"{place / 'study'}: since the run began: {name} (test) is missing"]
        else:
            with pytest.raises(InputError, match=rf"{name} \({part}\) is missing"):
                train(place, "study")
        with pytest.raises(InputError, match=rf"{name} \({part}\) is missing") as caught:
            resumed(place, "study", judging=True)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("file", ["dwi.nii", "mask.nii", "dwi.bvec", "dwi.bval"])
def test_other_bits(place, part, file):
    name = described(place, "study")["subjects"][part][0]
    kind = file.split(".")[0 if "nii" in file else 1]
    told = rf"{name} \({part}\) has not the {kind} that it had"
    with altered(place / "study" / name / file) as path:
        flip(path)
        if part == "test":
            assert name in resumed(place, "study")[1][0]
        else:
            with pytest.raises(InputError, match=told):
                resumed(place, "study")
        with pytest.raises(InputError, match=told):
            resumed(place, "study", judging=True)
        path.unlink()
        with pytest.raises(InputError, match=rf"{name}"):
            resumed(place, "study", judging=True)
    assert not resumed(place, "study", judging=True)[1]


def test_other_times_of_the_same_bits_do_not_matter(place):
    name = described(place, "study")["subjects"]["train"][0]
    with altered(place / "study" / name) as folder:
        for path in folder.iterdir():
            os.utime(path, (1, 1))
        assert not resumed(place, "study", judging=True)[1]


def test_added_subject_is_said_and_not_used(place):
    new = place / "study" / "s-new"
    write_subject(new, (12, 12, 4), seed=99)
    try:
        cohort, said = resumed(place, "study", judging=True)
        (new / "dwi.bvec").unlink()  # nobody asks whether it could be used
        again = resumed(place, "study")[1]
    finally:
        shutil.rmtree(new)
    assert said == again == [
        f"{place / 'study'}: since the run began: s-new is new and not used"]
    assert names(cohort) == names(resumed(place, "study")[0])


def test_a_manifest_that_has_another_split_now(place, tmp_path):
    table = tmp_path / "cohort.tsv"

    def write(splits):
        rows = ["\t".join(["subject", "dwi", "bval", "bvec", "mask", "split"])]
        for i, split in enumerate(splits):
            files = [place / "study" / f"s{i}" / f for f in ("dwi.nii", "dwi.bval", "dwi.bvec",
                                                            "mask.nii")]
            rows.append("\t".join(map(str, [f"s{i}", *files, split])))
        table.write_text("\n".join(rows) + "\n")

    write(["train", "train", "validation", "test"])
    listed = config(place, "study", **{"data.layout": "manifest", "data.root": str(table)})
    members = read_cohort(listed)
    about = {"subjects": record.subjects(members), "scans": record.scans(listed, members)}
    write(["train", "test", "validation", "train"])
    with pytest.raises(InputError, match=r"s1 \(train\) is for test; s3 \(test\) is for train"):
        read_cohort(listed, about, say=print)
    write(["train", "train", "validation", "test", "train"])
    said = []
    assert names(read_cohort(listed, about, say=said.append)) == {
        "train": ["s0", "s1"], "validation": ["s2"], "test": ["s3"]}
    assert "s4 is new and not used" in said[0]


def test_simulated_subjects_and_those_of_the_other_generator(tmp_path):
    few = config(tmp_path, "study", **{
        "data.layout": "phantom", "data.root": str(tmp_path), "phantom.subjects": (1, 1, 1),
        "phantom.shifted_subjects": 1, "phantom.shape": (12, 14, 6), "phantom.voxel_size": 6.0,
        "phantom.directions": 9})
    members = read_cohort(few)
    about = {"subjects": record.subjects(members), "scans": record.scans(few, members)}
    assert names(read_cohort(few, about, judging=True, say=pytest.fail)) == names(members)
    validation = members.validation[0].files
    shutil.rmtree(validation.truth.parent)  # simulated again, to the same bits
    assert names(read_cohort(few, about, judging=True, say=pytest.fail)) == names(members)
    flip(validation.mask)
    with pytest.raises(InputError, match=r"sub-001 \(validation\) has not the mask"):
        read_cohort(few, about)
    shutil.rmtree(validation.truth.parent)
    flip(next(tmp_path.glob("phantom-shifted-*/sub-*/truth/dwi.nii.gz")))
    assert names(read_cohort(few, about, say=pytest.fail)) == names(members)
    with pytest.raises(InputError, match=r"sub-000 \(test, shifted\) has not the truth"):
        read_cohort(few, about, judging=True)


def test_subjects_that_were_never_used_may_go(place):
    few = config(place, "study", **{"data.subjects": 2, "data.slices": (5, 3)})
    members = read_cohort(few)
    about = json.loads(json.dumps({"subjects": record.subjects(members),
                                   "scans": record.scans(few, members)}))
    assert len(members.train) == 2 and len(members.unused) == 2
    again = read_cohort(few, about, say=pytest.fail)
    assert [m.count for m in again.train] == [m.count for m in members.train] == [3, 2]
    with altered(place / "study" / members.unused[0]) as folder:
        shutil.rmtree(folder)
        said = []
        again = read_cohort(few, about, judging=True, say=said.append)
    assert names(again) == names(members)
    assert said[0].endswith(f"{members.unused[0]}, which is not used, is missing")


def test_one_scan_in_slabs(place):
    with altered(place / "one" / "s0" / "mask.nii") as path:
        flip(path)
        with pytest.raises(InputError, match=r"s0 \(train\) has not the mask that it had"):
            train(place, "one")
    write_subject(place / "one" / "s1", (8, 8, 28), seed=1)  # no cohort of two
    try:
        cohort, said = resumed(place, "one", judging=True)
    finally:
        shutil.rmtree(place / "one" / "s1")
    assert said == [f"{place / 'one'}: since the run began: s1 is new and not used"]
    assert {name for part in names(cohort).values() for name in part} == {"s0"}


def test_a_store_that_was_made_again(place):
    """The same bits do; other slices, or other parts, do not; what is new is not used."""
    about = described(place, "store")["subjects"]
    split = cohorts.split_cohort(place / "study", "plain", fractions=SPLIT, seed=0, **SPEC)

    def make(cohort):
        write_store(place / "store", cohort, **SPEC, force=True)

    with altered(place / "store"):
        make(split)
        assert not resumed(place, "store", judging=True)[1]
        make(split._replace(train=split.train[1:], validation=[*split.validation, split.train[0]]))
        with pytest.raises(InputError, match=rf"{about['train'][0]} \(train\) is for validation"):
            train(place, "store")
        with altered(place / "study" / about["train"][1]) as folder:
            shutil.rmtree(folder)
            write_subject(folder, (12, 12, 4), seed=77)
            make(split)
            with pytest.raises(InputError, match=rf"{about['train'][1]} \(train\) has not the tra"):
                train(place, "store")
    with altered(place / "store"):
        make(split._replace(train=split.train[1:]))
        with pytest.raises(InputError, match=rf"{about['train'][0]} \(train\) is missing"):
            train(place, "store")
    with altered(place / "store"):
        few = split._replace(train=split.train[1:])
        make(few)
        few_config = config(place, "store")
        begun = {"subjects": record.subjects(few), "scans": record.scans(few_config, few)}
        make(split)
        said = []
        members = read_cohort(few_config, begun, say=said.append)
        assert names(members) == names(few) and f"{split.train[0].files.name} is new" in said[0]


def test_more_steps_go_on_from_where_it_ended(place, capsys):
    copy = place / "more-run"
    shutil.copytree(place / "study-run", copy)
    before = (copy / "config.json").read_bytes()

    def go(**fields):
        capsys.readouterr()
        with jax.numpy_dtype_promotion("standard"):
            state = loop.train(config(place, "study", **fields), copy, quiet=True)
        return state, capsys.readouterr().out

    first, out = go()
    assert f"finished at step {STEPS}, of {STEPS} asked for" in out
    assert f"with --config.steps={2 * STEPS} it goes on from there" in out
    state, out = go(steps=2 * STEPS)
    assert f"going on from step {STEPS}" in out
    assert "8 steps, 4 when it began: the learning rate follows the warm-up and cosine of 8" in out
    assert int(state.step) == 2 * STEPS and checkpoint.steps(copy)[-1] == 2 * STEPS
    assert any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(
        jax.tree.leaves(first.params), jax.tree.leaves(state.params), strict=True))
    assert (copy / "config.json").read_bytes() == before
    steps = [json.loads(line)["step"] for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == 2 * STEPS
    metadata = next((copy / "checkpoints").glob("00000008/_CHECKPOINT_METADATA")).read_text()
    assert '"steps": 8' in metadata  # a checkpoint tells with what it was made
    _, out = go()  # the command that it began with
    assert f"finished at step {2 * STEPS}, of {STEPS} asked for" in out


def test_data_that_are_read_otherwise_now_are_refused(place):
    about = folders.read(place / "study-run")[-1]
    gtab, scales = folders.parse(about, "")[1], about["normalisation"]["training_scales"]
    folders.check_data(place, about, gtab, 2, scales)
    name = next(iter(scales))
    with pytest.raises(InputError, match=f"another scale of {name}"):
        folders.check_data(place, about, gtab, 2, scales | {name: 1.01 * scales[name]})
    for table, b0s in ((gtab[::-1], 2), (gtab[1:], 2), (gtab, 3)):
        with pytest.raises(InputError, match="another table"):
            folders.check_data(place, about, table, b0s, scales)


@pytest.mark.parametrize("spoil", [
    lambda text: text[:-9], lambda text: "", lambda text: "[" * 10**5, lambda text: "[]",
    lambda text: text.replace('"step": 20', '"step": 21'), lambda text: text.replace("1.5", "1.6"),
    lambda text: text.replace('"checksum"', '"sum"'), lambda text: text.replace("1.5", "NaN")])
def test_a_damaged_calibration_is_told(tmp_path, spoil):
    learnt = {"step": 20, **{name: [1.5, None, *[0.5] * 12] for name in (
        "moment", "excess", "overlap", "weight")}}
    folders.write_calibration(tmp_path, learnt)
    assert folders.calibration_of(tmp_path, 20) == learnt
    assert folders.calibration_of(tmp_path, 21) is None
    assert folders.calibration_of(tmp_path / "none", 20) is None
    path = tmp_path / "calibration.json"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(InputError, match=r"calibration\.json") as caught:
        folders.calibration_of(tmp_path, 20)
    assert "train.py again" in str(caught.value) and "\n" not in str(caught.value)

"""A slice store gives the batches, and the networks, that the files give."""

import json
import os
import shutil
import weakref
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from dwijax.data import cohort as cohorts
from dwijax.data import store as stores
from dwijax.data.sampling import take_batch
from dwijax.data.store import open_store, write_store
from dwijax.data.stream import TrainingBatches, ValidationBatches, stream
from dwijax.errors import InputError
from dwijax.training.reading import read_cohort
from tests.cohorts import FIELDS, SPEC, SPLIT, N, config_of, everything, same_bits, write_subject
from tests.forked import ROOT


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Eight subjects, of two sizes that are padded to one."""
    root = tmp_path_factory.mktemp("cohort")
    for i in range(8):
        write_subject(root / f"sub-{i}", ((18, 22, 7), (17, 21, 9))[i in (3, 6)], seed=i)
    return root


@pytest.fixture(scope="module")
def cohort(root):
    return cohorts.split_cohort(root, "plain", fractions=SPLIT, seed=0, **SPEC)


@pytest.fixture(scope="module")
def store(cohort, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    write_store(path, cohort, **SPEC)
    return path


@pytest.fixture
def copy(store, tmp_path):
    """A store to damage."""
    return shutil.copytree(store, tmp_path / "store")


@pytest.mark.parametrize("part, multiple, patch", [
    ("train", 4, 8), ("train", 1, 24), ("train", 8, 0), ("validation", 2, 0)])
def test_store_holds_what_the_files_hold(cohort, store, part, multiple, patch):
    slices, tables, scales, b0s = cohorts.load_slices(
        getattr(cohort, part), everything, multiple=multiple, patch=patch, **SPEC)
    stored, *others = open_store(store).slices(
        part, everything, multiple=multiple, patch=patch)
    assert same_bits(slices, stored.load())
    assert stored.count == len(slices.mask) and stored.size == slices.size
    assert slices.images["dwi"].shape == (stored.count, *stored.size, N)
    assert stored.nbytes == slices.nbytes - slices.origins.nbytes
    assert others[1:] == [scales, b0s]
    for a, b in zip(tables, others[0], strict=True):
        assert same_bits([a.bvals, a.bvecs], [b.bvals, b.bvecs])
    index = [len(slices.mask) - 1, 0, 3, 3]
    assert same_bits(slices.read(index), stored.read(index))


def test_store_knows_the_cohort(cohort, store):
    opened = open_store(store)
    assert (opened.shell, opened.axis) == (1000, 2)
    for ours, theirs in zip(opened.cohort[:3], cohort[:3], strict=True):
        assert [m.files for m in ours] == [m.files for m in theirs]
        assert all(m.slices is None for m in ours)
    assert opened.cohort[3:] == cohort[3:]


@pytest.mark.parametrize("patch", [0, 8])
@pytest.mark.parametrize("first, ahead, threads", [(0, 4, 2), (3, 0, 1), (11, 7, 3)])
def test_streamed_batches_are_the_gathered_ones(cohort, store, patch, first, ahead, threads):
    slices = cohorts.load_slices(cohort.train, everything, multiple=4, patch=patch, **SPEC)[0]
    stored = open_store(store).slices("train", everything, multiple=4, patch=patch)[0]
    batches = TrainingBatches(stored, seed=5, batch=3, patch=patch, steps=15)
    take = jax.jit(lambda s, i: take_batch(s, 5, i, batch=3, patch=patch))
    seen = 0
    for step, batch in enumerate(stream(batches, first, ahead=ahead, threads=threads), first):
        assert same_bits(take(jax.tree.map(jnp.asarray, slices), jnp.int32(step)), batch)
        seen += 1
    assert seen == 15 - first


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_a_batch(store, processes):
    stored = open_store(store).slices("train", everything, multiple=4, patch=8)[0]
    options = {"seed": 1, "batch": 5, "patch": 8, "steps": 9}
    whole = TrainingBatches(stored, **options)[7]
    parts = [TrainingBatches(stored, **options, positions=positions)[7]
             for positions in np.array_split(np.arange(5), processes)]
    assert same_bits(whole, jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts))


def test_validation_batches_cover_every_slice_once(cohort, store):
    slices = cohorts.load_slices(cohort.validation, everything, multiple=4, patch=0, **SPEC)[0]
    stored = open_store(store).slices("validation", everything, multiple=4, patch=0)[0]
    count = len(slices.mask)
    batch = next(n for n in range(3, 9) if count % n)
    together = jax.tree.map(lambda *parts: np.concatenate(parts),
                            *stream(ValidationBatches(stored, batch=batch)))
    assert same_bits(jax.tree.map(lambda a: a[:count], together), slices.read(slice(None)))
    assert len(together.weight) > count and not together.weight[count:].any()


def test_slabs_of_one_scan(tmp_path):
    write_subject(tmp_path / "tall", (12, 14, 40), seed=0)
    cohort = cohorts.split_cohort(tmp_path / "tall", "plain", fractions=(0.6, 0.2, 0.2), seed=0,
                                  within_subject=True, **SPEC)
    write_store(tmp_path / "store", cohort, **SPEC)
    opened = open_store(tmp_path / "store")
    assert opened.cohort.within_subject
    for part in ("train", "validation"):
        slices = cohorts.load_slices(getattr(cohort, part), everything, multiple=1, patch=0,
                                     **SPEC)[0]
        assert same_bits(slices, opened.slices(part, everything, multiple=1, patch=0)[0].load())
    for ours, theirs in zip(opened.cohort[:3], cohort[:3], strict=True):
        assert ours[0].slices.tolist() == theirs[0].slices.tolist()


def test_one_subject_in_memory_at_a_time(cohort, tmp_path, monkeypatch):
    alive, load = weakref.WeakSet(), stores.load_subject

    def watched(*args, **options):
        assert not alive
        subject = load(*args, **options)
        alive.add(subject)
        return subject

    monkeypatch.setattr(stores, "load_subject", watched)
    write_store(tmp_path / "store", cohort, **SPEC)


def test_failure_leaves_nothing(cohort, tmp_path, store):
    broken = cohort.validation[0]
    short = tmp_path / "short.nii"
    short.write_bytes(broken.files.dwi.read_bytes()[:5000])
    members = [broken._replace(files=replace(broken.files, dwi=short))]
    with pytest.raises(InputError, match=r"short\.nii"):
        write_store(tmp_path / "made", cohort._replace(validation=members), **SPEC)
    assert sorted(tmp_path.iterdir()) == [short]
    with pytest.raises(InputError, match="something there already"):
        write_store(store, cohort, **SPEC)


def test_other_directions_are_refused(cohort, tmp_path):
    other = cohort.validation[0]
    turned = tmp_path / "turned.bvec"
    rows = other.files.bvec.read_text().splitlines()
    turned.write_text("\n".join([rows[1], rows[0], rows[2]]) + "\n")
    members = [other._replace(files=replace(other.files, bvec=turned))]
    with pytest.raises(InputError, match=r"turned.bvec: found direction \d+ of sub-0"):
        write_store(tmp_path / "made", cohort._replace(validation=members), **SPEC)


def array_file(store, name="dwi"):
    return next(f for f in sorted(store.rglob(f"train/*/{name}/c/**/*")) if f.is_file())


def test_damaged_stores(copy, tmp_path):
    with pytest.raises(InputError, match=r"no such file.*dwijax prepare"):
        open_store(tmp_path / "nowhere")
    sidecar = copy / "store.json"
    text = sidecar.read_text()
    for changed, told in [
        (text[:500], "no JSON"), ("[]", "not a store's description"),
        (text.replace('"version": 2', '"version": 9', 1), "version 9"),
        (text.replace('"sub-1"', '"sub-9"', 1), "checksum"),
    ]:
        assert changed != text
        sidecar.write_text(changed)
        with pytest.raises(InputError, match=told):
            open_store(copy)
    sidecar.write_text(text)
    file = array_file(copy)
    data = file.read_bytes()
    file.write_bytes(data[:-7])
    with pytest.raises(InputError, match=f"found {len(data) - 7} bytes; expected {len(data)}"):
        open_store(copy)
    file.unlink()
    with pytest.raises(InputError, match="no such file"):
        open_store(copy)


@pytest.mark.parametrize("name", stores.ARRAYS)
def test_altered_and_lost_chunks_are_noticed(copy, name):
    file = array_file(copy, name)
    data = bytearray(file.read_bytes())
    data[len(data) // 4] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="arrays that fail"):
        open_store(copy).slices("train", everything, multiple=1, patch=0)[0].load()
    opened = open_store(copy).slices("train", everything, multiple=1, patch=0)[0]
    file.unlink()  # while the store is in use: not a slice of zeros
    with pytest.raises(InputError, match="arrays that fail"):
        list(stream(TrainingBatches(opened, seed=0, batch=8, patch=0, steps=9)))


# --- training --------------------------------------------------------------------------------


def metrics(workdir):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    keep = ("step", "loss", "loss_per_network", "validation_loss", "validation_per_network")
    return [{k: v for k, v in row.items() if k in keep} for row in rows]


def test_prepare_and_train_as_from_the_files(root, tmp_path, dwijax, script):
    store = tmp_path / "store"
    words = ("prepare", root, store, "--layout", "plain", "--split", *SPLIT)
    done = dwijax(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{store}: ") and "4 training and 2 validation" in done.stdout
    again = dwijax(*words)
    assert again.returncode == 2 and "--force" in again.stderr
    assert again.stderr.count("\n") == 1
    told = json.loads(dwijax(*words, "--force", "--json").stdout)
    assert told["store"] == str(store) and (told["train"], told["validation"]) == (4, 2)

    def state(run, **fields):
        # With XLA's own emitters: two programs of the others round one sum in two ways.
        done = script(
            "train.py", f"--config={ROOT}/configs/phantom.py:smoke", f"--workdir={tmp_path / run}",
            "--noevaluate", *(f"--config.{name}={value}" for name, value in (
                FIELDS | {"placement": "single"} | fields).items()), cwd=tmp_path,
            env=os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"})
        assert done.returncode == 0, done.stderr
        left = tmp_path / run / "checkpoints" / "00000007"
        stored = ocp.checkpointables_metadata(left).metadata
        return ocp.load_checkpointables(left, jax.tree.map(
            lambda leaf: np.empty(leaf.shape, leaf.dtype), stored))

    files = state("files", **{"data.layout": "plain", "data.root": root})
    for streamed in ("never", "always"):
        assert same_bits(files, state(streamed, **{
            "data.layout": "store", "data.root": store, "data.stream": streamed}))
        assert metrics(tmp_path / streamed) == metrics(tmp_path / "files")
    about = [json.loads((tmp_path / run / "config.json").read_text())
             for run in ("files", "always")]
    for key in ("normalisation", "table", "subjects"):
        assert about[0][key] == about[1][key]


def test_a_store_of_another_shell_or_axis(store):
    for field, value in (("shell", 2000), ("axis", 0)):
        config = config_of(**{"data.layout": "store", "data.root": str(store),
                              f"data.{field}": value})
        with pytest.raises(InputError, match=rf"--config.data.{field}: found {value}"):
            read_cohort(config)

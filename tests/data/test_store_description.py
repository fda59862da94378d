"""No byte of a store's description can change unnoticed, and no field can be of another kind."""

import copy
import json
import math
import shutil

import numpy as np
import pytest

from dwijax.data.cohort import split_cohort
from dwijax.data.description import seal
from dwijax.data.store import open_store, write_store
from dwijax.errors import InputError
from tests.cohorts import SPEC, everything, write_subject

STRANGE = [None, "x", "", {}, [], [[]], [None], {"x": 1}, math.nan, math.inf, 2**63, -1, 1.5, True,
           0, "\0", "../..", [[1, 2], [3, 4]], 10**400, "\ud800"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described")
    for i in range(4):
        write_subject(folder / "cohort" / f"s{i}", (5, 6, 4), seed=i)
    cohort = split_cohort(folder / "cohort", "plain", fractions=(0.5, 0.25, 0.25), seed=0, **SPEC)
    write_store(folder / "store", cohort, **SPEC)
    return folder / "store"


@pytest.fixture
def spoilt(store, tmp_path):
    return shutil.copytree(store, tmp_path / "store")


def refused(path):
    with pytest.raises(InputError) as caught:
        opened = open_store(path)
        for part in ("train", "validation"):
            opened.slices(part, everything, multiple=1, patch=0)[0].load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["store.json", "train/s1/dwi/zarr.json"])
def test_every_flipped_byte_and_every_cut_is_noticed(spoilt, name):
    file = next(spoilt.glob(name.replace("s1", "*")))
    content = file.read_bytes()
    for i in range(0, len(content), max(len(content) // 200, 1)):
        for bit in (1, 32, 128):
            changed = bytearray(content)
            changed[i] ^= bit
            file.write_bytes(changed)
            refused(spoilt)
    for length in (0, 1, 80, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        refused(spoilt)
    file.write_bytes(content + b" ")
    refused(spoilt)
    file.write_bytes(content)
    open_store(spoilt)


def fields(value, path=()):
    """Paths of all fields: of lists the first and the last entry."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from fields(value[key], (*path, key))
    elif isinstance(value, list):
        for i in sorted({0, len(value) - 1} & set(range(len(value)))):
            yield from fields(value[i], (*path, i))


def test_every_field_is_of_its_kind_or_named(store, spoilt):
    """Sealed again with a right checksum, as somebody would who edits it."""
    about = json.loads((store / "store.json").read_text())
    about.pop("checksum")
    paths = list(fields(about))
    assert len(paths) > 100
    harmless = 0
    for path in paths:
        for strange in ["missing", *STRANGE]:
            changed = copy.deepcopy(about)
            *above, last = path
            place = changed
            for key in above:
                place = place[key]
            if strange == "missing":
                del place[last]
            else:
                place[last] = strange
            seal(spoilt / "store.json", changed)
            try:
                opened = open_store(spoilt)
                for part in ("train", "validation"):
                    slices = opened.slices(part, everything, multiple=1, patch=0)[0].load()
                    assert np.isfinite(slices.images["dwi"]).all()
                harmless += 1
            except InputError as error:
                assert "\n" not in str(error) and "store" in str(error)
    # What a test subject's files or a family are called is anybody's choice.
    assert harmless < 0.1 * len(paths) * len(STRANGE)


@pytest.mark.parametrize(("path", "value", "told"), [
    ("shell", "x", 'field shell: found "x"; expected a b-value in s/mm²'),
    ("axis", 3, "field axis: found 3; expected 0, 1 or 2"),
    ("within_subject", None, "field within_subject: found null; expected true or false"),
    ("subjects.train", [], "field subjects.train: found []; expected at least one subject"),
    ("subjects.train.0.name", "../x", 'field subjects.train.0.name: found "../x"'),
    ("subjects.train.0.scale", math.nan, "field subjects.train.0.scale: found NaN"),
    ("subjects.train.0.scale", 0, "expected a number above 0"),
    ("subjects.train.0.positions", [1], "subjects.train.0.positions of length 1"),
    ("subjects.train.0.bvecs.0", [1, 1, 1], "expected a unit vector"),
    ("subjects.train.0.extents.0", [[0, 0], [9, 0]], "extents beyond the slices"),
    ("subjects.validation.0.files.mask", 3, "files.mask: found 3; expected null or the path"),
    ("files", {"../../x": 3}, "no such file"),
    ("more", 1, 'an unknown field "more"'),
])
def test_the_field_is_named(store, spoilt, path, value, told):
    about = json.loads((store / "store.json").read_text())
    about.pop("checksum")
    place = about
    *above, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in above:
        place = place[key]
    place[last] = value
    seal(spoilt / "store.json", about)
    assert told in refused(spoilt)


def test_no_path_stands_for_a_family(store):
    about = json.loads((store / "store.json").read_text())
    for entries in about["subjects"].values():
        for entry in entries:
            assert entry["files"]["family"] is None and entry["files"]["split"] is None
    members = open_store(store).cohort.train
    assert [m.files.dwi.name for m in members] == ["dwi.nii"] * len(members)

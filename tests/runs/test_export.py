"""Exported runs: the same bits, nobody's name, every damaged or made-up file refused."""

import copy
import hashlib
import json

import jax
import nibabel as nib
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from dwijax import cli
from dwijax.errors import InputError
from dwijax.inference import load_run
from dwijax.runs import export
from tests.malformed import good_scan


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    file = tmp_path_factory.mktemp("files") / "a b ü.dwijax"
    assert cli.main(["export", str(tiny_run), str(file), "--quiet"]) == 0
    return file


def test_round_trip_is_exact(tiny_run, exported):
    before, after = load_run(tiny_run), load_run(exported)
    assert jax.tree.structure(before.params) == jax.tree.structure(after.params)
    for a, b in zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(before.gtab.bvecs, after.gtab.bvecs)
    np.testing.assert_array_equal(before.inputs, after.inputs)
    np.testing.assert_array_equal(before.targets, after.targets)
    np.testing.assert_array_equal(before.task.baseline_weights, after.task.baseline_weights)
    for field in ("config", "normalisation"):
        assert before.about[field].keys() == after.about[field].keys()
    assert before.about["normalisation"]["whitening"] == after.about["normalisation"]["whitening"]


def test_predictions_from_folder_and_file_are_the_same(tiny_run, exported, tmp_path):
    scan = good_scan(tmp_path / "scan")
    written = []
    for place in (tiny_run, exported):
        out = tmp_path / place.name
        assert cli.main(["predict", str(scan / "dwi.nii"), "--bvals", str(scan / "dwi.bval"),
                         "--bvecs", str(scan / "dwi.bvec"), "--mask", str(scan / "mask.nii"),
                         "--run", str(place), "-o", str(out), "--quiet"]) == 0
        written.append({name: nib.load(out / name).get_fdata() for name in (
            "dwi.nii.gz", "fa.nii.gz")})
    for name, values in written[0].items():
        np.testing.assert_array_equal(values, written[1][name])
    assert written[0]["dwi.nii.gz"].shape[3] == 12


def test_the_file_describes_itself_and_names_nobody(exported):
    content = exported.read_bytes()
    first, rest = content.split(b"\n", 1)
    assert first == b"dwijax-run 1 sha256 " + hashlib.sha256(rest).hexdigest().encode()
    about = json.loads(rest.split(b"\n", 1)[0])
    card = about["card"]
    for words in ("2 further directions from 6", "20 steps", "validation loss: 2.5000e-01",
                  "1 train", "b = 1000", "measured",
                  "### test (1 subject), the data",
                  "FA 7 % better",
                  "Not a medical device", "Leave them"):
        assert words in card, words
    for private in (b"secret", b"Ann", b"Bob", b"Eve"):
        assert private not in content
    assert len(about["subjects"]["train"]) == 1 and about["training"]["steps"] == 20


def test_command_tells_the_size_and_does_not_overwrite(tiny_run, tmp_path, capsys):
    file = tmp_path / "deep" / "x.dwijax"
    assert cli.main(["export", str(tiny_run), str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"file": str(file), "bytes": file.stat().st_size, "networks": 2}
    assert cli.main(["export", str(tiny_run), str(file)]) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main(["export", str(tiny_run), str(file), "--force"]) == 0
    assert "2 networks, 0.0" in capsys.readouterr().out
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_run_without_log_and_report_is_exported_too(tiny_run, tmp_path, capsys):
    for name in ("config.json", "checkpoints"):
        (tmp_path / name).symlink_to(tiny_run / name)
    assert cli.main(["export", str(tmp_path), str(tmp_path / "x")]) == 0
    assert "Not evaluated" in export.read(tmp_path / "x")[0]["card"]
    assert cli.main(["export", str(tmp_path / "x"), str(tmp_path / "y")]) == 2
    assert "no folder" in capsys.readouterr().err


def test_every_flipped_bit_is_found(exported, tmp_path):
    content, file = exported.read_bytes(), tmp_path / "x"
    rng = np.random.default_rng(0)
    positions = [*range(1000), *rng.integers(1000, len(content), 1000), len(content) - 1]
    for position in positions:
        changed = bytearray(content)
        changed[position] ^= 1 << rng.integers(8)
        file.write_bytes(changed)
        with pytest.raises(InputError):
            export.read(file)


def signed(body):
    return export.MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def claiming(name, floats, data):
    """A file whose header claims so many floats."""
    header = json.dumps(
        {name: {"dtype": "F32", "shape": [floats], "data_offsets": [0, 4 * floats]}}).encode()
    return signed(b"{}\n" + len(header).to_bytes(8, "little") + header + data)


@pytest.mark.parametrize("content", [
    b"", b"\n", b"dwijax", b"\x80\x04K\x01.", b"PK\x03\x04", export.MAGIC, signed(b""),
    signed(b"\n"), signed(b"{}"), signed(b"[]\n" + save({})), signed(b"{}\n"),
    signed(b"[" * 100_000 + b"\n" + save({})), signed(b"\xff\n" + save({})),
    signed(b"{}\n" + (2**63).to_bytes(8, "little")),
    signed(b"{}\n" + (10**9).to_bytes(8, "little") + b"{}"),
    claiming("a", 10**12, b""), claiming("a", 2**62, b""), claiming("../../x", 1, b"four"),
])
def test_what_is_no_exported_run(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_run(tmp_path / "x")
    assert "\n" not in str(caught.value) and str(tmp_path / "x") in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_cut_and_lengthened_files(exported, tmp_path):
    content = exported.read_bytes()
    for changed in (content[:-1], content + b"\0", content[:50], content[: len(content) // 2],
                    content.replace(b"run 1", b"run 2", 1)):
        (tmp_path / "x").write_bytes(changed)
        with pytest.raises(InputError):
            export.read(tmp_path / "x")


def change(about, arrays, path, value):
    place = about
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value


# test_description.py tries every field: here what would be built, or run, if it were believed.
@pytest.mark.parametrize(("path", "value"), [
    (("config",), None), (("config", "model", "width"), 8), (("config", "model", "width"), 10**12),
    (("config", "model", "width"), 1.5), (("config", "model", "levels"), 10**9),
    (("config", "model", "sh_order"), 10**6), (("config", "model", "convolutions"), 10**9),
    (("config", "model", "residual"), "../../etc/passwd"), (("config", "data", "inputs"), 8),
    (("config", "data", "axis"), 5), (("config", "optimizer", "name"), "__import__('os')"),
    (("table", "bvals"), [1000.0] * 7), (("table", "bvals"), ["x"] * 8),
    (("table", "bvecs"), [[float("nan")] * 3] * 8),
    (("normalisation", "whitening", "mean"), [0.0] * 6),
])
def test_made_up_descriptions_are_refused(exported, tmp_path, path, value):
    about, arrays = export.read(exported)
    about = copy.deepcopy(about)
    change(about, arrays, path, value)
    (tmp_path / "x").write_bytes(signed(json.dumps(about).encode() + b"\n" + save(arrays)))
    with pytest.raises(InputError) as caught:
        load_run(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_parameters_of_other_networks_are_refused(exported, tmp_path):
    about, arrays = export.read(exported)
    name = sorted(arrays)[0]
    other = {
        "nothing instead of": {k: v for k, v in arrays.items() if k != name},
        "instead of nothing": arrays | {"more": np.zeros(3)},
        "instead of float32": arrays | {name: arrays[name].astype(np.float64)},
        "[1]": arrays | {name: np.zeros(1, np.float32)},
        "not finite": arrays | {name: np.full_like(arrays[name], np.nan)},
    }
    for words, changed in other.items():
        (tmp_path / "x").write_bytes(signed(json.dumps(about).encode() + b"\n" + save(changed)))
        with pytest.raises(InputError) as caught:
            load_run(tmp_path / "x")
        assert words in str(caught.value)


SMALL = b'{"config": {"a": [1, 2.5, null]}, "card": "x"}\n' + save(
    {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "c": np.ones(2, np.int8)})


# Ten files an example: drawing them is what takes the time.
@settings(max_examples=1_000, phases=[Phase.generate])
@given(st.binary(min_size=160, max_size=160))
def test_any_bytes_are_read_or_refused(tmp_path_factory, noise):
    """Edited files, half of them with a checksum that is right: whatever they claim, read in
    memory no larger than they are."""
    file = tmp_path_factory.getbasetemp() / "fuzzed"
    for start in range(0, 160, 16):
        high, low, length, sign, *new = noise[start:start + 16]
        at = (256 * high + low) % (len(SMALL) + 1)
        body = SMALL[:at] + bytes(new[:sign // 2 % 13]) + SMALL[at + length % 31:]
        file.write_bytes(signed(body) if sign % 2 else signed(SMALL)[:84 + 1] + body)
        try:
            about, arrays = export.read(file)
        except InputError as error:
            assert "\n" not in str(error)
            continue
        assert isinstance(about, dict)
        assert sum(array.nbytes for array in arrays.values()) <= len(body)
        assert body == SMALL or sign % 2

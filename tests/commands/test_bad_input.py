"""Malformed input of every kind: one line, status 2, no traceback, nothing written."""

import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib

import nibabel as nib
import numpy as np
import pytest

from configs.phantom import get_config
from dwijax import cli
from dwijax.errors import InputError
from dwijax.runs import export
from dwijax.training import loop
from tests.malformed import (
    AFFINE,
    CONFIGS,
    FILES,
    IMAGES,
    JSON,
    MASKS,
    NO_JSON,
    OPTIONS,
    PACKED,
    PREDICTIONS,
    SPOILT,
    good_scan,
    listing,
    save,
)


@pytest.fixture
def refused(dwijax, tmp_path):
    """``refused(line)`` runs a command line, that leaves nothing and returns what it says."""
    def run(line, folder=tmp_path):
        before = listing(folder)
        status, out, err = dwijax(*line)
        assert (status, out) == (2, ""), err
        assert err.startswith("dwijax: error: ") and err.count("\n") == 1, err
        assert "Traceback" not in err
        assert listing(folder) == before
        return err

    return run


def fit(folder, *options, **files):
    path = {"dwi": "dwi.nii", "bvals": "dwi.bval", "bvecs": "dwi.bvec", "mask": "mask.nii",
            "out": "out"} | files
    path = {kind: folder / file for kind, file in path.items()}
    return ["fit", path["dwi"], "--bvals", path["bvals"], "--bvecs", path["bvecs"], "--mask",
            path["mask"], "-o", path["out"], *options]


def predict(folder, run, **files):
    return ["predict", *fit(folder, **files)[1:], "--run", run]


def test_the_table_is_long():
    tables = (SPOILT, PACKED, OPTIONS, FILES, JSON, CONFIGS, PREDICTIONS)
    assert sum(map(len, tables)) >= 100


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_files(scan, refused, case):
    spoil, words = SPOILT[case]
    spoil(scan)
    dwi = "dwi.mif" if case == "MRtrix3" else "dwi.nii"
    assert words in refused(fit(scan, dwi=dwi))


@pytest.mark.parametrize("case", PACKED)
def test_spoilt_compression(scan, refused, case):
    change, words = PACKED[case]
    packed = gzip.compress((scan / "dwi.nii").read_bytes(), mtime=0)
    (scan / "dwi.nii.gz").write_bytes(change(packed))
    assert words in refused(fit(scan, dwi="dwi.nii.gz"))


@pytest.mark.parametrize("case", OPTIONS)
def test_options(scan, refused, case):
    options, words = OPTIONS[case]
    assert words in refused(fit(scan, *(o.format(scan) for o in options)))


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_something_else(scan, refused, case):
    files, words = FILES[case]
    os.mkfifo(scan / "pipe")
    assert words in refused(fit(scan, **files))


@pytest.mark.parametrize("case", JSON)
def test_json_beside_the_image(scan, refused, case):
    (scan / "dwi.json").write_text(JSON[case])
    assert "dwi.json" in refused(fit(scan))


@pytest.mark.parametrize("case", NO_JSON)
def test_broken_json_stops_only_what_needs_it(scan, capfd, refused, case):
    (scan / "dwi.json").write_text(NO_JSON[case])
    told = refused(fit(scan, "--measured-only"))
    assert "dwi.json: found no JSON" in told
    assert cli.main([str(word) for word in fit(scan)]) == 0
    told = capfd.readouterr().err
    assert "dwi.json: no JSON" in told and "measured" in told and told.count("\n") == 1


def test_line_that_converts_is_one_that_a_shell_takes(scan, refused):
    (scan / "my scan.mif.gz").write_bytes(b"mrtrix image\n")
    said = refused(fit(scan, dwi="my scan.mif.gz"))
    line = f"mrconvert '{scan}/my scan.mif.gz' '{scan}/my scan.nii.gz' -export_grad_fsl"
    assert f"{line} '{scan}/my scan.bvec' '{scan}/my scan.bval'" in said


@pytest.mark.parametrize("case", PREDICTIONS)
def test_runs_that_cannot_be_used(scan, tiny_run, tmp_path, refused, case):
    make, words = PREDICTIONS[case]
    place = make(tiny_run, tmp_path)
    assert words in refused(predict(scan, place))


@pytest.mark.parametrize("case", ["bvecs nan", *IMAGES, *MASKS])
@pytest.mark.parametrize("command", ["predict", "check", "simulate"])
def test_other_commands_refuse_the_same_scans(scan, tiny_run, tmp_path, refused, command, case):
    spoil, words = SPOILT[case]
    spoil(scan)
    dwi = "dwi.mif" if case == "MRtrix3" else "dwi.nii"
    line = predict(scan, tiny_run, dwi=dwi)
    if command != "predict":
        files = line[1:line.index("-o")]
        line = [command, *([tmp_path / "like", "--like"] * (command == "simulate")), *files]
    # Without a signal they say what they miss of it.
    assert ("median b0" if case == "all zero" else words) in refused(line)


@pytest.mark.parametrize("command", [fit, predict])
def test_gzip_of_many_members_and_of_a_long_name_is_read(scan, tiny_run, command, capfd):
    raw = (scan / "dwi.nii").read_bytes()
    empty, packer = gzip.compress(b""), zlib.compressobj(6, zlib.DEFLATED, -15)
    files = {
        "members": empty * 3000 + gzip.compress(raw[:99]) + empty * 3000 + gzip.compress(raw[99:])
        + empty * 9 + bytes(5000),
        "name": b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 2**20 + b"\0" + packer.compress(raw)
        + packer.flush() + struct.pack("<II", zlib.crc32(raw), len(raw))}
    for name, content in files.items() if command is fit else [*files.items()][:1]:
        (scan / f"{name}.nii.gz").write_bytes(content)
        more = [tiny_run] if command is predict else []
        line = command(scan, *more, dwi=f"{name}.nii.gz", out=name)
        assert cli.main([*map(str, line), "--quiet"]) == 0
        assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", CONFIGS)
def test_configs_that_cannot_be_meant(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    field, value = CONFIGS[case]
    config = get_config("smoke")
    config.data.layout = "plain"
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError) as caught:
        loop.train(config, tmp_path / "run", quiet=True)
    word = "nowhere" if case == "root" else field.split(".")[-1]
    assert "\n" not in str(caught.value) and word in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("case", "words"), [("half the voxels", "before compression"),
                                             ("bvals words", "'five'")])
def test_as_a_process_of_its_own(scan, case, words):
    SPOILT[case][0](scan)
    done = subprocess.run([sys.executable, "-m", "dwijax.cli", *map(str, fit(scan))],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "" and words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (scan / "out").exists()


def limited(code, *arguments, megabytes=400):
    """Runs Python code after its imports in so much more memory than these take."""
    limit = f"""
import resource, sys
from pathlib import Path
from dwijax.errors import InputError
from dwijax.gradients import read_gradients
from dwijax.volumes import read_image, read_volumes
from dwijax.runs import export
import safetensors.numpy
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {megabytes} * 2**20,) * 2)
try:
    {code}
except InputError as error:
    print(error)
"""
    return subprocess.run([sys.executable, "-c", limit, *map(str, arguments)],
                          capture_output=True, text=True, check=False)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux only")
def test_lies_about_size_take_no_memory(tmp_path):
    """Terabytes claimed by headers and gigabytes behind compression, in 400 MB."""
    image = nib.Nifti1Image(np.zeros((8, 8, 8), np.uint8), AFFINE)
    image.header["dim"][1:4] = 30_000, 30_000, 1_000
    plain = tmp_path / "sparse.nii"
    with open(plain, "wb") as file:
        file.write(image.header.binaryblock + bytes(4))
        file.truncate(352 + 30_000 * 30_000 * 1_000)  # as large as it claims, and empty
    image.header["dim"][1:4] = 2_000, 2_000, 150
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", 1) as file:
        file.write(image.header.binaryblock + bytes(4))
        for _ in range(150):
            file.write(bytes(2_000 * 2_000))
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    body = b"{}\n" + len(header).to_bytes(8, "little") + header.encode()
    (tmp_path / "x.dwijax").write_bytes(
        export.MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    read = "read_volumes(read_image(sys.argv[1]))"
    for code, path in [(read, plain), (read, tmp_path / "bomb.nii.gz"),
                       ("export.read(sys.argv[1])", tmp_path / "x.dwijax"),
                       ("read_gradients('/dev/zero', '/dev/zero')", "")]:
        done = limited(code, path)
        assert done.returncode == 0 and "found" in done.stdout, (path, done.stderr)
        assert done.stdout.count("\n") == 1


@pytest.fixture
def full_disk(tmp_path):
    """A file system with room for a few kilobytes."""
    place = tmp_path / "full"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)],
                             capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("command", ["fit", "predict", "export"])
def test_full_disk(scan, tiny_run, full_disk, refused, command):
    save(scan / "dwi.nii", np.random.default_rng(0).normal(
        900, 30, (20, 20, 20, 10)).astype(np.float32))
    save(scan / "mask.nii", np.ones((20, 20, 20), np.uint8))
    line = {"fit": fit(scan, out=full_disk / "out"),
            "predict": predict(scan, tiny_run, out=full_disk / "out"),
            "export": ["export", tiny_run, full_disk / "run.dwijax"]}[command]
    assert "No space left" in refused(line, full_disk)


@pytest.mark.parametrize("shape", [(6, 5, 1), (2, 1, 1)])
def test_one_slice_and_two_voxels_are_a_scan(tmp_path, capfd, shape):
    folder = good_scan(tmp_path / "tiny")
    data = np.random.default_rng(0).integers(300, 400, (*shape, 10))
    data[..., :2] += 500
    save(folder / "dwi.nii", data.astype(np.int16))
    save(folder / "mask.nii", np.ones(shape, np.uint8))
    assert cli.main([str(word) for word in fit(folder, "--json")]) == 0
    assert json.loads(capfd.readouterr().out)["voxels"] == np.prod(shape)
    assert nib.load(folder / "out" / "fa.nii.gz").shape == shape


def test_names_may_be_anything(tmp_path, capfd):
    folder = good_scan(tmp_path / "сканы ☃ -- 'a b'")
    os.rename(folder / "dwi.nii", folder / "-dwi ü.nii")
    assert cli.main([str(word) for word in fit(folder, dwi="-dwi ü.nii", out="o u t")]) == 0
    assert "o u t: 7 maps" in capfd.readouterr().out
    done = subprocess.run(
        [sys.executable, "-m", "dwijax.cli", "fit", os.fsencode(folder) + b"/\xff.nii",
         "--bvals", folder / "dwi.bval", "--bvecs", folder / "dwi.bvec", "-o", folder / "x"],
        capture_output=True, check=False, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"no such file" in done.stderr

"""``dwijax check``: what it says, as lines, page, picture and JSON; hostile names and scans."""

import json
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dwijax import cli
from dwijax.gradients import GradientTable, read_gradients, write_gradients
from dwijax.gradients.directions import direction_set
from tests.tiny_run import GTAB

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "check.md"
SHAPE = (32, 32, 20)
B0S, Q = 3, 20


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Thin bundles in two directions in grey matter, SNR 40: every verdict is the right one."""
    folder = tmp_path_factory.mktemp("scan")
    gtab = GradientTable(np.r_[np.zeros(B0S), np.full(Q, 1000.0)],
                         np.r_[np.zeros((B0S, 3)), direction_set(Q)])
    place = np.moveaxis(np.indices(SHAPE), 0, -1) - (np.array(SHAPE) - 1) / 2
    adc = np.full((*SHAPE, len(gtab)), 0.8)
    for part, first in ((place[..., 1] < 0, [1, 1, 0]), (place[..., 1] > 0, [0, 1, 1])):
        frame = np.linalg.qr(np.column_stack([first, [1, 0, 0], [0, 0, 1]]))[0]
        u, w = np.moveaxis(place @ frame[:, 1:] % 6 - 3, -1, 0)
        bundle = part & (np.hypot(u, w) < 1.8)
        adc[bundle] = 0.3 + 1.4 * (gtab.bvecs @ frame[:, 0]) ** 2
    s0 = np.where(np.linalg.norm(place[..., :2], axis=-1) < 3, 2000.0, 1000.0)
    adc[s0 > 1000] = 3.0  # a ventricle
    signal = s0[..., None] * np.exp(-gtab.bvals * 1e-3 * adc)
    rng = np.random.default_rng(0)
    signal = np.hypot(signal + 25 * rng.normal(size=signal.shape),
                      25 * rng.normal(size=signal.shape))
    save(folder / "dwi.nii", signal)
    save(folder / "mask.nii", np.ones(SHAPE))
    write_gradients(gtab, folder / "dwi.bval", folder / "dwi.bvec")
    return folder


def save(path, data):
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), np.diag([-2.5, 2.5, 2.5, 1])), path)


def data_of(folder):
    return np.asarray(nib.load(folder / "dwi.nii").dataobj)


def words(folder, *more, dwi="dwi.nii", table="dwi"):
    return list(map(str, ["check", folder / dwi, "--bvals", folder / f"{table}.bval", "--bvecs",
                          folder / f"{table}.bvec", "--mask", folder / "mask.nii", *more]))


def told(capsys, *arguments, **files):
    """Status, lines of standard output, lines of standard error."""
    capsys.readouterr()
    try:
        status = cli.main(words(*arguments, **files))
    except SystemExit as ended:  # the parser's
        status = ended.code
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


def suspect(lines):
    return [line.removeprefix("suspect: ") for line in lines if line.startswith("suspect: ")]


@pytest.fixture
def another(scan, tmp_path):
    """Makes a scan of other volumes or another table."""
    def make(data=None, bvals=None, bvecs=None):
        folder = tmp_path / "another"
        shutil.copytree(scan, folder, dirs_exist_ok=True)
        gtab = read_gradients(scan / "dwi.bval", scan / "dwi.bvec")
        if data is not None:
            save(folder / "dwi.nii", data)
        np.savetxt(folder / "dwi.bval", (gtab.bvals if bvals is None else bvals)[None])
        np.savetxt(folder / "dwi.bvec", (gtab.bvecs if bvecs is None else bvecs).T)
        return folder
    return make


def test_a_right_scan_has_nothing_suspect(scan, capsys):
    status, lines, err = told(capsys, scan)
    assert (status, suspect(lines), err) == (0, [], [])


def test_another_order_is_the_first_verdict_and_no_table_is_written(scan, another, tmp_path,
                                                                   capsys):
    data = data_of(scan)
    folder = another(data[..., np.r_[0, 2:B0S + 4, B0S + 5:B0S + Q, B0S + 4, 1]])
    mended = tmp_path / "mended.bvec"
    status, lines, _ = told(capsys, folder, "--write-bvecs", mended)
    assert status == 1 and not mended.exists()
    assert lines[2].startswith("suspect: volumes and table do not belong together: ")
    assert not any("directions are wrong" in line or "orientation:" in line for line in lines)
    assert lines[-1].endswith("mended.bvec is not written: volumes and table do not belong "
                              "together")


def test_wrong_axes_are_still_wrong_axes(scan, another, tmp_path, capsys):
    gtab = read_gradients(scan / "dwi.bval", scan / "dwi.bvec")
    folder = another(bvecs=gtab.bvecs * [1, 1, -1])
    status, lines, _ = told(capsys, folder, "--write-bvecs", tmp_path / "mended.bvec")
    assert status == 1 and len(suspect(lines)) == 1
    assert suspect(lines)[0].startswith("the directions are wrong: with z reversed")
    mended = read_gradients(folder / "dwi.bval", tmp_path / "mended.bvec")
    np.testing.assert_allclose(mended.bvecs, gtab.bvecs, atol=1e-6)


@pytest.mark.parametrize("gain, told_as", [(0.4, "-60 %"), (0.75, "-25 %"), (1.6, "+60 %")])
def test_dark_and_bright_volumes_are_suspect_by_number(scan, another, capsys, gain, told_as):
    data = data_of(scan)
    data[..., [7, 15]] *= gain
    _, lines, _ = told(capsys, another(data))
    line, = suspect(lines)
    assert line.startswith("2 volumes darker or brighter than the others of the shell: 7 (")
    assert re.fullmatch(r".*: 7 \(([+-]\d+) %\), 15 \(([+-]\d+) %\)", line)
    for change in re.findall(r"\(([+-]\d+) %\)", line):
        assert abs(int(change) - int(told_as.split()[0])) <= 4


def test_a_dark_b0_of_three_and_an_empty_volume_are_suspect(scan, another, capsys):
    data = data_of(scan)
    data[..., 1] *= 0.5
    data[..., 9] = 0
    _, lines, _ = told(capsys, another(data))
    assert any(line.endswith("of the shell: 1 (-50 %), 9 (-100 %)") for line in suspect(lines))


def test_volumes_that_end_before_the_mask_does_are_not_out_of_line(scan, another, capsys):
    """As registration leaves them."""
    data = data_of(scan)
    data[:, :, :3, 6:12] = 0
    data[:4, :, :, 15:] = 0
    _, lines, _ = told(capsys, another(data))
    line, = suspect(lines)
    assert re.match(r"\d+\.\d+ % of the samples in the mask are 0 or less", line)


@pytest.mark.parametrize("factor, suspected", [(0.1, True), (1, False), (8, True)])
def test_a_diffusivity_that_no_tissue_has_is_suspect(scan, another, capsys, factor, suspected):
    gtab = read_gradients(scan / "dwi.bval", scan / "dwi.bvec")
    _, lines, _ = told(capsys, another(bvals=gtab.bvals * factor))
    assert any("median diffusivity" in line for line in suspect(lines)) == suspected


def test_dwis_brighter_than_the_b0_are_suspect(scan, another, capsys):
    data = data_of(scan)
    data[..., :B0S] *= 0.35
    _, lines, _ = told(capsys, another(data))
    assert any(line.startswith("the mean DWI is brighter than the b0 in ") for line in
               suspect(lines))


# What ``--json`` prints.

def documented():
    rows = re.findall(r"^\| `([\w.\[\]]+)` \| ([^|]+?) \|", DOCUMENT.read_text(), re.M)
    assert len(rows) > 50
    return dict(rows)


KINDS = {"integer": int, "number": float, "text": str, "boolean": bool, "null": type(None),
         "object": dict}


def has_type(value, kind):
    for one in re.split(r",? or ", kind):
        if one == "list of list of number":
            if isinstance(value, list) and all(has_type(v, "list of number") for v in value):
                return True
        elif one.startswith("list of "):
            if isinstance(value, list) and all(has_type(v, one[8:]) for v in value):
                return True
        elif type(value) is KINDS[one] or (one == "number" and type(value) is int):
            return True
    return False


def flat(value, name=""):
    """``(key as documented, value)`` of everything in a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else key)
        if name in OBJECTS:
            yield name, value
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from flat(inner, name + "[]")
    else:
        yield name, value


OBJECTS = {"orientation", "run"}


def assert_documented(line, also=()):
    """All keys and types of one line of JSON are those of the document; lists of objects may be
    empty, objects null."""
    schema, found = documented(), json.loads(line, parse_constant=pytest.fail)
    assert {key.split("[")[0].split(".")[0] for key in schema} == set(found)
    there = {}
    for key, value in flat(found):
        if key in schema:
            assert has_type(value, schema[key]), (key, value, schema[key])
        else:  # an empty list of objects
            assert value == [] and any(name.startswith(key + "[]") for name in schema), key
        there[key] = value
    for key in schema:
        absent = [there.get(key[:end.start()]) in ([], None)
                  for end in re.finditer(r"\[\]|\.", key)]
        assert key in there or any(absent), key
    return found


def report(capsys, *arguments, **files):
    status, lines, _ = told(capsys, *arguments, "--json", **files)
    assert len(lines) == 1, lines
    found = assert_documented(lines[0])
    assert found["status"] == status == bool(found["suspect"])
    return found


def test_json_of_a_right_scan_is_numbers(scan, capsys):
    found = report(capsys, scan)
    assert found["shape"] == [*SHAPE, B0S + Q] and found["voxel_size"] == [2.5] * 3
    assert [len(s["volumes"]) for s in found["shells"]] == [B0S, Q]
    assert found["snr"]["b0"] == pytest.approx(40, rel=0.15)
    assert found["median_diffusivity"] == pytest.approx(0.8e-3, rel=0.05)
    assert found["mask"]["volume"] == pytest.approx(np.prod(SHAPE) * 2.5**3 / 1000)
    assert found["noise"]["channels"] is None  # no background
    assert max(found["noise"]["motion"]) < 0.05 * 2.5
    assert found["companions"]["verdict"] == "together"
    assert found["companions"]["rows"] is None and found["companions"]["misfits"] == []
    assert found["orientation"]["verdict"] == "right" and found["orientation"]["mending"] is None
    assert len(found["gains"]) == B0S + Q and len(found["orientation"]["candidates"]) == 24


def test_json_of_faulty_scans(scan, another, capsys):
    gtab, data = read_gradients(scan / "dwi.bval", scan / "dwi.bvec"), data_of(scan)
    found = report(capsys, another(bvecs=gtab.bvecs * [-1, 1, 1]))
    assert found["orientation"]["verdict"] == "wrong"
    np.testing.assert_array_equal(found["orientation"]["mending"], np.diag([-1, 1, 1]))
    order = np.arange(len(gtab))
    order[[5, 20]] = 20, 5
    found = report(capsys, another(data[..., order]))
    assert found["companions"]["rows"] == list(order) and found["orientation"] is None
    assert found["companions"]["explained"] < found["companions"]["restored"]
    data[..., 5] *= 0.4
    data[..., 3, 9] *= 0.3
    found = report(capsys, another(data))
    assert [row["volume"] for row in found["odd_volumes"]] == [5]
    assert found["odd_volumes"][0]["change"] == pytest.approx(-0.6, abs=0.03)
    assert [(row["volume"], row["slice"]) for row in found["odd_slices"]] == [(9, 3)]
    double = gtab.bvecs.copy()
    double[10] = -double[9]
    found = report(capsys, another(bvecs=double))
    assert found["repeated_directions"][0] == {"volume": 10, "like": 9, "angle": 0}


def test_json_against_a_run(scan, tiny_run, capsys):
    found = report(capsys, scan, "--run", tiny_run)
    assert found["run"]["usable"] is False and found["run"]["b"] == np.median(GTAB.bvals)


def few(scan, folder, bvals, volumes):
    gtab = read_gradients(scan / "dwi.bval", scan / "dwi.bvec")
    shutil.copytree(scan, folder)
    save(folder / "dwi.nii", data_of(scan)[..., volumes])
    np.savetxt(folder / "dwi.bval", np.asarray(bvals, float)[None])
    np.savetxt(folder / "dwi.bvec", gtab.bvecs[volumes].T)
    return folder


@pytest.mark.parametrize("name, bvals, volumes", [
    ("three volumes", [0, 1000, 1000], [0, 3, 4]),
    ("two volumes", [0, 1000], [0, 3]),
    ("one b0, six directions", [0, *[1000] * 6], [0, *range(3, 9)]),
    ("every b another", [0, *np.linspace(300, 4000, 12)], [0, *range(3, 15)])])
def test_scans_of_few_volumes_are_told_about(scan, tmp_path, capsys, name, bvals, volumes):
    folder = few(scan, tmp_path / "few", bvals, volumes)
    found = report(capsys, folder, "-o", tmp_path / "page")
    assert found["companions"]["verdict"] in ("unknown", "together"), found["suspect"]
    assert (tmp_path / "page.md").is_file() and (tmp_path / "page.png").is_file()


@pytest.mark.parametrize("name, data", [
    ("DWIs of 0", lambda d: np.where(np.arange(B0S + Q) < B0S, d, 0)),
    ("one value", lambda d: np.full_like(d, 7)),
    ("noise", lambda d: np.random.default_rng(0).uniform(1, 9, d.shape)),
    ("water, no fibres", lambda d: np.where(np.arange(B0S + Q) < B0S, 100.0, 20.0) + 0 * d)])
def test_scans_without_fibres_get_a_page(scan, another, tmp_path, capsys, name, data):
    found = report(capsys, another(data(data_of(scan))), "-o", tmp_path / "page")
    assert found["status"] == 1 and (tmp_path / "page.png").stat().st_size > 10_000


def test_b0s_alone_are_one_line(scan, another, capsys):
    status, lines, err = told(capsys, another(bvals=np.full(B0S + Q, 20.0)))
    assert (status, lines, len(err)) == (2, [], 1) and "b0s only" in err[0]


# Names.

@pytest.mark.parametrize("out", ["", ".", "/", "..", "folder/..", "a\0b", "x" * 300, "file/page",
                                 "dwi.nii/page"])
def test_a_page_that_cannot_be_written_is_one_line_before_anything_is_printed(
        scan, tmp_path, capsys, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("dwi.nii").symlink_to(scan / "dwi.nii")
    before = sorted(Path().rglob("*"))
    status, lines, err = told(capsys, scan, "-o", out)
    assert (status, lines, len(err)) == (2, [], 1), err
    assert err[0].startswith("dwijax: error: ") and sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("name", ["a\udcff.nii", "a $b$ \\frac_c^.nii", "名前.nii",
                                  "two\nlines.nii", "[x](y) `z` | w.nii"])
def test_any_file_name_stands_on_the_page(scan, another, tmp_path, capsys, name):
    folder = another()
    (folder / "dwi.nii").rename(folder / name)
    out = tmp_path / name.replace(".nii", "")
    status, lines, err = told(capsys, folder, "-o", out, dwi=name)
    assert (status, err) == (0, [])
    page = (tmp_path / f"{out.name}.md").read_bytes().decode()
    assert (tmp_path / f"{out.name}.png").is_file()
    assert page.startswith("# ") and page.splitlines()[0].endswith(".nii")
    picture, = re.findall(r"\]\(([^)\s]+\.png)\)", page)
    assert "%" in picture and picture.isascii()
    assert sum("23 volumes" in line or "dwi" in line.split("/")[-1] for line in lines[:1]) <= 1

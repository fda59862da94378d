"""``dwijax predict`` and ``track`` with a run that nobody had to train: names, pages, Ctrl-C."""

import html
import json
import os
import shutil
import signal
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dwijax import cli
from dwijax.fitting import scan as fitting
from dwijax.output import delivered, whole_folder
from dwijax.report_html import prediction_page
from tests.malformed import good_scan
from tests.report_html.browser import data_of
from tests.tiny_run import write_tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_run):
    """Two networks whose training subjects had huge voxels."""
    folder = shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "tiny")
    about = json.loads((folder / "config.json").read_text())
    about["domain"] = {"subjects": 1, "b": {"least": [1000.0], "most": [1000.0]},
                       "voxel size": {"least": [9.0] * 3, "most": [9.0] * 3}}
    (folder / "config.json").write_text(json.dumps(about))
    return folder


def line(command, scan, out, *options, dwi="dwi.nii"):
    return [command, str(scan / dwi), "--bvals", str(scan / "dwi.bval"), "--bvecs",
            str(scan / "dwi.bvec"), "--mask", str(scan / "mask.nii"), "-o", str(out),
            *map(str, options)]


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def spoil_newest(run, folder):
    """A copy of a run whose newest checkpoint is damaged, of which a line is said."""
    copy = folder / "spoilt"
    shutil.copytree(run, copy)
    newest = copy / "checkpoints" / "00000030"
    shutil.copytree(copy / "checkpoints" / "00000020", newest)
    (newest / "more").write_text("x")
    return copy


def test_whatever_is_said_stands_on_the_page(run, scan, tmp_path, capsys):
    """Suspect lines, notes in the JSON, and warnings of whatever was read on the way."""
    turned = np.loadtxt(scan / "dwi.bvec")
    turned[:, 2:] = np.roll(turned[:, 2:], 1, axis=0)
    np.savetxt(scan / "dwi.bvec", turned, fmt="%.6f")
    spoilt, out = spoil_newest(run, tmp_path), tmp_path / "out"
    assert cli.main(line("predict", scan, out, "--run", spoilt, "--resample")) == 0
    said = capsys.readouterr()
    about = json.loads((out / "dwi.json").read_text())
    page = html.unescape((out / "report.html").read_text())
    warned = said.err.splitlines()
    assert len(warned) == 1 and "does not match" in warned[0] and about["notes"]
    for text in [*warned, *about["notes"], *about["suspect"], *said.out.splitlines()[:-1]]:
        assert text.removeprefix("suspect: ") in page, text
    # The page of another prediction does not repeat what was said before.
    assert cli.main(line("predict", scan, out, "--run", run, "--resample", "--force")) == 0
    assert warned[0] not in html.unescape((out / "report.html").read_text())


def test_names_that_are_no_text(run, tmp_path, capsys):
    scan = good_scan(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe<b>")))
    out = scan / "out"
    assert cli.main(line("predict", scan, out, "--run", run)) == 0
    assert "\\udcff" in capsys.readouterr().out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "\\udcff\\udcfe&lt;b&gt;" in page and "<b>" not in page.split("<title>")[1][:99]
    assert json.loads((out / "dwi.json").read_text(encoding="utf-8"))["synthetic_volumes"]


def test_a_run_whose_name_is_no_text_is_refused(run, scan, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "\udcff")
    for words in (line("predict", scan, tmp_path / "out", "--run", tmp_path / "\udcff"),
                  ["export", str(tmp_path / "\udcff"), str(tmp_path / "file")]):
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert "no UTF-8" in said and said.count("\n") == 1


def test_a_page_beside_the_series(run, scan, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(line("predict", scan, out, "--run", run, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["measured"] == 10 and told["synthetic"] == 2
    assert told["files"]["page"] == "report.html" and (out / "report.html").is_file()
    text = (out / "report.html").read_text()
    unlike, = told["suspect"]
    assert unlike.endswith(": voxel size 2 2 2.5; trained on 9 9 9")
    for words in ("scan/dwi.nii", "Leave the synthetic", "trained on 9 9 9", "config, sha256"):
        assert words in text, words
    viewer, = data_of(text)
    names = {layer["name"] for layer in viewer["layers"]}
    assert names == {"measured", "synthetic", "difference", "FA", "colour FA"}
    assert {layer["choice"] for layer in viewer["layers"] if layer["name"] == "FA"} == {
        "measured and synthetic", "measured alone"}
    # Two synthetic directions, of which the tiny run's scan has measured both.
    assert sum(layer["name"] == "synthetic" for layer in viewer["layers"]) == 2
    assert all("0° from measured volume" in layer["choice"] for layer in viewer["layers"]
               if layer["name"] == "difference")
    before = {name: (out / name).read_bytes() for name in files(out)}
    assert cli.main(line("predict", scan, out, "--run", run)) == 2
    assert "--force" in capsys.readouterr().err
    assert before == {name: (out / name).read_bytes() for name in files(out)}


def test_a_run_that_sees_inputs_without_noise(scan, tmp_path, capsys):
    run, out = write_tiny_run(tmp_path / "run", denoise=True), tmp_path / "out"
    assert cli.main(line("predict", scan, out, "--run", run, "--resample")) == 2
    assert "expected volumes as they were measured" in capsys.readouterr().err
    assert not out.exists()
    assert cli.main(line("predict", scan, out, "--run", run)) == 0
    mask = np.asanyarray(nib.load(scan / "mask.nii").dataobj) > 0
    made = np.asanyarray(nib.load(out / "dwi.nii.gz").dataobj)[mask][:, -2:]
    assert np.isfinite(made).all() and np.ptp(made) > 0


def test_bids_derivatives_of_several_subjects(run, scan, tmp_path):
    """One dataset, as pybids reads it; a fit of the same scan stands beside the prediction."""
    from bids import BIDSLayout

    out = tmp_path / "derivatives"
    for name, command, *options in (
            ("sub-01_ses-2_run-1_desc-preproc_dwi.nii", "predict", "--run", run),
            ("sub-01_ses-2_run-1_desc-preproc_dwi.nii", "fit", "--maps", "fa"),
            ("sub-02_dwi.nii", "fit", "--maps", "fa")):
        (scan / name).write_bytes((scan / "dwi.nii").read_bytes())
        assert cli.main(line(command, scan, out, "--naming", "bids", "--quiet", *options,
                             dwi=name)) == 0
    stem = "sub-01/ses-2/dwi/sub-01_ses-2_run-1"
    for name in ("desc-synthesised_dwi.nii.gz", "desc-synthesised_dwi.bval",
                 "desc-synthesised_dwi.bvec", "desc-synthesised_dwi.json",
                 "model-tensor_param-fa_dwimap.nii.gz", "model-tensor_dwimap.json",
                 "model-tensor_param-fa_desc-synthesised_dwimap.nii.gz",
                 "model-tensor_param-evec1_desc-synthesised_dwimap.nii.gz",
                 "model-tensor_desc-synthesised_dwimap.json"):
        assert (out / f"{stem}_{name}").is_file(), name
    assert (out / "sub-01_ses-2_run-1_desc-synthesised.html").is_file()
    layout = BIDSLayout(out, is_derivative=True)
    series = layout.get(suffix="dwi", extension=".nii.gz", desc="synthesised")
    assert [f.entities["subject"] for f in series] == ["01"]
    fields = series[0].get_metadata()
    assert fields["synthetic_volumes"] == [10, 11] and fields["SkullStripped"] is False
    assert fields["Sources"] == ["sub-01_ses-2_run-1_desc-preproc_dwi.nii"]
    maps = layout.get(suffix="dwimap", extension=".nii.gz", desc="synthesised", subject="01")
    assert len(maps) == 7 and maps[0].get_metadata()["Parameters"]["FitMethod"] == "wls"
    alone, more = (nib.load(out / f"{stem}_model-tensor_param-fa{desc}_dwimap.nii.gz").get_fdata()
                   for desc in ("", "_desc-synthesised"))
    assert not np.array_equal(alone, more)


def interrupting(monkeypatch, module, name):
    """Ctrl-C while ``name`` is at work, once; a shell's background job would ignore it."""
    function, left = getattr(module, name), [1]
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted(*arguments, **options):
        if left:
            left.pop()
            os.kill(os.getpid(), signal.SIGINT)
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, interrupted)


@pytest.mark.parametrize(("command", "module", "name"), [
    ("fit", fitting, "_fit_chunks"), ("fit", fitting, "_write"),
    ("predict", fitting, "_write"), ("predict", prediction_page, "write"),
])
def test_interrupted_commands_leave_nothing_and_start_again(
        run, scan, tmp_path, capsys, monkeypatch, command, module, name):
    place = tmp_path / "place"
    place.mkdir()
    words = line(command, scan, place / "out", *(["--run", run] if command == "predict" else []))
    interrupting(monkeypatch, module, name)
    assert cli.main(words) == 130
    said = capsys.readouterr()
    assert said.out == "" and said.err.strip().splitlines()[-1].startswith(
        "dwijax: interrupted; no unfinished file is left, the same command starts again")
    assert not list(place.iterdir())
    assert cli.main(words) == 0
    assert "fa.nii.gz" in files(place / "out")


def test_delivery_is_all_or_nothing(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept").write_text("mine")
    (out / "deep").mkdir()
    (out / "deep" / "b").write_text("old")
    with pytest.raises(Exception, match=r"deep/b: found that it is there already"), \
            delivered(out, keep=("kept",)) as folder:
        for name in ("a", "kept", "deep/b"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("new")
    assert files(tmp_path) == ["out/deep/b", "out/kept"]
    with delivered(out, force=True, keep=("kept",)) as folder:
        for name in ("a", "kept", "deep/b"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("new")
    assert files(tmp_path) == ["out/a", "out/deep/b", "out/kept"]
    assert [(out / n).read_text() for n in ("a", "kept", "deep/b")] == ["new", "mine", "new"]


def test_folders_are_replaced_by_their_mark_alone(tmp_path):
    place = tmp_path / "store"
    with whole_folder(place) as folder:
        (folder / "mark").write_text("first")
    with pytest.raises(Exception, match="something there"), whole_folder(place):
        pass
    with pytest.raises(ZeroDivisionError), whole_folder(place, replace="mark") as folder:
        raise ZeroDivisionError
    assert (place / "mark").read_text() == "first"
    with whole_folder(place, replace="mark") as folder:
        (folder / "other").write_text("second")
    assert files(tmp_path) == ["store/other"]
    with pytest.raises(Exception, match="something else there"), \
            whole_folder(place, replace="mark"):
        pass

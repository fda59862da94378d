"""The commands as a user types them, from simulation to a longer scan."""

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import nibabel as nib
import numpy as np
import pytest

from dwijax.data.layouts import find_subjects
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.gradients import read_gradients, write_gradients
from dwijax.inference import load_run, only_inputs, synthesise
from dwijax.runs import checkpoint
from dwijax.tasks.calibration import rescale
from dwijax.training.calibrating import calibrate
from dwijax.training.reading import read_cohort

# What a line of the log says about the machine.
RATES = {"slices_per_second", "network_slices_per_second", "gflops", "share_of_peak", "peak_gib"}

ROOT = Path(__file__).resolve().parents[2]
SMOKE = f"--config={ROOT / 'configs' / 'phantom.py'}:smoke"
SMALL = ["--config.phantom.shape=(28,34,6)", "--config.phantom.voxel_size=3.6"]
# Seven networks instead of 60, of few voxels: for what is trained several times.
FEW = ["--config.phantom.shape=(16,20,6)", "--config.phantom.voxel_size=6.0",
       "--config.phantom.directions=15", "--config.data.inputs=8"]


def train(workdir, data, *extra, size=SMALL):
    return ["train.py", SMOKE, "--config.patch=16", *size, f"--workdir={workdir}",
            f"--config.data.root={data}", *extra]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def trained(place, script):
    done = script(*train(place / "run", place / "data"), cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "run", done.stdout


def one_line(done):
    """A fault is one line on stderr and status 2."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 2 and len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]


def test_train_evaluates_and_describes_itself(trained):
    run, printed = trained
    about = json.loads((run / "config.json").read_text())
    assert about["versions"]["jax"] == importlib.metadata.version("jax")
    assert about["seed"] == 0 and len(about["table"]["bvals"]) == 90
    assert len(about["normalisation"]["training_scales"]) == 2
    assert about["subjects"]["train"] == ["sub-000", "sub-001"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(lines[-1]["validation_per_network"]) == 60
    assert list((run / "tables").glob("*.csv")) and list((run / "tables").glob("*.md"))
    assert len(list((run / "figures").glob("*.png"))) >= 3
    assert "networks" in printed and "FA" in printed
    assert "directions of 3 subjects" in printed
    assert about["table"]["spread"]["largest_angle"] < 1e-3
    assert about["domain"]["subjects"] == 2 and about["domain"]["b"]["least"] == [1000.0]
    assert list((run / "tensorboard").iterdir())
    assert any(json.loads((run / "calibration.json").read_text())["moment"])


def test_again_does_nothing_new(trained, place, script):
    run, _ = trained
    names = ("metrics.jsonl", "config.json", "calibration.json", "trunk/config.json")
    before = [(run / name).read_bytes() for name in names]
    done = script(*train(run, place / "data", "--noevaluate"), cwd=place)
    assert done.returncode == 0 and not done.stderr
    assert f"{run}: finished at step 20, of 20 asked for; with --config.steps=40" in done.stdout
    assert [(run / name).read_bytes() for name in names] == before


def test_another_config_is_refused(trained, place, script):
    run, _ = trained
    told = one_line(script(*train(run, place / "data", "--config.model.width=6"), cwd=place))
    assert "model.width 4 instead of 6" in told and "--workdir" in told


@pytest.mark.parametrize("flag, told", [
    ("--config.model.widht=3", "widht"),
    ("--config.model.residual=shh", "residual"),
    ("--config.patch=31", "patch"),
    ("--config.data.inputs=90", "inputs"),
    ("stray", "stray"),
    ("--nonsense=1", "nonsense"),
    ("--config.steps=many", "steps"),
])
def test_faulty_flags(place, trained, flag, told, script):
    workdir = place / "never"
    assert told in one_line(script(*train(workdir, place / "data", flag), cwd=place))
    assert not workdir.exists()


def test_faulty_config_file(place, script):
    assert "smokee" in one_line(script("train.py", SMOKE + "e", cwd=place))
    assert "nowhere" in one_line(script("train.py", "--config=nowhere.py", cwd=place))


def test_evaluation_of_nothing(place, script):
    told = one_line(script("eval.py", f"--workdir={place / 'nothing'}", cwd=place))
    assert "config.json" in told


def test_an_exported_run_is_not_evaluated(place, script):
    (place / "x.dwijax").write_bytes(b"dwijax-run 1")
    told = one_line(script("eval.py", f"--workdir={place / 'x.dwijax'}", cwd=place))
    assert "found a file" in told


@pytest.mark.parametrize("flag", ["--threads=0", "--threads=many"])
def test_faulty_threads(place, flag, script):
    assert "threads" in one_line(script("eval.py", f"--workdir={place}", flag, cwd=place))


def test_killed_runs_end_the_same(place, script):
    """SIGTERM, then kill -9, at whatever point; the same command ends with the same bits."""
    steps = ["--noevaluate", "--config.steps=100", "--config.log_every=5"]
    done = script(*train(place / "calm", place / "few", *steps, size=FEW), cwd=place)
    assert done.returncode == 0, done.stderr
    words = train(place / "killed", place / "few", *steps, size=FEW)
    for number, kill_at in ((signal.SIGTERM, 10), (signal.SIGKILL, 30)):
        process = subprocess.Popen([sys.executable, ROOT / words[0], *words[1:]], cwd=place,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 600
        while process.poll() is None and time.monotonic() < deadline:
            if max(checkpoint.steps(place / "killed"), default=0) >= kill_at:
                os.kill(process.pid, number)
                break
            time.sleep(0.02)
        told = process.communicate(timeout=300)[1].strip()
        if number == signal.SIGTERM:  # a checkpoint where it stopped, one line, status 0
            stopped = checkpoint.steps(place / "killed")[-1]
            assert stopped < 100 and process.returncode == 0 and told == (
                f"stopped by SIGTERM at step {stopped}; the same command goes on from there")
        else:
            assert process.returncode == -number, "it ended before it could be killed"
    done = script(*words, cwd=place)
    assert done.returncode == 0 and "going on from step" in done.stdout, done.stderr
    for networks in (None, [1, 5]):
        calm, killed = (load_run(place / name, networks) for name in ("calm", "killed"))
        assert len(calm.targets) == (7 if networks is None else 2)
        for a, b in zip(jax.tree.leaves(calm.params), jax.tree.leaves(killed.params), strict=True):
            np.testing.assert_array_equal(a, b)
    calm, killed = ([{k: v for k, v in json.loads(line).items() if k not in RATES}
                     for line in (place / name / "metrics.jsonl").read_text().splitlines()]
                    for name in ("calm", "killed"))
    assert calm == killed


def test_some_networks_of_a_stack(trained):
    every, some = load_run(trained[0]), load_run(trained[0], [3, 17])
    assert some.targets.tolist() == [33, 47]
    for a, b in zip(*(jax.tree.leaves(r.params) for r in (every, some)), strict=True):
        np.testing.assert_array_equal(a[np.array([3, 17])], b)
    x = np.random.default_rng(0).uniform(0.1, 1, (1, 8, 8, every.task.in_channels))
    x = x.astype(np.float32)
    np.testing.assert_allclose(
        some.predict(some.params, x), every.predict(every.params, x)[np.array([3, 17])], atol=1e-5)
    with pytest.raises(InputError, match="between 0 and 59"):
        load_run(trained[0], [60])


def test_a_calibration_is_learnt_once_and_goes_wherever_the_run_goes(trained, place, script,
                                                                    dwijax):
    run, file = place / "uncalibrated", place / "run.dwijax"
    shutil.copytree(trained[0], run)
    (run / "calibration.json").unlink()
    told = one_line(dwijax("export", run, file))
    assert "no calibration of step 20" in told and "train.py again" in told and not file.exists()
    told = one_line(script("eval.py", f"--workdir={run}", "--force", cwd=place))
    assert "no calibration of step 20" in told
    before, raw = load_run(trained[0]), load_run(run, calibrated=False)
    assert raw.calibration is None
    calibrate(run, quiet=True)
    again = load_run(run)
    for a, b in zip(before.calibration, again.calibration, strict=True):
        np.testing.assert_allclose(np.array(a, float), np.array(b, float), rtol=1e-3)
    written = (run / "calibration.json").stat().st_mtime_ns
    calibrate(run, quiet=True)
    assert (run / "calibration.json").stat().st_mtime_ns == written
    assert dwijax("export", run, file).returncode == 0
    assert load_run(file).calibration == again.calibration
    assert load_run(run, [3, 17]).calibration is None
    (run / "calibration.json").write_text("{}")  # damaged: learnt again, with a line
    done = script(*train(run, place / "data", "--noevaluate"), cwd=place)
    assert done.returncode == 0 and done.stderr.count("\n") == 1 and "learnt again" in done.stderr
    for a, b in zip(load_run(run).calibration, again.calibration, strict=True):
        np.testing.assert_allclose(np.array(a, float), np.array(b, float), rtol=1e-3)

    cohort = read_cohort(raw.config, raw.about)
    again = load_run(run)
    subject = load_subject(cohort.test[0].files, shell=1000)
    said, held = (synthesise(r, only_inputs(r, subject)) for r in (raw, again))
    brain, inputs = subject.mask, subject.dwi[subject.mask][:, 6:36]
    np.testing.assert_array_equal(said[~brain], held[~brain])
    tables = again.gtab[again.inputs], again.gtab[again.targets]
    expected = rescale(again.calibration, subject.b0[brain], inputs, said[brain], brain, 6, tables)
    assert np.abs(held - said)[brain].max() > 0
    np.testing.assert_allclose(
        held[brain], np.minimum(expected, subject.dwi[brain][:, :36].max(1)[:, None]), rtol=1e-5)


def test_full_disk_at_the_end(trained, place, script):
    """The run says so in one line and ends with status 2: its state is not lost silently."""
    run = place / "full"
    shutil.copytree(trained[0], run)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("no folder can be made here")
    told = script(*train(run, place / "data", "--noevaluate"), cwd=place)
    assert told.returncode == 2 and "Traceback" not in told.stderr
    first, second, last = told.stderr.strip().splitlines()
    assert "00000010: cannot be written" in first and "00000020: cannot be written" in second
    assert last.startswith("error: ") and "goes on from the start" in last


@pytest.fixture(scope="module")
def short_scan(place, trained):
    """Six b0s and the 30 inputs of a test subject, as a scanner would deliver them."""
    files = next(files for cohort in (place / "data").glob("phantom-default-*")
                 for files in find_subjects(cohort, "phantom") if files.name == "sub-003")
    image, gtab = nib.load(files.dwi), read_gradients(files.bval, files.bvec)
    folder = place / "short scan"
    folder.mkdir()
    nib.save(image.slicer[..., :36], folder / "dwi.nii.gz")
    write_gradients(gtab[np.arange(36)], folder / "dwi.bval", folder / "dwi.bvec")
    nib.save(nib.load(files.mask), folder / "mask.nii.gz")
    return folder, files


def predict(folder, run, out, **files):
    names = {"dwi": "dwi.nii.gz", "bvals": "dwi.bval", "bvecs": "dwi.bvec",
             "mask": "mask.nii.gz"} | files
    paths = {k: folder / v for k, v in names.items()}
    return ["predict", paths["dwi"], "--bvals", paths["bvals"], "--bvecs",
            paths["bvecs"], "--mask", paths["mask"], "--run", run, "-o", out]


def test_predict_writes_a_longer_scan(place, trained, short_scan, dwijax):
    folder, files = short_scan
    out = place / "longer"
    done = dwijax(*predict(folder, trained[0], out))
    assert done.returncode == 0, done.stderr
    short, longer = nib.load(folder / "dwi.nii.gz"), nib.load(out / "dwi.nii.gz")
    assert longer.shape == (*short.shape[:3], 96)
    np.testing.assert_array_equal(longer.affine, short.affine)
    assert longer.header["sform_code"] == short.header["sform_code"]
    assert longer.header.get_xyzt_units() == short.header.get_xyzt_units()
    np.testing.assert_array_equal(longer.get_fdata(dtype=np.float32)[..., :36],
                                  short.get_fdata(dtype=np.float32))
    gtab, full = read_gradients(out / "dwi.bval", out / "dwi.bvec"), read_gradients(
        files.bval, files.bvec)
    np.testing.assert_allclose(gtab.bvecs, full.bvecs, atol=1e-6)
    told = json.loads((out / "dwi.json").read_text())
    assert told["synthetic_volumes"] == list(range(36, 96))
    assert told["networks"] == list(range(30, 90)) and told["calibrated"]
    mask = nib.load(folder / "mask.nii.gz").get_fdata() > 0
    synthetic = longer.get_fdata()[mask][:, 36:]
    measured = nib.load(files.dwi).get_fdata()[mask][:, 36:]
    # Twenty steps of training, but in the scan's units and for the right directions.
    assert np.corrcoef(synthetic.ravel(), measured.ravel())[0, 1] > 0.9
    assert 0.95 < synthetic.mean() / measured.mean() < 1.05
    for name in ("fa", "md", "ad", "rd", "v1", "color_fa", "tensor"):
        assert np.isfinite(nib.load(out / f"{name}.nii.gz").get_fdata()).all()
    assert not list(place.glob(".longer*"))


def test_predict_sorts_another_order(place, trained, short_scan, dwijax):
    folder, _ = short_scan
    gtab = read_gradients(folder / "dwi.bval", folder / "dwi.bvec")
    order = np.r_[0:6, 35:5:-1]
    image = nib.load(folder / "dwi.nii.gz")
    other = np.asarray(image.dataobj)[..., order]
    nib.save(nib.Nifti1Image(other, image.affine, image.header), folder / "other.nii.gz")
    write_gradients(gtab[order], folder / "other.bval", folder / "other.bvec")
    out = place / "sorted"
    done = dwijax(*predict(folder, trained[0], out, dwi="other.nii.gz", bvecs="other.bvec"))
    assert done.returncode == 0, done.stderr
    assert "in another order" in done.stdout
    told = json.loads((out / "dwi.json").read_text())
    assert told["input_volumes"] == list(range(35, 5, -1))
    longer, straight = (nib.load(place / name / "dwi.nii.gz").get_fdata(dtype=np.float32)
                        for name in ("sorted", "longer"))
    measured = nib.load(folder / "other.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(longer[..., :36], measured)
    # Written once more, integers have another scale.
    np.testing.assert_allclose(longer[..., 36:], straight[..., 36:], atol=2e-3 * straight.max())


def test_predict_asks_before_it_resamples(place, trained, short_scan, dwijax):
    """Another table and b-value, from a truth that all 90 directions are known of."""
    folder, files = short_scan
    image, gtab = nib.load(files.dwi), read_gradients(files.bval, files.bvec)
    volumes = np.r_[0:6, 50:96]  # none of the run's inputs
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., volumes], image.affine, image.header),
             folder / "far.nii.gz")
    write_gradients(gtab[volumes], folder / "far.bval", folder / "far.bvec")
    names = {"dwi": "far.nii.gz", "bvals": "far.bval", "bvecs": "far.bvec"}
    out = place / "resampled"
    told = one_line(dwijax(*predict(folder, trained[0], out, **names)))
    assert "°" in told and "far.bvec" in told and "--resample" in told and not out.exists()
    done = dwijax(*predict(folder, trained[0], out, **names), "--resample")
    assert done.returncode == 0, done.stderr
    assert "interpolated from the scan's 46" in done.stdout
    sidecar = json.loads((out / "dwi.json").read_text())
    assert len(sidecar["resampling"]["noise_gain"]) == 30
    assert sidecar["fit"]["condition_number"] > 1
    assert sidecar["synthetic_volumes"] == list(range(52, 112))
    # Targets 44 to 89 of the run are measured in this scan.
    assert np.sum(np.array(sidecar["nearest_measured_degrees"]) < 0.1) == 46
    longer = nib.load(out / "dwi.nii.gz").get_fdata(dtype=np.float32)
    measured = nib.load(folder / "far.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(longer[..., :52], measured)
    mask = nib.load(folder / "mask.nii.gz").get_fdata() > 0
    expected = image.get_fdata()[mask][:, 36:96]
    assert np.corrcoef(longer[mask][:, 52:].ravel(), expected.ravel())[0, 1] > 0.9

    doubled = gtab[volumes]
    write_gradients(type(gtab)(doubled.bvals * 2, doubled.bvecs), folder / "far.bval",
                    folder / "far.bvec")
    out = place / "scaled"
    told = one_line(dwijax(*predict(folder, trained[0], out, **names), "--resample"))
    assert "b=2000" in told and "--scale-b" in told and not out.exists()
    done = dwijax(*predict(folder, trained[0], out, **names), "--resample", "--scale-b")
    assert done.returncode == 0, done.stderr
    assert "mono-exponentially" in done.stdout
    assert json.loads((out / "dwi.json").read_text())["b"]["scaled"]
    assert read_gradients(out / "dwi.bval", out / "dwi.bvec").bvals[-1] == 2000


def test_check_compares_a_scan_with_the_run(place, trained, short_scan, dwijax):
    folder, _ = short_scan
    words = ["check", folder / "dwi.nii.gz", "--bvals", folder / "dwi.bval",
             "--bvecs", folder / "dwi.bvec", "--mask", folder / "mask.nii.gz", "--run", trained[0]]
    done = dwijax(*words)
    assert done.returncode in (0, 1) and "the run's 30, within 0.0°, in its order" in done.stdout
    assert "2 training subjects" in done.stdout and "voxel size" in done.stdout
    assert "outside" not in done.stdout, done.stdout


def test_predict_refuses_too_few_directions(place, trained, short_scan, dwijax):
    folder, _ = short_scan
    nib.save(nib.load(folder / "dwi.nii.gz").slicer[..., :30], folder / "few.nii.gz")
    gtab = read_gradients(folder / "dwi.bval", folder / "dwi.bvec")
    write_gradients(gtab[np.arange(30)], folder / "few.bval", folder / "few.bvec")
    out = place / "refused"
    told = one_line(dwijax(*predict(folder, trained[0], out, dwi="few.nii.gz", bvals="few.bval",
                                    bvecs="few.bvec")))
    assert "24 directions" in told and not out.exists()

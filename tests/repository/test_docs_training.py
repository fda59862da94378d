"""The documents' lines that train and evaluate, as they stand there, on a few voxels."""

import json
import os
import re
import shutil
import socket

import nibabel as nib
import numpy as np
import pytest

from dwijax import cli
from dwijax.data.layouts import find_subjects
from dwijax.gradients import GradientTable, read_gradients, write_gradients
from dwijax.gradients.directions import direction_set
from tests.repository.documents import ALL, ROOT, inline, kind, words_of

Q, N = 8, 12
SMALL = ["--config.steps=2", "--config.batch=4", "--config.patch=0", "--config.model.width=2",
         "--quiet"]
UNET = ["--config.model.levels=1", "--config.model.convolutions=1", f"--config.data.inputs={Q}"]
PHANTOM = ["--config.phantom.subjects=(2,1,1)", "--config.phantom.shifted_subjects=0",
           "--config.phantom.shape=(16,20,8)", "--config.phantom.voxel_size=6.0",
           f"--config.phantom.directions={N}"]
# One task of one, as Slurm tells its own.
SLURM = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "1",
         "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}

SCRIPTS = [line for line in ALL if kind(line) in ("train.py", "eval.py")]
SCRIPTS += [line for line in inline(r"python (?:train|eval)\.py [^`]*") if "RUN" not in line]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What the lines speak of: /data/hcp, /scratch/hcp, /data/study and a SCAN, here."""
    place = tmp_path_factory.mktemp("docs")
    directions = direction_set(N)
    table = GradientTable(np.repeat([0.0, 1000.0, 1500.0], [2, N, N]),
                          np.concatenate([np.zeros((2, 3)), directions, directions]))
    write_gradients(table, place / "b", place / "g")
    assert cli.main([
        "simulate", str(place / "data" / "hcp"), "--subjects", "4", "--workers", "1", "--shape",
        "16", "20", "14", "--voxel-size", "6", "--bvals", str(place / "b"), "--bvecs",
        str(place / "g"), "--quiet"]) == 0
    prepare, = (line for line in ALL if line.startswith("dwijax prepare"))
    assert cli.main([here(word, place) for word in words_of(prepare)[1:]]) == 0
    for number, files in enumerate(find_subjects(place / "data" / "hcp", "hcp")):
        folder = place / "data" / "study" / f"sub-{number}"
        folder.mkdir(parents=True)
        for source, name in ((files.dwi, "dwi.nii.gz"), (files.bval, "dwi.bval"),
                             (files.bvec, "dwi.bvec"), (files.mask, "mask.nii.gz")):
            shutil.copy(source, folder / name)
    shutil.copytree(folder, place / "SCAN")
    return place


def here(word, place):
    """A word of a line, with its folders in ``place`` and the sizes of a test."""
    word = re.sub("(^|=)/(data|scratch)/", rf"\1{place}/\2/", word)
    word = re.sub(r"=configs/(\w+)\.py.*", rf"={ROOT}/configs/\1.py", word)
    return re.sub("^--plan=.*", "--plan=8x16x20", word)


def job(line, place):
    """Words of each process of a line."""
    words = [here(word, place) for word in words_of(line)[1:]]
    if words[0] == "train.py":
        if "--workdir" not in line and len(words) > 1:  # by itself it is runs/phantom
            words.append("--workdir=runs/" + "".join(w.strip("-") for w in words[1:3])[:20])
        words += SMALL
        if "superdti" not in line:
            words += UNET
        if not re.search("superdti|he2020|any_table", line):  # a joint network for one of them
            words.append(f"--config.trunk.steps={2 * (line == 'python train.py')}")
        if "layout" not in line and "--plan" not in line:
            words += PHANTOM
        if "within_subject" not in line:
            words.append("--noevaluate")
    else:
        words.append("--baselines=fewest")
    if "--coordinator" not in line:
        return [words]
    words = [word.replace("host:1234", f"127.0.0.1:{free_port()}") for word in words]
    return [[word.replace("--process=0", f"--process={i}") for word in words] for i in range(2)]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("name", ["train.py", "eval.py"])
def test_lines_of_scripts_run_in_order(place, script, name):
    """A line that evaluates finds the run that a line of training has left."""
    said, seen = "", []
    lines = [line for line in SCRIPTS if kind(line) == name]
    for line in sorted(lines, key=lambda line: "--compare" in line):  # when all are evaluated
        words = job(line, place)
        if words in seen:
            continue
        seen.append(words)
        done = script.together(words, place,
                               os.environ | (SLURM if "--distributed" in line else {}))
        assert done.returncode == 0, (line, done.stderr)
        said += done.stdout
    assert ("planned and compiled" in said) == (name == "train.py")
    for run in ("hcp", "mine", "he2020", "q6", "within", "best", "fa_loss"):
        assert (place / "runs" / run / "checkpoints" / "00000002").is_dir()
    for path in place.glob("runs/*/config.json"):  # those of several processes too
        wanted = json.loads(path.read_text())["config"].get("calibrate", False)
        assert path.with_name("calibration.json").is_file() == wanted
    reports = {path.parent.name for path in place.glob("runs/*/report.html")}
    evaluated = {"he2020", "fa_loss", "phantom"} if name == "eval.py" else set()
    assert reports == {"within"} | evaluated
    assert (place / "runs" / "comparison" / "comparison.png").is_file() == (name == "eval.py")


def test_the_benchmark_of_other_tables_runs(place, script, tiny_run):
    done = script("benchmarks/resample.py", tiny_run, "data/study", cwd=place)
    assert done.returncode == 0, done.stderr
    for word in ("DWI", "FA", "networks", "sub-0"):
        assert word in done.stdout, done.stdout


def test_the_benchmark_of_a_scan_acquired_twice_runs(place, script):
    """Inputs of the first acquisition, targets of the second; the others are not looked at."""
    scan, out = place / "twice", place / "like_scan"
    scan.mkdir()
    once = nib.load(place / "SCAN" / "dwi.nii.gz")
    volumes = np.r_[:2 + N]
    first = np.asanyarray(once.dataobj)[..., volumes]
    nib.save(nib.Nifti1Image(np.concatenate([first, first[..., ::-1]], -1), once.affine),
             scan / "dwi.nii.gz")
    shutil.copy(place / "SCAN" / "mask.nii.gz", scan)
    gtab = read_gradients(place / "SCAN" / "dwi.bval", place / "SCAN" / "dwi.bvec")[volumes]
    write_gradients(GradientTable(np.tile(gtab.bvals, 2), np.tile(gtab.bvecs, (2, 1))),
                    scan / "dwi.bval", scan / "dwi.bvec")
    done = script("benchmarks/like_scan.py", scan, out, f"--inputs={Q}", "--acquisitions=2",
                  "--subjects", "1", "1", *SMALL, *UNET, "--config.trunk.steps=0", cwd=place)
    assert done.returncode == 0, done.stderr
    judge = np.asanyarray(nib.load(out / "judge" / "dwi.nii.gz").dataobj)
    np.testing.assert_array_equal(judge[..., :2 + Q], first[..., :2 + Q])
    np.testing.assert_array_equal(judge[..., 2 + Q:], first[..., ::-1][..., 2 + Q:])
    np.testing.assert_array_equal(
        nib.load(out / "first" / "dwi.nii.gz").get_fdata(), first)
    assert "judge" in (out / "run" / "tables" / "report.md").read_text()

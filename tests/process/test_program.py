"""Programs begin and end in order, whatever surrounds them: Ctrl-C, streams, environment."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DWIJAX = [sys.executable, "-m", "dwijax"]
TRAIN = [sys.executable, str(ROOT / "train.py")]
SMOKE = [f"--config={ROOT / 'configs' / 'phantom.py'}:smoke", "--config.phantom.shape=(16,20,6)",
         "--config.phantom.voxel_size=6.0", "--config.phantom.directions=14",
         "--config.data.inputs=7", "--config.patch=16", "--config.calibrate=False"]


def fit(scan):
    return ["fit", scan / "dwi.nii", "--bvals", scan / "dwi.bval", "--bvecs", scan / "dwi.bvec",
            "--mask", scan / "mask.nii", "-o", scan / "out"]


def listing(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def run(words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          errors="replace", check=False, **options)


# Sends Ctrl-C, twice, as soon as a module is looked for.
AT_IMPORT = """
import os, signal, sys
moment, sys.argv[1:] = sys.argv[1], sys.argv[2:]
class Finder:
    def find_spec(name, *_):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
from dwijax.__main__ import start
start()
"""


@pytest.mark.parametrize("moment", [
    "dwijax.cli", "numpy", "numpy._core.multiarray", "jax", "jaxlib", "jax.numpy",
    "dwijax.fitting.scan"])
def test_interrupted_while_a_module_is_imported(scan, moment):
    before = listing(scan)
    done = run([sys.executable, "-c", AT_IMPORT, moment, *fit(scan)], cwd=ROOT)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert done.stderr.startswith("dwijax: interrupted; ") and done.stderr.count("\n") == 1
    assert listing(scan) == before


def interrupted(words, seconds, folder):
    """Ctrl-C to a program and the processes it has started, after so long."""
    process = subprocess.Popen(
        [str(word) for word in words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True, cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)})
    while process.poll() is None and "_multiarray_umath" not in _mapped(process):
        time.sleep(0.02)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    try:
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "interrupted" in said and said.count("\n") == 1, said
    hidden = [path for path in listing(folder) if any(p.startswith(".") for p in path.parts)]
    assert not hidden


def _mapped(process):
    try:
        return Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return "_multiarray_umath"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("program", ["simulate", "train"])
def test_interrupted_at_any_moment(tmp_path, program, seed):
    words = {
        "simulate": [*DWIJAX, "simulate", tmp_path / "out", "--subjects", "1000", "--shape", "16",
                     "20", "6", "--voxel-size", "6", "--directions", "6", "--quiet"],
        "train": [*TRAIN, *SMOKE, "--config.steps=100000",
                  f"--config.data.root={tmp_path / 'data'}",
                  f"--workdir={tmp_path / 'run'}", "--quiet"]}[program]
    interrupted(words, random.Random(seed).uniform(0, 4), tmp_path)


def test_what_belongs_together_is_there_or_not_when_interrupted(tmp_path):
    """Files that are being written, folders made for them, and files half of which are in place."""
    code = """
import os, signal, sys, threading, time
from pathlib import Path
from dwijax.process.interruption import obey
from dwijax.output import delivered, scratch, whole, whole_files, whole_folder
obey("interrupted")
place = Path(sys.argv[1])
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
slow = Path.replace
def replace(self, other):
    slow(self, other)
    if other.name == "one":
        interrupt()
        time.sleep(0.3)
if sys.argv[2] == "files":
    Path.replace = replace
    with whole_files([place / "new" / "one", place / "new" / "two"]) as paths:
        for path in paths:
            path.write_text("x")
elif sys.argv[2] == "delivered":
    Path.replace = replace
    with delivered(place / "out") as folder:
        for name in ("one", "two"):
            (folder / name).write_text("x")
else:
    with scratch(place), whole_folder(place / "f") as folder, whole(place / "a" / "b" / "c") as c:
        c.write_text("x")
        (folder / "x").mkdir()
        (folder / "x" / "y").write_text("z")
        interrupt()
        while True:
            (folder / f"{time.time()}").write_text("others go on writing")
time.sleep(60)
"""
    for what, left in (("files", ["new", "new/one", "new/two"]),
                       ("delivered", ["out", "out/one", "out/two"]), ("folders", [])):
        place = tmp_path / what
        place.mkdir()
        done = run([sys.executable, "-c", code, place, what], timeout=60)
        assert (done.returncode, done.stderr) == (130, "interrupted\n")
        assert [str(path) for path in listing(place)] == left


STREAMS = {
    "stdout closed": (">&-", 0, 0), "stderr closed": ("2>&-", 0, 0),
    "all closed": ("<&- >&- 2>&-", 0, 0), "full": (">/dev/full", 2, 1),
    "stderr full": ("2>/dev/full", 0, 0), "nobody reads": ("| true", 0, 0),
    "one line is read": ("| head -1", 0, 0)}


@pytest.mark.parametrize("case", STREAMS)
def test_work_is_done_whatever_becomes_of_what_is_said(scan, case):
    streams, status, lines = STREAMS[case]
    line = " ".join(f"'{word}'" for word in [*DWIJAX, *fit(scan)])
    done = run(["bash", "-c", f"set -o pipefail; {line} {streams}"], cwd=ROOT)
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == lines and "Traceback" not in done.stderr, done.stderr
    assert (scan / "out" / "fa.nii.gz").is_file() and (scan / "out" / "v1.nii.gz").is_file()
    assert len(listing(scan / "out")) == 8


def test_help_for_a_reader_that_has_gone():
    done = run(["bash", "-c", f"set -o pipefail; '{sys.executable}' -m dwijax --help | true"],
               cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


ENVIRONMENTS = {
    "JAX_PLATFORMS=cuda": "JAX_PLATFORMS", "JAX_PLATFORMS=abacus": "abacus",
    "XLA_FLAGS=--nonsense": "--nonsense", "XLA_FLAGS=--xla_backend_optimization_level=x": "value x",
    "NPROC=x": "NPROC", "NPROC=0": "1 to", "JAX_ENABLE_X64=x": "JAX_ENABLE_X64"}


@pytest.mark.parametrize("case", ENVIRONMENTS)
@pytest.mark.parametrize("program", ["dwijax", "train.py"])
def test_surroundings_that_cannot_be_meant_are_told_in_one_line(scan, case, program):
    if case == "JAX_PLATFORMS=cuda" and Path("/dev/nvidia0").exists():
        pytest.skip("there is a card")
    name, _, value = case.partition("=")
    before = listing(scan)
    words = [*DWIJAX, *fit(scan)] if program == "dwijax" else [
        *TRAIN, *SMOKE, f"--config.data.root={scan / 'data'}", "--plan=4x16x16"]
    done = run(words, cwd=ROOT, env=os.environ | {name: value})
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1 and ENVIRONMENTS[case] in done.stderr, done.stderr
    assert listing(scan) == before


def test_a_working_folder_that_is_gone(scan):
    line = " ".join(f"'{word}'" for word in [*DWIJAX, *fit(scan)])
    done = run(["bash", "-c", f"mkdir gone; cd gone; rmdir ../gone; {line}"], cwd=scan,
               env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "has been deleted" in done.stderr


@pytest.mark.parametrize("kind", ["no home", "read-only home"])
def test_a_user_without_a_home(scan, kind):
    """Nor an entry in the table of users: a container, a cluster. What is drawn is silent, too."""
    (scan / "site").mkdir()
    (scan / "site" / "sitecustomize.py").write_text(
        "import pwd\ndef gone(uid): raise KeyError('getpwuid(): uid not found')\n"
        "pwd.getpwuid = gone\n")
    away = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "JAX_COMPILATION_CACHE_DIR",
            "MPLCONFIGDIR")
    env = {name: value for name, value in os.environ.items() if name not in away}
    env["PYTHONPATH"] = f"{scan / 'site'}:{ROOT}"
    if kind == "read-only home":
        env["HOME"] = "/proc"
    for command, status in (("fit", (0,)), ("check", (0, 1))):
        done = run([*DWIJAX, command, *fit(scan)[1:-1], scan / command], env=env)
        assert done.returncode in status and done.stderr == "", done.stderr


def test_an_ascii_terminal(scan):
    env = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0",
                        "PYTHONIOENCODING": "ascii"}
    assert "s/mm\\xb2" in run([*DWIJAX, "fit", "--help"], env=env).stdout
    for command, status in (("fit", (0,)), ("check", (0, 1))):
        done = run([*DWIJAX, command, *fit(scan)[1:-1], scan / command], env=env)
        assert done.returncode in status and done.stderr == "", done.stderr


@pytest.mark.parametrize(("program", "words", "says"), [
    ("train.py", ["--workdir="], "--workdir is empty"),
    ("train.py", ["--config=" + "long" * 200], "no file"),
    ("train.py", ["--workdir=/proc/x"], "cannot be written"),
    ("train.py", ["--processes=2"], "no --coordinator"),
    ("train.py", ["--threads=many"], "--threads"),
    ("train.py", [f"--config={ROOT / 'configs' / 'phantom.py'}:smoke", "--workdir=\udcff"],
     "no UTF-8"),
    ("eval.py", ["--workdir="], "--workdir is empty"),
    ("eval.py", ["--workdir=/proc/x"], "cannot be written"),
    ("eval.py", ["--workdir=/dev/null"], "/dev/null"),
    ("eval.py", ["--compare", "/dev/null", "/dev/zero"], "/dev/null"),
])
def test_arguments_of_scripts_are_refused_in_one_line(tmp_path, program, words, says):
    done = run([sys.executable, ROOT / program, *words], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr and not list(tmp_path.iterdir())

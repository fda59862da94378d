"""Shared fixtures. Warnings are errors (pyproject.toml)."""

import ctypes
import gc
import os
import signal
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.forked import QUICK, Scripts

# A background job of a shell ignores Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test imports numpy or jax. Over matrices as small as the tests', threads of BLAS only
# wait for one another: dipy's MP-PCA of 125 patches takes them 25 s instead of 0.2 s.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers find the first process's
    # What several tests, workers and commands compile, they compile once.
    _cache = tempfile.TemporaryDirectory(prefix="dwijax-tests-")
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": _cache.name,
                   "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3"}

import jax
import pytest
from hypothesis import settings

from dwijax import cli
from tests.malformed import good_scan
from tests.tiny_run import write_tiny_run

jax.devices()  # one, which commands that make devices of the cores find started

# A property's first example may compile: time says nothing about it.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="module", autouse=True)
def forget_compiled():
    """A worker would hold the programs of all files, several GiB, which plans of memory see."""
    yield
    jax.clear_caches()
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real development scans beside the checkout; tests using it run only where it is."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real scans are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Folder of a run that nobody had to train, as it is: what changes it takes a copy."""
    return write_tiny_run(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def scan(tmp_path):
    """Folder of a scan that nothing is wrong with, of the table that `tiny_run` knows."""
    return good_scan(tmp_path / "scan")


class Said(NamedTuple):
    """What a command line has ended with."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def dwijax(capfd):
    """``dwijax("fit", scan, ...)`` runs a command line in this process; `Said`."""
    def run(*words):
        capfd.readouterr()
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as left:
            status = left.code
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def script():
    """``script("train.py", ..., cwd=folder)`` runs one in a process of its own."""
    scripts = Scripts()
    yield scripts
    scripts.close()

"""Shared fixtures. Warnings are errors (pyproject.toml)."""

import os
import signal
import tempfile
from pathlib import Path

# A background job of a shell ignores Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before any test imports jax. Programs that run for milliseconds are not worth a minute of LLVM;
# what several tests, workers and commands compile, they compile once.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # workers find the first process's
    _cache = tempfile.TemporaryDirectory(prefix="dwijax-tests-")
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": _cache.name,
                   "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3"}

import jax
import pytest
from hypothesis import settings

jax.devices()  # one, which commands that make devices of the cores find started

# A property's first example may compile: time says nothing about it.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real development scans beside the checkout; tests using it run only where it is."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real scans are not beside this checkout")
    return folder

"""Shared fixtures. Warnings are errors (pyproject.toml)."""

import os
from pathlib import Path

# Before any test imports jax: programs that run for milliseconds are not worth a minute of LLVM.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"

import pytest
from hypothesis import settings

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

"""A stack trains the same wherever it lies: gradients, parameters after 20 SGD steps, losses."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dwijax.devices.placement import place
from dwijax.errors import InputError
from tests.forked import QUICK

ROOT = Path(__file__).parents[2]


def launch(devices, *arguments):
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK}"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.devices.placements", *map(str, arguments)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"})


def differences(process):
    out, error = process.communicate(timeout=1500)
    assert process.returncode == 0, error[-3000:]
    lines = [line for line in out.splitlines() if " fa " in line]
    return {line.split(":")[0]: [float(v) for v in line.split(":")[1].split()] for line in lines}


def test_meshes_equal_one_device():
    """Asymmetric meshes, with and without what couples the networks; networks that the devices do
    not divide (6 on 4 and 8), devices that the batch does not divide (3)."""
    cases = [("mesh", 4, 8, 0), ("mesh", 4, 8, 2), ("mesh", 2, 8, 0), ("mesh", 2, 8, 2),
             ("mesh", 0, 3, 2), ("pmap", 0, 8, 2)]
    found = differences(launch(8, *(a for case in cases for a in case)))
    assert list(found) == ["mesh 4×2 fa 0", "mesh 4×2 fa 2", "mesh 2×4 fa 0", "mesh 2×4 fa 2",
                           "mesh 3×1 fa 2", "pmap 8×1 fa 2"]
    for name, values in found.items():
        assert max(values) < 1e-5, (name, values)


def test_two_processes_equal_one_device(tmp_path):
    """Parameters by way of a checkpoint that both write and read."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    processes = [launch(2, "mesh", 2, 4, 2, "--process", i, 2, address, tmp_path) for i in (0, 1)]
    for process in processes:
        for name, values in differences(process).items():
            assert name == "mesh 2×2 fa 2"
            assert max(values) < 1e-5, values


@pytest.mark.parametrize("count, expected", [
    (1, (1, 1)), (2, (2, 1)), (4, (4, 1)), (6, (6, 1)), (8, (4, 2)), (12, (12, 1)), (16, (4, 4)),
    (32, (4, 8)), (64, (4, 16)), (7, (7, 1)),
])
def test_shape_is_chosen_for_60_networks(count, expected, monkeypatch):
    shapes = []
    monkeypatch.setattr("jax.make_mesh", lambda shape, *_, **__: shapes.append(shape))
    place("mesh", 60, 256, devices=[None] * count)
    assert shapes == [expected]


def test_auto_is_a_mesh_of_all_devices(monkeypatch):
    monkeypatch.setattr("jax.make_mesh", lambda *_, **__: "mesh")
    assert place("auto", 60, 4, devices=[None]).kind == "single"
    assert place("auto", 60, 4, devices=[None] * 2)[::2] == ("mesh", "mesh")


@pytest.mark.parametrize("cores, flags, devices", [
    (2, "", 2), (64, "", 8), (2, "--xla_force_host_platform_device_count=3", 3)])
def test_cores_become_devices(cores, flags, devices):
    code = ("from dwijax.process.processes import split_cpu; split_cpu(); "
            "import jax; print(jax.device_count())")
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True,
                           env=os.environ | {"NPROC": str(cores), "XLA_FLAGS": flags})
    assert found.stdout.split() == [str(devices)], found.stderr


def test_what_cannot_be_shared_out():
    with pytest.raises(InputError, match="mesh_directions"):
        place("mesh", 60, 4, directions=3, devices=[None] * 8)
    with pytest.raises(InputError, match="pmap has no batch axis"):
        place("pmap", 60, 4, directions=2, devices=[None] * 8)

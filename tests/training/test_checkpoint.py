"""A damaged checkpoint is noticed, and costs no more than the interval."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax.training import checkpoint
from dwijax.training.optimizers import inverse_time
from dwijax.training.runlog import RunLog


def state(value):
    return {"params": [{"kernel": jnp.full((60, 3, 3, 8, 8), value)}], "step": jnp.int32(7)}


def test_round_trip_and_keeping(tmp_path):
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, step, state(float(step)), {"seed": 0})
    assert checkpoint.steps(tmp_path) == [20, 30]
    restored = checkpoint.restore(tmp_path, jax.eval_shape(lambda: state(0.0)))
    assert jax.tree.structure(restored) == jax.tree.structure(state(0.0))
    np.testing.assert_array_equal(restored["params"][0]["kernel"], 30.0)


def test_nothing_there(tmp_path):
    assert checkpoint.restore(tmp_path, state(0.0)) is None


@pytest.mark.parametrize("damage", ["truncated", "altered", "removed", "sums"])
def test_damage_falls_back(tmp_path, damage):
    """Any byte of any file: the checkpoint before is used, with one line saying so."""
    checkpoint.save(tmp_path, 10, state(1.0), {})
    checkpoint.save(tmp_path, 20, state(np.pi), {})
    newest = tmp_path / "checkpoints" / "00000020"
    files = [p for p in newest.rglob("*") if p.is_file() and p.stat().st_size]
    assert len(files) > 5
    for path in [newest / checkpoint.SUMS] if damage == "sums" else files:
        whole = path.read_bytes()
        if damage == "removed":
            path.unlink()
        elif damage == "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        else:
            middle = len(whole) // 2
            path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
        said = []
        restored = checkpoint.restore(tmp_path, state(0.0), said.append)
        np.testing.assert_array_equal(restored["params"][0]["kernel"], 1.0)
        if path.exists() or path.name != checkpoint.SUMS:
            assert len(said) == 1 and "00000020" in said[0] and "\n" not in said[0]
        path.write_bytes(whole)
    restored = checkpoint.restore(tmp_path, state(0.0))
    np.testing.assert_array_equal(restored["params"][0]["kernel"], np.float32(np.pi))


def test_killed_before_the_checksums(tmp_path):
    checkpoint.save(tmp_path, 10, state(1.0), {})
    checkpoint.save(tmp_path, 20, state(2.0), {})
    (tmp_path / "checkpoints" / "00000020" / checkpoint.SUMS).unlink()
    restored = checkpoint.restore(tmp_path, state(0.0))
    np.testing.assert_array_equal(restored["params"][0]["kernel"], 1.0)
    checkpoint.save(tmp_path, 20, state(2.0), {})  # the resumed run writes it again
    assert checkpoint.steps(tmp_path) == [10, 20]


def test_log_has_no_gaps_or_duplicates_after_a_restart(tmp_path):
    log = RunLog(tmp_path, 0)
    for step in (1, 2, 3):
        log.write(step, {"loss": 1.0 / step}, {"loss_per_network": [0.1, 0.2]})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed while writing
    log = RunLog(tmp_path, 2)
    log.write(3, {"loss": 0.5})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3] and lines[-1]["loss"] == 0.5


def test_keras_decay():
    rate = inverse_time(0.001, 0.001)
    assert rate(0) == 0.001 and rate(1000) == pytest.approx(0.0005)

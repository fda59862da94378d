"""A damaged or unwritable checkpoint is noticed, and costs no more than the interval."""

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax.errors import InputError
from dwijax.runs import checkpoint


def trees(value):
    return {"params": [{"kernel": jnp.full((60, 3, 3, 4, 4), value)}],
            "training": {"step": jnp.int32(7), "params": None}}


def save(folder, *values, keep=2, say=print):
    """Checkpoints of step 10 · value."""
    with checkpoint.saving(folder, {"seed": 0}, keep=keep, say=say) as saved:
        for value in values:
            saved(int(10 * value), trees(value))


def stored(folder, **options):
    found = checkpoint.restore(folder, jax.eval_shape(lambda: trees(0.0)), **options)
    return found and float(found["params"][0]["kernel"][0, 0, 0, 0, 0])


def parts(folder):
    return sorted(p.name for p in (folder / "checkpoints").iterdir())


def test_round_trip_and_keeping(tmp_path):
    save(tmp_path, 1.0, 2.0, 3.0, keep=2)
    assert checkpoint.steps(tmp_path) == [20, 30] and len(parts(tmp_path)) == 2
    restored = checkpoint.restore(tmp_path, trees(0.0))
    assert jax.tree.structure(restored) == jax.tree.structure(trees(0.0))
    jax.tree.map(np.testing.assert_array_equal, restored, trees(3.0))
    assert subprocess.run(["sha256sum", "--quiet", "-c", checkpoint.SUMS],
                          cwd=tmp_path / "checkpoints" / "00000030").returncode == 0


def test_one_tree_by_itself(tmp_path):
    save(tmp_path, 1.0)
    restored = checkpoint.restore(tmp_path, {"training": trees(0.0)["training"]})
    assert restored == {"training": {"step": 7, "params": None}}


def test_nothing_there(tmp_path):
    assert stored(tmp_path) is None


def test_arrays_may_be_donated_at_once(tmp_path):
    negate = jax.jit(lambda x: jax.tree.map(jnp.negative, x), donate_argnums=0)
    state = {"x": jnp.arange(2e6).reshape(20, -1)}
    with checkpoint.saving(tmp_path, {}, keep=1) as saved:
        for _ in range(2):  # the second one ends where it began
            saved(1, state)
            for _ in range(2):
                state = negate(state)
    restored = checkpoint.restore(tmp_path, state)
    np.testing.assert_array_equal(restored["x"], np.arange(2e6).reshape(20, -1))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    save(folder, 1.0, 2.0)
    return folder


@pytest.mark.parametrize("damage", ["truncated", "emptied", "altered", "removed"])
def test_damage_falls_back(pair, tmp_path, damage):
    """Any file, the checksums too: the checkpoint before is used, with one line saying so."""
    shutil.copytree(pair, tmp_path, dirs_exist_ok=True)
    newest = tmp_path / "checkpoints" / "00000020"
    files = [p for p in newest.rglob("*") if p.is_file() and p.stat().st_size]
    assert newest / checkpoint.SUMS in files and len(files) > 10
    for path in files:
        whole = path.read_bytes()
        middle = len(whole) // 2
        if damage == "removed":
            path.unlink()
        else:
            path.write_bytes({
                "truncated": whole[:middle], "emptied": b"",
                "altered": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:],
            }[damage])
        said = []
        assert checkpoint._newest(tmp_path, said.append) == 10
        line, = said
        assert "00000020" in line and "step 10 is used" in line and "\n" not in line
        path.write_bytes(whole)
    assert stored(tmp_path, say=pytest.fail) == 2.0


def test_damaged_and_nothing_before(pair, tmp_path):
    shutil.copytree(pair, tmp_path, dirs_exist_ok=True)
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "_CHECKPOINT_METADATA").unlink()
    said = []
    assert stored(tmp_path, say=said.append) is None
    assert len(said) == 2 and all("no whole one before it" in line for line in said)


def test_what_a_kill_leaves(tmp_path):
    """Killed before the checksums, and before the renaming; the resumed run clears it away."""
    save(tmp_path, 1.0, 2.0)
    root = tmp_path / "checkpoints"
    (root / "00000020" / checkpoint.SUMS).unlink()
    shutil.copytree(root / "00000020", root / "00000030.orbax-checkpoint-tmp")
    (root / "notes").mkdir()  # not ours
    said = []
    assert stored(tmp_path, say=said.append) == 1.0
    assert len(said) == 2 and all("unfinished" in line for line in said)
    save(tmp_path, 1.5)  # stopped by SIGTERM between two intervals
    assert parts(tmp_path) == ["00000010", "00000015", "notes"]
    save(tmp_path, 2.0)
    assert parts(tmp_path) == ["00000015", "00000020", "notes"] and stored(tmp_path) == 2.0


def test_another_architecture_is_one_line(tmp_path):
    save(tmp_path, 1.0)
    for other in ({"params": [{"kernel": jnp.zeros((60, 3, 3, 4, 8))}]},
                  {"params": [{"kernel": jnp.zeros((60, 3, 3, 4, 4)), "bias": jnp.zeros(60)}]},
                  {"params": [{}]}, {"elsewhere": jnp.zeros(3)}):
        with pytest.raises(InputError, match=r"00000010.*of shape") as caught:
            checkpoint.restore(tmp_path, other)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("networks", [[3], [17, 3, 59]])
def test_some_networks(tmp_path, networks):
    tree = {"params": {"a": jnp.arange(60.0), "b": jnp.arange(60 * 6).reshape(60, 2, 3)}}
    with checkpoint.saving(tmp_path, {}, keep=1) as saved:
        saved(1, tree)
    restored = checkpoint.restore(tmp_path, tree, networks=networks)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[np.array(networks)]),
                 restored, tree)


def test_writing_fails_in_between(tmp_path, monkeypatch):
    """Training goes on and the next interval tries again; the checkpoint before stays."""
    save(tmp_path, 1.0)
    write, said = checkpoint._write_sums, []

    def full(path):
        if path.name == "00000020":
            raise OSError(28, "No space left on device")
        write(path)

    monkeypatch.setattr(checkpoint, "_write_sums", full)
    with checkpoint.saving(tmp_path, {}, keep=2, say=said.append) as saved:
        saved(20, trees(2.0))
        saved(30, trees(3.0))
    line, = said
    assert "00000020" in line and "No space left" in line and "step 10 stays" in line
    assert parts(tmp_path) == ["00000010", "00000030"] and stored(tmp_path) == 3.0
    with pytest.raises(InputError, match="goes on from step 30") as caught:
        save(tmp_path, 2.0, say=said.append)
    assert "\n" not in str(caught.value) and len(said) == 2


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder],
                                      capture_output=True).returncode:
        pytest.skip("only root mounts a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk(tmp_path):
    noise = {"params": jax.random.normal(jax.random.key(0), (60, 10_000))}  # 2.4 MB
    with small_disk(tmp_path / "disk") as disk:
        save(disk, 1.0)
        said = []
        with (pytest.raises(InputError, match=r"No space left.*goes on from step 10"),
              checkpoint.saving(disk, {}, keep=2, say=said.append) as saved):
            saved(20, noise)
            saved(30, noise)
        assert len(said) == 2 and all("No space left" in line for line in said)
        assert parts(disk) == ["00000010"] and stored(disk) == 1.0


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").write_text("a file in its place")
    said = []
    with pytest.raises(InputError, match="goes on from the start"):
        save(tmp_path, 1.0, say=said.append)
    assert len(said) == 1


def test_no_pickles(pair):
    assert not [p for p in pair.rglob("*") if p.suffix in (".pkl", ".pickle", ".npy")]
    for path in pair.rglob("*"):
        if path.is_file():
            assert not path.read_bytes().startswith((b"\x80\x03", b"\x80\x04", b"\x80\x05"))


EIGHT = """
    import sys
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
    from dwijax.runs import checkpoint

    folder = sys.argv[1]
    mesh = jax.make_mesh((4, 2), ("direction", "batch"), axis_types=(AxisType.Auto,) * 2)
    at = {"a": NamedSharding(mesh, P("direction")), "step": NamedSharding(mesh, P())}
    like = {k: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=at[k])
            for k, v in {"a": jnp.zeros((60, 5)), "step": jnp.int32(0)}.items()}
    tree = checkpoint.restore(folder, like)  # from one device to eight
    assert len(tree["a"].sharding.device_set) == 8 and tree["a"].sharding == at["a"]
    assert tree["a"].addressable_shards[0].data.shape == (15, 5)
    np.testing.assert_array_equal(tree["a"], np.arange(300.0).reshape(60, 5))
    other = NamedSharding(jax.make_mesh((2, 4), ("direction", "batch"),
                                        axis_types=(AxisType.Auto,) * 2), P("direction"))
    with checkpoint.saving(folder, {}, keep=1) as save:
        save(2, {"a": jax.device_put(tree["a"] + 1, other), "step": tree["step"] + 1})
    back = checkpoint.restore(folder, like)  # from another mesh
    assert back["a"].sharding == at["a"] and int(back["step"]) == 5
"""


def test_another_number_of_devices(tmp_path):
    tree = {"a": jnp.arange(300.0).reshape(60, 5), "step": jnp.int32(4)}
    with checkpoint.saving(tmp_path, {}, keep=1) as saved:
        saved(1, tree)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EIGHT), str(tmp_path)], text=True,
        capture_output=True, timeout=300, cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8",
                          "JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr
    restored = checkpoint.restore(tmp_path, tree)  # from eight devices to one
    assert len(restored["a"].sharding.device_set) == 1
    np.testing.assert_array_equal(restored["a"], tree["a"] + 1)
    some = checkpoint.restore(tmp_path, {"a": tree["a"]}, networks=[31])
    np.testing.assert_array_equal(some["a"], tree["a"][31:32] + 1)

"""Checkpoints of a run: ``checkpoints/<step>`` (orbax), each with the checksums of its files.

A checkpoint is a dict of named trees, written in the background and read one by one: prediction
reads parameters and leaves the optimiser's state on the disk.

Orbax loads a flipped byte silently and answers a truncated file with a misleading error; here
every file is compared with ``SHA256SUMS`` (as ``sha256sum -c`` reads it) before orbax sees it.
"""

import contextlib
import hashlib
import re
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from dwijax.errors import InputError, warn
from dwijax.output import whole

SUMS = "SHA256SUMS"
_NAME = re.compile(r"\d{8,}(\.orbax-checkpoint-tmp.*)?")


@contextlib.contextmanager
def saving(folder, about, *, keep, say=warn):
    """Yields ``save(step, trees)``, which returns as soon as the arrays are copied.

    The arrays may be donated right afterwards. Orbax writes under a temporary name and renames,
    the checksums come next, and only then do older checkpoints go: what a killed run leaves is
    either whole or has no checksums and is passed over. At most one save is under way, so a kill
    costs the interval and the time of one write. A save that fails (a full disk) says so, leaves
    the checkpoints before it, and the next interval tries again.

    With several processes all of them save, each its own shards, onto one file system; process 0
    writes the checksums and deletes.

    Args:
      folder: of the run. about: JSON-able, stored with the arrays.
      keep: how many of the newest checkpoints stay.
      say: takes one line of text for a save that failed.

    Raises:
      InputError: at the end of the block, where the last save failed.
    """
    root = path_of(folder)
    first, last = jax.process_index() == 0, None

    def finish(response, path):
        try:
            response.result()
            if first:
                _write_sums(path)
                _prune(root, path, keep)
            return None
        except Exception as error:  # whatever it was, training has not been hurt by it
            return failed(error, path)

    def failed(error, path):
        if first:
            for part in root.glob(f"{path.name}*"):
                shutil.rmtree(part, ignore_errors=True)
            there = steps(folder)
            say(f"{path}: cannot be written ({_reason(error)}); "
                + (f"that of step {there[-1]} stays" if there else "there is none before it")
                + ", the next interval tries again")
        return path, error

    # Inside orbax's background thread a folder that cannot be made leaves others waiting for it.
    context = ocp.Context()
    context.asynchronous.create_directories_asynchronously = False

    with ThreadPoolExecutor(1) as writer:
        def save(step, trees):
            nonlocal last
            if last is not None:
                last.result()
            path = root / f"{step:08d}"
            try:
                with context:
                    response = ocp.save_checkpointables_async(
                        path, trees, overwrite=True,
                        custom_metadata={"about": about, "shapes": _shapes(trees)})
            except (OSError, ValueError) as error:
                last = writer.submit(failed, error, path)
            else:
                last = writer.submit(finish, response, path)

        yield save
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("checkpoints")
    if last is not None and last.result() is not None:
        path, error = last.result()
        raise InputError(
            path, found=f"it cannot be written ({_reason(error)})",
            expected="a writable place with free space",
            remedy="free some space; the same command goes on from "
                   + (f"step {steps(folder)[-1]}" if steps(folder) else "the start"))


def path_of(folder):
    """Absolute path of a run's checkpoints.

    Raises:
      InputError: its name is no UTF-8, which TensorStore needs.
    """
    path = (Path(folder) / "checkpoints").absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(folder, found="a name that is no UTF-8",
                         expected="one that checkpoints can be read from and written to",
                         remedy="rename the folder") from None
    return path


def steps(folder):
    """Steps of the checkpoints there are, ascending."""
    return sorted(int(p.name) for p in _ours(Path(folder) / "checkpoints")
                  if p.name.isdigit() and (p / SUMS).is_file())


def newest(folder, say=warn):
    """Step of the newest checkpoint that is whole and unaltered, or None.

    Args:
      folder: of the run.
      say: takes one line of text for every damaged checkpoint that is passed over.
    """
    step = _newest(folder, say) if jax.process_index() == 0 else -1
    if jax.process_count() > 1:  # one process reads every byte twice, not all of them
        step = int(multihost_utils.broadcast_one_to_all(np.int32(step)))
    return None if step < 0 else step


def restore(folder, like, *, networks=None, say=warn, step=None):
    """The newest checkpoint that is whole and unaltered, on whatever devices ``like`` names.

    Args:
      folder: of the run.
      like: dict of the trees to read, of arrays or ``jax.ShapeDtypeStruct``. A leaf goes where
        its ``sharding`` says, whatever the devices it was saved from; without one, to the first
        device.
      networks: positions in the stack to read, all by default; the trees' leaves are then
        ``[len(networks), ...]``, cut on the host, and on the first device.
      say: as of `newest`.
      step: from `newest`, where it has been asked already.

    Returns:
      The dict of trees of device arrays, or None where there is no usable checkpoint.

    Raises:
      InputError: the checkpoint is whole but not of this stack.
    """
    step = newest(folder, say) if step is None else step
    if step is None:
        return None
    path = path_of(folder) / f"{step:08d}"
    _check_shapes(path, like)
    abstract = jax.tree.map(_on_device if networks is None else _on_host, like)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # orbax notes that the shardings are ours
        trees = ocp.load_checkpointables(path, abstract)
    if networks is None:
        return trees
    return jax.tree.map(lambda leaf: jax.numpy.asarray(leaf[np.asarray(networks)]), trees)


def _newest(folder, say):
    """The newest step whose checkpoint is whole, -1 without one."""
    passed, used = [], -1
    for path in sorted(_ours(Path(folder) / "checkpoints"), reverse=True):
        fault = _fault(path)
        if fault is None:
            used = int(path.name)
            break
        passed.append(f"{path}: {fault}")
    for line in passed:
        say(f"{line}; " + (f"that of step {used} is used" if used >= 0
                           else "there is no whole one before it"))
    return used


def _ours(root):
    """Folders of checkpoints, finished or not."""
    return [p for p in root.glob("*") if _NAME.fullmatch(p.name) and p.is_dir()]


def _fault(path):
    """What is wrong with a checkpoint, or None."""
    sums = path / SUMS
    if not path.name.isdigit() or not sums.is_file():
        return f"unfinished (no {SUMS})"
    try:
        lines = sums.read_text(errors="replace").splitlines()
        stored = dict(reversed(line.split("  ", 1)) for line in lines if "  " in line)
        found = _digests(path)
    except OSError as error:
        return f"unreadable ({error.strerror or error})"
    wrong = sorted(name for name in stored.keys() | found.keys()
                   if stored.get(name) != found.get(name))
    if wrong or not stored:
        return f"does not match {SUMS} ({wrong[0] if wrong else 'empty'})"
    return None


def _write_sums(path):
    with whole(path / SUMS) as sums:
        sums.write_text("".join(f"{digest}  {name}\n" for name, digest in _digests(path).items()))


def _digests(path):
    """SHA-256 of every file below ``path`` but the sums themselves, by relative name."""
    digests = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p != path / SUMS):
        with file.open("rb") as stream:
            digests[str(file.relative_to(path))] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


def _prune(root, newest, keep):
    """Leaves the ``keep`` newest up to the one just written.

    What lies past it was passed over when the run was resumed, and what has no checksums is left
    from a kill.
    """
    whole_ones = sorted(p for p in _ours(root)
                        if p.name.isdigit() and p <= newest and (p / SUMS).is_file())
    for path in set(_ours(root)) - set(whole_ones[-keep:]):
        shutil.rmtree(path, ignore_errors=True)


def _shapes(trees):
    """Of every leaf, by tree and path."""
    return {name: {jax.tree_util.keystr(path): list(leaf.shape)
                   for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
            for name, tree in trees.items()}


def _check_shapes(path, like):
    """Orbax pads nothing, but its own complaints fill a screen and leave tasks behind."""
    stored = (ocp.checkpointables_metadata(path).custom_metadata or {}).get("shapes", {})
    for name, wanted in _shapes(like).items():
        there = stored.get(name, {})
        for leaf in sorted(wanted.keys() | there.keys()):
            if wanted.get(leaf) != there.get(leaf):
                raise InputError(
                    path, found=f"{name}{leaf} of shape {there.get(leaf, 'none')}",
                    expected=f"{wanted.get(leaf, 'none')}, as this config's networks have",
                    remedy="use the code and config it was trained with, or another --workdir")


def _on_device(leaf):
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _on_host(leaf):
    return np.empty(leaf.shape, leaf.dtype)  # what makes orbax return numpy arrays


def _reason(error):
    """The line of an error that a user can use; TensorStore's are long."""
    if "No space left on device" in str(error):
        return "No space left on device"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0][:200]

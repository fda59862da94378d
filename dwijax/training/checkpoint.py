"""Checkpoints of a run: ``checkpoints/<step>`` (orbax), each with a checksum of its arrays."""

import hashlib
import json
import shutil
import warnings
from pathlib import Path

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

KEEP = 2


def save(folder, step, state, about):
    """Writes one checkpoint, then deletes all but the newest ``KEEP``.

    Orbax writes under a temporary name and renames: a killed run leaves whole checkpoints only.

    Args:
      folder: of the run. step: int, its name. state: tree of arrays.
      about: JSON-able, stored beside the arrays.
    """
    root = Path(folder) / "checkpoints"
    path = (root / f"{step:08d}").absolute()
    metadata = {"sha256": _digest(state), "about": about}
    ocp.save(path, state, custom_metadata=metadata, overwrite=True)
    for old in steps(folder)[:-KEEP]:
        shutil.rmtree(root / f"{old:08d}")


def steps(folder):
    """Steps of the whole checkpoints there are, ascending."""
    root = Path(folder) / "checkpoints"
    if not root.is_dir():
        return []
    return sorted(int(p.name) for p in root.iterdir()
                  if p.name.isdigit() and ocp.is_orbax_checkpoint(p.absolute()))


def restore(folder, like, say=print):
    """The newest checkpoint that is whole and unaltered.

    Orbax loads a flipped byte silently: the arrays are compared with the stored checksum. A
    damaged checkpoint is passed over for the one before it, with a line through ``say``.

    Args:
      folder: of the run. like: tree of arrays or ``jax.ShapeDtypeStruct`` to restore into.
      say: takes one line of text.

    Returns:
      The tree of device arrays, or None where there is no usable checkpoint.
    """
    for step in reversed(steps(folder)):
        path = (Path(folder) / "checkpoints" / f"{step:08d}").absolute()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # orbax notes that shardings are ours
                expected = ocp.metadata(path).custom_metadata["sha256"]
                state = ocp.load(path, jax.tree.map(_abstract, like))
        except (ValueError, KeyError, TypeError, OSError, json.JSONDecodeError) as error:
            say(f"{path}: cannot be read ({type(error).__name__}); the one before it is used")
            continue
        if _digest(state) == expected:
            return state
        say(f"{path}: its arrays do not match their checksum; the one before it is used")
    return None


def _abstract(leaf):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _digest(state):
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

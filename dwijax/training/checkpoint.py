"""Checkpoints of a run: ``checkpoints/<step>`` (orbax), each with the checksums of its files.

Orbax loads a flipped byte silently and answers a truncated file with a misleading error; here
every file is compared with ``SHA256SUMS`` (as ``sha256sum -c`` reads it) before orbax sees it.
"""

import hashlib
import shutil
import warnings
from pathlib import Path

import jax
from orbax.checkpoint import v1 as ocp

from dwijax.output import whole

KEEP = 2
SUMS = "SHA256SUMS"


def save(folder, step, state, about):
    """Writes one checkpoint, then deletes all but the newest ``KEEP``.

    Orbax writes under a temporary name and renames, the checksums come last: what a killed run
    leaves is either whole or has no checksums and is passed over.

    Args:
      folder: of the run. step: int, its name. state: tree of arrays.
      about: JSON-able, stored with the arrays.
    """
    root = Path(folder) / "checkpoints"
    path = (root / f"{step:08d}").absolute()
    ocp.save(path, state, custom_metadata={"about": about}, overwrite=True)
    with whole(path / SUMS) as sums:
        sums.write_text("".join(f"{digest}  {name}\n" for name, digest in _digests(path).items()))
    for old in steps(folder)[:-KEEP]:
        shutil.rmtree(root / f"{old:08d}")


def steps(folder):
    """Steps of the checkpoints there are, ascending."""
    root = Path(folder) / "checkpoints"
    return sorted(int(p.parent.name) for p in root.glob(f"*/{SUMS}") if p.parent.name.isdigit())


def restore(folder, like, say=print):
    """The newest checkpoint that is whole and unaltered.

    Args:
      folder: of the run.
      like: tree of arrays or ``jax.ShapeDtypeStruct`` to restore into.
      say: takes one line of text for every damaged checkpoint that is passed over.

    Returns:
      The tree of device arrays, or None where there is no usable checkpoint.
    """
    for step in reversed(steps(folder)):
        path = (Path(folder) / "checkpoints" / f"{step:08d}").absolute()
        stored = dict(reversed(line.split("  ", 1))
                      for line in (path / SUMS).read_text().splitlines() if "  " in line)
        if stored == _digests(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # orbax notes that the shardings are ours
                return ocp.load(path, jax.tree.map(_abstract, like))
        say(f"{path}: its files do not match {SUMS}; the checkpoint before it is used")
    return None


def _abstract(leaf):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _digests(path):
    """SHA-256 of every file below ``path`` but the sums themselves, by relative name."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p != path / SUMS)
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

"""A trained run, read again from its folder or from the file that it was exported to."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dwijax import config as settings
from dwijax.errors import InputError, warn
from dwijax.runs import checkpoint, export, folders


def restore_run(place, networks=None, *, calibrated=True):
    """``(config, gtab, task, predict, params, about)`` of a trained run.

    Args:
      place: its folder, or the file that ``dwijax export`` has made of it; nothing else is read.
      networks: positions in the stack, all by default; what is returned is then that smaller
        stack.
      calibrated: whether a calibration that the config asks for is read, and must be there.

    Raises:
      InputError: no run, no whole checkpoint in it, or no such networks; a file that is damaged or
        of another version; no calibration.
    """
    if Path(place).is_file():
        return _restore_exported(place, networks)
    config, gtab, statistics, about = folders.read(place)
    task, predict, like = rebuild(
        Path(place) / "config.json", config, gtab, statistics, about, networks)
    damaged = []
    step = checkpoint.newest(place, say=damaged.append)
    if step is None:
        raise InputError(
            Path(place) / "checkpoints",
            found="no whole checkpoint" + (f" ({len(damaged)} damaged)" if damaged else ""),
            expected="a trained run", remedy="train it first: train.py with this --workdir")
    about = {name: value for name, value in about.items() if name != "calibration"}
    if calibrated and networks is None and config.calibrate:
        learnt = folders.calibration_of(place, step)
        if learnt is None:
            raise InputError(
                Path(place) / "calibration.json", found=f"no calibration of step {step}",
                expected="one, as config.calibrate says", remedy=folders.LEARN)
        about["calibration"] = learnt
    params = checkpoint.restore(place, {"params": like}, networks=networks, step=step)["params"]
    for line in damaged:
        warn(line)
    return config, gtab, task, predict, params, about


def _restore_exported(path, networks):
    about, arrays = export.read(path)
    config, gtab, statistics, about = folders.parse(about, path)
    if config.calibrate and "calibration" not in about:
        raise InputError(f"{path}, field calibration", found="nothing",
                         expected="a calibration, as config.calibrate says",
                         remedy="export the run again (dwijax export RUN FILE)")
    task, predict, like = rebuild(path, config, gtab, statistics, about, networks)
    params = export.restore(path, arrays, like)
    if networks is not None:
        params = jax.tree.map(lambda leaf: leaf[np.asarray(networks)], params)
    return config, gtab, task, predict, jax.tree.map(jnp.asarray, params), about


def rebuild(where, config, gtab, statistics, about, networks=None):
    """``(task, predict, params)`` of some networks; ``params``, as shapes, of the whole stack.

    Args:
      where: what an error names. config, gtab, statistics, about: from `dwijax.runs.folders.read`.
      networks: positions in the stack, all by default.

    Raises:
      InputError: the whitening is of other channels than these networks see.
    """
    build = partial(settings.build_task, config, gtab, about["table"]["b0s"])
    task = build()
    if statistics and len(statistics.mean) != task.in_channels:
        raise InputError(
            f"{where}, field normalisation.whitening", found=f"{len(statistics.mean)} channels",
            expected=f"{task.in_channels}, which the networks of its config see",
            remedy="copy the run again from where it was trained, or train again")
    network = settings.build_network(config, task)
    like = jax.eval_shape(jax.vmap(network.init), settings.build_keys(config, task))
    if networks is not None:
        task = build(networks=_positions(networks, len(task.numbers)))
    return task, settings.build_predictor(config, task, statistics), like


def _positions(networks, count):
    positions = np.asarray(networks)
    if (positions.ndim != 1 or positions.dtype.kind not in "iu" or not positions.size
            or positions.min() < 0 or positions.max() >= count
            or len(np.unique(positions)) < positions.size):
        raise InputError(
            "networks", found=f"{list(networks)}", remedy="give others",
            expected=f"different positions between 0 and {count - 1}")
    return positions

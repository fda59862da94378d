"""Whole volumes through a trained run."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from dwijax.data.slices import cut, padded_size
from dwijax.data.volumes import pad_to
from dwijax.gradients import GradientTable
from dwijax.training import loop, settings
from dwijax.training.tasks import Task

# Slices of a volume that go through the stack at once.
BATCH = 4


class Run(NamedTuple):
    """A trained run.

    ``gtab`` is the table of its shell without b0s; ``inputs [q]`` and ``targets [K]`` are
    positions in it; ``params`` leaves are ``[K, ...]``; ``about`` is its ``config.json``.
    """

    config: ConfigDict
    gtab: GradientTable
    inputs: np.ndarray
    targets: np.ndarray
    task: Task
    params: Any
    predict: Any
    about: dict


def load_run(place, networks=None):
    """Reads a run from its folder, or from the file that ``dwijax export`` has made of it.

    Args:
      place: folder or file.
      networks: positions in the stack, of those to read; all by default. K is then their number.

    Raises:
      InputError: no run, no whole checkpoint there, or no such networks; a file that is damaged.
    """
    config, gtab, task, predict, params, about = loop.restore_run(place, networks)
    inputs = np.arange(config.data.inputs)
    return Run(config, gtab, inputs, np.asarray(task.numbers), task, params,
               jax.jit(predict), about)


def synthesise(run, subject, *, quiet=True):
    """The synthetic DWIs of a subject.

    Args:
      run: from :func:`load_run`.
      subject: :class:`dwijax.data.subject.Subject` whose first q directions of the shell are
        the run's inputs, in the run's order; whatever other directions it has are not looked at.
      quiet: no progress bar.

    Returns:
      float32 ``[X, Y, Z, K]`` in the scan's intensity units, canonical axes; 0 outside the
      slices that hold brain.
    """
    axis = run.config.data.axis
    shape = subject.mask.shape
    plane = [n for i, n in enumerate(shape) if i != axis]
    size = padded_size(plane, settings.multiple_of(run.config))
    filled = np.flatnonzero(subject.mask.any(axis=tuple(i for i in range(3) if i != axis)))
    b0, dwi, _ = cut(subject, filled, axis=axis, size=size, directions=run.inputs)
    out = np.zeros((shape[axis], *plane, len(run.targets)), np.float32)
    starts = range(0, len(filled), BATCH)
    for start in tqdm(starts, disable=quiet or None, leave=False, desc="synthesising"):
        part = slice(start, start + BATCH)
        x = np.concatenate([b0[part], dwi[part]], axis=-1)
        short = BATCH - len(x)  # the last batch is filled up: one shape, one compilation
        x = jnp.asarray(np.pad(x, [(0, short), (0, 0), (0, 0), (0, 0)]))
        y = np.asarray(run.predict(run.params, x))[..., 0]
        y = np.moveaxis(y, 0, -1)[: BATCH - short]
        out[filled[part]] = pad_to(y, plane, axes=(1, 2))
    # The magnitude of a signal is not negative; the networks do not know.
    return np.moveaxis(np.maximum(out, 0) * np.float32(subject.scale), 0, axis)

"""Whole volumes through a trained run."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dwijax import config as settings
from dwijax.data.channels import Where
from dwijax.data.harmonic_channels import frame, ordered, seen
from dwijax.data.slices import padded_size
from dwijax.devices import placement
from dwijax.gradients import GradientTable
from dwijax.gradients.harmonics import degrees_of, sh_basis
from dwijax.runs import restore
from dwijax.tasks.any_table import MOST
from dwijax.tasks.calibration import (
    LEAST_INPUTS,
    Calibration,
    from_json,
    held,
    probes,
    rescale,
    scaled,
)
from dwijax.tasks.task import Task
from dwijax.volumes import filled_slices, pad_to


class Run(NamedTuple):
    """A trained run.

    ``gtab`` is the table of its shell without b0s; ``inputs [q]`` and ``targets``, those that are
    synthesised, are positions in it (of map regression, the networks' numbers); ``params`` leaves
    are ``[K, ...]``; ``about`` is its description; ``calibration`` is what its synthetic DWIs
    are scaled by, or None.
    """

    config: Any
    gtab: GradientTable
    inputs: np.ndarray
    targets: np.ndarray
    task: Task
    params: Any
    predict: Any
    about: dict
    calibration: Calibration | None = None


def load_run(place, networks=None, *, calibrated=True):
    """Reads a run from its folder, or from the file that ``dwijax export`` has made of it.

    Args:
      place: folder or file.
      networks: positions in the stack, of those to read; all by default. K is then their number,
        and nothing is calibrated: a calibration is that of the whole stack.
      calibrated: whether a calibration that the config asks for is read, and must be there.

    Raises:
      InputError: no run, no whole checkpoint there, or no such networks; a file that is damaged;
        no calibration.
    """
    config, gtab, task, predict, params, about = restore.restore_run(
        place, networks, calibrated=calibrated)
    targets = np.asarray(task.numbers)
    if config.model.joint or config.task == "any_table":
        targets = settings.output_positions(config, gtab)
    predict, params = placement.share_slices(predict, params)
    learnt = about.get("calibration") if networks is None else None
    return Run(config, gtab, settings.input_positions(config, gtab), targets, task, params,
               predict, about, learnt and from_json(learnt))


def outputs(run, subject, directions=None, *, quiet=True):
    """What the networks predict for a subject, slice by slice.

    Args:
      run: from :func:`load_run`.
      subject: :class:`dwijax.data.subject.Subject`.
      directions: positions in the subject's shell of the run's q inputs, ``[q]``; default: those
        in the run's own shell. Whatever other directions there are is not looked at.
      quiet: no progress bar.

    Returns:
      float32 ``[K, X, Y, Z, D]`` on canonical axes, in the unit of the networks; 0 outside the
      slices that hold brain.
    """
    axis = run.config.data.axis
    shape = subject.mask.shape
    plane = [n for i, n in enumerate(shape) if i != axis]
    filled = np.flatnonzero(filled_slices(subject.mask, axis))
    where = Where(filled, axis, padded_size(plane, settings.multiple_of(run.config)))
    positions = run.inputs if directions is None else directions
    images = {name: channel.at(positions)(subject, where)
              for name, channel in run.task.inputs.items()}

    def see(part):
        return run.task.see({name: image[part] for name, image in images.items()})

    out = None
    bar = partial(tqdm, disable=quiet or None, leave=False, desc="networks")
    for part, y in placement.predict_slices(run.predict, run.params, see, len(filled),
                                            progress=bar):
        if out is None:
            out = np.zeros((y.shape[0], shape[axis], *plane, y.shape[-1]), np.float32)
        out[:, filled[part]] = pad_to(y, plane, axes=(2, 3))
    return np.moveaxis(out, 1, 1 + axis)


def for_table(run: Run, own: GradientTable, wanted: GradientTable) -> Run:
    """A run for any table as one of a scan's own directions, the inputs, and those wanted.

    Args:
      own: of the scan's shell, without b0s, q directions. wanted: T directions, along the same
        axes.
    """
    both = dataclasses.replace(own, bvals=np.concatenate([own.bvals, wanted.bvals]),
                               bvecs=np.concatenate([own.bvecs, wanted.bvecs]))
    return run._replace(gtab=both, inputs=np.arange(len(own)),
                        targets=len(own) + np.arange(len(wanted)))


def signal(harmonics, bvecs, axis):
    """DWIs of harmonics that networks for any table predict, in the mean over the networks.

    Args:
      harmonics: ``[K, X, Y, Z, c]`` along the axes of slices across ``axis``.
      bvecs: directions wanted, along the axes of the volume, ``[T, 3]``.

    Returns:
      float32 ``[X, Y, Z, T]``.
    """
    count = harmonics.shape[-1]
    order = next(n for n in range(2, 20, 2) if len(degrees_of(n)) == count)
    rows = sh_basis(bvecs[:, frame(axis)], order)[0].astype(np.float32)
    return harmonics.mean(axis=0) @ rows.T


def only_inputs(run, subject):
    """A subject in the run's order without the volumes that the run's networks do not see."""
    b0s = subject.gtab.b0s
    seen = np.r_[b0s, subject.gtab.dwis[run.inputs]]
    return dataclasses.replace(subject, dwi=subject.dwi[..., seen], gtab=subject.gtab[seen],
                               volumes=subject.volumes[seen])


def synthesise(run, subject, *, quiet=True):
    """The synthetic DWIs of a subject.

    Args:
      run: from :func:`load_run`.
      subject: :class:`dwijax.data.subject.Subject` whose first q directions of the shell are
        the run's inputs, in the run's order.
      quiet: no progress bar.

    Returns:
      float32 ``[X, Y, Z, T]``, a volume for each target, in the scan's intensity units, canonical
      axes; 0 outside the slices that hold brain; nowhere negative, nor above all that the networks
      have seen of the voxel; in the brain scaled by the run's calibration, if it has one, and those
      of networks for any table to the anisotropy of the acquired ones.
    """
    out, change = outputs(run, subject, quiet=quiet), None
    if run.config.task == "any_table":
        change = _held(run, subject, out)
        out = signal(out, run.gtab[run.targets].bvecs, run.config.data.axis)
    else:
        out = np.moveaxis(out, 0, 3)  # one of K and D is 1
        out = out.reshape(*out.shape[:3], -1)
    out *= np.float32(subject.scale)
    # A magnitude is not negative, and diffusion only takes signal away; the networks do not know,
    # and where they have met nothing alike there is no telling what they say.
    b0s, inputs = subject.gtab.b0s, subject.gtab.dwis[run.inputs]
    seen = np.concatenate([b0s, inputs])
    most = subject.dwi[..., seen[0]].copy()
    for volume in seen[1:]:
        np.maximum(most, subject.dwi[..., volume], out=most)
    most = np.maximum(most, 0)[..., None]
    np.clip(out, 0, most, out=out)
    if change is not None:
        out[subject.mask] = scaled(out[subject.mask], change, run.gtab[run.targets])
        np.clip(out, 0, most, out=out)
    if run.calibration:
        brain = subject.mask
        acquired = np.stack([subject.dwi[..., v][brain] for v in inputs], axis=1)
        # Along the run's axes, in which both tables are known.
        out[brain] = rescale(run.calibration, subject.b0[brain], acquired, out[brain], brain,
                             len(b0s), (run.gtab[run.inputs], run.gtab[run.targets]))
        np.clip(out, 0, most, out=out)
    return out


def _held(run, subject, harmonics):
    """What brings a mean prediction, whose anisotropy is rounded down where the directions are few,
    to the anisotropy of the acquired ones: of `dwijax.tasks.calibration.held`, or None.

    It is found at directions of its own, so that no direction depends on what others are wanted,
    and for as many as are mostly fitted together.
    """
    if not LEAST_INPUTS <= len(run.inputs) < MOST:
        return None
    volumes, bvecs = ordered(subject, run.inputs)
    noise = seen(subject, run.inputs, run.config.data.axis).noise
    brain, own = subject.mask, GradientTable(subject.gtab.bvals[volumes], bvecs)
    there = probes(np.median(own.bvals))
    made = signal(harmonics[:, brain], there.bvecs, run.config.data.axis)
    made *= np.float32(subject.scale)
    acquired = np.stack([subject.dwi[..., v][brain] for v in volumes], axis=1)
    sigma = noise.sigma * np.float32(subject.scale) * noise.relative[brain]
    return held(subject.b0[brain], acquired, np.maximum(made, 0), brain, len(subject.gtab.b0s),
                (own, there), len(volumes) / MOST, sigma)

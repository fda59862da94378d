"""Targets that a run trained before predicts, in place of measured ones.

A network that learns one direction from measured DWIs spends most of its examples on averaging
their noise away. A larger network for all directions together, itself trained on the measured DWIs
of the same subjects, has done so already (distillation: Hinton et al. 2015).
"""

import hashlib
from pathlib import Path

import jax
import numpy as np

from dwijax import leakage
from dwijax.directions import compare
from dwijax.errors import InputError
from dwijax.training import placement, restore


def teach(place, config, members, slices, gtab, progress=iter):
    """Replaces the targets of training slices by a run's predictions, in place.

    Args:
      place: folder of the run; an exported one does not tell its subjects' names.
      config: of the run that learns. members: its `dwijax.data.cohort.Cohort`.
      slices: its training `dwijax.data.slices.Slices`. gtab: table of their shell.
      progress: wraps what is gone through.

    Raises:
      InputError: no such run; one of other inputs, directions or data, or that was trained on
        validation or test subjects.
    """
    if Path(place).is_file():
        raise InputError("--config.data.teacher", found=f"{place}: a file",
                         expected="the folder of a run, which names the subjects it learnt from",
                         remedy="give the --workdir of its training")
    theirs, table, task, predict, params, about = restore.restore_run(place)
    _check(place, config, members, gtab, theirs, table, about)
    predict, params = placement.share_slices(predict, params)
    q = config.data.inputs
    for part, found in placement.predict_slices(
            predict, params, lambda part: task.see(slices.b0[part], slices.dwi[part]),
            len(slices.mask), progress=progress):
        found = np.moveaxis(found, 0, -2)
        slices.dwi[part, ..., q:len(gtab)] = np.maximum(found, 0).reshape(*found.shape[:3], -1)


def fingerprint(place):
    """SHA-256 of a run's parameters: a run that it teaches goes on with the same ones only.

    Raises:
      InputError: no such run.
    """
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(restore.restore_run(place)[4]):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _check(place, config, members, gtab, theirs, table, about):
    def expect(same, found, expected):
        if not same:
            raise InputError("--config.data.teacher", found=f"{place}: {found}",
                             expected=expected, remedy="train one with the same data options")

    expect(theirs.task == config.task, f"a run of {theirs.task}", f"one of {config.task}")
    for field in ("inputs", "neighbours", "denoise", "shell", "axis"):
        there, here = (c.data.get(field, False) for c in (theirs, config))
        expect(there == here, f"data.{field} {there}", f"{here}")
    expect(len(table) == len(gtab) and np.max(compare(table.bvecs, gtab.bvecs)) < leakage.SAME_AXIS,
           "other directions", "those of the training subjects, in their order")
    expect(about["subjects"]["origin"] == members.origin and not members.within_subject,
           f"a run on {about['subjects']['origin']}", f"one on the subjects of {members.origin}")
    parts = {part: {m.files.name for m in getattr(members, part)}
             for part in ("train", "validation", "test")}
    parts["train"] |= set(about["subjects"]["train"])
    leakage.check_subjects(parts, place)

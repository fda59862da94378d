"""Runs that another run builds on: what teaches its networks, and what they start from."""

import hashlib
from pathlib import Path

import jax
import numpy as np

from dwijax import leakage
from dwijax.directions import compare
from dwijax.errors import InputError
from dwijax.training import run
from dwijax.training.restore import restore_run
from dwijax.training.settings import ANCESTORS


def ancestors(config):
    """Word to folder of the runs that a config builds on."""
    found = {}
    for word, field in ANCESTORS.items():
        room, name = field.split(".")
        if place := config[room].get(name):
            found[word] = place
    return found


def fingerprint(place):
    """SHA-256 of a run's parameters: what was built on it goes on with the same ones only.

    Raises:
      InputError: no such run.
    """
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(restore_run(place)[4]):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def learnt_from(config):
    """Names of the subjects that the runs that a config builds on were trained on."""
    return {name for place in ancestors(config).values()
            for name in run.read(place)[3]["subjects"]["train"]}


def restore(word, place, config, members, gtab):
    """`dwijax.training.restore.restore_run` of a run that another may build on.

    Args:
      word: a key of :data:`dwijax.training.settings.ANCESTORS`.
      place: folder of the run; an exported one does not tell its subjects' names.
      config: of the run that builds on it. members: its `dwijax.data.cohort.Cohort`.
      gtab: table of its shell.

    Raises:
      InputError: no such run; one of other inputs, directions or data, or that was trained on
        validation or test subjects.
    """
    flag = f"--config.{ANCESTORS[word]}"
    if Path(place).is_file():
        raise InputError(flag, found=f"{place}: a file",
                         expected="the folder of a run, which names the subjects it learnt from",
                         remedy="give the --workdir of its training")
    found = restore_run(place)
    theirs, table, *_, about = found

    def expect(same, found, expected):
        if not same:
            raise InputError(flag, found=f"{place}: {found}", expected=expected,
                             remedy="train one with the same data options")

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
    return found

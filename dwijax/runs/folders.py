"""A run's folder: what is in it, and how it is read again.

    config.json     how it began: config, versions, normalisation, gradient table, subjects; written
                    once, never altered (what may change later, a checkpoint tells)
    calibration.json  learnt after the last step, with its checksum
    metrics.jsonl   one object a line; tensorboard/ holds the same
    checkpoints/    newest steps, each with a checksum
    tables/, figures/, report written by eval.py
"""

import hashlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dwijax import config as settings
from dwijax.data.whitening import Whitening
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.output import whole
from dwijax.runs import description, export
from dwijax.schema import read_json, validate
from dwijax.tasks import calibration

PACKAGES = ("dwijax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "dipy",
            "nibabel")


_REMEDY = "copy the run's description again from where it was trained, or train again"
LEARN = "run train.py again with this --workdir (--noevaluate does): it is learnt there"


# What may change while a run goes on: how far, how often it looks up, on what devices.
FREE = ("steps", "log_every", "validate_every", "checkpoint_every", "checkpoint_keep", "memory_gb",
        "placement", "mesh_directions", "deterministic", "data.stream")


def versions():
    """Of what computes, by package."""
    return {p: version(p) for p in PACKAGES} | {"python": platform.python_version()}


def describe(config, gtab, inputs, b0s, spread, scales, whitening, domain, members, left_out=()):
    """Everything about a run but its parameters, as JSON-able objects.

    Args:
      config: nested dict. gtab: table of the shell, without b0s.
      inputs: positions of the inputs in it, ``[q]``. b0s: number of b0s.
      spread: of the subjects' own tables (`dwijax.gradients.matching.spread`).
      scales: name of a training subject to its scale.
      whitening: of the input channels, or None.
      domain: of the training subjects (`dwijax.data.domain.join`).
      members: names by split.
      left_out: positions of directions that are no targets, as they repeat an input.
    """
    return {
        "config": config,
        "versions": versions(),
        "seed": config["seed"],
        "normalisation": {
            "rule": "DWIs and b0 of a subject are divided by one scale from its b0 in the mask",
            "training_scales": scales,
            "whitening": whitening and {k: v.tolist() for k, v in whitening._asdict().items()},
            "whitening_from": {"directions": [int(i) for i in inputs],
                               "subjects": members["train"]},
        },
        "table": {"bvals": gtab.bvals.tolist(), "bvecs": gtab.bvecs.tolist(), "b0s": b0s,
                  "inputs": len(inputs), "left_out": list(left_out), "spread": spread},
        "domain": domain,
        "subjects": members,
    }


def read_if_begun(workdir, config):
    """The description of the run in a folder; None where none has begun.

    Args:
      config: nested dict, what is asked for.

    Raises:
      InputError: the folder holds a run of a config that differs in more than `FREE`, or none that
        can be read.
    """
    path = Path(workdir) / "config.json"
    if not os.path.lexists(path):
        if os.path.lexists(workdir) and not Path(workdir).is_dir():
            raise InputError(workdir, found="a file", expected="a folder to make or go on in",
                             remedy="give another --workdir")
        return None
    about = read(workdir)[-1]
    differences = [f"{name} {there!r} instead of {asked!r}"
                   for name, there, asked in _differences(about["config"], config)
                   if name not in FREE]
    if differences:
        raise InputError(path, found="another config: " + ", ".join(differences),
                         expected="the config asked for", remedy="give another --workdir")
    return about


def check_data(workdir, about, gtab, b0s, scales):
    """Refuses to go on with data that are read otherwise than when the run began.

    Args:
      about: its description. gtab, b0s, scales: as of `describe`, found now.

    Raises:
      InputError: the table or a subject's scale is another.
    """
    table, known = about["table"], about["normalisation"]["training_scales"]
    same = (table["b0s"] == b0s and len(table["bvals"]) == len(gtab)
            and np.allclose(table["bvals"], gtab.bvals) and np.allclose(table["bvecs"], gtab.bvecs))
    others = [name for name, scale in scales.items()
              if not np.isclose(scale, known.get(name, 0), rtol=1e-4)]
    if others or not same:
        raise InputError(
            Path(workdir) / "config.json",
            found=f"another scale of {', '.join(others[:8])}" if others else "another table",
            expected="that of the data now", remedy="train another run: give another --workdir")


def calibration_of(workdir, step):
    """The calibration of a step's networks, as `dwijax.tasks.calibration.SPEC` has it, or None.

    Raises:
      InputError: it is damaged.
    """
    path = Path(workdir) / "calibration.json"
    if not os.path.lexists(path):
        return None
    there = read_json(path, expected="a run's calibration", remedy=LEARN)
    validate(there, calibration.SPEC | {"checksum": str}, path, remedy=LEARN)
    if there.pop("checksum") != _checksum(there):
        raise InputError(path, found="contents that its checksum does not fit",
                         expected="the calibration as it was learnt", remedy=LEARN)
    return there if there["step"] == step else None


def write_calibration(workdir, learnt):
    """Writes ``calibration.json``; under a temporary name first."""
    with whole(Path(workdir) / "calibration.json") as path:
        path.write_text(json.dumps(learnt | {"checksum": _checksum(learnt)}) + "\n")


def write(workdir, about):
    """Writes ``config.json`` of a run that begins; under a temporary name first."""
    Path(workdir).mkdir(parents=True, exist_ok=True)
    with whole(Path(workdir) / "config.json") as path:
        path.write_text(json.dumps(about) + "\n")


def read(workdir):
    """``(config, gtab, whitening, about)`` of a run, from its folder or an exported file.

    Raises:
      InputError: no run there, or a description with a field that is missing, unknown, of another
        type or out of range.
    """
    if Path(workdir).is_file():
        return parse(export.read(workdir)[0], workdir)
    path = Path(workdir) / "config.json"
    return parse(read_json(path, expected="a run's description",
                           remedy="give the --workdir that train.py was given"), path)


def parse(about, where):
    """``(config, gtab, whitening, about)`` from what `describe` made.

    Raises:
      InputError: naming the field of ``where`` that is not as it must be.
    """
    description.check(about, where, remedy=_REMEDY)
    config = settings.from_json(about["config"])
    table = about["table"]
    gtab = GradientTable(np.asarray(table["bvals"]), np.asarray(table["bvecs"]),
                         config.data.b0_threshold)
    settings.input_positions(config, gtab, f"{where}, field config.data.inputs")
    return config, gtab, whitening_of(about), about


def whitening_of(about):
    """`Whitening` of a description, or None."""
    found = about["normalisation"]["whitening"]
    return found and Whitening(**{k: np.asarray(v, np.float32) for k, v in found.items()})


def _differences(a, b, prefix=""):
    for key in sorted(set(a) | set(b)):
        if isinstance(a.get(key), dict) and isinstance(b.get(key), dict):
            yield from _differences(a[key], b[key], f"{prefix}{key}.")
        elif a.get(key) != b.get(key):
            yield f"{prefix}{key}", a.get(key), b.get(key)


def _checksum(learnt):
    return hashlib.sha256(json.dumps(learnt, sort_keys=True).encode()).hexdigest()

"""A run's folder: what is in it, and how it is read again.

    config.json     the config, versions, seed, normalisation and gradient table
    metrics.jsonl   one object a line; tensorboard/ holds the same
    checkpoints/    newest steps, each with a checksum
    tables/, figures/, report written by eval.py
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import ml_collections
import numpy as np

from dwijax.data.whitening import Whitening
from dwijax.errors import InputError
from dwijax.gradients import B0_THRESHOLD, GradientTable
from dwijax.output import whole
from dwijax.schema import read_json
from dwijax.training import description, export, settings

PACKAGES = ("dwijax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "dipy",
            "nibabel")


_REMEDY = "copy the run's description again from where it was trained, or train again"


def describe(config, gtab, inputs, b0s, spread, scales, whitening, domain, members, left_out=()):
    """Everything about a run but its parameters, as JSON-able objects.

    Args:
      config: nested dict. gtab: table of the shell, without b0s.
      inputs: positions of the inputs in it, ``[q]``. b0s: number of b0s.
      spread: of the subjects' own tables (`dwijax.data.tables.spread`).
      scales: name of a training subject to its scale.
      whitening: of the input channels, or None.
      domain: of the training subjects (`dwijax.data.domain.join`).
      members: names by split.
      left_out: positions of directions that are no targets, as they repeat an input.
    """
    return {
        "config": config,
        "versions": {p: version(p) for p in PACKAGES} | {"python": platform.python_version()},
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


def open_folder(workdir, config):
    """Makes the folder, or makes sure that it is this config's.

    Args:
      config: nested dict.

    Raises:
      InputError: the folder holds a run of another config.
    """
    path = Path(workdir) / "config.json"
    if path.exists():
        there = json.loads(path.read_text())["config"]
        if there != config:
            raise InputError(
                path, found="another config: " + ", ".join(_differences(there, config)),
                expected="the config asked for", remedy="give another --workdir")
    elif Path(workdir).exists() and not Path(workdir).is_dir():
        raise InputError(workdir, found="a file", expected="a folder to make or go on in",
                         remedy="give another --workdir")


def calibration_of(workdir, step):
    """``{"calibration": ...}`` as it is in the run's folder, if it is that of this step."""
    path = Path(workdir) / "config.json"
    there = json.loads(path.read_text()).get("calibration") if path.exists() else None
    return {"calibration": there} if isinstance(there, dict) and there.get("step") == step else {}


def write(workdir, about):
    """Writes ``config.json``; under a temporary name first."""
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
    config = ml_collections.ConfigDict(about["config"])
    settings.check(config, str(where), remedy=_REMEDY)
    table, whitening = about["table"], about["normalisation"]["whitening"]
    gtab = GradientTable(np.asarray(table["bvals"]), np.asarray(table["bvecs"]),
                         config.data.get("b0_threshold", B0_THRESHOLD))
    settings.input_positions(config, gtab, f"{where}, field config.data.inputs")
    return config, gtab, whitening and Whitening(
        **{k: np.asarray(v, np.float32) for k, v in whitening.items()}), about


def _differences(a, b, prefix=""):
    for key in sorted(set(a) | set(b)):
        if isinstance(a.get(key), dict) and isinstance(b.get(key), dict):
            yield from _differences(a[key], b[key], f"{prefix}{key}.")
        elif a.get(key) != b.get(key):
            yield f"{prefix}{key} {a.get(key)!r} instead of {b.get(key)!r}"

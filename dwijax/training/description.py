"""What a run's description (``config.json``, the head of an exported file) must look like.

A field of a config stands here and in ``configs/``: what is not here is refused, on the command
line as in a file.
"""

import math

from dwijax import calibration
from dwijax.data.domain import PROBABILITIES
from dwijax.data.layouts import LAYOUTS
from dwijax.models.unet import ACTIVATIONS
from dwijax.schema import Such, in_words, validate
from dwijax.training import map_regression, optimizers, placement

MOST = 2**31 - 1  # steps, slices and seeds are int32 on devices
NETWORKS = ("unet", "superdti")
TASKS = ("direction_synthesis", "map_regression")


def check_config(config, where, *, remedy, path=""):
    """Refuses a config with a field that is missing, unknown or of another type or range.

    Args:
      config: nested dict with lists for tuples, as JSON has it.
      where, remedy, path: as of `dwijax.schema.validate`.

    Raises:
      InputError: naming the field.
    """
    told = {"where": where, "remedy": remedy, "path": path}
    validate(config, {"task": one_of(*TASKS), "model": {"name": one_of(*NETWORKS), str: object},
                      str: object}, **told)
    validate(config, _config(config["task"], config["model"]["name"]), **told)


def check(about, where, *, remedy):
    """Refuses a run's description that is none.

    Args:
      about: as `json.loads` returns it. where, remedy: as of `dwijax.schema.validate`.

    Raises:
      InputError: naming the field.
    """
    validate(about, RUN, where, remedy=remedy)
    check_config(about["config"], where, remedy=remedy, path="config")
    whitening = about["normalisation"]["whitening"]
    if whitening:
        c = len(whitening["mean"])
        validate(whitening["matrix"], array(c, c), where, remedy=remedy,
                 path="normalisation.whitening.matrix")
    for part in PARTS if "scans" in about else ():
        count = len(about["subjects"][part])
        validate(about["scans"]["chosen"][part], listed(object, count, count), where,
                 remedy=remedy, path=f"scans.chosen.{part}")
    validate(about["table"]["bvecs"], array(len(about["table"]["bvals"]), 3), where, remedy=remedy,
             path="table.bvecs")
    validate(about["table"]["inputs"], Such(
        int, lambda n: n == about["config"]["data"]["inputs"],
        f"{about['config']['data']['inputs']}, as config.data.inputs says"), where, remedy=remedy,
        path="table.inputs")


def one_of(*names):
    """One of some names, or of some whole numbers."""
    return Such(type(names[0]), lambda v: v in names, "one of " + ", ".join(map(str, names)))


def whole(least=0, most=MOST):
    """A whole number of a range."""
    words = f"a whole number from {least}" + (f" to {most}" if most < MOST else "")
    return Such(int, lambda v: least <= v <= most, words)


def number(least=0.0, most=1e6):
    """A number of a range: JAX takes one beyond int32, where it is whole, for a fault."""
    return Such(float, lambda v: least <= v <= most, f"a number from {least:g} to {most:g}")


def listed(spec, least=0, most=None):
    """A list of so many."""
    words = f"a list of {least}" + ("" if most == least else " or more" if most is None
                                    else f" to {most}")
    return Such([spec], lambda v: least <= len(v) and (most is None or len(v) <= most),
                words if least or most is not None else in_words([spec]))


def array(*shape):
    """Nested lists of finite numbers; None in the shape is any length from 1."""
    if not shape:
        return float
    return listed(array(*shape[1:]), shape[0] or 1, shape[0])


COUNT = whole(1)
POSITIVE = Such(float, lambda v: 0 < v <= 1e6, "a number above 0, to 1e6")
DECAY = Such(float, lambda v: 0 <= v < 1, "a number from 0 to below 1")
SHARE = number(0, 1)

_DATA = {
    "layout": one_of(*LAYOUTS, "store"), "root": Such(str, lambda v: "\0" not in v, "a path"),
    "shell": Such(float, lambda v: 0 < v <= 1e5, "a b-value in s/mm²"), "inputs": whole(1, 10_000),
    "b0": bool, "axis": one_of(0, 1, 2), "split": listed(SHARE, 3, 3), "within_subject": bool,
    "stream": one_of("auto", "always", "never"), "b0_threshold?": number(0, 1e5),
    "drop_repeated?": bool, "skip_bad?": bool,
}
_DIRECTION_DATA = {
    "neighbours": whole(0, 100), "denoise": bool, "denoise_targets": bool, "clean_targets": bool,
    "slices": Such([COUNT], lambda v: len(v) in (0, 2),
                   "(), or the numbers of training and of validation slices"),
    "neighbours_order?": one_of(0, 2, 4, 6, 8), "subjects?": whole(), "resample?": bool,
}
_MAP_DATA = {"choose": one_of("first", "optimal"), "added_noise": number()}
_PHANTOM = {
    "subjects": listed(whole(0, 10**6), 3, 3), "shifted_subjects": whole(0, 10**6),
    "shape": listed(whole(4, 10**4), 3, 3), "voxel_size": number(0.5, 6),
    "directions": whole(1, 10_000), "seed": whole(), "snr": POSITIVE, "lesions": bool,
    "averages": whole(1, 1000), "b0s": whole(1, 1000),
}
_MODEL = {
    "name": one_of(*NETWORKS), "width": whole(1, 4096), "dtype": one_of("float32", "bfloat16"),
    "whiten": bool, "output_scale": POSITIVE, "zero_output": bool,
}
_UNET = {
    "levels": whole(1, 8), "convolutions": whole(1, 16), "first_kernel": whole(1, 31),
    "norm": one_of("none", "group"), "activation": one_of(*ACTIVATIONS),
    "expansion?": whole(0, 64), "head_width?": whole(0, 1024),
}
_DIRECTION_MODEL = {
    "residual": one_of("none", "mean", "sh", "tensor"), "joint": bool,
    "sh_order": one_of(*range(0, 17, 2)), "sh_weight": number(), "sh_log": bool,
}
_OPTIMIZER = {
    "name": one_of(*optimizers.NAMES), "learning_rate": POSITIVE, "decay": number(),
    "momentum": DECAY, "weight_decay": number(), "clip": number(), "ema": DECAY,
}
_COMMON = {
    "task": one_of(*TASKS), "seed": whole(), "optimizer": _OPTIMIZER,
    **dict.fromkeys(("batch", "stride", "steps", "log_every", "validate_every",
                     "checkpoint_every", "checkpoint_keep"), COUNT),
    "patch": whole(), "freeze_after": whole(), "placement": one_of(*placement.KINDS),
    "mesh_directions": whole(), "memory_gb": number(0, 1e6), "deterministic": bool,
    "select": one_of("last", "best"),
}
_DIRECTIONS = {
    "augment": {"noise": number()},
    "loss": {"fa_weight": number(), "fa_reference": one_of("all", "targets"),
             "fa_correction": SHARE},
    "trunk?": {"steps": whole(), "batch": COUNT, "learning_rate": POSITIVE,
               "weight_decay": number(), "optimizer?": one_of(*optimizers.NAMES)},
    "calibrate?": bool,
}
_MAPS = {"targets": Such([one_of(*map_regression.TARGETS)],
                         lambda v: v and len(set(v)) == len(v), "different maps"),
         "seeds": whole(1, 10_000)}


def _config(task, name):
    """The specification of a config of a task and a network."""
    directions = task == TASKS[0]
    model = _MODEL | (_UNET if name == "unet" else _optional(_UNET))
    if directions:
        model |= _DIRECTION_MODEL
    else:
        model["residual"] = one_of("none", "projection", "fit")
    return _COMMON | (_DIRECTIONS if directions else _MAPS) | {
        "data": _DATA | (_DIRECTION_DATA if directions else _MAP_DATA),
        "model": model, "phantom": _optional(_PHANTOM)}


def _optional(fields):
    return {name.removesuffix("?") + "?": spec for name, spec in fields.items()}


def check_phantom(phantom, where, *, remedy, path=""):
    """Refuses settings with which no phantom can be simulated, as `check_config`."""
    needed = ("subjects", "shape", "voxel_size", "directions", "seed")
    validate(phantom, _optional(_PHANTOM) | {name: _PHANTOM[name] for name in needed}, where,
             remedy=remedy, path=path)


_ANGLE = number(0, 180)
_RANGES = {"b": 1, "voxel size": 3, "SNR": 1, "b0": len(PROBABILITIES),
           "mean DWI": len(PROBABILITIES)}
_NAMES = [str]
PARTS = ("train", "validation", "test")
_DIGESTS = {str: {"sha256": str, "stat": str}}
_CHOSEN = Such([(None, whole(), [whole()])], lambda v: len(v) == 2 and not isinstance(v[0], int)
               and not isinstance(v[1], list), "slice numbers or null, and their count or null")

RUN = {
    "config": {str: object},
    "versions": {str: str},
    "seed": whole(),
    "normalisation": {
        "rule": str, "training_scales": {
            str: Such(float, lambda v: 0 < v < 1e30, "a number above 0")},
        "whitening": (None, {"mean": array(None), "matrix": array(None, None)}),
        "whitening_from": {"directions": [whole()], "subjects": _NAMES},
    },
    "table": {
        "bvals": listed(Such(float, lambda v: 0 < v <= 1e5, "a b-value in s/mm²"), 1),
        "bvecs": listed(Such([float], lambda v: len(v) == 3 and abs(math.hypot(*v) - 1) < 0.01,
                             "a unit vector"), 1),
        "b0s": COUNT, "inputs": COUNT, "left_out?": [whole()],
        "spread": {"subjects": COUNT, "median_angle": _ANGLE, "largest_angle": _ANGLE,
                   "worst_subject": str, "largest_turn": _ANGLE},
    },
    "domain": {"subjects?": whole(), "probabilities?": array(len(PROBABILITIES)),
               **{f"{name}?": {"least": array(n), "most": array(n)}
                  for name, n in _RANGES.items()}},
    "subjects": {"train": listed(str, 1), "validation": _NAMES, "test": _NAMES,
                 "within_subject": bool, "origin": str, "made_like?": _NAMES},
    # Of a run's folder; what is exported does not tell.
    "scans?": {
        "chosen": {part: [_CHOSEN] for part in PARTS},
        "files": {str: _DIGESTS}, "shifted?": {str: _DIGESTS},
    },
    "calibration?": calibration.SPEC,
    "training?": {"steps?": whole(), "loss?": float, "validation_loss?": float},
    "card?": str,
}

"""What a run's description (``config.json``, the head of an exported file) must look like."""

import math

from dwijax import config
from dwijax.data.domain import PROBABILITIES
from dwijax.schema import COUNT, Such, array, listed, number, validate, whole
from dwijax.tasks import calibration


def check(about, where, *, remedy):
    """Refuses a run's description that is none.

    Args:
      about: as `json.loads` returns it. where, remedy: as of `dwijax.schema.validate`.

    Raises:
      InputError: naming the field.
    """
    validate(about, RUN, where, remedy=remedy)
    config.check(about["config"], where, remedy=remedy)
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

"""Frames that the vectors of a map may be in, and which of them the JSON beside a map tells.

======= =============================== ======================================== ================
frame   components along                written by                               ReferenceAxes
======= =============================== ======================================== ================
scanner RAS+ mm                         dwijax, MRtrix3                          ``xyz``
fsl     voxel axes, the first reversed  FSL, ``dwijax fit --naming fsl``, dipy   ``bvec``
        where det(affine) > 0
array   voxel axes                                                               ``ijk``
======= =============================== ======================================== ================
"""

import re
from pathlib import Path

import numpy as np

from dwijax.errors import InputError
from dwijax.gradients import fsl_to_array, fsl_to_world
from dwijax.schema import read_json

SCANNER, FSL, ARRAY = "scanner", "fsl", "array"
IN_WORDS = {SCANNER: "scanner, RAS+ mm", FSL: "FSL image space", ARRAY: "voxel axes"}
_AXES = {"xyz": SCANNER, "bvec": FSL, "ijk": ARRAY}  # of BIDS derivatives
_ENTITY = re.compile(r"([A-Za-z0-9]+)-([A-Za-z0-9+]+)")


def stated_frame(path: Path) -> tuple[str | None, Path | None]:
    """The frame that the JSON beside a map of vectors tells.

    Looked at, in this order: the sidecars of BIDS that apply to it, from the nearest on, then
    ``fit.json`` and ``maps.json``, where they list the file or list none.

    Args:
      path: of the map.

    Returns:
      ``(frame, Path of the JSON)``, ``(None, None)`` where nothing is told.

    Raises:
      InputError: a JSON cannot be read, or tells a frame that is none of these.
    """
    path = Path(path)
    stem = _stem(path)
    param = dict(_ENTITY.findall(stem)).get("param")
    sidecars = [p for p in path.parent.glob("*.json") if _applies(p.stem, stem)]
    sidecars.sort(key=lambda p: (-len(p.stem.split("_")), p.name))
    for sidecar in sidecars:
        content = _read(sidecar)
        for fields in (content, content.get(param)):
            if isinstance(fields, dict) and "ReferenceAxes" in fields:
                return _known(fields["ReferenceAxes"], _AXES, sidecar, "ReferenceAxes"), sidecar
    own = {words: frame for frame, words in IN_WORDS.items()}
    for sidecar in (*sidecars, path.with_name("fit.json"), path.with_name("maps.json")):
        if sidecar.is_file():
            content = _read(sidecar)
            listed = content.get("files")
            names = {_stem(Path(str(name))) for name in listed.values()} if isinstance(
                listed, dict) else {stem}
            if "frame" in content and stem in names:
                return _known(content["frame"], own, sidecar, "frame"), sidecar
    return None, None


def to_scanner(frame: str, affine: np.ndarray) -> np.ndarray:
    """Matrix ``[3, 3]`` from a frame to RAS+: ``world = vectors @ matrix.T``.

    Args:
      frame: one of `IN_WORDS`. affine: ``[4, 4]`` of the image that the vectors are stored in.
    """
    if frame == SCANNER:
        return np.eye(3)
    if frame == FSL:
        return fsl_to_world(affine)
    return fsl_to_world(affine) @ fsl_to_array(affine)


def frames_agree(affine: np.ndarray) -> bool:
    """Whether vectors, which have no sign, are the same in the scanner's frame and in FSL's: in
    images stored LPI or RPI that are not oblique, whose FSL axes are opposite to the scanner's."""
    return np.allclose(to_scanner(FSL, affine), -np.eye(3), atol=1e-3)


def _applies(sidecar, stem):
    """Whether a JSON of this stem is of the map of that one: the same, or, by BIDS's principle of
    inheritance, with the same suffix and no other entities."""
    *entities, suffix = sidecar.split("_")
    *wanted, own = stem.split("_")
    return sidecar == stem or (
        suffix == own and bool(entities) and set(entities) <= set(wanted)
        and all(_ENTITY.fullmatch(entity) for entity in entities))


def _known(value, choices, where, field):
    if not isinstance(value, str) or value not in choices:
        raise InputError(where, found=f"{field} {str(value)[:40]!r}",
                         expected=f"one of {', '.join(choices)}",
                         remedy="mend it, or give --frame")
    return choices[value]


def _read(path):
    content = read_json(path, expected="a JSON file", remedy="mend or remove it, or give --frame")
    return content if isinstance(content, dict) else {}


def _stem(path):
    return path.name.removesuffix(".gz").removesuffix(".nii")

"""What the JSON beside a scan tells of how its volumes came about."""

import itertools
import json
import re
from pathlib import Path

from dwijax.data.bids import applicable
from dwijax.errors import InputError, warn, warn_once
from dwijax.schema import read_json

# Denoisers that mix volumes, as commands and sidecars name them.
_JOINT = re.compile(r"dwidenoise|\b(mp|l|local|gen)-?pca|nordic|patch2self|patch-to-self",
                    re.IGNORECASE)
_DENOISING = re.compile(r"denois", re.IGNORECASE)
_NONE = (None, False, "", "none", "None", [], {})


def check_sidecar(files):
    """The scan's JSON sidecars, where there are any, tell of nothing that mixed volumes.

    Looked at are keys with "denois" in them (``"Denoising": "none"`` and a list of ``Volumes`` with
    a per-volume method such as non-local means are fine), the command history that MRtrix3 keeps,
    and the record that ``dwijax predict`` leaves with synthetic volumes. In a BIDS dataset
    inherited sidecars count too, the nearest last. One that cannot be read is told in a line.

    Args:
      files: `SubjectFiles`.

    Raises:
      InputError: a sidecar tells of joint denoising or of synthetic volumes.
    """
    told = {}
    for path in reversed(list(itertools.chain.from_iterable(applicable(files.dwi, ".json")))):
        try:
            content = read_json(path, expected="a sidecar as BIDS has it", remedy="mend it")
        except InputError as error:
            warn_once(f"{path}: {error.found}, so it does not tell whether volumes were denoised "
                      "together")
            continue
        if isinstance(content, dict):
            told |= {key: (path, value) for key, value in content.items()}
    for key, (path, value) in told.items():
        if key == "synthetic_volumes" and value:
            raise InputError(
                path, found="synthetic volumes",
                expected="measured volumes only: synthetic ones are made of the inputs",
                remedy="give the scan as it was acquired")
        text = json.dumps(value)
        if value in _NONE or not (_JOINT.search(text) or (
                _DENOISING.search(key) and value is True)):
            continue
        raise InputError(
            path, found=f"{key}: {text[:80]}",
            expected="volumes that were not denoised together: it carries the targets' signal "
                     "into the inputs",
            remedy="use the scan before denoising")


def synthetic_volumes(dwi: Path, count: int, needed: bool = False) -> list[int]:
    """Positions of the volumes that the JSON beside a series calls synthetic; none without one.

    Args:
      dwi: the series. count: of its volumes.
      needed: refuse a JSON that lists none, or cannot be read, which is otherwise told in a line.

    Raises:
      InputError: what is listed are no volumes of this series; what is needed is not there.
    """
    path = dwi.with_name(dwi.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    content = None
    if path.is_file():
        try:
            content = read_json(path, expected="a JSON file", remedy="mend or remove it")
        except InputError as error:
            if needed:
                raise
            warn(f"{path}: {error.found}; all volumes are taken for measured ones")
    listed = content.get("synthetic_volumes") if isinstance(content, dict) else None
    if listed is None:
        if needed:
            raise InputError(
                path,
                found="no list of synthetic volumes",
                expected="the JSON that dwijax predict writes beside its series",
                remedy="leave out --measured-only if all volumes are measured",
            )
        return []
    if not (isinstance(listed, list) and all(
            isinstance(m, int) and 0 <= m < count for m in listed)):
        raise InputError(path, found=f"synthetic_volumes {str(listed)[:60]}",
                         expected=f"a list of volumes, 0 to {count - 1}",
                         remedy="give the JSON of this series")
    return listed

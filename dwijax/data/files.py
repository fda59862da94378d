"""The files of one subject: which they are, and names that serve everywhere."""

import os
from dataclasses import dataclass
from pathlib import Path

from dwijax.errors import InputError, warn_once

_LONGEST_NAME = 200  # bytes; file systems take 255, and names of temporary files are longer


@dataclass(frozen=True)
class SubjectFiles:
    """The files of one scan.

    Attributes:
      name: the subject's, unique among those found together and a plain name (`check_name`).
      dwi: NIfTI series.
      bval: FSL b-values.
      bvec: FSL directions.
      mask: NIfTI mask, or None to make one.
      truth: folder with the phantom's truth, or None.
      grad_dev: NIfTI with FSL's gradient deviations, or None.
      family: what no split may tear apart: the person of several scans, relatives; None: nobody.
      split: ``train``, ``validation`` or ``test`` where a manifest says so, or None.
      b0_threshold: s/mm², of its b0s (`dwijax.gradients.read_gradients`).
    """

    name: str
    dwi: Path
    bval: Path
    bvec: Path
    mask: Path | None = None
    truth: Path | None = None
    grad_dev: Path | None = None
    family: str | None = None
    split: str | None = None
    b0_threshold: float | None = 50.0  # gradients.B0_THRESHOLD, whose import takes numpy


def check_name(name, where):
    """Refuses a subject's name that cannot be the name of a folder everywhere.

    Args:
      name: str. where: what an error names.

    Raises:
      InputError: it is empty, ``.`` or ``..``, holds a slash, a backslash or a control character,
        is longer than 200 bytes or no UTF-8.
    """
    found = None
    try:
        length = len(name.encode())
        if length > _LONGEST_NAME:
            found = f"a name of {length} bytes"
        elif name in ("", ".", "..") or name != name.strip() or any(
                c in "/\\\x7f" or c < " " for c in name):
            found = repr(name)
    except UnicodeEncodeError:
        found = f"{name[:60]!a}, which is no UTF-8"
    if found:
        raise InputError(
            where, found=found, expected="a subject's name without slashes and control characters, "
            f"of at most {_LONGEST_NAME} bytes", remedy="rename it")


def check_present(path):
    """Refuses a file that is not on this disk, though its name is.

    Raises:
      InputError: it is a link whose target is missing, a folder, a pipe or a device.
    """
    if os.path.isfile(path):
        return
    if os.path.islink(path):
        raise InputError(path, found="a link to nothing", expected="a file",
                         remedy="fetch it (datalad get, git annex get) or mend the link")
    found = "a folder" if os.path.isdir(path) else "a pipe or a device"
    raise InputError(path, found=found if os.path.lexists(path) else "no such file",
                     expected="a file", remedy="check the file name")


def folders_in(folder):
    """The folders in a folder that are not hidden, sorted; a line tells of links to nothing."""
    found = sorted(f for f in folder.iterdir() if not f.name.startswith("."))
    for path in found:
        if path.is_symlink() and not path.exists():
            warn_once(f"{path}: a link to nothing, passed over")
    return [path for path in found if path.is_dir()]

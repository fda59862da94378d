"""A slice store's description, ``store.json``: what is in it, written and read again.

A checksum covers every byte of it, and it holds those of what zarr wrote about its arrays
(``zarr.json``). The arrays have their own.
"""

import hashlib
import json
import os
from pathlib import Path

from dwijax.data.files import check_name
from dwijax.data.manifest import SPLITS
from dwijax.errors import InputError
from dwijax.schema import Such, parse_json, read_bytes, validate

FORMAT, VERSION = "dwijax slice store", 2
SIDECAR = "store.json"
PARTS = ("train", "validation")  # with slices; "test" is listed
ARRAYS = ("b0", "dwi", "mask")
FILES = ("dwi", "bval", "bvec", "mask", "truth", "grad_dev")
REMEDY = "make it again with dwijax prepare"
_EXPECTED = "a slice store"

# The file begins with the checksum, which is that of the file with zeros in its place.
_BEFORE, _DIGITS = b'{"checksum": "', 64


def _plain(name):
    try:
        check_name(name, "")
    except InputError:
        return False
    return True


def _path(path):
    try:
        return path and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


_NAME = Such(str, _plain, "a plain name")
_PATH = Such(str, _path, "the path of a file")
_COUNT = Such(int, lambda n: n > 0, "an integer above 0")
_INDEX = Such(int, lambda n: n >= 0, "an integer of 0 or more")
# Within what float32 holds, squares included.
_POSITIVE = Such(float, lambda x: 1e-18 < x < 1e18, "a number above 0")
_BVALUE = Such(float, lambda b: 0 < b < 1e6, "a b-value in s/mm²")


def _row(spec, length, words):
    return Such([spec], lambda row: len(row) == length, words)


_UNIT = Such(_row(float, 3, "three numbers"), lambda v: abs(sum(x * x for x in v) - 1) < 1e-3,
             "a unit vector")
_LISTED = {
    "name": _NAME,
    "files": {"dwi": _PATH, "bval": _PATH, "bvec": _PATH, "mask": (None, _PATH),
              "truth": (None, _PATH), "grad_dev": (None, _PATH), "family": (None, str),
              "split": (None, Such(str, SPLITS.__contains__, f"one of {', '.join(SPLITS)}")),
              "b0_threshold": Such(float, lambda b: 0 <= b < 1e6, "a b-value in s/mm²")},
    "slices": (None, [_INDEX]),
}
_STORED = _LISTED | {
    "shape": _row(_COUNT, 4, "four integers above 0"),
    "positions": [_INDEX],
    "extents": [_row(_row(_INDEX, 2, "two integers"), 2, "two pairs of integers")],
    "scale": _POSITIVE,
    "b0s": _COUNT,
    "bvals": [_BVALUE],
    "bvecs": [_UNIT],
}
_SOME = Such([_STORED], len, "at least one subject")
_ABOUT = {
    "checksum": str,
    "format": str,
    "version": int,
    "shell": _BVALUE,
    "axis": Such(int, lambda axis: axis in (0, 1, 2), "0, 1 or 2"),
    "within_subject": bool,
    "origin": str,
    "subjects": {"train": _SOME, "validation": _SOME, "test": [_LISTED]},
    "files": {str: _INDEX},
    "headers": {str: str},
}


def write_description(folder, about):
    """Writes ``store.json`` of a folder that is complete but for it.

    Args:
      folder: path. about: shell, axis, within_subject, origin and subjects.

    Returns:
      Bytes of the other files.
    """
    found = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    files = {str(file.relative_to(folder)): file.stat().st_size for file in found}
    headers = {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
               for file in found if file.name == "zarr.json"}
    seal(folder / SIDECAR, {"format": FORMAT, "version": VERSION, **about, "files": files,
                            "headers": headers})
    return sum(files.values())


def seal(path, about):
    """Writes a description with the checksum of its bytes in front."""
    rest = b'", ' + json.dumps(about).encode()[1:] + b"\n"
    digits = hashlib.sha256(_BEFORE + b"0" * _DIGITS + rest).hexdigest()
    path.write_bytes(_BEFORE + digits.encode() + rest)


def read_description(path):
    """Reads and checks the ``store.json`` of a store.

    Args:
      path: folder of the store.

    Returns:
      dict of shell, axis, within_subject, origin and subjects.

    Raises:
      InputError: there is none, it is of another version, a byte of it was altered, a field is not
        what it should be, or files are missing or altered.
    """
    sidecar = Path(path) / SIDECAR
    content = read_bytes(sidecar, expected=_EXPECTED, remedy="make one with dwijax prepare")
    about = parse_json(content, sidecar, expected=_EXPECTED, remedy=REMEDY)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputError(sidecar, found="not a store's description", expected=_EXPECTED,
                         remedy=REMEDY)
    if about.get("version") != VERSION:
        raise InputError(sidecar, found=f"version {about.get('version')!s:.20}",
                         expected=f"{FORMAT}, version {VERSION}", remedy=REMEDY)
    end = len(_BEFORE) + _DIGITS
    blank = _BEFORE + b"0" * _DIGITS + content[end:]
    if content[:end] != _BEFORE + hashlib.sha256(blank).hexdigest().encode():
        raise InputError(sidecar, found="contents that its checksum does not fit",
                         expected="the description as it was written", remedy=REMEDY)
    validate(about, _ABOUT, sidecar, remedy=REMEDY)
    _check_subjects(about, sidecar)
    _check_files(Path(path), about)
    return about


def _check_subjects(about, sidecar):
    """What one field says of another."""
    def wrong(found, expected):
        raise InputError(sidecar, found=found, expected=expected, remedy=REMEDY)

    names, directions = [], about["subjects"]["train"][0]["shape"][3]
    for part, entries in about["subjects"].items():
        names += [entry["name"] for entry in entries]
        for i, entry in enumerate(entries if part in PARTS else ()):
            count, height, width, n = entry["shape"]
            for field, length in (("positions", count), ("extents", count), ("bvals", n),
                                  ("bvecs", n)):
                if len(entry[field]) != length:
                    wrong(f"subjects.{part}.{i}.{field} of length {len(entry[field])}",
                          f"{length}, as its shape says")
            if n != directions:
                wrong(f"subjects.{part}.{i}.shape of {n} directions", f"{directions}, as the first")
            if any(not low <= high < n for first, last in entry["extents"]
                   for low, high, n in zip(first, last, (height, width), strict=True)):
                wrong(f"subjects.{part}.{i}.extents beyond the slices", f"within {height}×{width}")
    twice = {name for name in names if names.count(name) > 1}
    if twice and not about["within_subject"]:
        wrong(f"the subject {min(twice)} twice", "every subject in one part")


def _check_files(path, about):
    for name, size in about["files"].items():
        file = path / name
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            raise InputError(file, found="no such file" if found is None else f"{found} bytes",
                             expected=f"{size} bytes", remedy=REMEDY)
    for name, digest in about["headers"].items():
        content = read_bytes(path / name, expected=_EXPECTED, remedy=REMEDY)
        if hashlib.sha256(content).hexdigest() != digest:
            raise InputError(path / name, found="contents that their checksum does not fit",
                             expected="the header of an array as it was written", remedy=REMEDY)

"""A cohort listed in a table of tab-separated values."""

import os
from pathlib import Path

from dwijax.data.files import SubjectFiles, check_name
from dwijax.errors import InputError
from dwijax.schema import read_bytes

_FILES = ("dwi", "bval", "bvec", "mask")
_REQUIRED = ("subject", "dwi", "bval", "bvec")
COLUMNS = (*_REQUIRED, "mask", "split", "family")
SPLITS = ("train", "validation", "test")
_LARGEST = 16 * 2**20  # bytes


def find_listed(path, bad):
    """Reads a manifest; the files it names are looked for, not opened.

    ======== =====================================================================================
    column   content
    ======== =====================================================================================
    subject  name of the scan, unique and a plain name (`dwijax.data.layouts.check_name`)
    dwi      NIfTI series; paths are relative to the folder of the manifest
    bval     FSL b-values
    bvec     FSL directions
    mask     NIfTI mask; optional, made from the b0 volumes where it is not given
    split    ``train``, ``validation`` or ``test`` for all rows, or for none: drawn then; optional
    family   what must stay together: twins, or the visits of one person; optional
    ======== =====================================================================================

    ``n/a`` counts as empty, as in BIDS.

    Args:
      path: TSV file, UTF-8, with a line of column names.
      bad: dict that takes the faults of single lines, by subject, which are then left out.

    Returns:
      list of `SubjectFiles` in the order of their names.

    Raises:
      InputError: naming line and column: a column is missing or unknown, a cell is empty, a file
        is not there, a name stands twice, a family is in two splits.
    """
    path = Path(path)
    lines = [line.split("\t") for line in _text(path).splitlines()]
    header = [cell.strip() for cell in lines[0]] if lines else []
    _check_header(path, header)
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise InputError(f"{path}, line {number}", found=f"{len(cells)} columns",
                             expected=f"{len(header)}, as the first line has",
                             remedy="separate columns by single tabs")
        values = {k: None if v in ("", "n/a") else v for k, v in zip(header, cells, strict=True)}
        name = values["subject"]
        if name is None:
            raise InputError(f"{path}, line {number}, column subject", found="nothing",
                             expected="a name", remedy="fill it in or remove the line")
        check_name(name, f"{path}, line {number}, column subject")
        try:
            rows.append((number, _row(path, number, values)))
        except InputError as error:
            bad[name] = error
    if not rows and not bad:
        raise InputError(path, found="no scan", expected="a line for each scan",
                         remedy="add the scans")
    _check_rows(path, rows, bad)
    return sorted((files for _, files in rows), key=lambda files: files.name)


def _row(path, number, values):
    for column in _REQUIRED:
        if values[column] is None:
            raise InputError(f"{path}, line {number}, column {column}", found="nothing",
                             expected="a file", remedy="fill it in or remove the line")
    for column in _FILES:
        value = values.get(column)
        if value is None:
            continue
        values[column] = path.parent / value
        if "\0" in value or not os.path.isfile(values[column]):
            raise InputError(f"{path}, line {number}, column {column}",
                             found=f"no file {values[column]!s:.200}", expected="a file",
                             remedy="correct the path; it is relative to the manifest")
    split = values.get("split")
    if split is not None and split not in SPLITS:
        raise InputError(f"{path}, line {number}, column split", found=repr(split[:40]),
                         expected=f"{', '.join(SPLITS)} or nothing", remedy="correct it")
    return SubjectFiles(
        name=values["subject"], dwi=values["dwi"], bval=values["bval"], bvec=values["bvec"],
        mask=values.get("mask"), family=values.get("family"), split=split)


def _check_header(path, header):
    unknown = [column for column in header if column not in COLUMNS]
    missing = [column for column in _REQUIRED if column not in header]
    twice = [column for column in COLUMNS if header.count(column) > 1]
    # A misspelt "family" that is passed over would tear families apart.
    for problem, columns in (("no column", missing), ("an unknown column", unknown),
                             ("twice the column", twice)):
        if columns:
            raise InputError(f"{path}, line 1", found=f"{problem} {columns[0]!r:.60}",
                             expected=f"columns out of {', '.join(COLUMNS)}, separated by tabs",
                             remedy="correct the line of column names")


def _check_rows(path, rows, bad):
    names, families = {}, {}
    first = rows[0][1].split if rows else None
    for number, files in rows:
        if files.name in bad:
            raise InputError(f"{path}, column subject", found=f"{files.name!r:.60} in two lines",
                             expected="a name for each scan",
                             remedy="name visits apart and give them the same family")
        if files.name in names:
            raise InputError(f"{path}, line {number}, column subject",
                             found=f"{files.name!r:.60}, as in line {names[files.name]}",
                             expected="a name for each scan",
                             remedy="name visits apart and give them the same family")
        names[files.name] = number
        if (files.split is None) != (first is None):
            raise InputError(f"{path}, line {number}, column split",
                             found="nothing" if files.split is None else files.split,
                             expected="a split in every line or in none",
                             remedy="fill in the column, or empty it to have it drawn")
        before, split = families.setdefault(files.family or files.name, (number, files.split))
        if split != files.split:
            raise InputError(
                f"{path}, line {number}, column split",
                found=f"{files.split}, and {split} for the same family in line {before}",
                expected="a family in one split", remedy="move one of them")


def _text(path):
    expected = "a table of tab-separated values"
    remedy = "give the manifest as the root of the data"
    content = read_bytes(path, expected=expected, remedy=remedy, largest=_LARGEST)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(path, found="bytes that are not text", expected=expected,
                         remedy=remedy) from None

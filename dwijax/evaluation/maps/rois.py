"""Regions of interest: a label image and the names of its labels."""

import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.data.subject import Subject
from dwijax.errors import InputError
from dwijax.schema import read_bytes

_LARGEST = 2**31 - 1  # label
LEAST = 100  # voxels: smaller regions are not judged
GROUPS = ("GM", "subcortical", "WM", "CSF")

_DEEP = re.compile("thalamus|caudate|putamen|pallidum|hippocampus|amygdala|accumbens|basal.?fore"
                   "brain|ventraldc", re.IGNORECASE)
_FLUID = re.compile("ventricle|csf|vent$|choroid", re.IGNORECASE)


class Roi(NamedTuple):
    """A region: its name, one of ``GROUPS`` and bool ``[V]`` over the brain's voxels."""

    name: str
    group: str
    voxels: np.ndarray


def read_rois(image_path: Path, table_path: Path, subject: Subject,
              tissue: dict[str, np.ndarray], least: int = LEAST) -> list[Roi]:
    """The regions of a subject that have at least ``least`` voxels in its brain.

    Args:
      image_path: NIfTI label image on the grid of the scan.
      table_path: its look-up table, see :func:`read_table`.
      tissue: bool ``[V]`` by ``WM``, ``GM``, ``CSF``: a region that its name does not place
        belongs to the tissue that most of its voxels are in.
      least: voxels.

    Returns:
      In the order of the labels.

    Raises:
      InputError: the image is not on the grid, or has labels that the table lacks.
    """
    labels = subject.companion(image_path, dtype=np.float64, what="label image", finite=False)
    labels = whole_labels(labels[subject.mask], image_path)
    return named_rois(labels, table_path, tissue, image_path, least)


def whole_labels(labels: np.ndarray, where: Path) -> np.ndarray:
    """Labels as int64, NaN as 0.

    Raises:
      InputError: they are no labels; ``where`` names the image.
    """
    labels = np.where(np.isnan(labels), 0, labels)
    if (np.abs(labels) > _LARGEST).any() or (np.abs(labels - np.rint(labels)) > 1e-3).any():
        raise InputError(
            where, found=f"values between {labels.min():g} and {labels.max():g} that are no labels",
            expected="whole numbers", remedy="give a label image")
    return np.rint(labels).astype(np.int64)


def named_rois(labels: np.ndarray, table_path: Path, tissue: dict[str, np.ndarray],
               image_path: Path, least: int = LEAST) -> list[Roi]:
    """The same of labels ``[V]`` in memory, that ``image_path`` is the source of."""
    names = read_table(table_path)
    present = np.unique(labels[labels != 0])
    missing = [int(n) for n in present if int(n) not in names]
    if missing:
        raise InputError(
            table_path, found=f"no name for {len(missing)} labels of {Path(image_path).name}: "
            + ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else ""),
            expected="every label of the image", remedy="add them to the table")
    rois = []
    for number in present:
        voxels = labels == number
        if voxels.sum() >= least:
            rois.append(Roi(names[int(number)], _group(names[int(number)], voxels, tissue),
                            voxels))
    return rois


def read_table(path: Path) -> dict[int, str]:
    """``{label: name}`` of a look-up table.

    Tab-separated with the columns ``index`` and ``name`` (BIDS ``_dseg.tsv``), or lines of
    ``number name ...`` (FreeSurfer's ``FreeSurferColorLUT.txt``; ``#`` begins a comment).

    Raises:
      InputError: the file cannot be read or is no such table.
    """
    content = read_bytes(path, expected="a look-up table", remedy="check the path")
    text = content.decode("utf-8-sig", "replace")  # numbers and most names are ASCII
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        if lines and "\t" in lines[0] and {"index", "name"} <= set(lines[0].split("\t")):
            rows = csv.DictReader(lines, delimiter="\t")
            names = {int(row["index"]): row["name"] for row in rows}
        else:
            names = {int(number): name for number, name, *_ in map(str.split, lines)}
        if not names or not all(names.values()):
            raise ValueError("a label without a name" if names else "no label")
        return names
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(
            path, found=f"no table of labels ({json.dumps(str(error))[:80]})",
            expected="columns index and name, or lines of number and name",
            remedy="give a BIDS _dseg.tsv or a FreeSurfer look-up table") from error


def _group(name, voxels, tissue):
    if _FLUID.search(name):
        return "CSF"
    if _DEEP.search(name):
        return "subcortical"
    return max(("GM", "WM", "CSF"), key=lambda kind: int((voxels & tissue[kind]).sum()))

"""Diffusion gradient tables: reading, writing, shells, frames.

Directions are kept as FSL keeps them: unit vectors along the axes of the stored image, the first
component reversed where the determinant of the image's affine is positive. b is in s/mm² and never
rounded; shells exist for selection only.

What a file leaves open (which volumes are b0s, what lengths of vectors mean) is decided when it is
read; every decision is a line on standard error and in the table's ``notes``.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dwijax.errors import InputError, warn_once
from dwijax.gradients.conventions import ROUNDING, by_length, lowest, named
from dwijax.gradients.directions import (
    SAME_AXIS,
    repeated,
)
from dwijax.gradients.shells import B0_THRESHOLD, shells, span
from dwijax.output import whole

_LARGEST_FILE = 16 * 2**20  # bytes; the largest real tables have a few thousand volumes


@dataclass(frozen=True, eq=False)
class GradientTable:
    """The b-value and direction of every volume.

    Attributes:
      bvals: float64 [M], s/mm², unrounded.
      bvecs: float64 [M, 3], unit, FSL image-space convention; zeros where a b0 has no direction.
      b0_threshold: s/mm²; volumes at or below it are b0s.
      notes: lines about what was decided when the table was read.

    Both arrays are checked when the table is built, and made read-only.

    Raises:
      InputError: see `read_gradients`.
    """

    bvals: np.ndarray
    bvecs: np.ndarray
    b0_threshold: float = B0_THRESHOLD
    notes: tuple = ()

    def __post_init__(self):
        bvals, bvecs = _validated(self.bvals, self.bvecs, "b-values", "directions",
                                  self.b0_threshold)
        object.__setattr__(self, "bvals", bvals)
        object.__setattr__(self, "bvecs", bvecs)

    @property
    def b0s_mask(self):
        """bool [M]: volumes with b at or below the threshold."""
        return self.bvals <= self.b0_threshold

    @property
    def b0s(self):
        """int64 [n]: where the b0 volumes are."""
        return np.flatnonzero(self.b0s_mask)

    @property
    def dwis(self):
        """int64 [M - n]: where the others are."""
        return np.flatnonzero(~self.b0s_mask)

    def __len__(self):
        return len(self.bvals)

    def __getitem__(self, index):
        """The table of the volumes chosen by an integer, slice, index array or bool mask."""
        return replace(self, bvals=np.atleast_1d(self.bvals[index]),
                       bvecs=np.atleast_2d(self.bvecs[index]))


def read_prefix(prefix, b0_threshold=B0_THRESHOLD):
    """:func:`read_gradients` of ``PREFIX.bval`` and ``PREFIX.bvec``, and the path of the latter."""
    bvecs = f"{prefix}.bvec"
    return read_gradients(f"{prefix}.bval", bvecs, b0_threshold), bvecs


def read_gradients(bval_path, bvec_path, b0_threshold=B0_THRESHOLD, are_b0s=None):
    """Reads an FSL pair of text files.

    b-values may stand in one row or one column, directions in 3 rows (FSL) or 3 columns; three
    volumes in a 3×3 file are read as FSL writes them. Tabs, blank lines, trailing blanks, lines
    that start with ``#`` and a byte-order mark are skipped.

    Vectors within 1 % of unit length are normalised. Other lengths encode b: either in
    ``bvals`` already (lengths are √(b/b_max): only normalised), or on top of one nominal b, which
    is multiplied by the squared length, as MRtrix3 does.

    Args:
      bval_path: file with M b-values in s/mm².
      bvec_path: file with M directions.
      b0_threshold: s/mm²; volumes at or below it are b0s. None: 50, or where there is no such
        volume, as much as b0s like those of HCP 7T (60 to 70) need.
      are_b0s: ``(volumes, bvals, bvecs) -> bool [n]``: which of the volumes without a direction,
        though above the threshold, are b0s, by their signal; their b becomes 0. None: none.

    Returns:
      `GradientTable` with M volumes.

    Raises:
      InputError: a file is missing, unreadable or not a table of numbers; the numbers of volumes
        differ; values are not finite; b is negative or not in s/mm²; a diffusion-weighted volume
        has no direction; lengths of vectors that may or may not be in b already.
    """
    if b0_threshold is not None and not 0 <= b0_threshold < np.inf:
        raise InputError("--b0-threshold", found=f"{b0_threshold:g}",
                         expected="a b-value in s/mm², 0 or more", remedy="give another value")
    bvals = _read_numbers(bval_path)
    if 1 not in bvals.shape:
        raise InputError(
            bval_path,
            found=f"{bvals.shape[0]} rows of {bvals.shape[1]} numbers",
            expected="b-values in one row or one column",
            remedy="check that this is the bvals file and not the bvecs file",
        )
    bvals = bvals.ravel()
    bvecs = read_bvecs(bvec_path, len(bvals))
    _check_numbers(bvals, bvecs, bval_path, bvec_path)
    if not 10 <= bvals.max() <= 50_000:
        raise InputError(
            bval_path,
            found=f"b of at most {bvals.max():g}",
            expected="diffusion-weighted volumes, b in s/mm²",
            remedy="convert the unit (1 ms/µm² = 1000 s/mm² = 1e9 s/m²)",
        )
    notes = []
    if b0_threshold is None:
        b0_threshold = lowest(bvals, B0_THRESHOLD, notes)
    undirected = np.flatnonzero((np.linalg.norm(bvecs, axis=1) < 1e-6) & (bvals > b0_threshold))
    if undirected.size and are_b0s is not None:
        found = undirected[are_b0s(undirected, bvals, bvecs)]
        if found.size:
            notes.append(f"{named(found)} with b={span(bvals[found])} and no direction "
                         f"{'are' if found.size > 1 else 'is'} as bright as a b0: taken as b=0")
            bvals[found] = 0
    bvals = by_length(bvals, bvecs, b0_threshold, bvec_path, notes)
    bvals, bvecs = _validated(bvals, _normalised(bvecs), bval_path, bvec_path, b0_threshold)
    for note in notes:
        warn_once(f"{bval_path}: {note}")
    return GradientTable(bvals, bvecs, b0_threshold, tuple(notes))


def read_bvecs(path, count):
    """The directions of ``count`` volumes as they stand in a file, float64 [count, 3].

    Raises:
      InputError: the file is unreadable or not a table of so many directions.
    """
    bvecs = _read_numbers(path)
    if 3 not in bvecs.shape:
        raise InputError(
            path,
            found=f"{bvecs.shape[0]} rows of {bvecs.shape[1]} numbers",
            expected=f"3 rows of {count} (or {count} rows of 3)",
            remedy="check that this is the bvecs file of the same scan",
        )
    if bvecs.shape != (count, 3) or bvecs.shape == (3, 3):
        bvecs = bvecs.T if bvecs.shape[0] == 3 else bvecs
    return bvecs


def find_b0s(gtab, where, remedy="give a scan with a b0 volume"):
    """Volumes that are b0s, int64 [n].

    Raises:
      InputError: there are none.
    """
    b0s = gtab.b0s
    if not b0s.size:
        least = gtab.bvals.min()
        raise InputError(
            where,
            found=f"no b0: the least b is {least:g} s/mm²",
            expected=f"at least one volume with b at most {gtab.b0_threshold:g}; b0s of a higher b "
                     f"(HCP 7T: 60 to 70) need --b0-threshold {np.ceil(least):g}, in training "
                     f"--config.data.b0_threshold={np.ceil(least):g}",
            remedy=remedy,
        )
    return b0s


def write_gradients(gtab, bval_path, bvec_path):
    """Writes an FSL pair (one row of b-values, three rows of directions) that reads back exactly.

    Args:
      gtab: `GradientTable`.
      bval_path: file for the b-values, s/mm².
      bvec_path: file for the directions.

    Raises:
      InputError: a file cannot be written.
    """
    _write_rows(gtab.bvals[None], bval_path)
    write_bvecs(gtab.bvecs, bvec_path)


def write_bvecs(bvecs, path):
    """Writes directions ``[M, 3]`` alone, as :func:`write_gradients` does."""
    _write_rows(np.asarray(bvecs, np.float64).T, path)


def _write_rows(rows, path):
    # Adding 0 turns -0 into 0; the shortest digits that read back to the same float64.
    lines = (" ".join(np.format_float_positional(x + 0.0, trim="-") for x in r) for r in rows)
    with whole(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines))


def repeats_in_words(gtab, volumes=None):
    """Lines, one a shell, about directions that are measured more than once.

    Args:
      gtab: `GradientTable`. volumes: what its volumes are in the file, [M]; None: the same.
    """
    lines, volumes = [], np.arange(len(gtab)) if volumes is None else volumes
    for b, index in shells(gtab.bvals, gtab.b0_threshold):
        found = repeated(gtab.bvecs[index]) if b else []
        if found:
            told = ", ".join(f"{volumes[index[i]]} and {volumes[index[k]]} ({angle:.1f}°)"
                             for i, k, angle in found[:4])
            lines.append(
                f"{len(found)} of the {len(index)} directions at b={b} "
                f"{'repeat others' if len(found) > 1 else 'repeats another'} within "
                f"{SAME_AXIS:g}°, opposite signs counting as equal: volumes {told}"
                + (", …" if len(found) > 4 else "") + "; of an input and a target that are equal "
                "training leaves the target out (data.drop_repeated)")
    return lines


def fsl_to_array(affine: np.ndarray) -> np.ndarray:
    """Matrix ``[3, 3]`` between FSL's image-space directions and those along the axes of the array,
    its own inverse: the first component is reversed where det(affine) > 0."""
    return np.diag([-1.0 if np.linalg.det(affine[:3, :3]) > 0 else 1.0, 1.0, 1.0])


def fsl_to_world(affine: np.ndarray) -> np.ndarray:
    """Rotation from FSL's image-space directions to the scanner's RAS+ millimetre frame.

    The first component is reversed where det(affine) > 0 (FSL's convention), then the rotation
    nearest to the affine's axes is applied: the orthogonal polar factor of its normalised columns,
    as nibabel takes it for a qform. MRtrix3's ``-fslgrad`` does the same with the columns.

    Args:
      affine: [4, 4] or [3, 3], voxel to RAS+ mm.

    Returns:
      float64 [3, 3], orthogonal: ``world = bvecs @ R.T``.
    """
    axes = np.asarray(affine, np.float64)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    u, _, vt = np.linalg.svd(axes)
    return u @ vt @ fsl_to_array(axes)


def _read_numbers(path):
    """float64 [rows, columns] from a text file of numbers."""
    path = Path(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            content = file.read(_LARGEST_FILE + 1)  # devices have no size and no end
        if len(content) > _LARGEST_FILE:
            raise InputError(
                path,
                found=f"more than {_LARGEST_FILE // 2**20} MiB",
                expected="a text file with one gradient table",
                remedy="check the file name",
            )
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            path,
            found="bytes that are not text",
            expected="a text file of numbers",
            remedy="check the file name",
        ) from None
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise InputError(
            path,
            found="no such file" if missing else getattr(error, "strerror", None) or str(error),
            expected="a readable text file of numbers",
            remedy="check the file name",
        ) from None
    lines = [line for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
    rows = [[_number(token, path) for token in line.split()] for line in lines]
    widths = sorted({len(row) for row in rows})
    if len(widths) != 1:
        raise InputError(
            path,
            found=f"rows of {widths[0]} to {widths[-1]} numbers" if widths else "no numbers",
            expected="rows of equal length" if widths else "a table of numbers",
            remedy="export the gradient table again",
        )
    return np.array(rows, np.float64)


def _without_waiting(path, flags):
    """Opens a file; a named pipe that nobody writes to is empty instead of waited for. (One that a
    shell makes for ``<(command)`` is read to its end.)"""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _number(token, path):
    try:
        if "_" in token or not token.isascii():
            raise ValueError
        return float(token)
    except ValueError:
        raise InputError(
            path,
            found=f"{token[:40]!r}",
            expected="numbers separated by blanks",
            remedy="export the gradient table again",
        ) from None


def _check_numbers(bvals, bvecs, bval_name, bvec_name):
    if bvecs.ndim != 2 or bvecs.shape[1] != 3 or bvals.shape != bvecs.shape[:1]:
        raise InputError(
            bvec_name,
            found=f"{len(bvecs)} directions" if bvecs.shape[1:] == (3,) else f"{bvecs.shape}",
            expected=f"one for each of the {bvals.size} b-values of {bval_name}",
            remedy="give the two files of the same scan",
        )
    _refuse(~np.isfinite(bvals), bval_name, "b that is not a number", "finite b-values", "mend it")
    _refuse(bvals < 0, bval_name, "negative b", "b ≥ 0 s/mm²", "mend it")
    _refuse(
        ~np.isfinite(bvecs).all(axis=1),
        bvec_name,
        "a direction that is not a number",
        "finite directions",
        "write 0 0 0 for a b0 without a direction",
    )


def _validated(bvals, bvecs, bval_name, bvec_name, b0_threshold):
    """Checked and normalised copies, float64 [M] and [M, 3], read-only."""
    bvals, bvecs = np.array(bvals, np.float64), np.array(bvecs, np.float64)
    _check_numbers(bvals, bvecs, bval_name, bvec_name)
    norms = np.linalg.norm(bvecs, axis=1)
    weighted = bvals > b0_threshold
    _refuse(
        weighted & (norms < 1e-6),
        bvec_name,
        "no direction",
        f"a unit vector for every volume above b={b0_threshold:g} s/mm², unless its signal is that "
        "of a b0",
        "remove averaged (trace or ADC) volumes from image and table, and write b=0 for b0s",
    )
    _refuse(
        weighted & (np.abs(norms - 1) > ROUNDING),
        bvec_name,
        "a direction that is not of unit length",
        "unit vectors",
        "normalise them, and if their lengths encode b, multiply b by the squared length",
    )
    bvecs = _normalised(bvecs)
    bvals.flags.writeable = bvecs.flags.writeable = False
    return bvals, bvecs


def _normalised(bvecs):
    """Vectors of unit length, or zeros; those that are unit to rounding stay as they are, so that
    a table never drifts."""
    norms = np.linalg.norm(bvecs, axis=1, keepdims=True)
    unit = np.where(np.abs(norms - 1) > 1e-15, bvecs / np.maximum(norms, 1e-6), bvecs)
    return np.where(norms < 1e-6, 0.0, unit)


def _refuse(bad, where, found, expected, remedy):
    if bad.any():
        raise InputError(
            where,
            found=f"{found} at {named(np.flatnonzero(bad))} (counted from 0)",
            expected=expected,
            remedy=remedy,
        )

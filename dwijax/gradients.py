"""Diffusion gradient tables: reading, writing, shells, frames.

Directions are kept as FSL keeps them: unit vectors along the axes of the stored image, the first
component reversed where the determinant of the image's affine is positive. b is in s/mm² and never
rounded; shells exist for selection only.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dwijax.directions import compare, condition_number, direction_set, match
from dwijax.errors import InputError
from dwijax.output import whole

__all__ = [
    "B0_THRESHOLD",
    "GradientTable",
    "compare",
    "condition_number",
    "direction_set",
    "fsl_to_world",
    "match",
    "read_gradients",
    "select_shell",
    "shells",
    "write_bvecs",
    "write_gradients",
]

B0_THRESHOLD = 50.0  # s/mm²; volumes at or below it count as b0, as in dipy
_LARGEST_FILE = 16 * 2**20  # bytes; the largest real tables have a few thousand volumes
_NORM_TOLERANCE = 0.05  # rounding to two digits moves a norm by 1 %; encoded b-values move it more


@dataclass(frozen=True, eq=False)
class GradientTable:
    """The b-value and direction of every volume.

    Attributes:
      bvals: float64 [M], s/mm², unrounded.
      bvecs: float64 [M, 3], unit, FSL image-space convention; zeros where a b0 has no direction.

    Both are checked when the table is built, normalised and made read-only.

    Raises:
      InputError: see `read_gradients`.
    """

    bvals: np.ndarray
    bvecs: np.ndarray

    def __post_init__(self):
        bvals, bvecs = _validated(self.bvals, self.bvecs, "b-values", "directions")
        object.__setattr__(self, "bvals", bvals)
        object.__setattr__(self, "bvecs", bvecs)

    @property
    def b0s_mask(self):
        """bool [M]: volumes with b at most 50 s/mm²."""
        return self.bvals <= B0_THRESHOLD

    def __len__(self):
        return len(self.bvals)

    def __getitem__(self, index):
        """The table of the volumes chosen by an integer, slice, index array or bool mask."""
        return GradientTable(np.atleast_1d(self.bvals[index]), np.atleast_2d(self.bvecs[index]))


def read_gradients(bval_path, bvec_path):
    """Reads an FSL pair of text files.

    b-values may stand in one row or one column, directions in 3 rows (FSL) or 3 columns; three
    volumes in a 3×3 file are read as FSL writes them. Tabs, blank lines, trailing blanks, lines
    that start with ``#`` and a byte-order mark are skipped.

    Args:
      bval_path: file with M b-values in s/mm².
      bvec_path: file with M directions. Norms within 5 % of 1 are normalised.

    Returns:
      `GradientTable` with M volumes.

    Raises:
      InputError: a file is missing, unreadable or not a table of numbers; the numbers of volumes
        differ; values are not finite; b is negative or not in s/mm²; a diffusion-weighted volume
        has no unit direction.
    """
    bvals = _read_numbers(bval_path)
    if 1 not in bvals.shape:
        raise InputError(
            bval_path,
            found=f"{bvals.shape[0]} rows of {bvals.shape[1]} numbers",
            expected="b-values in one row or one column",
            remedy="check that this is the bvals file and not the bvecs file",
        )
    bvals = bvals.ravel()
    bvecs = _read_numbers(bvec_path)
    if 3 not in bvecs.shape:
        raise InputError(
            bvec_path,
            found=f"{bvecs.shape[0]} rows of {bvecs.shape[1]} numbers",
            expected=f"3 rows of {len(bvals)} (or {len(bvals)} rows of 3)",
            remedy="check that this is the bvecs file of the same scan",
        )
    if bvecs.shape != (len(bvals), 3) or bvecs.shape == (3, 3):
        bvecs = bvecs.T if bvecs.shape[0] == 3 else bvecs
    bvals, bvecs = _validated(bvals, bvecs, bval_path, bvec_path)
    if not 10 <= bvals.max() <= 50_000:
        raise InputError(
            bval_path,
            found=f"b of at most {bvals.max():g}",
            expected="diffusion-weighted volumes, b in s/mm²",
            remedy="convert the unit (1 ms/µm² = 1000 s/mm² = 1e9 s/m²)",
        )
    return GradientTable(bvals, bvecs)


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
    write_bvecs(gtab, bvec_path)


def write_bvecs(gtab, path):
    """Writes the directions alone, as :func:`write_gradients` does."""
    _write_rows(gtab.bvecs.T, path)


def _write_rows(rows, path):
    # Adding 0 turns -0 into 0; the shortest digits that read back to the same float64.
    lines = (" ".join(np.format_float_positional(x + 0.0, trim="-") for x in r) for r in rows)
    with whole(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines))


def shells(bvals):
    """Groups volumes whose b-values differ by no more than scanners make them differ.

    A new shell starts where neighbouring sorted b-values are more than 5 % (at least 20 s/mm²)
    apart, so that 5 belongs to 0 and 995 and 1005 to 1000.

    Args:
      bvals: [M], s/mm².

    Returns:
      List of (nominal b, indices): int and int64 [n] in acquired order, ascending in b; b0 first.
    """
    bvals = np.asarray(bvals, np.float64)
    order = np.argsort(bvals, kind="stable")
    order = order[bvals[order] > B0_THRESHOLD]
    b = bvals[order]
    steps = np.flatnonzero(np.diff(b) > np.maximum(20.0, 0.05 * b[:-1])) + 1
    groups = [np.sort(group) for group in np.split(order, steps) if group.size]
    found = [(_nominal(np.median(bvals[group])), group) for group in groups]
    b0s = np.flatnonzero(bvals <= B0_THRESHOLD)
    return [(0, b0s)] * bool(b0s.size) + found


def select_shell(gtab, b, tolerance=0.1, where="gradient table"):
    """Volumes of the shell nearest to `b`.

    Args:
      gtab: `GradientTable`.
      b: b-value wanted, s/mm²; 0 for the b0s.
      tolerance: largest relative difference between `b` and the shell's median.
      where: what an error names, as a rule the bval file.

    Returns:
      int64 [n], in acquired order.

    Raises:
      InputError: no shell is near enough; names those there are.
    """
    there = shells(gtab.bvals)
    nearest = min(there, key=lambda shell: abs(shell[0] - b))
    median = np.median(gtab.bvals[nearest[1]])
    if (nearest[0] == 0) != (b <= B0_THRESHOLD) or (b > 0 and abs(median - b) > tolerance * b):
        listed = ", ".join(f"b={nominal} ({len(index)} volumes)" for nominal, index in there)
        raise InputError(
            where,
            found=f"the shells {listed}",
            expected=f"a shell within {tolerance:.0%} of b={b:g} s/mm²",
            remedy="choose one of these shells",
        )
    return nearest[1]


def fsl_to_world(affine):
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
    return u @ vt @ np.diag([-1.0 if np.linalg.det(axes) > 0 else 1.0, 1.0, 1.0])


def _nominal(b):
    """The round number a scanner's protocol would state for `b`."""
    hundreds = 100 * round(b / 100)
    return int(hundreds if abs(b - hundreds) <= 0.01 * b else 10 * round(b / 10))


def _read_numbers(path):
    """float64 [rows, columns] from a text file of numbers."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
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


def _validated(bvals, bvecs, bval_name, bvec_name):
    """Checked and normalised copies, float64 [M] and [M, 3], read-only."""
    bvals, bvecs = np.array(bvals, np.float64), np.array(bvecs, np.float64)
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
    norms = np.linalg.norm(bvecs, axis=1)
    weighted = bvals > B0_THRESHOLD
    _refuse(
        weighted & (norms < 1e-6),
        bvec_name,
        "no direction",
        "a unit vector for every volume above b=50 s/mm²",
        "remove averaged (trace or ADC) volumes from image and table",
    )
    _refuse(
        weighted & (np.abs(norms - 1) > _NORM_TOLERANCE),
        bvec_name,
        "a direction that is not of unit length",
        "unit vectors",
        "normalise them, and if their lengths encode b, multiply b by the squared length",
    )
    bvecs[norms < 1e-6] = 0.0
    # Vectors that are unit to rounding stay as they are, so that a table never drifts.
    uneven = (np.abs(norms - 1) > 1e-15) & (norms >= 1e-6)
    bvecs[uneven] /= norms[uneven, None]
    bvals.flags.writeable = bvecs.flags.writeable = False
    return bvals, bvecs


def _refuse(bad, where, found, expected, remedy):
    if bad.any():
        listed = np.flatnonzero(bad)
        volumes = ", ".join(map(str, listed[:8])) + (", …" if len(listed) > 8 else "")
        plural = "s" if len(listed) > 1 else ""
        raise InputError(
            where,
            found=f"{found} at volume{plural} {volumes} (counted from 0)",
            expected=expected,
            remedy=remedy,
        )

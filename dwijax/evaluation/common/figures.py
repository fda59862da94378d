"""Slices of one subject in sheets of pictures, and how figures are made and written.

Drawn as radiologists look at them: the subject's right on the left, anterior or superior up.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common.scans import JudgedScan
from dwijax.gradients import fsl_to_world
from dwijax.output import whole
from dwijax.report_html import page

DPI = 160
# Of the two image axes after cutting along 0, 1, 2 of a LAS volume: what is left and right.
_SIDES = ("P", "A"), ("R", "L"), ("R", "L")


class Scale(NamedTuple):
    """Colours of the pictures in ``where``, rows or columns of a sheet."""

    colors: str
    low: float
    high: float
    label: str
    where: range


class View(NamedTuple):
    """One slice of a scan.

    Attributes:
      voxels: bool ``[V]``, those of the slice. rows, columns: where they go, ``[n]`` each.
      shape: of the picture, ``(height, width)``. spacing: mm, ``(vertical, horizontal)``.
      sides: letters of the left and right edge.
    """

    voxels: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    shape: tuple
    spacing: tuple
    sides: tuple

    def picture(self, values: np.ndarray) -> np.ndarray:
        """``[n, ...]`` of the slice's voxels to ``[height, width, ...]``, NaN outside."""
        out = np.full((*self.shape, *values.shape[1:]), np.nan, np.float32)
        out[self.rows, self.columns] = values
        return out

    def smooth(self, values: np.ndarray, fwhm: float) -> np.ndarray:
        """As `picture`, smoothed by a Gaussian of ``fwhm`` mm over the slice's voxels alone."""
        from scipy.ndimage import gaussian_filter

        width = fwhm / np.sqrt(8 * np.log(2)) / np.asarray(self.spacing)
        share = gaussian_filter(np.nan_to_num(self.picture(np.ones_like(values))), width)
        values = self.picture(values)
        smoothed = gaussian_filter(np.nan_to_num(values), width) / np.maximum(share, 1e-3)
        return np.where(np.isnan(values), np.nan, smoothed).astype(np.float32)

    @property
    def ratio(self):
        """Height over width, in mm."""
        return self.shape[0] * self.spacing[0] / (self.shape[1] * self.spacing[1])


def middle_slice(scan: JudgedScan, axis: int) -> View:
    """The `View` of the middle one of the slices that count, cropped to the brain."""
    position = np.array(np.nonzero(scan.acquired.mask))
    judged = np.unique(position[axis, scan.regions["brain"]])
    voxels = position[axis] == judged[len(judged) // 2]
    across, up = np.delete(position, axis, axis=0)[:, voxels]
    low, margin = (across.min(), up.min()), 1
    columns, rows = across - low[0] + margin, up - low[1] + margin
    shape = rows.max() + 1 + margin, columns.max() + 1 + margin
    spacing = np.delete(scan.acquired.voxel_size, axis)
    return View(voxels, rows, columns, shape, (spacing[1], spacing[0]), _SIDES[axis])


def sheet(path: Path, view: View, pictures: list[list[np.ndarray]], row_names: list[str],
          columns: list[str], scales: list[Scale], title: str, by_rows: bool = False,
          notes: dict[tuple[int, int], str] | None = None):
    """Pictures in rows and columns with shared scales.

    Args:
      scales: list of `Scale`; what none of them covers is in colours already.
      by_rows: scales are of rows, their bars on the right; else of columns, bars below.
      notes: ``{(row, column): str}``, written at the bottom of a picture.
    """
    plt = pyplot()
    width, gap, left, top, right, bottom = 1.75, 0.05, 0.95, 0.75, 0.2, 0.2
    right, bottom = (0.95, bottom) if by_rows else (right, 0.7)
    height = width * view.ratio
    rows, count = len(pictures), len(columns)
    size = (left + count * (width + gap) + right, top + rows * (height + gap) + bottom)
    figure = plt.figure(figsize=size)

    def place(x, y, w, h):
        """Inches from the upper left corner to shares from the lower left."""
        return figure.add_axes((x / size[0], 1 - (y + h) / size[1], w / size[0], h / size[1]))

    images = {}
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            axes = place(left + j * (width + gap), top + i * (height + gap), width, height)
            axes.set(xticks=[], yticks=[], facecolor="black")
            axes.spines[:].set_visible(False)
            kind = next((k for k, s in enumerate(scales) if (i if by_rows else j) in s.where), None)
            how = {"origin": "lower", "interpolation": "nearest", "aspect": "auto"}
            if np.isnan(picture).all():
                axes.set_facecolor("white")
            elif kind is None:
                axes.imshow(np.nan_to_num(picture), **how)
            elif not np.nanmax(np.abs(picture)):
                axes.set_facecolor("0.92")
                axes.text(0.5, 0.5, "the reference", color="0.4", fontsize=9, ha="center",
                          va="center", transform=axes.transAxes)
            else:
                scale = scales[kind]
                images[kind] = axes.imshow(picture, cmap=scale.colors, vmin=scale.low,
                                           vmax=scale.high, **how)
            if notes and (i, j) in notes:
                axes.text(0.5, 0.02, notes[i, j], fontsize=7.5, ha="center", va="bottom",
                          transform=axes.transAxes,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
            if i == 0:
                axes.set_title(columns[j], fontsize=9, pad=5)
            if j == 0:
                axes.set_ylabel(row_names[i], fontsize=9, labelpad=8)
            if i == j == 0:
                for x, letter in zip((0.07, 0.93), view.sides, strict=True):
                    axes.text(x, 0.95, letter, color="white", fontsize=9, ha="center", va="center",
                              weight="bold", transform=axes.transAxes)
    for kind, image in images.items():
        first, span = scales[kind].where[0], len(scales[kind].where)
        if by_rows:
            length = span * (height + gap) - gap
            box = (left + count * (width + gap) + 0.05,
                   top + first * (height + gap) + 0.15 * length, 0.12, 0.7 * length)
        else:
            length = span * (width + gap) - gap
            box = (left + first * (width + gap) + 0.15 * length, size[1] - bottom + 0.12,
                   0.7 * length, 0.12)
        bar = figure.colorbar(image, cax=place(*box),
                              orientation="vertical" if by_rows else "horizontal")
        bar.set_label(scales[kind].label, fontsize=8.5)
        bar.ax.tick_params(labelsize=8)
        bar.ax.locator_params(nbins=5)
        bar.outline.set_linewidth(0.5)
    figure.text(0.15 / size[0], 1 - 0.22 / size[1], title, fontsize=11, weight="bold", va="center")
    save(figure, path)


def pyplot():
    """Matplotlib, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def save(figure, path: Path):
    """Writes a PNG, whole or not at all, and closes the figure."""
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor="white")
    pyplot().close(figure)


def colour_fa(scan: JudgedScan, fa: np.ndarray, v1: np.ndarray) -> np.ndarray:
    """FA ``[V]`` in the colour of the direction of ``v1 [V, 3]`` (along the axes of the array):
    red left-right, green front-back, blue up-down; ``[V, 3]``, 0 to 1."""
    return np.abs(v1 @ fsl_to_world(scan.affine).T) * np.clip(fa, 0, 1)[:, None]


def fa_layers(slices: page.Slices, scan: JudgedScan, name: str, fa: np.ndarray, v1: np.ndarray,
              kind: str) -> list:
    """FA and colour FA for the viewer of a page."""
    return [slices.gray("FA", scan.volume(fa), 0, 1, f"FA: {name}", kind, name),
            slices.rgb("colour FA", scan.volume(colour_fa(scan, fa, v1)), page.COLOUR, kind, name)]

"""Slices of one subject: synthetic DWIs, FA and colour FA.

Drawn as radiologists look at them: the subject's right on the left, anterior or superior up.
"""

from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common.rows import ALL, INPUTS, MORE, NETWORKS
from dwijax.gradients import fsl_to_world
from dwijax.output import whole

DPI = 160
# Of the two image axes after cutting along 0, 1, 2 of a LAS volume: what is left and right.
_SIDES = ("P", "A"), ("R", "L"), ("R", "L")
# Directions to show: those nearest to the scanner's axes.
_WANTED = {"left–right": (1, 0, 0), "front–back": (0, 1, 0), "up–down": (0, 0, 1)}


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

    def picture(self, values):
        """``[n, ...]`` of the slice's voxels to ``[height, width, ...]``, NaN outside."""
        out = np.full((*self.shape, *values.shape[1:]), np.nan, np.float32)
        out[self.rows, self.columns] = values
        return out

    def smooth(self, values, fwhm):
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


def middle_slice(scan, axis):
    """The `View` of the middle one of the slices that count, cropped to the brain.

    Args:
      scan: `dwijax.evaluation.common.cases.Scan`. axis: of the slices, 0 to 2.
    """
    position = np.array(np.nonzero(scan.acquired.mask))
    judged = np.unique(position[axis, scan.regions["brain"]])
    voxels = position[axis] == judged[len(judged) // 2]
    across, up = np.delete(position, axis, axis=0)[:, voxels]
    low, margin = (across.min(), up.min()), 1
    columns, rows = across - low[0] + margin, up - low[1] + margin
    shape = rows.max() + 1 + margin, columns.max() + 1 + margin
    spacing = np.delete(scan.acquired.voxel_size, axis)
    return View(voxels, rows, columns, shape, (spacing[1], spacing[0]), _SIDES[axis])


def draw_directions(path, view, scan, split, shown, baseline, title):
    """Several directions: nearest input, synthetic, measured, noise-free, errors.

    Args:
      path: PNG to write. view: `View`. scan: `Scan`. split: `Split`.
      shown: method to its DWIs ``[n, K]`` in the slice. baseline: `Interpolator` beside the
        networks.
      title: str.
    """
    n = scan.b0s
    signal = scan.acquired.signal[view.voxels]
    world = fsl_to_world(scan.affine)
    inputs = scan.acquired.gtab.bvecs[n + split.inputs]
    targets = scan.acquired.gtab.bvecs[n + split.targets]
    truth = None if scan.clean is None else scan.clean[view.voxels]
    reference, name = (signal, "measured") if truth is None else (truth, "noise-free")

    columns = ["nearest input", "networks", "measured", *(["noise-free"] if truth is not None
                                                          else []),
               f"networks − {name}", f"{baseline.short} − {name}"]
    pictures, row_names, used = [], [], []
    for label, direction in _WANTED.items():
        near = np.abs(targets @ world.T @ np.asarray(direction, float))
        near[used] = 0
        k = int(near.argmax())
        used.append(k)
        volume = n + split.targets[k]
        nearest = n + split.inputs[int(np.abs(inputs @ targets[k]).argmax())]
        row = [signal[:, nearest], shown[NETWORKS][:, k], signal[:, volume]]
        row += [] if truth is None else [truth[:, volume]]
        row += [shown[m][:, k] - reference[:, volume] for m in (NETWORKS, baseline.name)]
        pictures.append([view.picture(p) for p in row])
        row_names.append(f"{label}\nno. {split.targets[k] + 1}")
    errors = len(columns) - 2
    high = float(np.nanpercentile([r[:errors] for r in pictures], 99.7))
    wide = float(np.nanpercentile(np.abs([r[errors:] for r in pictures]), 99.5))
    scales = [Scale("gray", 0, high, "DWI / median b0", range(errors)),
              Scale("RdBu_r", -wide, wide, "error / median b0", range(errors, len(columns)))]
    sheet(path, view, pictures, row_names, columns, scales, title)


def draw_fa(path, view, scan, judged, labels, title):
    """FA, colour FA and the error of FA: inputs alone, with synthetic, acquired, truth.

    Args:
      path: PNG to write. view: `View`. scan: `Scan`. judged: `Judged`.
      labels: method to str. title: str.
    """
    columns = {labels[m]: judged.maps[m] for m in (INPUTS, NETWORKS, MORE, ALL) if m in judged.maps}
    if "noise-free" in judged.references:
        columns["noise-free"] = judged.references["noise-free"]
    against, reference = list(columns.items())[-1]
    expected = reference.maps.fa[view.voxels]
    grey, colour = _fa_pictures(view, scan, columns.values())
    error = [view.picture(m.maps.fa[view.voxels] - expected) for m in columns.values()]
    wide = float(np.nanpercentile(np.abs(error[:-1]), 99))
    scales = [Scale("gray", 0, 1, "FA", range(1)),
              Scale("RdBu_r", -wide, wide, f"FA − {against}", range(2, 3))]
    sheet(path, view, [grey, colour, error], ["FA", "colour FA", "error of FA"], list(columns),
           scales, title, by_rows=True)


def draw_gtfa(path, view, scan, gtfa, title):
    """Figure 4 a and b of He et al.: colour and grey FA of their three fits.

    Args:
      path: PNG to write. view: `View`. scan: `Scan`. gtfa: of `Judged`. title: str.
    """
    columns = {"32 GTFA": gtfa["32 GTFA"], "prediction": gtfa[NETWORKS], "64 GTFA": gtfa["64 GTFA"]}
    grey, colour = _fa_pictures(view, scan, columns.values())
    sheet(path, view, [colour, grey], ["a) colour FA", "b) FA"], list(columns),
           [Scale("gray", 0, 1, "FA", range(1, 2))], title, by_rows=True)


def draw_bias(path, view, scan, judged, split, methods, labels, title):
    """Bias maps: what is left of errors when noise is averaged out.

    Of the DWIs the mean error over the K directions; of FA the error after smoothing over 8 mm in
    the slice.

    Args:
      path: PNG to write. view: `View`. scan: `Scan`. judged: `Judged`. split: `Split`.
      methods: of DWIs, the columns. labels: method to str. title: str.
    """
    volumes = scan.b0s + split.targets
    signal = scan.acquired.signal if scan.clean is None else scan.clean
    expected = signal[view.voxels][:, volumes]
    against = "all acquired" if scan.clean is None else "noise-free"
    fa = judged.references[against].maps.fa
    names = [INPUTS, *methods, ALL]
    first, second = [], []
    for name in names:
        if name in judged.shown:
            first.append(view.picture((judged.shown[name] - expected).mean(axis=1)))
        else:
            first.append(np.full(view.shape, np.nan, np.float32))
        second.append(view.smooth((judged.maps[name].maps.fa - fa)[view.voxels], 8.0))
    wide = [float(np.nanpercentile(np.abs(row), 99)) for row in (first, second)]
    reference = "measured" if scan.clean is None else "noise-free"
    scales = [Scale("RdBu_r", -wide[0], wide[0], f"DWI − {reference}\n/ median b0", range(1)),
              Scale("RdBu_r", -wide[1], wide[1], f"FA − {against}", range(1, 2))]
    sheet(path, view, [first, second], ["DWIs,\nmean error", "FA,\nsmoothed error"],
           [labels[n] for n in names], scales, title, by_rows=True)


def _fa_pictures(view, scan, columns):
    """Grey and colour pictures of `FullMaps`."""
    world = fsl_to_world(scan.affine)
    grey = [view.picture(m.maps.fa[view.voxels]) for m in columns]
    v1 = [m.v1[view.voxels] @ world.T for m in columns]
    colour = [view.picture(np.abs(v) * m.maps.fa[view.voxels, None])
              for v, m in zip(v1, columns, strict=True)]
    return grey, colour


def sheet(path, view, pictures, row_names, columns, scales, title, by_rows=False, notes=()):
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
            if (i, j) in notes:
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


def save(figure, path):
    """Writes a PNG, whole or not at all, and closes the figure."""
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=DPI, facecolor="white")
    pyplot().close(figure)

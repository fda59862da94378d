"""One page of pictures: the scan, its directions, the 24 candidate tables."""

import textwrap
import warnings
from pathlib import Path

import numpy as np

from dwijax.checking.page import shown
from dwijax.checking.scan import Report

GIVEN, OTHER, BETTER = "tab:blue", "0.75", "tab:red"
_OPPOSITE = dict(zip("LRAPSI", "RLPAIS", strict=True))


def draw(report: Report, path: Path) -> None:
    """Writes a PNG.

    Args:
      report: `dwijax.checking.scan.Report`. path: of the file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{shown(report.source, 100)}: b = {report.shell} s/mm²", fontsize=11,
                    parse_math=False)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    _images(top, report)
    left, middle, right = bottom.subplots(1, 3, width_ratios=(1, 1.25, 1.5))
    _sphere(left, report)
    _brightness(middle, report)
    _candidates(right, report)
    with warnings.catch_warnings():
        # File names in scripts that the font has not are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(path, dpi=120)


def _images(figure, report):
    brain = report.images["b0"] > 0
    shown = [("b0", "b0 / median"), ("dwi", "mean DWI / median b0")]
    colours = "color_fa" in report.images
    axes = figure.subplots(1, 2 + colours)
    k = int(brain.sum(axis=(0, 1)).argmax())
    for ax, (name, title) in zip(axes, shown, strict=False):
        plane = _upright(report.images[name][:, :, k], report)
        drawn = ax.imshow(plane, cmap="gray", vmin=0,
                          vmax=max(np.percentile(report.images[name][brain], 98), 1e-6),
                          aspect=_aspect(report))
        figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.02)
        ax.set_title(f"{title}, slice {k}", fontsize=9)
    if colours:
        plane = _upright(report.images["color_fa"][:, :, k], report)
        axes[2].imshow(np.clip(plane * 1.2, 0, 1), aspect=_aspect(report))
        names = [_axis_name(letter) for letter in report.axes]
        axes[2].set_title(f"colour FA with the given table\nred {names[0]}, green {names[1]}, "
                          f"blue {names[2]}", fontsize=9)
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
        # To where the first and second stored axis run.
        ax.set_xlabel(f"{_OPPOSITE[report.axes[0]]} to {report.axes[0]}", fontsize=8)
        ax.set_ylabel(f"{_OPPOSITE[report.axes[1]]} to {report.axes[1]}", fontsize=8)


def _upright(plane, report):
    """Second axis upwards, whichever way it is stored."""
    return np.swapaxes(plane, 0, 1)[::-1]


def _aspect(report):
    return float(report.voxel_size[1] / report.voxel_size[0])


def _axis_name(letter):
    return {"L": "left-right", "R": "left-right", "A": "front-back", "P": "front-back",
            "S": "up-down", "I": "up-down"}[letter]


def _sphere(ax, report):
    """Axes on the upper hemisphere, areas preserved (Lambert)."""
    bvecs = report.gtab.bvecs[report.index]
    up = bvecs * np.where(bvecs[:, 2:] < 0, -1, 1)
    flat = up[:, :2] * np.sqrt(2 / (1 + up[:, 2:])) / np.sqrt(2)
    drawn = ax.scatter(*flat.T, c=np.arange(len(flat)), s=22, cmap="viridis", zorder=2)
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="0.5", lw=1)
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.set_frame_on(False)
    ax.set_title(f"{len(flat)} directions from z, equal-area", fontsize=9)
    ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.02, label="order acquired")


def _brightness(ax, report):
    change = 100 * (report.series.gains - 1)
    odd = sorted({m for m, *_ in [*report.series.odd, *report.series.odd_volumes]})
    ax.plot(change, ".", color=GIVEN, ms=4)
    ax.plot(odd, change[odd], "o", mfc="none", color=BETTER, label="out of line, or slices of it")
    ax.axhline(0, color="0.6", lw=0.8)
    if odd:
        ax.legend(fontsize=8)
    ax.set(xlabel="volume", ylabel="brightness, % from expected")
    ax.margins(y=0.25)
    ax.set_title(f"drift {100 * report.series.drift:+.1f} % over the series", fontsize=9)


def _candidates(ax, report):
    seen, rows = report.orientation, report.companions.rows
    if rows is not None:
        volumes = np.arange(len(rows))
        ax.plot([0, len(rows) - 1], [0, len(rows) - 1], color=OTHER)
        ax.scatter(volumes, rows, s=12, c=np.where(rows == volumes, GIVEN, BETTER), zorder=2)
        ax.set(xlabel="volume", ylabel="row of the table that it belongs to")
        ax.set_title("volumes and table do not belong together:\n"
                     + textwrap.fill(report.companions.change, 60), fontsize=9)
        return
    if seen is None or not seen.scores.max() > 0:
        why = ("volumes and table\ndo not belong together" if report.companions.verdict == "apart"
               else "no tensor, no orientation" if seen is None else "no fibres, no orientation")
        ax.set_axis_off()
        ax.text(0.5, 0.5, why, ha="center", va="center", fontsize=9)
        return
    count = 10
    shown = list(range(count)) if seen.given < count else [*range(count - 1), seen.given]
    colours = [GIVEN if k == seen.given else BETTER if k < seen.given else OTHER for k in shown]
    rows = np.arange(len(shown))[::-1]
    ax.barh(rows, seen.scores[shown], color=colours)
    ax.set_yticks(rows, [seen.names[k] for k in shown], fontsize=8)
    least = float(seen.scores.min())
    ax.set_xlim(max(least - 0.1, 0), float(seen.scores.max()) * 1.02)
    ax.set_xlabel("fibre coherence, 1: as given")
    ax.set_title(f"orientation: {seen.verdict} ({abs(seen.margin):.0f} standard errors)\n"
                 f"best {len(shown)} of 24", fontsize=9)

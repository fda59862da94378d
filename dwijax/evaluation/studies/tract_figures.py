"""Pictures of bundles: streamlines seen from the side that shows most of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.maps.methods import method_of

# Axes of the page for each view, in RAS+ mm: across, up. Right is on the left, as in the maps.
_VIEWS = {"corpus callosum": (0, 1), "corticospinal tract": (0, 2),
          "superior longitudinal": (1, 2)}
_LETTERS = {0: ("R", "L"), 1: ("P", "A")}
_MOST = 1500  # streamlines drawn
_WIDTH = 2.6  # of a panel, inches


def draw_tracts(path: Path, tracked: dict[str, dict[str, list]], labels: Callable[[str], str],
                title: str):
    """One row a bundle, one column a method (of the fewest directions that there are); colours are
    directions (red left-right, green front-back, blue up-down).

    By matplotlib: FURY needs VTK and a display or an OpenGL stack that servers and CI lack.
    """
    fewest = min((m.q for m in map(method_of, tracked) if m.q), default=None)
    tracked = {m: of for m, of in tracked.items() if method_of(m).q in (fewest, None)}
    bundles = [b for b in dict.fromkeys(b for of in tracked.values() for b in of)
               if any(of.get(b) for of in tracked.values())]
    if not bundles:
        return
    plt = pyplot()
    windows = {b: _window([p for of in tracked.values() for p in of.get(b, [])], *_view(b))
               for b in bundles}
    heights = [(top - bottom) / (right - left)
               for (left, right), (bottom, top) in windows.values()]
    figure, grid = plt.subplots(
        len(bundles), len(tracked), squeeze=False, layout="constrained",
        figsize=(0.6 + _WIDTH * len(tracked), 0.8 + (_WIDTH + 0.05) * sum(heights)),
        gridspec_kw={"height_ratios": heights})
    for method, axes in zip(tracked, grid[0], strict=True):
        axes.set_title(labels(method), fontsize=9)
    for row, bundle in zip(grid, bundles, strict=True):
        across, up = _view(bundle)
        horizontal, vertical = windows[bundle]
        for axes, of in zip(row, tracked.values(), strict=True):
            _draw_bundle(axes, of.get(bundle, []), across, up)
            axes.set(xlim=horizontal[::-1] if across == 0 else horizontal, ylim=vertical,
                     aspect="equal", xticks=[], yticks=[], facecolor="black")
            axes.spines[:].set_visible(False)
            for place, letter, side in zip(((6, -6), (-6, -6)), _LETTERS[across],
                                           ("left", "right"), strict=True):
                axes.annotate(letter, (float(side == "right"), 1), xycoords="axes fraction",
                              xytext=place, textcoords="offset points", ha=side, va="top",
                              color="white", fontsize=8, weight="bold")
        row[0].set_ylabel(bundle, fontsize=9)
    figure.suptitle(title, fontsize=11, weight="bold")
    save(figure, path)


def _view(bundle):
    return _VIEWS.get(bundle, (0, 1))


def _window(lines, across, up):
    """``((left, right), (bottom, top))`` in mm, no flatter than 0.6 and no taller than 1.3."""
    points = np.concatenate(lines)[:, [across, up]]
    middle, size = (points.max(0) + points.min(0)) / 2, np.ptp(points, axis=0) + 8
    size = np.maximum(size, [size[1] / 1.3, 0.6 * size[0]])
    (left, bottom), (right, top) = middle - size / 2, middle + size / 2
    return (left, right), (bottom, top)


def _draw_bundle(axes, lines, across, up):
    from matplotlib.collections import LineCollection

    for line in lines[:: -(-len(lines) // _MOST) or 1]:
        steps = np.stack([line[:-1], line[1:]], axis=1)
        turn = np.abs(steps[:, 1] - steps[:, 0])
        turn /= np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-6)
        axes.add_collection(LineCollection(steps[:, :, [across, up]], colors=np.clip(turn, 0, 1),
                                           linewidths=0.5, alpha=0.7))

"""Pictures of bundles: streamlines seen from the side that shows most of them."""

import numpy as np

from dwijax.evaluation.figures import pyplot, save
from dwijax.evaluation.map_regression import split_name

# Axes of the page for each view, in RAS+ mm: left to right, bottom to top.
_VIEWS = {"corpus callosum": (0, 1), "corticospinal tract": (0, 2),
          "superior longitudinal": (1, 2)}
_LETTERS = {0: ("L", "R"), 1: ("P", "A"), 2: ("I", "S")}
_MOST = 1500  # streamlines drawn


def draw_tracts(path, tracked, labels, title):
    """One row a method (of the fewest directions that there are), one column a bundle; colours are
    directions (red left-right, green front-back, blue up-down).

    By matplotlib: FURY needs VTK and a display or an OpenGL stack that servers and CI lack.

    Args:
      path: PNG to write. tracked: ``{method: {bundle: streamlines}}``, RAS+ mm.
      labels: method to str. title: str.
    """
    from matplotlib.collections import LineCollection

    fewest = min((q for _, q in map(split_name, tracked) if q), default=None)
    tracked = {m: of for m, of in tracked.items() if split_name(m)[1] in (fewest, None)}
    bundles = list(dict.fromkeys(b for of in tracked.values() for b in of))
    if not bundles:
        return
    plt = pyplot()
    methods = list(tracked)
    figure, grid = plt.subplots(
        len(methods), len(bundles), figsize=(3.1 * len(bundles), 2.4 * len(methods) + 0.5),
        squeeze=False, layout="constrained")
    for j, bundle in enumerate(bundles):
        across, up = _VIEWS.get(bundle, (0, 1))
        everything = [p for of in tracked.values() for p in of.get(bundle, [])]
        if not everything:
            continue
        points = np.concatenate(everything)
        low, high = points.min(axis=0) - 4, points.max(axis=0) + 4
        for i, method in enumerate(methods):
            axes, lines = grid[i, j], tracked[method].get(bundle, [])
            for line in lines[:: -(-len(lines) // _MOST) or 1]:
                steps = np.stack([line[:-1], line[1:]], axis=1)
                turn = np.abs(steps[:, 1] - steps[:, 0])
                turn /= np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-6)
                axes.add_collection(LineCollection(
                    steps[:, :, [across, up]], colors=np.clip(turn, 0, 1), linewidths=0.5,
                    alpha=0.7))
            axes.set(xlim=(low[across], high[across]), ylim=(low[up], high[up]), aspect="equal",
                     xticks=[], yticks=[], facecolor="black")
            axes.spines[:].set_visible(False)
            text = {"color": "white", "fontsize": 8, "weight": "bold",
                    "transform": axes.transAxes, "va": "center", "ha": "center"}
            for x, letter in zip((0.04, 0.96), _LETTERS[across], strict=True):
                axes.text(x, 0.93, letter, **text)
            if i == 0:
                axes.set_title(bundle, fontsize=10)
            if j == 0:
                axes.set_ylabel(labels(method), fontsize=8)
    figure.suptitle(title, fontsize=11, weight="bold")
    save(figure, path)

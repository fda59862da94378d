"""Pictures of lesions (Li et al., Fig. 8), added noise (Fig. 9) and the calibration of fa_std."""

import itertools
from collections.abc import Callable
from math import erf
from pathlib import Path

import numpy as np

from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.results import ALL, TRUTH, Results
from dwijax.evaluation.maps.map_figures import COLOURS
from dwijax.evaluation.maps.methods import FIT, NOISY, method_of
from dwijax.evaluation.maps.protocol import DEVIATIONS, PEAKS
from dwijax.inference.network_maps import DIRECT, TENSOR


def draw_noise(path: Path, results: Results, cohort: str, label: Callable[[str], str]):
    """Error of FA over the level of added noise (Li et al., Fig. 9), of fits and of the networks
    that ``dwijax predict`` asks.
    """
    wanted = {"cohort": cohort, "quantity": "noise FA RMSE"}
    ways, methods = (results.distinct(field, **wanted) for field in ("against", "method"))
    if not ways:
        return
    plt = pyplot()
    figure, grid = plt.subplots(1, len(ways), figsize=(1.5 + 4.2 * len(ways), 3.6), squeeze=False,
                                sharey=True, layout="constrained")
    kinds = {method_of(method).kind for method in methods}
    network = TENSOR if kinds & {TENSOR, NOISY + TENSOR} else DIRECT
    shown = (FIT, network, NOISY + network, ALL)
    dashes = {}  # one style a number of directions
    for axes, way in zip(grid[0], ways, strict=True):
        for method in methods:
            kind, q = method_of(method)
            if kind not in shown:
                continue
            style = dashes.setdefault(q, ("-", "--", ":", "-.")[len(dashes) % 4])
            levels = results.distinct("region", against=way, method=method, **wanted)
            values = [results.estimate(cohort, "noise FA RMSE", way, level, method).mean
                      for level in levels]
            axes.plot([float(level.split()[0]) for level in levels], values, marker="o",
                      markersize=3.5, color=COLOURS[kind], linestyle=style, label=label(method))
        axes.set_title(f"added {way}", fontsize=10)
        axes.set_xlabel("DWIs above the added noise, dB")
        axes.invert_xaxis()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0, 0].set_ylabel("RMSE of FA")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    figure.suptitle(f"Added noise: {cohort}", x=0.02, ha="left", fontsize=11, weight="bold")
    save(figure, path)


def draw_lesions(path: Path, results: Results, cohort: str, label: Callable[[str], str]):
    """Contrast of lesions by every method beside the noise-free lesion's (Li et al., Fig. 8).
    """
    keys = [key for key in results.select(cohort=cohort, quantity="lesion FA contrast")
            if key.region.startswith("radius")]
    if not keys:
        return
    plt = pyplot()
    kinds, quantities = list(dict.fromkeys(key.against for key in keys)), list(PEAKS)
    figure, grid = plt.subplots(len(quantities), len(kinds), squeeze=False, sharex=True,
                                figsize=(3 + 3.6 * len(kinds), 6.4), layout="constrained")
    markers, names = dict(zip((6, 8, 10), "osD", strict=True)), {}
    for row, quantity in zip(grid, quantities, strict=True):
        for axes, kind in zip(row, kinds, strict=True):
            found = f"lesion {quantity} contrast", kind
            radii = list(dict.fromkeys(key.region for key in keys if key.against == kind))
            methods = [m for m in dict.fromkeys(key.method for key in keys)
                       if method_of(m).kind in COLOURS and m != TRUTH]
            for i, method in enumerate(methods):
                name, q = method_of(method)
                means = [results.estimate(cohort, *found, r, method) for r in radii]
                if not all(means):
                    continue
                x = np.arange(len(radii)) + 0.7 * ((i + 0.5) / len(methods) - 0.5)
                line, = axes.plot(x, [m.mean for m in means], markers.get(q, "P"),
                                  color=COLOURS[name], markersize=5.5, linestyle="none")
                names.setdefault(label(method), line)
            for x, radius in enumerate(radii):
                truth = results.estimate(cohort, *found, radius, TRUTH).mean
                edges = sorted((0.95 * truth, 1.05 * truth))
                axes.fill_between((x - 0.42, x + 0.42), *edges, color="0.88", zorder=0)
                axes.hlines(truth, x - 0.42, x + 0.42, color="black", linewidth=0.8, zorder=0)
            axes.axhline(0, color="0.6", linewidth=0.6, linestyle=":")
            axes.set_xticks(range(len(radii)), [r.removeprefix("radius ") for r in radii])
            axes.set_title(f"{quantity}, {kind}", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y", alpha=0.3)
        row[0].set_ylabel("(lesion − ring) / ring")
    for axes in grid[-1]:
        axes.set_xlabel("radius, voxels")
    figure.legend(names.values(), names.keys(), loc="outside right upper", frameon=False,
                  fontsize=8)
    figure.suptitle(f"Contrast of lesions (line: noise-free, grey: within 5 %): {cohort}",
                    x=0.02, ha="left", fontsize=11, weight="bold")
    save(figure, path)


def draw_coverage(path: Path, results: Results):
    """Share of voxels within so many ``fa_std``, over that of a normal distribution."""
    lines = list(dict.fromkeys((key.cohort, key.method)
                               for key in results.select(quantity="fa_std coverage")))
    if not lines:
        return
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(4.8, 4.4), layout="constrained")
    normal = [erf(d / 2**0.5) for d in DEVIATIONS]
    for (cohort, method), color in zip(lines, itertools.cycle(COLOURS.values())):
        against = results.distinct("against", cohort=cohort, quantity="fa_std coverage",
                                   method=method)
        best = TRUTH if TRUTH in against else against[0]
        found = [results.estimate(cohort, "fa_std coverage", best, f"{d:g}", method).mean
                 for d in DEVIATIONS]
        axes.plot(normal, found, "o-", color=color, markersize=4, label=f"{method}, {cohort}")
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="share expected within k fa_std",
             ylabel="share of voxels")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle("Calibration of fa_std", fontsize=11, weight="bold")
    save(figure, path)

"""Plots over all test subjects: FA histograms by tissue, errors by method."""

import numpy as np

from dwijax.data.cohort import central_slices
from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.rows import ALL, INPUTS, MORE, NETWORKS, PERFECT

BINS = np.linspace(0, 1, 51)
TISSUES = {"WM": ("white matter", 1.0), "GM": ("grey matter", 0.5), "CSF": ("CSF", 0.4)}
TRUTH = "truth"
GTFA = {"32 GTFA": "32 GTFA", NETWORKS: "prediction", "64 GTFA": "64 GTFA"}

# Okabe and Ito's palette: told apart by the colour-blind too.
_STYLES = {
    INPUTS: {"color": "#E69F00"},
    NETWORKS: {"color": "#D55E00", "linewidth": 2.2},
    ALL: {"color": "#0072B2"},
    TRUTH: {"color": "black", "linestyle": (0, (4, 2))},
}


class Histograms:
    """FA of all subjects of each group, counted tissue by tissue; the maps are not kept."""

    def __init__(self):
        self._counts = {}

    def add(self, group, scan, judged):
        """Counts one subject's maps."""
        shown = {m: judged.maps[m] for m in (INPUTS, NETWORKS, ALL)}
        if "noise-free" in judged.references:
            shown[TRUTH] = judged.references["noise-free"]
        for method, found in shown.items():
            for tissue in TISSUES:
                counts = np.histogram(found.maps.fa[scan.regions[tissue]], BINS)[0]
                key = group, method, tissue
                self._counts[key] = self._counts.get(key, 0) + counts

    def draw(self, path, labels, title):
        """One row a group, one column a tissue.

        Args:
          path: PNG to write. labels: method to str. title: str.
        """
        plt = pyplot()
        groups = list(dict.fromkeys(key[0] for key in self._counts))
        figure, grid = plt.subplots(
            len(groups), len(TISSUES), figsize=(10, 0.9 + 2.5 * len(groups)), squeeze=False,
            sharex="col", layout="constrained")
        for axes_row, group in zip(grid, groups, strict=True):
            for axes, (tissue, (_, end)) in zip(axes_row, TISSUES.items(), strict=True):
                for method, style in _STYLES.items():
                    counts = self._counts.get((group, method, tissue))
                    if counts is None or not counts.sum():
                        continue
                    density = counts / counts.sum() / np.diff(BINS)
                    axes.stairs(density, BINS, fill=False, label=labels.get(method, "noise-free"),
                                **{"linewidth": 1.6} | style)
                axes.set_xlim(0, end)
                axes.set_yticks([])
                axes.spines[["top", "right", "left"]].set_visible(False)
            axes_row[0].set_ylabel(group, fontsize=11)
        for axes, (name, _) in zip(grid[0], TISSUES.values(), strict=True):
            axes.set_title(name, fontsize=11)
        for axes in grid[-1]:
            axes.set_xlabel("FA")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
        figure.suptitle(title, fontsize=12, weight="bold")
        save(figure, path)


class GtfaHistogram:
    """Figure 4 c of He et al.: FA of their three fits, counted over the central slices of all
    subjects of each group.

    Args:
      axis: of the slices.
    """

    def __init__(self, axis):
        self._axis, self._counts = axis, {}

    def add(self, group, scan, judged):
        """Counts one subject's maps."""
        where = np.nonzero(scan.acquired.mask)[self._axis]
        brain = scan.regions["brain"]
        brain = brain & np.isin(where, central_slices(np.unique(where[brain])))
        for name in GTFA:
            counts = np.histogram(judged.gtfa[name].maps.fa[brain], BINS)[0]
            self._counts[group, name] = self._counts.get((group, name), 0) + counts

    def draw(self, path, title):
        """One panel a group."""
        plt = pyplot()
        groups = list(dict.fromkeys(g for g, _ in self._counts))
        figure, grid = plt.subplots(1, len(groups), figsize=(0.6 + 4.6 * len(groups), 3.6),
                                    squeeze=False, sharey=True, layout="constrained")
        for axes, group in zip(grid[0], groups, strict=True):
            for name, color in zip(GTFA, ("#E69F00", "#D55E00", "#0072B2"), strict=True):
                counts = self._counts[group, name]
                axes.stairs(counts / counts.sum() / np.diff(BINS), BINS, label=GTFA[name],
                            color=color, linewidth=2.2 if name == NETWORKS else 1.6)
            axes.set(title=group, xlabel="FA", xlim=(0, 1), yticks=[])
            axes.spines[["top", "right", "left"]].set_visible(False)
        grid[0, 0].set_ylabel("share of voxels")
        grid[0, 0].legend(frameon=False)
        figure.suptitle(title, fontsize=12, weight="bold")
        save(figure, path)


def draw_errors(path, results, groups, labels, sh, title):
    """Every method's errors in the brain, against SH (DWIs) and against the inputs alone (FA).

    Differences are paired: subjects differ in noise, and that would hide what methods differ in.

    Args:
      path: PNG to write. results: `Results`. groups: list of names. labels: `Labels`.
      sh: name of the spherical harmonics. title: str.
    """
    plt = pyplot()
    figure, grid = plt.subplots(len(groups), 2, figsize=(12, 1.0 + 4.4 * len(groups)),
                                squeeze=False, sharex="col", layout="constrained")
    for axes_row, group in zip(grid, groups, strict=True):
        truth = bool(results.methods(group, "FA RMSE", "noise-free"))
        panels = (("DWI RMSE", "noise-free" if truth else "measured", sh, labels.short),
                  ("FA RMSE", "noise-free" if truth else "all acquired", INPUTS, labels.maps))
        for axes, (quantity, against, other, names) in zip(axes_row, panels, strict=True):
            key = group, quantity, against, "brain"
            methods = [m for m in results.methods(*key[:3]) if m not in (other, PERFECT)]
            for y, method in enumerate(methods):
                _, e = results.paired((*key, method), (*key, other))
                color = "#D55E00" if method == NETWORKS else "#0072B2" \
                    if method in (MORE, ALL) else "0.4"
                error = None if e.low != e.low else [[e.mean - e.low], [e.high - e.mean]]
                axes.errorbar(e.mean, y, xerr=error, fmt="o", color=color, capsize=3, markersize=6)
            axes.axvline(0, color="black", linewidth=0.8)
            axes.set_yticks(range(len(methods)), [names[m] for m in methods], fontsize=9)
            axes.invert_yaxis()
            axes.margins(y=0.06)
            axes.grid(axis="x", alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelbottom=True, labelsize=9)
            axes.set_title(f"{group}: {quantity[:3].strip()}", fontsize=10)
            axes.set_xlabel(f"RMSE to {against}, % different from {names[other]}", fontsize=9)
    figure.suptitle(title, fontsize=12, weight="bold")
    save(figure, path)

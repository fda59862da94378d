"""Histograms of FA over all test subjects: by tissue, and as Figure 4 c of He et al."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from dwijax.data.cohort import central_slices
from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.results import ALL, TRUTH
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.directions.protocol import Judged
from dwijax.evaluation.directions.rows import INPUTS, NETWORKS

BINS = np.linspace(0, 1, 51)
TISSUES = {"WM": ("white matter", 1.0), "GM": ("grey matter", 0.5), "CSF": ("CSF", 0.4)}
GTFA = {"32 GTFA": "32 GTFA", NETWORKS: "prediction", "64 GTFA": "64 GTFA"}

# Okabe and Ito's palette: told apart by the colour-blind too.
_STYLES = {
    INPUTS: {"color": "#E69F00"},
    NETWORKS: {"color": "#D55E00", "linewidth": 2.2},
    ALL: {"color": "#0072B2"},
    TRUTH: {"color": "black", "linestyle": (0, (4, 2))},
}


def _counts():
    """Counts by group and by what else they are of, ``[group][name]``."""
    return defaultdict(lambda: defaultdict(lambda: np.zeros(len(BINS) - 1, np.int64)))


class FaByTissue:
    """FA of all subjects of each group, counted tissue by tissue; the maps are not kept."""

    def __init__(self):
        self._counts = {tissue: _counts() for tissue in TISSUES}

    def add(self, group: str, scan: JudgedScan, judged: Judged):
        """Counts one subject's maps."""
        shown = {m: judged.maps[m] for m in (INPUTS, NETWORKS, ALL)}
        if TRUTH in judged.references:
            shown[TRUTH] = judged.references[TRUTH]
        for tissue, counts in self._counts.items():
            for method, found in shown.items():
                counts[group][method] += np.histogram(
                    found.maps.fa[scan.regions[tissue]], BINS)[0]

    def draw(self, path: Path, labels: dict[str, str], title: str):
        """One row a group, one column a tissue."""
        plt = pyplot()
        groups = list(self._counts["WM"])
        figure, grid = plt.subplots(
            len(groups), len(TISSUES), figsize=(10, 0.9 + 2.5 * len(groups)), squeeze=False,
            sharex="col", layout="constrained")
        for axes_row, group in zip(grid, groups, strict=True):
            for axes, (tissue, (_, end)) in zip(axes_row, TISSUES.items(), strict=True):
                for method, style in _STYLES.items():
                    counts = self._counts[tissue][group].get(method)
                    if counts is None or not counts.sum():
                        continue
                    density = counts / counts.sum() / np.diff(BINS)
                    name = "noise-free" if method == TRUTH else labels[method]
                    axes.stairs(density, BINS, fill=False, label=name,
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
    """

    def __init__(self, axis: int):
        self._axis, self._counts = axis, _counts()

    def add(self, group: str, scan: JudgedScan, judged: Judged):
        """Counts one subject's maps."""
        where = np.nonzero(scan.acquired.mask)[self._axis]
        brain = scan.regions["brain"]
        brain = brain & np.isin(where, central_slices(np.unique(where[brain])))
        for name in GTFA:
            self._counts[group][name] += np.histogram(judged.gtfa[name].maps.fa[brain], BINS)[0]

    def draw(self, path: Path, title: str):
        """One panel a group."""
        plt = pyplot()
        figure, grid = plt.subplots(1, len(self._counts),
                                    figsize=(0.6 + 4.6 * len(self._counts), 3.6),
                                    squeeze=False, sharey=True, layout="constrained")
        for axes, (group, found) in zip(grid[0], self._counts.items(), strict=True):
            for name, color in zip(GTFA, ("#E69F00", "#D55E00", "#0072B2"), strict=True):
                counts = found[name]
                axes.stairs(counts / counts.sum() / np.diff(BINS), BINS, label=GTFA[name],
                            color=color, linewidth=2.2 if name == NETWORKS else 1.6)
            axes.set(title=group, xlabel="FA", xlim=(0, 1), yticks=[])
            axes.spines[["top", "right", "left"]].set_visible(False)
        grid[0, 0].set_ylabel("share of voxels")
        grid[0, 0].legend(frameon=False)
        figure.suptitle(title, fontsize=12, weight="bold")
        save(figure, path)

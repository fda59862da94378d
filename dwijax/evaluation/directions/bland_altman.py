"""Bland-Altman plots of FA, over all voxels of all subjects of a group."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.directions.protocol import Judged
from dwijax.evaluation.directions.rows import INPUTS, NETWORKS

MEANS, DIFFERENCES = np.linspace(0, 1, 101), np.linspace(-0.3, 0.3, 121)


class Differences(NamedTuple):
    """Of two FA maps (Bland and Altman 1986): counts of voxels by mean and difference, their
    number, and the sums of differences and of their squares."""

    counts: np.ndarray
    n: int
    total: float
    squares: float

    @property
    def bias(self) -> float:
        return self.total / self.n

    @property
    def limit(self) -> float:
        """1.96 SD."""
        return 1.96 * np.sqrt(self.squares / self.n - self.bias**2)


class BlandAltman:
    """`Differences` of all subjects of each group; the maps are not kept."""

    def __init__(self):
        self._found = defaultdict(dict)  # group to method

    def add(self, group: str, scan: JudgedScan, judged: Judged):
        """Counts one subject's maps in the brain."""
        reference = judged.references.get(TRUTH) or judged.references[ALL_ACQUIRED]
        brain = scan.regions["brain"]
        for method in (INPUTS, NETWORKS, ALL):
            found = judged.maps[method]
            if found is reference:
                continue
            a, b = found.maps.fa[brain], reference.maps.fa[brain]
            difference = (a - b).astype(np.float64)
            counts = np.histogram2d((a + b) / 2, difference, (MEANS, DIFFERENCES))[0]
            new = Differences(counts, len(difference), difference.sum(), (difference**2).sum())
            before = self._found[group].get(method)
            self._found[group][method] = new if before is None else Differences(
                *(x + y for x, y in zip(before, new, strict=True)))

    def draw(self, path: Path, labels: dict[str, str], against: str, title: str):
        """One row a group, one column a method."""
        plt = pyplot()
        groups = list(self._found)
        methods = list(dict.fromkeys(m for found in self._found.values() for m in found))
        figure, grid = plt.subplots(
            len(groups), len(methods), figsize=(1.2 + 3.1 * len(methods), 1 + 2.7 * len(groups)),
            squeeze=False, sharex=True, sharey=True, layout="constrained")
        for axes_row, group in zip(grid, groups, strict=True):
            for axes, method in zip(axes_row, methods, strict=True):
                found = self._found[group][method]
                share = np.where(found.counts > 0, found.counts / found.counts.sum(), np.nan)
                image = axes.pcolormesh(MEANS, DIFFERENCES, share.T, norm="log", vmin=1e-6,
                                        vmax=1e-2, cmap="viridis", rasterized=True)
                bias, limit = found.bias, found.limit
                for y, style in ((bias, "-"), (bias - limit, "--"), (bias + limit, "--")):
                    axes.axhline(y, color="#D55E00", linestyle=style, linewidth=1.2)
                axes.text(0.97, 0.96, f"{bias:+.4f} ± {limit:.4f}", transform=axes.transAxes,
                          ha="right", va="top", fontsize=9, color="#A03000",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
                axes.grid(alpha=0.25)
            axes_row[0].set_ylabel(f"{group}\ndifference of FA", fontsize=9)
        for axes, method in zip(grid[0], methods, strict=True):
            axes.set_title(labels[method], fontsize=10)
        for axes in grid[-1]:
            axes.set_xlabel(f"mean of FA and its reference\n({against})", fontsize=9)
        bar = figure.colorbar(image, ax=grid, shrink=0.8, pad=0.01)
        bar.set_label("share of voxels", fontsize=9)
        figure.suptitle(title, fontsize=12, weight="bold")
        save(figure, path)

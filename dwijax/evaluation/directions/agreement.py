"""Bland-Altman plots of FA, over all voxels of all subjects of a group."""

import numpy as np

from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.rows import ALL, INPUTS, NETWORKS

MEANS, DIFFERENCES = np.linspace(0, 1, 101), np.linspace(-0.3, 0.3, 121)


class Agreement:
    """Counts of voxels by mean and difference of two FA maps (Bland and Altman 1986); the maps are
    not kept."""

    def __init__(self):
        self._counts, self._sums = {}, {}

    def add(self, group, scan, judged):
        """Counts one subject's maps in the brain."""
        reference = judged.references.get("noise-free") or judged.references["all acquired"]
        brain = scan.regions["brain"]
        for method in (INPUTS, NETWORKS, ALL):
            found = judged.maps[method]
            if found is reference:
                continue
            a, b = found.maps.fa[brain], reference.maps.fa[brain]
            key, difference = (group, method), (a - b).astype(np.float64)
            counts = np.histogram2d((a + b) / 2, difference, (MEANS, DIFFERENCES))[0]
            self._counts[key] = self._counts.get(key, 0) + counts
            sums = np.array([len(difference), difference.sum(), (difference**2).sum()])
            self._sums[key] = self._sums.get(key, 0) + sums

    def draw(self, path, labels, against, title):
        """One row a group, one column a method.

        Args:
          path: PNG to write. labels: method to str. against: name of the reference. title: str.
        """
        plt = pyplot()
        groups = list(dict.fromkeys(g for g, _ in self._counts))
        methods = list(dict.fromkeys(m for _, m in self._counts))
        figure, grid = plt.subplots(
            len(groups), len(methods), figsize=(1.2 + 3.1 * len(methods), 1 + 2.7 * len(groups)),
            squeeze=False, sharex=True, sharey=True, layout="constrained")
        for axes_row, group in zip(grid, groups, strict=True):
            for axes, method in zip(axes_row, methods, strict=True):
                counts = self._counts[group, method]
                share = np.where(counts > 0, counts / counts.sum(), np.nan)
                image = axes.pcolormesh(MEANS, DIFFERENCES, share.T, norm="log", vmin=1e-6,
                                        vmax=1e-2, cmap="viridis", rasterized=True)
                n, total, squares = self._sums[group, method]
                bias = total / n
                limit = 1.96 * np.sqrt(squares / n - bias**2)
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

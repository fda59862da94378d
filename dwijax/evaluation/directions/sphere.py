"""Errors of each direction, over the sphere: is one direction harder than another?"""

import numpy as np

from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.rows import NETWORKS
from dwijax.evaluation.common.tables import write_csv
from dwijax.gradients.directions import compare


class Sphere:
    """RMSE against the measured DWIs by direction, in units of σ, mean over subjects.

    Args:
      split: `Split`. gtab: table of the run's shell.
    """

    def __init__(self, split, gtab):
        self._numbers = split.targets
        self._bvecs, self._inputs = split.gtab.bvecs, gtab.bvecs[split.inputs]
        angles = compare(*np.broadcast_arrays(self._bvecs[:, None], self._inputs[None]))
        self._nearest = angles.min(axis=1)
        self._errors = {}

    def add(self, group, scan, judged):
        """Takes one subject's errors."""
        for method, errors in judged.directions.items():
            relative = errors / scan.sigma if scan.sigma > 0 else np.full_like(errors, np.nan)
            self._errors.setdefault((group, method), []).append(relative)

    def write(self, path, notes):
        """CSV: one row for each group, method and direction; ``notes``: group to its note."""
        rows = []
        for (group, method), errors in self._errors.items():
            ratio = np.mean(errors, axis=0)
            excess = np.mean([metrics.excess(e, 1.0) for e in errors], axis=0)
            rows += [(group, method, int(k), *map(float, (*bvec, angle, r, x)))
                     for k, bvec, angle, r, x in zip(self._numbers, self._bvecs, self._nearest,
                                                     ratio, excess, strict=True)]
        rows = [(*row, notes[row[0]]) for row in rows]
        write_csv(path, ["cohort", "method", "direction", "x", "y", "z",
                         "degrees_to_nearest_input", "rmse_over_sigma", "excess_over_sigma",
                         "note"], rows)

    def draw(self, path, other, labels, title):
        """Hemisphere in Lambert's equal-area projection: networks and one baseline.

        Args:
          path: PNG to write. other: name of the baseline. labels: method to str. title: str.
        """
        plt = pyplot()
        groups = list(dict.fromkeys(g for g, _ in self._errors))
        panels = [(m, what) for what in ("RMSE/σ", "excess/σ") for m in (NETWORKS, other)]
        figure, grid = plt.subplots(len(groups), 4, figsize=(13, 0.8 + 3.5 * len(groups)),
                                    squeeze=False, layout="constrained")
        where, inputs = _project(self._bvecs), _project(self._inputs)
        for axes_row, group in zip(grid, groups, strict=True):
            values = {p: self._values(group, *p) for p in panels}
            for i, (axes, panel) in enumerate(zip(axes_row, panels, strict=True)):
                alike = [values[p] for p in panels if p[1] == panel[1]]
                dots = axes.scatter(*where.T, c=values[panel], s=46, cmap="viridis",
                                    vmin=np.min(alike), vmax=np.max(alike))
                axes.scatter(*inputs.T, marker="x", s=18, color="0.6", linewidths=0.9)
                axes.add_patch(plt.Circle((0, 0), np.sqrt(2), fill=False, color="0.7"))
                axes.set_aspect("equal")
                axes.axis("off")
                axes.set_title(f"{labels[panel[0]]}: {panel[1]} {np.mean(values[panel]):.3f}",
                               fontsize=9)
                if i % 2:
                    figure.colorbar(dots, ax=axes_row[i - 1:i + 1], shrink=0.75, pad=0.01)
            axes_row[0].text(-0.08, 0.5, group, transform=axes_row[0].transAxes, rotation=90,
                             va="center", fontsize=10)
        figure.suptitle(f"{title}\ndots: synthesised directions, crosses: inputs; mean over "
                        "subjects in the brain", fontsize=11)
        save(figure, path)

    def _values(self, group, method, what):
        errors = self._errors[group, method]
        if what == "RMSE/σ":
            return np.mean(errors, axis=0)
        return np.mean([metrics.excess(e, 1.0) for e in errors], axis=0)


def _project(bvecs):
    """Axes ``[n, 3]``, seen from above, to a disc of radius √2 ``[n, 2]``, areas kept."""
    up = bvecs * np.where(bvecs[:, 2:] < 0, -1, 1)
    return up[:, :2] * np.sqrt(2 / (1 + up[:, 2:]))

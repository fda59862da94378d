"""Errors of each direction, over the sphere: is one direction harder than another?"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.common.tables import write_csv
from dwijax.evaluation.directions.protocol import Judged, Split
from dwijax.evaluation.directions.rows import NETWORKS
from dwijax.gradients import GradientTable, compare


class Sphere:
    """RMSE against the measured DWIs by direction, in units of σ, mean over subjects."""

    def __init__(self, split: Split, gtab: GradientTable):
        self._numbers = split.targets
        self._bvecs, self._inputs = split.gtab.bvecs, gtab.bvecs[split.inputs]
        angles = compare(*np.broadcast_arrays(self._bvecs[:, None], self._inputs[None]))
        self._nearest = angles.min(axis=1)
        self._errors = defaultdict(lambda: defaultdict(list))  # [group][method]: of subjects

    def add(self, group: str, scan: JudgedScan, judged: Judged):
        """Takes one subject's errors."""
        for method, errors in judged.directions.items():
            relative = errors / scan.sigma if scan.sigma > 0 else np.full_like(errors, np.nan)
            self._errors[group][method].append(relative)

    def write(self, path: Path, notes: dict[str, str]):
        """CSV: one row for each group, method and direction; ``notes``: group to its note."""
        rows = []
        for group, by_method in self._errors.items():
            for method, errors in by_method.items():
                ratio, excess = _ratio(errors), _excess(errors)
                rows += [(group, method, int(k), *map(float, (*bvec, angle, r, x)), notes[group])
                         for k, bvec, angle, r, x in zip(self._numbers, self._bvecs, self._nearest,
                                                         ratio, excess, strict=True)]
        write_csv(path, ["cohort", "method", "direction", "x", "y", "z",
                         "degrees_to_nearest_input", "rmse_over_sigma", "excess_over_sigma",
                         "note"], rows)

    def draw(self, path: Path, other: str, labels: dict[str, str], title: str):
        """Hemisphere in Lambert's equal-area projection: networks and one baseline."""
        plt = pyplot()
        groups = list(self._errors)
        figure, grid = plt.subplots(len(groups), 4, figsize=(13, 0.8 + 3.5 * len(groups)),
                                    squeeze=False, layout="constrained")
        where, inputs = _project(self._bvecs), _project(self._inputs)
        for axes_row, group in zip(grid, groups, strict=True):
            for (left, right), what, of in ((axes_row[:2], "RMSE/σ", _ratio),
                                            (axes_row[2:], "excess/σ", _excess)):
                values = {m: of(self._errors[group][m]) for m in (NETWORKS, other)}
                low, high = (f(list(values.values())) for f in (np.min, np.max))
                for axes, (method, found) in zip((left, right), values.items(), strict=True):
                    dots = axes.scatter(*where.T, c=found, s=46, cmap="viridis", vmin=low,
                                        vmax=high)
                    axes.scatter(*inputs.T, marker="x", s=18, color="0.6", linewidths=0.9)
                    axes.add_patch(plt.Circle((0, 0), np.sqrt(2), fill=False, color="0.7"))
                    axes.set_aspect("equal")
                    axes.axis("off")
                    axes.set_title(f"{labels[method]}: {what} {np.mean(found):.3f}", fontsize=9)
                figure.colorbar(dots, ax=[left, right], shrink=0.75, pad=0.01)
            axes_row[0].text(-0.08, 0.5, group, transform=axes_row[0].transAxes, rotation=90,
                             va="center", fontsize=10)
        figure.suptitle(f"{title}\ndots: synthesised directions, crosses: inputs; mean over "
                        "subjects in the brain", fontsize=11)
        save(figure, path)


def _ratio(errors):
    """Mean over subjects, ``[K]``."""
    return np.mean(errors, axis=0)


def _excess(errors):
    return np.mean([metrics.excess(e, 1.0) for e in errors], axis=0)


def _project(bvecs):
    """Axes ``[n, 3]``, seen from above, to a disc of radius √2 ``[n, 2]``, areas kept."""
    up = bvecs * np.where(bvecs[:, 2:] < 0, -1, 1)
    return up[:, :2] * np.sqrt(2 / (1 + up[:, 2:]))

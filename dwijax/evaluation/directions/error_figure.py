"""Every method's errors over the test subjects, in one figure."""

from pathlib import Path

from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Key, Results
from dwijax.evaluation.directions.rows import INPUTS, MORE, NETWORKS, PERFECT
from dwijax.evaluation.directions.tabulate import Labels


def draw_errors(path: Path, results: Results, groups: list[str], labels: Labels, sh: str,
                title: str):
    """Every method's errors in the brain, against SH (DWIs) and against the inputs alone (FA).

    Differences are paired: subjects differ in noise, and that would hide what methods differ in.
    """
    plt = pyplot()
    figure, grid = plt.subplots(len(groups), 2, figsize=(12, 1.0 + 4.4 * len(groups)),
                                squeeze=False, sharex="col", layout="constrained")
    for axes_row, group in zip(grid, groups, strict=True):
        truth = bool(results.methods(group, "FA RMSE", TRUTH))
        panels = (("DWI RMSE", TRUTH if truth else "measured", sh, labels.short),
                  ("FA RMSE", TRUTH if truth else ALL_ACQUIRED, INPUTS, labels.maps))
        for axes, (quantity, against, other, names) in zip(axes_row, panels, strict=True):
            methods = [m for m in results.methods(group, quantity, against)
                       if m not in (other, PERFECT)]
            for y, method in enumerate(methods):
                e = results.paired(Key(group, quantity, against, "brain", method), other).percent
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

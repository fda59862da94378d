"""Pictures of SuperDTI's evaluation: maps (Li et al., Figs. 2, 4, 5), regions (3), boxes (7)."""

from pathlib import Path

import numpy as np

from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.figures import Scale, View, colour_fa, pyplot, save, sheet
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Results
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.maps.methods import FIT, MAPS_Q, NOISY, SMOOTHED, method_of, named
from dwijax.evaluation.maps.protocol import ANISOTROPIC, PEAKS, from_fit
from dwijax.evaluation.maps.rois import GROUPS
from dwijax.gradients import compare
from dwijax.inference.network_maps import DIRECT, TENSOR, NetworkMaps

_COLUMNS = {FIT: "fit", SMOOTHED: "smoothed, fit", DIRECT: "networks", TENSOR: "tensor network"}
# Okabe and Ito's palette: told apart by the colour-blind too.
COLOURS = {FIT: "#E69F00", SMOOTHED: "#56B4E9", DIRECT: "#D55E00", TENSOR: "#009E73",
           NOISY + DIRECT: "#CC79A7", NOISY + TENSOR: "#000000", ALL: "#0072B2", TRUTH: "#999999"}
_MAPS = {"fa": ("FA", Scale("gray", 0, 1, "FA", range(0))),
         "md": ("MD", Scale("gray", 0, 3, "MD, µm²/ms", range(0))),
         "colour": ("colour FA", None)}


def draw_maps(path: Path, view: View, scan: JudgedScan, maps: dict[str, NetworkMaps], quantity: str,
              title: str):
    """A map by every method, one row a number of directions, and its errors below.

    Args:
      path: PNG to write. view: `figures.View`. scan: `JudgedScan`.
      maps: method to `NetworkMaps`. quantity: ``fa``, ``md`` or ``colour``.
      title: str.
    """
    name, scale = _MAPS[quantity]
    counts = sorted({method_of(m).q for m in maps if m != ALL})
    truth = scan.references.get(TRUTH)
    expected = maps[ALL] if truth is None else from_fit(truth)
    total = len(scan.acquired.gtab.dwis)
    against = f"{total}" if truth is None else "truth"
    last = {f"{total} DWIs, fit": maps[ALL]}
    if truth is not None:
        last["noise-free"] = expected
    drawn = [q for q in counts if any(
        _there(maps.get(named(m, q)), quantity) for m in (DIRECT, TENSOR))]
    if len(drawn) > 1 + len(MAPS_Q):
        drawn = [q for q in drawn if q in (3, *MAPS_Q)]
    kinds = [m for m in _COLUMNS if any(_there(maps.get(named(m, q)), quantity) for q in drawn)]
    if not kinds:
        return
    brain = scan.regions["brain"]
    rows = [[maps.get(named(k, q)) for k in kinds] + list(last.values()) for q in drawn]
    count = len(drawn)

    def pictures(of):
        return [[view.picture((of(found) if _there(found, quantity) else nothing)[view.voxels])
                 for found in row] for row in rows]

    nothing = np.full((len(brain), 3) if quantity == "colour" else len(brain), np.nan)
    shown = pictures(lambda found: _shown(found, quantity, scan))
    nothing = np.full(len(brain), np.nan)
    errors = pictures(lambda found: _error(found, expected, quantity))
    notes = {}
    for i, row in enumerate(rows):
        for j, found in enumerate(row):
            if quantity != "colour" and _there(found, quantity) and found is not expected:
                x, y = (getattr(m, quantity)[brain].astype(np.float64) for m in (found, expected))
                error = metrics.psnr(metrics.rms((x - y) ** 2), PEAKS[name])
                notes[count + i, j] = f"{error:.1f} dB, {metrics.nmse(x, y):.1f} %"
    below = range(count, 2 * count)
    if quantity == "colour":
        scales = [Scale("magma", 0, 45, f"angle to {against}, degrees", below)]
        words = "angle where\nFA > 0.2"
    else:
        finite = np.concatenate([e[np.isfinite(e)] for row in errors for e in row[:len(kinds)]])
        wide, unit = float(np.percentile(np.abs(finite), 99)), ", µm²/ms" * (quantity == "md")
        scales = [scale._replace(where=range(count)),
                  Scale("RdBu_r", -wide, wide, f"{name} − {against}{unit}", below)]
        words = "error\nPSNR, NMSE"
    names = [f"{q} DWIs" for q in drawn] + [words if count == 1 else f"{words}\n{q} DWIs"
                                            for q in drawn]
    sheet(path, view, shown + errors, names, [_COLUMNS[k] for k in kinds] + list(last), scales,
           f"{name} from {', '.join(map(str, drawn))} directions: {title}", by_rows=True,
           notes=notes)


def _there(found, quantity):
    if found is None:
        return False
    if quantity == "colour":
        return found.fa is not None and found.v1 is not None
    return getattr(found, quantity) is not None


def _shown(found, quantity, scan):
    if quantity != "colour":
        return getattr(found, quantity)
    return colour_fa(scan, found.fa, found.v1)


def _error(found, expected, quantity):
    if found is expected:
        return np.zeros(len(expected.fa))
    if quantity != "colour":
        return getattr(found, quantity) - getattr(expected, quantity)
    return np.where(expected.fa > ANISOTROPIC, compare(found.v1, expected.v1), np.nan)


def draw_rois(path: Path, results: Results, cohort: str, rois: dict[str, str]):
    """Mean FA of every region and its MSE, by method."""
    methods = _paper_methods(results, cohort, "FA mean", (FIT, DIRECT, TENSOR))
    fewest = min((m.q for m in map(method_of, methods) if m.q), default=0)
    methods = [m for m in methods if method_of(m).q in (fewest, None)]
    names = [n for kind in GROUPS[:3] for n in rois if rois[n] == kind]
    if not names or ALL not in methods:
        return
    plt = pyplot()
    from matplotlib.ticker import LogLocator, NullFormatter

    against = TRUTH if results.values(cohort, "ROI FA MSE", TRUTH, names[0], ALL) \
        else ALL_ACQUIRED
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(max(6.0, 1.5 + 0.19 * len(names)), 6.8), sharex=True, layout="constrained")
    for method in methods:
        kind, q = method_of(method)
        label = "reference" if kind == ALL else f"{_COLUMNS[kind]}, {q}"
        style = {"color": COLOURS[kind], "label": label, "linestyle": "none", "markersize": 4,
                 "marker": "_" if kind == ALL else "o", "alpha": 0.9}
        style |= {"markersize": 9, "markeredgewidth": 2} if kind == ALL else {}
        for axes, quantity, factor in ((top, "ROI FA mean", 1), (bottom, "ROI FA MSE", 100)):
            values = [results.estimate(cohort, quantity, against, n, method) for n in names]
            axes.plot(range(len(names)), [np.nan if v is None else factor * v.mean
                                          for v in values], **style)
    top.set_ylabel("mean FA")
    bottom.set_ylabel(f"MSE to the {'truth' if against == TRUTH else 'reference'}, × 100")
    bottom.set_yscale("log")
    bottom.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bottom.yaxis.set_major_formatter("{x:g}")
    bottom.yaxis.set_minor_formatter(NullFormatter())
    start = 0
    for kind in GROUPS[:3]:
        count = sum(rois[n] == kind for n in names)
        if count:
            top.text(start + count / 2 - 0.5, 1.02, kind, ha="center", fontsize=9, weight="bold",
                     transform=top.get_xaxis_transform())
        start += count
        for axes in (top, bottom):
            axes.axvline(start - 0.5, color="0.8", linewidth=0.8)
    for axes in (top, bottom):
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    bottom.set_xticks(range(len(names)), [n.replace("_", " ") for n in names], rotation=90,
                      fontsize=6.5)
    bottom.set_xlim(-0.7, len(names) - 0.3)
    handles, labels = top.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False,
                  fontsize=9)
    figure.suptitle(f"FA of {len(names)} regions, mean over subjects: {cohort}", fontsize=11,
                    weight="bold")
    save(figure, path)


def draw_boxes(path: Path, results: Results, cohort: str):
    """Brain means of every subject, by method (Li et al., Fig. 7)."""
    plt = pyplot()
    figure, grid = plt.subplots(1, 2, figsize=(12, 3.6), layout="constrained")
    for axes, (quantity, unit) in zip(grid, (("FA", ""), ("MD", ", µm²/ms")), strict=True):
        methods = _paper_methods(results, cohort, f"{quantity} mean", (FIT, DIRECT, TENSOR))
        kinds = [method_of(m).kind for m in methods]
        values = [list(results.values(cohort, f"{quantity} mean", "", "brain", m).values())
                  for m in methods]
        boxes = axes.boxplot(values, patch_artist=True, widths=0.5, showfliers=False,
                             medianprops={"color": "black"})
        for box, kind in zip(boxes["boxes"], kinds, strict=True):
            box.set(facecolor=COLOURS[kind], alpha=0.55)
        for x, v in enumerate(values, start=1):
            axes.plot(np.full(len(v), x), v, "k.", markersize=4, alpha=0.6)
        axes.set_xticks(range(1, len(methods) + 1),
                        ["reference" if m == ALL else f"{_COLUMNS[k]}, {method_of(m).q}"
                         for m, k in zip(methods, kinds, strict=True)],
                        fontsize=8, rotation=0 if len(methods) < 6 else 90)
        axes.set_ylabel(f"mean {quantity} of the brain{unit}")
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Brain means, one point a subject: {cohort}", fontsize=11, weight="bold")
    save(figure, path)


def _paper_methods(results, cohort, quantity, kinds):
    """Methods of these kinds and the reference, of the numbers of directions that the paper has
    where there are more."""
    found = {m: method_of(m) for m in results.distinct("method", cohort=cohort, quantity=quantity)}
    found = {name: m for name, m in found.items() if m.kind in (*kinds, ALL)}
    if len({m.q for m in found.values()}) > 1 + len(MAPS_Q):
        found = {name: m for name, m in found.items() if m.q in (None, 3, *MAPS_Q)}
    return list(found)

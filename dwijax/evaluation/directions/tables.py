"""The report's tables: DWIs, images, FA, diffusivities, He et al.'s comparison, their Table 1."""

from collections.abc import Iterator

import numpy as np

from dwijax.data.cohort import CENTRAL
from dwijax.evaluation.common.regions import LESION
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Key
from dwijax.evaluation.common.slabs import THICKNESS, slab_interval
from dwijax.evaluation.common.tables import DASH, Table, interval, mean, mean_sd
from dwijax.evaluation.directions import he2020
from dwijax.evaluation.directions.protocol import B0S
from dwijax.evaluation.directions.rows import (
    INDEPENDENT,
    INPUTS,
    INPUTS_ALONE,
    MORE,
    NETWORKS,
    PERFECT,
    SIMULATED,
    WITH_TARGETS,
)


def tables(report, group: str) -> Iterator[Table]:
    """All tables of one group of a `dwijax.evaluation.directions.tabulate.Report`, in their order.
    """
    one_head = [slab_table] if group in report.heads else []
    tests = [] if report.prepared.within_subject else [tests_table]
    note = report.notes[group]
    for make in (table1, signal_table, *one_head, image_table, maps_table, diffusivity_table,
                 shared_noise_table, *tests):
        table = make(report, group)
        yield table._replace(title=table.title + f" ({note})" * bool(note))


def compared(sh: str) -> dict[str, tuple[str, ...]]:
    """Quantity to the methods that others are compared with, subject by subject; ``sh``: name of
    the spherical harmonics."""
    return {"DWI RMSE": (sh,), "FA RMSE": (sh, INPUTS, ALL), "MD RMSE": (sh, INPUTS),
            "V1 angle": (sh, INPUTS, ALL), "FA bias": (ALL,)}


def signal_table(report, group):
    """Errors of synthetic DWIs."""
    results, truth = report.results, report.reference(group) == TRUTH
    best = TRUTH if truth else "measured"

    def against_sh(method, reference):
        key = Key(group, "DWI RMSE", reference, "brain", method)
        pair = None if method == report.prepared.sh else results.paired(key, report.prepared.sh)
        return interval(pair and pair.percent, 1, "+")

    regions = _regions(report, group)
    columns = ["DWIs by", *(["noise-free", "vs SH, %"] if truth else []), "measured", "vs SH, %",
               "RMSE/σ", "excess/σ", "bias", *regions, "s/subject"]
    rows = []
    for method in results.methods(group, "DWI RMSE", "measured"):
        cell = _cell(report, group, method)
        rows.append([
            report.labels.signal[method],
            *([cell("DWI RMSE", TRUTH, show=mean_sd), against_sh(method, TRUTH)] if truth else []),
            cell("DWI RMSE", "measured", show=mean_sd), against_sh(method, "measured"),
            cell("DWI RMSE/sigma", "measured", digits=3),
            cell("DWI excess/sigma", "measured", digits=3),
            cell("DWI bias", best, sign="+"),
            *(cell("DWI RMSE", best, region) for region in regions),
            _seconds(results.median(group, "seconds", "subject", "brain", method))])
    notes = [f"RMSE/σ and excess, sqrt(RMSE² − σ²), against the measured DWIs; bias and regions: "
             f"to the {best} ones; border: voxels next to another tissue",
             f"SH: {report.labels.signal[report.prepared.sh]}, the order that validates best",
             "s/subject: median wall time of one prediction, with other work beside it; tuning and "
             "training not counted"]
    return Table(f"Synthetic DWIs of {len(report.prepared.split.targets)} directions, brain",
                 columns, rows, notes)


def image_table(report, group):
    """Likeness of images, smoothness, checkerboards."""
    results, truth = report.results, report.reference(group) == TRUTH
    best = TRUTH if truth else "measured"
    rows = []
    for method in results.methods(group, "checkerboard", "itself"):
        cell = _cell(report, group, method)
        rows.append([report.labels.signal[method], cell("DWI PSNR", best, digits=2),
                     cell("DWI SSIM", best), cell("fine power, %", best, digits=1),
                     cell("checkerboard", "itself", digits=2)])
    level = "" if truth else " less their noise, σ²"
    notes = [f"PSNR and SSIM against the {best} DWIs, in the brain",
             f"fine power: at wavelengths below 4 voxels, in % of that of the {best} DWIs{level}; "
             "below 100: smoother",
             "checkerboard: power of patterns of period two over its neighbours in the spectrum; "
             "about 1: there is none"]
    return Table("Images: likeness, smoothness, checkerboards",
                 ["DWIs by", "PSNR, dB", "SSIM", "fine power, %", "checkerboard"], rows, notes)


def maps_table(report, group):
    """Errors of FA."""
    best = report.reference(group)
    everything, truth = report.labels.maps[ALL], best == TRUTH
    regions = _regions(report, group)
    columns = ["FA of the fit of (and b0s)", "RMSE", "bias", "± 1.96 SD", *(
        f"{region} {what}" for region in regions for what in ("RMSE", "bias")),
        *([f"vs {everything}"] if truth else []), "SSIM"]
    rows = []
    for method in report.results.methods(group, "FA RMSE", best):
        cell = _cell(report, group, method)
        spread = report.results.estimate(group, "FA SD", best, "brain", method)
        rows.append([
            report.labels.maps[method], cell("FA RMSE", best, show=mean_sd),
            cell("FA bias", best, sign="+"), f"{1.96 * spread.mean:.4f}",
            *(c for r in regions for c in (cell("FA RMSE", best, r),
                                           cell("FA bias", best, r, sign="+"))),
            *([cell("FA RMSE", ALL_ACQUIRED)] if truth else []), cell("FA SSIM", best)])
    name = "the fit of the noise-free signal" if truth else f"the fit of {everything}"
    notes = ["± 1.96 SD: half the width of Bland and Altman's limits of agreement"]
    if not truth:
        notes.append(f"{everything} share the inputs' noise: rows that hold more of the acquired "
                     "volumes are nearer for that reason too")
    return Table(f"FA against {name}, brain and tissues", columns, rows, notes)


def diffusivity_table(report, group):
    """MD, AD, RD and V1."""
    best, quantities = report.reference(group), ("MD", "AD", "RD")
    rows = []
    for method in report.results.methods(group, "MD RMSE", best):
        cell = _cell(report, group, method)
        rows.append([report.labels.maps[method], *(
            c for quantity in quantities for c in (
                cell(f"{quantity} RMSE", best), cell(f"{quantity} bias", best, sign="+"))),
            *(cell("V1 angle", best, region, digits=2) for region in ("WM", "border"))])
    return Table(
        f"Diffusivities and V1 against {best}, brain",
        ["fit of (and b0s)", *(f"{q} {what}" for q in quantities for what in ("RMSE", "bias")),
         "V1 WM, °", "V1 border, °"], rows,
        ["V1: mean angle where the reference's FA is above 0.2; border: next to another tissue"])


def shared_noise_table(report, group):
    """He et al.'s three FA maps, R, and the independent reference."""
    split = report.prepared.split
    q, last = len(split.inputs), len(split.last)
    all_b0s = report.prepared.run.about["table"]["b0s"]
    b0s = min(all_b0s, B0S)
    few, many = f"{q + b0s} GTFA", f"{q + last + b0s} GTFA"
    independent = bool(report.results.methods(group, "FA RMSE", INDEPENDENT))
    ratios = report.results.methods(group, "R", WITH_TARGETS)
    rows = []
    for method in [*ratios, *[MORE] * independent]:
        cell = _cell(report, group, method)
        name = {INPUTS: few, MORE: many}.get(method, report.labels.signal.get(method))
        ratio = report.results.bootstrap(group, "R", WITH_TARGETS, "brain", method)
        rows.append([
            name, cell("FA RMSE", WITH_TARGETS, show=mean_sd),
            cell("FA RMSE", INPUTS_ALONE, show=mean_sd), interval(ratio, 3),
            *(cell("R", WITH_TARGETS, r, digits=3) for r in ("WM", "GM", "CSF")),
            cell("FA RMSE", INDEPENDENT, show=mean_sd), cell("FA bias", INDEPENDENT, sign="+")])
    notes = [
        f"{few}: {q} acquired and {b0s} b0; {many}: and the last {last} targets; "
        f"prediction: {q} acquired, {b0s} b0 and the last {last} synthetic",
        f"R = RMSE(prediction, {many}) / RMSE({few}, {many}), interval by bootstrap over subjects; "
        "all share the inputs' noise; by the first step of the fit, for which tensor "
        "interpolation must give 1",
        f"the networks see the mean of all {all_b0s} b0s"]
    if independent:
        notes.append(f"independent: the fit of the other {len(split.others)} targets and "
                     f"{all_b0s - b0s} b0s, in none of the maps above; its own noise lifts its FA, "
                     "so that a map lifted as much looks nearer than it is: see the bias")
    if SIMULATED in ratios:
        notes.append("simulated: noise-free DWIs of the fitted tensors, scanned again at this σ")
    return Table("FA as He et al. compare it, brain",
                 ["prediction by", f"to {many}", f"to {few}", "R", "R WM", "R GM", "R CSF",
                  "to independent", "bias"], rows, notes)


def table1(report, group):
    """Table 1 of He et al."""
    found = report.evidence.slices[group]
    rows = []
    for comparison in dict.fromkeys(row.comparison for row in found):
        for method in (*he2020.METHODS, "acquired"):
            by_subject = {}
            for row in found:
                if (row.comparison, row.method) == (comparison, method):
                    by_subject.setdefault(row.subject, []).append(row.value)
            if not by_subject:
                continue
            values = np.concatenate(list(by_subject.values()))
            between = f"{np.std([np.mean(v) for v in by_subject.values()], ddof=1):.4f}" \
                if len(by_subject) > 1 and not report.prepared.within_subject else DASH
            published = he2020.PUBLISHED.get(comparison, DASH) if method == NETWORKS else DASH
            name = {NETWORKS: "networks", PERFECT: "noise-free DWIs (limit)"}.get(method, method)
            rows.append([f"{comparison}, {name}", f"{values.mean():.4f}",
                         f"{values.std(ddof=1) if len(values) > 1 else 0:.4f}", between,
                         str(len(values)), published])
    order = {c: i for i, c in enumerate(he2020.PUBLISHED)}
    rows.sort(key=lambda r: order.get(r[0].split(",")[0], len(order)))
    notes = [f"RMSE over the brain of each slice; the central {CENTRAL} slices of each "
             "subject, or all there are (with 13, 14 and 122 of 149 HCP subjects: 793, 854 and "
             "1710 slices)",
             "DWIs divided by the 99.9th percentile of the subject's inputs in the brain; FA by "
             "MRtrix3's default fit",
             "published: HCP, b = 1000, 11 subjects (FA), 600 slices (DWIs)"]
    return Table("Table 1 of He et al.: RMSE",
                 ["", "mean", "SD of slices", "SD of subjects", "slices", "published"], rows, notes)


def tests_table(report, group):
    """Paired tests of the networks against what they must beat; all others are in the CSV."""
    best = report.reference(group)
    dwi = TRUTH if best == TRUTH else "measured"
    rows, acquired = [], (INPUTS, MORE, ALL, report.prepared.sh)
    for quantity, against, region, names, methods in (
            ("DWI RMSE", dwi, "brain", report.labels.signal,
             report.results.methods(group, "DWI RMSE", dwi)),
            ("FA RMSE", best, "brain", report.labels.maps, acquired),
            ("V1 angle", best, "WM", report.labels.maps, acquired)):
        key = Key(group, quantity, against, region, NETWORKS)
        for method in methods:
            pair = None if method in (NETWORKS, PERFECT) else report.results.paired(key, method)
            if pair:
                p = report.results.p_values(key, method)
                rows.append([f"{quantity}, {region}, against {names[method]}",
                             interval(pair.difference, 4, "+"), interval(pair.percent, 1, "+"),
                             *(DASH if v != v else f"{v:.2g}" for v in p)])
    return Table(f"Networks against each, subject by subject, to {best}",
                 ["networks −", "difference", "%", "p, t-test", "p, Wilcoxon"], rows,
                 ["two-sided, paired over subjects, not corrected for their number"])


def slab_table(report, group):
    """Networks against the others in the only head there is."""
    head = report.heads[group]
    regions = [name for name in ("brain", "WM", "GM") if head.regions[name].any()]
    rows = []
    for method, squares in head.squares.items():
        cells = []
        for region in (head.regions[name] for name in regions):
            cells.append(f"{np.sqrt(squares[region].mean()):.4f}")
            cells.append(DASH if method == NETWORKS else format(slab_interval(
                head.squares[NETWORKS][region], squares[region], head.slabs[region]), "+.4f"))
        rows.append([report.labels.signal[method], *cells])
    columns = [c for name in regions for c in (name, f"networks − it, {name} [95 %]")]
    return Table("One head: RMSE of the DWIs against the measured ones, and intervals within it",
                 ["DWIs by", *columns], rows,
                 [f"slabs of {THICKNESS} slices drawn with replacement: of this head, not of "
                  "others; the excess over the noise, sqrt(RMSE² − σ²), has the same order"])


def _regions(report, group):
    lesions = report.results.values(group, "DWI RMSE", "measured", LESION, NETWORKS)
    return ("WM", "GM", "CSF", "border", *([LESION] if lesions else []))


def _cell(report, group, method):
    def cell(quantity, reference, region="brain", digits=4, sign="", show=mean):
        return show(report.results.estimate(group, quantity, reference, region, method), digits,
                    sign)

    return cell


def _seconds(value):
    return DASH if value != value else f"{value:.2f}" if value < 10 else f"{value:.0f}"

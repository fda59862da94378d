"""The report's tables: Li et al.'s claims, maps, eigenvectors, regions, agreement, studies."""

from collections.abc import Iterator
from math import erf

import numpy as np

from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH
from dwijax.evaluation.common.tables import DASH, Table, mean, mean_sd
from dwijax.evaluation.maps.brain_means import agreement_table
from dwijax.evaluation.maps.direct_or_tensor import direct_or_tensor_tables
from dwijax.evaluation.maps.equivalence import CLOSE
from dwijax.evaluation.maps.protocol import ANISOTROPIC, DEVIATIONS, NEAR_SEAM, PEAKS
from dwijax.evaluation.maps.rois import GROUPS, LEAST
from dwijax.evaluation.maps.targets import target_table
from dwijax.evaluation.studies.study_tables import study_tables
from dwijax.inference.network_maps import DIRECT, TENSOR


def tables(report, group: str) -> Iterator[Table]:
    """All tables of one group of a `dwijax.evaluation.maps.tabulate.Report`, in their order."""
    results, label = report.results, report.labels(group)
    targets = target_table(results, group, report.rois(group))
    if targets:
        yield targets
    for quantity in PEAKS:
        for against in report.references(group):
            yield map_table(report, group, quantity, against)
    if results.select(cohort=group, quantity="V1 angle"):
        yield angle_table(report, group)
    if report.rois(group):
        yield roi_table(report, group)
    yield agreement_table(results, group, label)
    yield from direct_or_tensor_tables(results, group, report.contenders[group])
    if results.select(cohort=group, quantity="fa_std factor"):
        yield coverage_table(report, group)
    yield from study_tables(results, group, label)


def map_table(report, group, quantity, against):
    """Errors of FA or MD."""
    get, rows = report.results.estimate, []
    for method in report.results.methods(group, f"{quantity} RMSE", against):
        def cell(what, region="brain", digits=4, show=mean, sign="", method=method):
            return show(get(group, f"{quantity} {what}", against, region, method), digits, sign)

        pairs = ((cell("RMSE", r), cell("bias", r, sign="+")) for r in ("WM", "GM", "CSF"))
        rows.append([report.labels(group)(method), cell("RMSE", show=mean_sd),
                     cell("bias", sign="+"), cell("NMSE", digits=2), cell("PSNR", digits=2),
                     cell("r"), *(c for pair in pairs for c in pair)])
    unit = ", µm²/ms" if quantity == "MD" else ""
    columns = [f"{quantity} by{unit}", "RMSE", "bias", "NMSE, %", "PSNR, dB", "r",
               *(f"{t} {w}" for t in ("WM", "GM", "CSF") for w in ("RMSE", "bias"))]
    return Table(f"{quantity} against the {report.against(group, against)}", columns, rows, [])


def angle_table(report, group):
    """Angles of V1."""
    against, rows = report.references(group)[0], []
    for form in ("V1 angle", "signed V1 angle"):
        for method in report.results.distinct("method", cohort=group, quantity=form,
                                              against=against):
            cells = [mean(report.results.estimate(group, form + w, against, r, method), 2)
                     for r in ("WM", "WM near the seam", "WM off the seam") for w in ("", ", mean")]
            signed = ", signed vectors" if form.startswith("signed") else ""
            rows.append([report.labels(group)(method) + signed, *cells])
    columns = ["V1 by, degrees", *(f"{r} {w}" for r in ("WM", "near seam", "off seam")
                                   for w in ("median", "mean"))]
    notes = [f"white matter with FA > {ANISOTROPIC}; near the seam: V1 within {NEAR_SEAM:g}° of "
             "the plane normal to (1, 1, 1), where signed vectors turn round"]
    return Table(f"First eigenvector against the {report.against(group, against)}", columns, rows,
                 notes)


def roi_table(report, group):
    """In how many regions the mean is close, and the MSE."""
    kinds, rows = report.rois(group), []
    for quantity in PEAKS:
        for against in report.references(group):
            for method in report.results.distinct("method", cohort=group,
                                                  quantity=f"ROI {quantity} error %"):
                errors = report.roi_errors(group, quantity, against, method)
                if not errors or (method == ALL and against == ALL_ACQUIRED):
                    continue
                cells = []
                for kind in GROUPS:
                    chosen = [e for name, e in errors.items() if kinds[name] == kind]
                    good = sum(e.mean < CLOSE for e in chosen)
                    cells.append(f"{good}/{len(chosen)}" if chosen else DASH)
                total = f"{sum(e.mean < CLOSE for e in errors.values())}/{len(errors)}"
                worst = f"{sum(e.worst < CLOSE for e in errors.values())}/{len(errors)}"
                mse = [np.mean([m for name in kinds if kinds[name] == kind for m in
                                report.results.values(group, f"ROI {quantity} MSE", against, name,
                                                      method).values()] or [np.nan])
                       for kind in GROUPS[:3]]
                rows.append([f"{quantity}, {report.labels(group)(method)}",
                             "truth" if against == TRUTH else "reference", total, worst,
                             *cells, *(f"{100 * m:.3f}" if m == m else DASH for m in mse)])
    columns = ["map by", "against", "ROIs < 5 %", "worst subject < 5 %", *GROUPS,
               *(f"MSE {k}, %" for k in GROUPS[:3])]
    notes = [f"ROIs of at least {LEAST} voxels; error |mean - mean of the other| / mean of the "
             "other, averaged over subjects; MSE times 100 (FA; MD in µm²/ms)"]
    return Table("Regions of interest", columns, rows, notes)


def coverage_table(report, group):
    """Whether ``fa_std`` is the SD of FA's error."""
    against, rows = report.references(group)[0], []
    for contender in report.contenders[group]:
        for kind in (DIRECT, TENSOR):
            method = contender.named(kind)
            cells = [mean(report.results.estimate(group, "fa_std coverage", against, f"{d:g}",
                                                  method), 3) for d in DEVIATIONS]
            if cells[0] != DASH:
                rows.append([report.labels(group)(method), f"{contender.factor:.2f}", *cells])
    normal = [f"{erf(d / 2**0.5):.3f}" for d in DEVIATIONS]
    return Table(
        f"Share of voxels whose FA is within so many fa_std of the "
        f"{report.against(group, against).split(',')[0]}",
        ["networks", "factor", *(f"{d:g} SD" for d in DEVIATIONS)],
        [*rows, ["normal distribution", "", *normal]],
        ["fa_std: SD over networks that differ in their seed, times the factor that brings 68 % of "
         "the validation subjects' voxels within one; fa_std.nii.gz is without it"])

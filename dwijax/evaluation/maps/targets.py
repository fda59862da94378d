"""What Li et al. promise, and a little more, beside what was found."""

import numpy as np

from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Results
from dwijax.evaluation.common.tables import Table
from dwijax.evaluation.maps.methods import FIT, named
from dwijax.inference.network_maps import DIRECT, TENSOR


def target_table(results: Results, group: str, rois: dict[str, str]) -> Table | None:
    """The table; None where there are neither six directions for FA nor three for MD.

    Maps from six are those that ``dwijax predict`` writes: the tensor network's, where there is
    one.

    Args:
      group: name of the cohort.
      rois: ``{name: group of dwijax.evaluation.maps.rois.GROUPS}``.
    """
    def found(quantity, against, region, method):
        values = results.values(group, quantity, against, region, method)
        return float(np.mean(list(values.values()))) if values else np.nan

    rows = []

    def add(what, limit, value, most, digits):
        if np.isfinite(value) and np.isfinite(limit):
            met = value <= limit if most else value >= limit
            rows.append([what, f"{'≤' if most else '≥'} {limit:.{digits}f}",
                         f"{value:.{digits}f}", "yes" if met else "no"])

    six = next((m for m in (named(TENSOR, 6), named(DIRECT, 6))
                if results.values(group, "FA r", ALL_ACQUIRED, "brain", m)), None)
    if six:
        add("FA from 6: r over voxels to the reference", 0.985,
            found("FA r", ALL_ACQUIRED, "brain", six), False, 4)
        add("FA from 6: NMSE to the reference, %", 3.0,
            found("FA NMSE", ALL_ACQUIRED, "brain", six), True, 2)
        grey_white = [found("ROI FA error %", ALL_ACQUIRED, name, six)
                      for name, kind in rois.items() if kind != "CSF"]
        if grey_white:
            add("FA from 6: largest mean error of a grey or white ROI, %", 5.0,
                float(np.nanmax(grey_white)), True, 2)
        add("FA from 6: RMSE to the truth, and the reference's", found(
            "FA RMSE", TRUTH, "brain", ALL), found("FA RMSE", TRUTH, "brain", six), True, 4)
    three = named(DIRECT, 3)
    add("MD from 3: r over voxels to the reference", 0.998,
        found("MD r", ALL_ACQUIRED, "brain", three), False, 4)
    add("MD from 3: NMSE to the reference, %", 1.0,
        found("MD NMSE", ALL_ACQUIRED, "brain", three), True, 2)
    if six:
        best = TRUTH if results.values(group, "V1 angle", TRUTH, "WM", six) else ALL_ACQUIRED
        add("V1 from 6: mean angle in white matter, and that of a fit of 18, degrees",
            found("V1 angle, mean", best, "WM", named(FIT, 18)),
            found("V1 angle, mean", best, "WM", six), True, 2)
        for key in results.select(cohort=group, quantity="lesion FA contrast", method=six):
            radius = key.region.removeprefix("radius ")
            if radius.isdigit() and int(radius) >= 4:
                ours, reference = (found(key.quantity, key.against, key.region, m)
                                   for m in (six, ALL))
                add(f"FA from 6: contrast of the {key.against} lesion of {key.region} off the "
                    "reference's, %", 5.0, 100 * abs(ours / reference - 1), True, 1)
    return Table("Targets", ["", "wanted", "found", "met"], rows,
                 ["means over subjects; reference: the fit of all directions, which shares the "
                  "inputs' noise"]) if rows else None

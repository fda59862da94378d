"""What Li et al. promise, and a little more, beside what was found."""

import numpy as np

from dwijax.evaluation.common.rows import ALL
from dwijax.evaluation.common.tables import Table
from dwijax.evaluation.maps.protocol import FIT, named
from dwijax.evaluation.studies.map_studies import TRUTH
from dwijax.inference.network_maps import DIRECT, TENSOR

REFERENCE = "all acquired"


def target_table(results, group, rois):
    """The table; None where there are neither six directions for FA nor three for MD.

    Maps from six are those that ``dwijax predict`` writes: the tensor network's, where there is
    one.

    Args:
      results: `dwijax.evaluation.common.tables.Results`. group: name of the cohort.
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
                if results.values(group, "FA r", REFERENCE, "brain", m)), None)
    if six:
        add("FA from 6: r over voxels to the reference", 0.985,
            found("FA r", REFERENCE, "brain", six), False, 4)
        add("FA from 6: NMSE to the reference, %", 3.0,
            found("FA NMSE", REFERENCE, "brain", six), True, 2)
        grey_white = [found("ROI FA error %", REFERENCE, name, six)
                      for name, kind in rois.items() if kind != "CSF"]
        if grey_white:
            add("FA from 6: largest mean error of a grey or white ROI, %", 5.0,
                float(np.nanmax(grey_white)), True, 2)
        add("FA from 6: RMSE to the truth, and the reference's", found(
            "FA RMSE", TRUTH, "brain", ALL), found("FA RMSE", TRUTH, "brain", six), True, 4)
    three = named(DIRECT, 3)
    add("MD from 3: r over voxels to the reference", 0.998,
        found("MD r", REFERENCE, "brain", three), False, 4)
    add("MD from 3: NMSE to the reference, %", 1.0,
        found("MD NMSE", REFERENCE, "brain", three), True, 2)
    if six:
        best = TRUTH if results.values(group, "V1 angle", TRUTH, "WM", six) else REFERENCE
        add("V1 from 6: mean angle in white matter, and that of a fit of 18, degrees",
            found("V1 angle, mean", best, "WM", named(FIT, 18)),
            found("V1 angle, mean", best, "WM", six), True, 2)
        rows_of = [k for k in results.keys if k[0] == group and k[1] == "lesion FA contrast"
                   and k[4] == six and k[3].removeprefix("radius ").isdigit()
                   and int(k[3].removeprefix("radius ")) >= 4]
        for _, quantity, kind, region, _ in rows_of:
            ours, reference = (found(quantity, kind, region, m) for m in (six, ALL))
            add(f"FA from 6: contrast of the {kind} lesion of {region} off the reference's, %", 5.0,
                100 * abs(ours / reference - 1), True, 1)
    return rows and Table("Targets", ["", "wanted", "found", "met"], rows,
                          ["means over subjects; reference: the fit of all directions, which "
                           "shares the inputs' noise"])

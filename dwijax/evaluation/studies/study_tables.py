"""Tables of tracts, lesions and added noise."""

from dwijax.evaluation.common.tables import Table, mean
from dwijax.evaluation.studies.map_studies import TRUTH


def study_tables(results, group, label):
    """Yields a `Table` for each study that has records.

    Args:
      results: `dwijax.evaluation.common.tables.Results`. group: name of the cohort.
      label: method to its name in tables.
    """
    keys = [k[1:] for k in results.keys if k[0] == group]

    def found(column, **wanted):
        """Distinct values of a column of (quantity, against, region, method), in their order."""
        names = ("quantity", "against", "region", "method")
        return list(dict.fromkeys(
            k[names.index(column)] for k in keys
            if all(k[names.index(n)] == v for n, v in wanted.items())))

    def subjects(quantity):
        n = max(len(results.values(group, *k)) for k in keys if k[0] == quantity)
        return f"{n} subject" + "s" * (n > 1)

    for against in found("against", quantity="tract Dice"):
        bundles = found("region", quantity="tract Dice", against=against)
        rows = []
        for method in found("method", quantity="tract Dice", against=against):
            cells = [mean(results.estimate(group, f"tract {what}", against, b, method), digits)
                     for b in bundles for what, digits in (("Dice", 3), ("distance", 2))]
            rows.append([label(method), *cells])
        yield Table(f"Tracts against those of the {'truth' if against == TRUTH else 'reference'}, "
                    + subjects("tract Dice"),
                    ["maps by", *(f"{b} {w}" for b in bundles for w in ("Dice", "mm"))], rows,
                    ["Dice of the voxels visited; mean distance to the nearest streamline, MDF"])

    for quantity in ("FA", "MD"):
        name = f"lesion {quantity}"
        lesions = list(dict.fromkeys(k[1:3] for k in keys if k[0] == f"{name} contrast"))
        if not lesions:
            continue
        rows = []
        for method in found("method", quantity=f"{name} contrast"):
            cells = []
            for lesion in lesions:
                contrast, error, dice = (
                    mean(results.estimate(group, f"{name} {what}", *lesion, method), digits, sign)
                    for what, digits, sign in (("contrast", 3, "+"), ("RMSE", 3, ""),
                                               ("Dice", 2, "")))
                cells.append(f"{contrast} / {error} / {dice}")
            rows.append([label(method), *cells])
        yield Table(
            f"Lesions in {quantity}: contrast / RMSE inside to the truth / Dice, "
            + subjects(f"{name} contrast"),
            [f"{quantity} by", *(f"{k}, {r.removeprefix('radius ')}" for k, r in lesions)], rows,
            ["columns: kind and radius in voxels; contrast (lesion - ring) / ring; Dice of what "
             "lies beyond half of the true contrast"])

    for against in found("against", quantity="noise FA RMSE"):
        levels = found("region", quantity="noise FA RMSE", against=against)
        rows = [[label(method), *(mean(results.estimate(
            group, "noise FA RMSE", against, level, method)) for level in levels)]
            for method in found("method", quantity="noise FA RMSE", against=against)]
        yield Table(f"FA with noise added {against}, RMSE, " + subjects("noise FA RMSE"),
                    ["FA by", *levels], rows,
                    ["dB = 20 log10(RMS of the brain's DWIs / SD of the added noise)"])

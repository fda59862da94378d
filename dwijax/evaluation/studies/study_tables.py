"""Tables of tracts, lesions and added noise."""

from collections.abc import Callable, Iterator

from dwijax.evaluation.common.results import TRUTH, Results
from dwijax.evaluation.common.tables import Table, mean


def study_tables(results: Results, group: str, label: Callable[[str], str]) -> Iterator[Table]:
    """Yields a `Table` for each study that has records.

    Args:
      group: name of the cohort. label: method to its name in tables.
    """
    def found(column, **wanted):
        return results.distinct(column, cohort=group, **wanted)

    def subjects(quantity):
        keys = results.select(cohort=group, quantity=quantity)
        n = max(len(results.values(*key)) for key in keys)
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
        keys = results.select(cohort=group, quantity=f"{name} contrast")
        lesions = list(dict.fromkeys((key.against, key.region) for key in keys))
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

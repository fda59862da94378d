"""Numbers of subjects by what they are of, and their CSV files."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common import statistics
from dwijax.evaluation.common.statistics import Estimate, Paired, PValues
from dwijax.evaluation.common.tables import write_csv

# What maps are compared with: the fit of the noise-free signal, the fit of all acquired volumes.
TRUTH, ALL_ACQUIRED = "noise-free", "all acquired"
# The method that is the fit of all acquired volumes.
ALL = "all"


class Row(NamedTuple):
    """One number of one subject."""

    quantity: str
    against: str
    region: str
    method: str
    value: float


class Key(NamedTuple):
    """What a number is of, whoever the subject."""

    cohort: str
    quantity: str
    against: str
    region: str
    method: str


class Record(NamedTuple):
    """One number of one subject of one cohort."""

    cohort: str
    subject: str
    quantity: str
    against: str
    region: str
    method: str
    value: float


class Results:
    """All records of an evaluation, asked by the fields of `Key`. Not ``between_subjects`` where
    all of it comes from one subject: no SD and no interval."""

    def __init__(self, records: Iterable[Record], between_subjects: bool = True):
        self.records, self.between_subjects = list(records), between_subjects
        self._values = {}
        for r in self.records:
            key = Key(r.cohort, r.quantity, r.against, r.region, r.method)
            self._values.setdefault(key, {})[r.subject] = r.value

    def select(self, **wanted: str) -> list[Key]:
        """Those with these fields, in the order of the records."""
        return [key for key in self._values
                if all(getattr(key, field) == value for field, value in wanted.items())]

    def distinct(self, field: str, **wanted: str) -> list[str]:
        """What a field is among `select`."""
        return list(dict.fromkeys(getattr(key, field) for key in self.select(**wanted)))

    def methods(self, cohort: str, quantity: str, against: str) -> list[str]:
        """Those that have this number in the brain."""
        return self.distinct("method", cohort=cohort, quantity=quantity, against=against,
                             region="brain")

    def values(self, cohort: str, quantity: str, against: str, region: str,
               method: str) -> dict[str, float]:
        """``{subject: value}``; empty if there is no such number."""
        return self._values.get(Key(cohort, quantity, against, region, method), {})

    def estimate(self, *key: str) -> Estimate | None:
        """Over subjects, of the fields of a `Key`; None if there is no such number."""
        values = list(self.values(*key).values())
        return statistics.estimate(values, self.between_subjects) if values else None

    def bootstrap(self, *key: str) -> Estimate | None:
        """As `estimate`, with the interval over subjects drawn with replacement."""
        values = list(self.values(*key).values())
        return statistics.bootstrap(values, self.between_subjects) if values else None

    def median(self, *key: str) -> float:
        """Of the subjects' values; NaN if there is none."""
        values = list(self.values(*key).values())
        return float(np.median(values)) if values else np.nan

    def paired(self, key: Key, other: str) -> Paired | None:
        """The difference to another method on the same subjects; None if either has none."""
        pair = self._pair(key, other)
        return statistics.paired(*pair, self.between_subjects) if pair else None

    def p_values(self, key: Key, other: str) -> PValues:
        """p-values of that difference; NaN where they mean nothing."""
        pair = self._pair(key, other)
        if not pair or not self.between_subjects:
            return PValues(np.nan, np.nan)
        return statistics.p_values(*pair)

    def _pair(self, key, other):
        a, b = self.values(*key), self.values(*key._replace(method=other))
        return (list(a.values()), [b[s] for s in a]) if a and b else None


def write_per_subject(path: Path, results: Results, notes: dict[str, str]):
    """Writes all records; ``notes``: cohort to what is written into each of its rows."""
    write_csv(path, [*Record._fields, "note"],
              [(*record, notes[record.cohort]) for record in results.records])


def write_results(folder: Path, results: Results, comparisons: dict[str, tuple[str, ...]],
                  notes: dict[str, str], tested: str = "networks"):
    """``per_subject.csv``, ``summary.csv`` and ``comparisons.csv``.

    Args:
      comparisons: quantity to the methods that others are compared with.
      notes: as `write_per_subject`, such as "within subject".
      tested: the method whose differences are tested.
    """
    write_per_subject(folder / "per_subject.csv", results, notes)
    write_csv(folder / "summary.csv",
              [*Key._fields, "n", "mean", "sd", "ci95_low", "ci95_high", "interval", "note"],
              [(*key, *(results.bootstrap if key.quantity == "R" else results.estimate)(*key),
                "bootstrap" if key.quantity == "R" else "t", notes[key.cohort])
               for key in results.select()])
    rows = []
    for key in results.select():
        for other in comparisons.get(key.quantity, ()):
            pair = None if other == key.method else results.paired(key, other)
            if pair:
                difference, percent = pair
                p = results.p_values(key, other) if key.method == tested else (np.nan, np.nan)
                rows.append((*key, other, difference.n, difference.mean, difference.low,
                             difference.high, percent.mean, percent.low, percent.high, *p,
                             notes[key.cohort]))
    write_csv(folder / "comparisons.csv",
              [*Key._fields, "compared_to", "n", "difference", "ci95_low", "ci95_high",
               "percent", "percent_ci95_low", "percent_ci95_high", "p_paired_t", "p_wilcoxon",
               "note"], rows)

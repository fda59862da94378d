"""Numbers of subjects to tables: CSV to compute with, Markdown to quote, text to print."""

import csv
import io
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common.statistics import bootstrap, estimate, paired, tests
from dwijax.output import whole

DASH = "–"


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
    """All records of an evaluation, asked by cohort, quantity, reference, region and method.

    Args:
      records: list of `Record`.
      between_subjects: False where all of it comes from one subject: no SD and no interval.
    """

    def __init__(self, records, between_subjects=True):
        self.records, self.between_subjects = list(records), between_subjects
        self._values = {}
        for record in self.records:
            self._values.setdefault(record[:1] + record[2:6], {})[record.subject] = record.value

    @property
    def keys(self):
        """``(cohort, quantity, against, region, method)``, in the order of the records."""
        return list(self._values)

    def methods(self, cohort, quantity, against):
        """Those that have this number in the brain, in the order of the records."""
        return [k[4] for k in self._values if k[:4] == (cohort, quantity, against, "brain")]

    def values(self, *key):
        """``{subject: value}``; empty if there is no such number."""
        return self._values.get(key, {})

    def estimate(self, *key):
        """`Estimate` over subjects; None if there is no such number."""
        values = self._values.get(key)
        return values and estimate(list(values.values()), self.between_subjects)

    def bootstrap(self, *key):
        """As `estimate`, with the interval over subjects drawn with replacement."""
        values = self._values.get(key)
        return values and bootstrap(list(values.values()), self.between_subjects)

    def median(self, *key):
        """Of the subjects' values; NaN if there is none."""
        values = self._values.get(key)
        return float(np.median(list(values.values()))) if values else np.nan

    def paired(self, key, other):
        """``(difference, percent)`` to another method on the same subjects, or None."""
        pair = self._pair(key, other)
        return pair and paired(*pair, self.between_subjects)

    def tests(self, key, other):
        """``(p of the paired t-test, p of Wilcoxon's test)``; NaN where they mean nothing."""
        pair = self._pair(key, other)
        return tests(*pair) if pair and self.between_subjects else (np.nan, np.nan)

    def _pair(self, key, other):
        a, b = self._values.get(key), self._values.get(other)
        return (list(a.values()), [b[s] for s in a]) if a and b else None


class Table(NamedTuple):
    """A titled table of text cells, the first column left-aligned, with notes below."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]

    def text(self):
        """For a terminal."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        rule = "  ".join("-" * w for w in widths)

        def line(cells):
            rest = (c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))
            return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()

        return "\n".join([self.title, line(self.columns), rule, *map(line, self.rows), *self.notes])

    def markdown(self):
        """As a GitHub table."""
        ruler = [":--"] + ["--:"] * (len(self.columns) - 1)
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.columns, ruler, *self.rows)]
        notes = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join([f"### {self.title}", "", *lines, *notes])


def mean_sd(e, digits=4, sign=""):
    """``0.0163 ± 0.0004``; without SD where there is none."""
    if e is None or not e.n:
        return DASH
    mean = f"{e.mean:{sign}.{digits}f}"
    return mean if e.sd != e.sd else f"{mean} ± {e.sd:.{digits}f}"


def mean(e, digits=4, sign=""):
    """``0.0163``."""
    return DASH if e is None or not e.n else f"{e.mean:{sign}.{digits}f}"


def interval(e, digits=4, sign=""):
    """``0.0163 [0.0160, 0.0166]``."""
    if e is None or not e.n:
        return DASH
    text = f"{e.mean:{sign}.{digits}f}"
    if e.low != e.low:
        return text
    return f"{text} [{e.low:{sign}.{digits}f}, {e.high:{sign}.{digits}f}]"


def write_csv(path, header, rows):
    """Writes a CSV file, whole or not at all. Floats with seven digits, NaN as nothing."""
    def cell(value):
        if isinstance(value, float):
            return "" if value != value else f"{value:.7g}"
        return value

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell(v) for v in row] for row in rows)
    with whole(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def write_results(folder, results, comparisons, notes, tested="networks"):
    """``per_subject.csv``, ``summary.csv`` and ``comparisons.csv``.

    Args:
      folder: to write to. results: `Results`.
      comparisons: quantity to the methods that others are compared with.
      tested: the method whose differences are tested.
      notes: cohort to what is written into each of its rows, such as "within subject".
    """
    write_csv(folder / "per_subject.csv", [*Record._fields, "note"],
              [(*record, notes[record.cohort]) for record in results.records])
    key_names = ["cohort", "quantity", "against", "region", "method"]
    write_csv(folder / "summary.csv",
              [*key_names, "n", "mean", "sd", "ci95_low", "ci95_high", "interval", "note"],
              [(*key, *(results.bootstrap if key[1] == "R" else results.estimate)(*key),
                "bootstrap" if key[1] == "R" else "t", notes[key[0]]) for key in results.keys])
    rows = []
    for key in results.keys:
        for other in comparisons.get(key[1], ()):
            pair = None if other == key[4] else results.paired(key, (*key[:4], other))
            if pair:
                difference, percent = pair
                rows.append((*key, other, difference.n, difference.mean, difference.low,
                             difference.high, percent.mean, percent.low, percent.high,
                             *(results.tests(key, (*key[:4], other)) if key[4] == tested
                               else (np.nan, np.nan)), notes[key[0]]))
    write_csv(folder / "comparisons.csv",
              [*key_names, "compared_to", "n", "difference", "ci95_low", "ci95_high",
               "percent", "percent_ci95_low", "percent_ci95_high", "p_paired_t", "p_wilcoxon",
               "note"], rows)

"""Tables: Markdown to quote, text to print, CSV to compute with."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dwijax.evaluation.common.statistics import Estimate
from dwijax.output import whole

DASH = "–"


class Table(NamedTuple):
    """A titled table of text cells, the first column left-aligned, with notes below."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]

    def text(self) -> str:
        """For a terminal."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        rule = "  ".join("-" * w for w in widths)

        def line(cells):
            rest = (c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))
            return "  ".join([cells[0].ljust(widths[0]), *rest]).rstrip()

        return "\n".join([self.title, line(self.columns), rule, *map(line, self.rows), *self.notes])

    def markdown(self) -> str:
        """As a GitHub table."""
        ruler = [":--"] + ["--:"] * (len(self.columns) - 1)
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.columns, ruler, *self.rows)]
        notes = ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join([f"### {self.title}", "", *lines, *notes])


def mean_sd(e: Estimate | None, digits: int = 4, sign: str = "") -> str:
    """``0.0163 ± 0.0004``; without SD where there is none."""
    if e is None or not e.n:
        return DASH
    mean = f"{e.mean:{sign}.{digits}f}"
    return mean if e.sd != e.sd else f"{mean} ± {e.sd:.{digits}f}"


def mean(e: Estimate | None, digits: int = 4, sign: str = "") -> str:
    """``0.0163``."""
    return DASH if e is None or not e.n else f"{e.mean:{sign}.{digits}f}"


def interval(e: Estimate | None, digits: int = 4, sign: str = "") -> str:
    """``0.0163 [0.0160, 0.0166]``."""
    if e is None or not e.n:
        return DASH
    text = f"{e.mean:{sign}.{digits}f}"
    if e.low != e.low:
        return text
    return f"{text} [{e.low:{sign}.{digits}f}, {e.high:{sign}.{digits}f}]"


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]):
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

"""Figures of a benchmark: as a table of Markdown, and as a file of CSV.

The columns of the file are those of ``benchmarks/results/*.csv`` that a benchmark knows.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from dwijax.output import whole


class Figure(NamedTuple):
    """One figure: table, row and column; numbers as they are printed, ``low`` and ``high`` empty
    without an interval."""

    table: str
    row: str
    figure: str
    value: str
    low: str = ""
    high: str = ""
    unit: str = ""


def figure(table, row, name, value, ends=None, unit="", digits=".4f") -> Figure:
    """`Figure` of numbers; ``ends``: of its interval of 95 %."""
    low, high = ("", "") if ends is None else (f"{end:{digits}}" for end in ends)
    return Figure(table, str(row), name, f"{value:{digits}}", low, high, unit)


def markdown(figures: list[Figure]) -> str:
    """A table of Markdown for each table of the figures."""
    return "\n\n".join(_table([f for f in figures if f.table == name])
                       for name in dict.fromkeys(f.table for f in figures))


def _table(figures):
    rows, names = (list(dict.fromkeys(getattr(f, key) for f in figures))
                   for key in ("row", "figure"))
    units = {f.figure: f.unit for f in figures}
    cells = {(f.row, f.figure): f.value + (f" [{f.low}, {f.high}]" if f.low else "")
             for f in figures}
    lines = [[figures[0].table, *(f"{name}, {units[name]}" if units[name] else name
                                  for name in names)]]
    lines += [[row, *(cells.get((row, name), "") for name in names)] for row in rows]
    lines = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([lines[0], "|---" * (len(names) + 1) + "|", *lines[1:]])


def write(figures: list[Figure], path: Path):
    """Writes the figures as CSV."""
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(Figure._fields)
        lines.writerows(figures)

"""Writes the tables of README.md and docs/ from the figures in benchmarks/results/*.csv.

    python benchmarks/render.py

A line of those files is one figure of a table: row and figure (the column), value and, where it was
measured, its 95 % confidence interval; unit; machine (docs/results/performance.md describes them),
commit that recorded it, date, and the command that measures it, in which ``{row}`` stands for the
name of the row. A table stands between ``<!-- results: NAME -->`` and ``<!-- end -->``.
"""

import csv
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
MARKED = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end -->)", re.S)
FEW = 3  # so many commands stand below a table; more are a column of it


def read():
    """``{table: [line of a CSV file, ...]}``; a table's lines are all of one file."""
    tables = {}
    for path in sorted(RESULTS.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                tables.setdefault(line["table"], []).append(line)
    return tables


def distinct(lines, key):
    """Values of a column, each once, in their order."""
    return list(dict.fromkeys(line[key] for line in lines))


def cell(line, unit):
    """A figure, with its unit where its column has several."""
    text = line["value"] + (f" [{line['low']}, {line['high']}]" if line["low"] else "")
    text = text if "e" in text else text.replace("-", "−")
    return f"{text} {line['unit']}".strip() if unit else text


def markdown(lines):
    """The table of some figures, and below it where they come from."""
    rows, figures = distinct(lines, "row"), distinct(lines, "figure")
    at = {(line["row"], line["figure"]): line for line in lines}

    def of(key, name):
        return [line for line in lines if line[key] == name]

    units = {name: distinct(of("figure", name), "unit") for name in figures}
    commands = distinct(lines, "command")
    listed = len(commands) > FEW
    table = [["", *(f"{name}, {units[name][0]}".removesuffix(", ") if len(units[name]) == 1
                    else name for name in figures)] + ["command"] * listed]
    table.append([":--"] + ["--:"] * len(figures) + [":--"] * listed)
    for row in rows:
        cells = [cell(at[row, name], len(units[name]) > 1) if (row, name) in at else ""
                 for name in figures]
        own = [f"`{c}`".replace("{row}", row) for c in distinct(of("row", row), "command")]
        table.append([row, *cells, *own * listed])
    source = [f"`{command}`" for command in commands if not listed]
    machines, commits = (sorted(distinct(lines, key)) for key in ("machine", "commit"))
    dates = sorted(distinct(lines, "date"))
    source += [f"machine {', '.join(machines)}", f"commit {', '.join(commits)}",
               dates[0] + (f" to {dates[-1]}" if len(dates) > 1 else "")]
    text = "\n".join("| " + " | ".join(line) + " |" for line in table)
    return f"{text}\n\n<sub>{'; '.join(source)}</sub>\n".replace("{row}", "NAME")


def render(document, tables):
    """The text of a document with its tables filled in."""
    return MARKED.sub(lambda found: found[1] + markdown(tables[found[2]]) + found[3], document)


if __name__ == "__main__":
    figures = read()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        if (rendered := render(text, figures)) != text:
            path.write_text(rendered, encoding="utf-8")
            print(path.relative_to(ROOT))

"""``eval.py --compare RUN...``: the tables of several runs side by side."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.errors import InputError
from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Key
from dwijax.evaluation.common.tables import DASH, Table, write_csv
from dwijax.evaluation.directions.rows import INPUTS, NETWORKS, WITH_TARGETS
from dwijax.output import whole
from dwijax.runs.folders import read as read_run
from dwijax.schema import read_json, validate


class Column(NamedTuple):
    """What is compared: a quantity against the first there is of some references, in a region; its
    digits and sign."""

    name: str
    quantity: str
    references: tuple[str, ...]
    region: str = "brain"
    digits: int = 4
    sign: str = ""


DWI = Column("DWI RMSE", "DWI RMSE", (TRUTH, "measured"))
FA = Column("FA RMSE", "FA RMSE", (TRUTH, ALL_ACQUIRED))
COLUMNS = (
    DWI,
    Column("DWI excess/σ", "DWI excess/sigma", ("measured",)),
    FA,
    Column("FA bias WM", "FA bias", (TRUTH, ALL_ACQUIRED), "WM", sign="+"),
    Column("FA bias GM", "FA bias", (TRUTH, ALL_ACQUIRED), "GM", sign="+"),
    Column("V1 angle WM, °", "V1 angle", (TRUTH, ALL_ACQUIRED), "WM", digits=2),
    Column("R", "R", (WITH_TARGETS,), digits=3),
)
PLOTTED = (DWI, FA)

# What is looked at of ``evaluation.json``.
EVALUATION = {"data": str, "origins": {str: str}, "inputs": int, "targets": int, "sh": str,
              str: object}


class Evaluated(NamedTuple):
    """An evaluated run: its folder's name, ``config.json``, ``evaluation.json``, and the mean over
    subjects by `Key`."""

    name: str
    about: dict
    evaluation: dict
    means: dict[Key, float]


class Line(NamedTuple):
    """A row of the comparison: seeds of one variant, or a baseline that the runs share."""

    name: str
    runs: tuple[Evaluated, ...]
    method: str


class Values(NamedTuple):
    """A number of every run of a `Line` ``[seeds]``, NaN where there is none, and what it is
    against."""

    values: np.ndarray
    against: str


def compare(workdirs: list[str], out: str | Path, *, quiet: bool = False) -> list[Table]:
    """Writes ``comparison.csv``, ``comparison.md`` and ``comparison.png``, and prints the table.

    Runs whose configs differ in nothing but the seed are one row: mean ± SD over seeds.

    Returns:
      One for each group of subjects.

    Raises:
      InputError: fewer than two runs, one that is not evaluated, or runs judged on different
        subjects.
    """
    if len(workdirs) < 2:
        raise InputError("--compare", found=f"{len(workdirs)} run(s)", expected="at least two",
                         remedy="give the folders of evaluated runs: eval.py --compare A B")
    runs = [read(w) for w in workdirs]
    for run, workdir in zip(runs[1:], workdirs[1:], strict=True):
        if run.evaluation["data"] != runs[0].evaluation["data"]:
            raise InputError(
                Path(workdir) / "tables" / "evaluation.json",
                found=f"test subjects {run.evaluation['data']}",
                expected=f"those of {workdirs[0]}, {runs[0].evaluation['data']}",
                remedy="compare runs that were judged on the same subjects")
    groups = list(runs[0].evaluation["origins"])
    lines = _lines(runs)
    tables = [_table(lines, group) for group in groups]
    out = Path(out)
    write_csv(out / "comparison.csv",
              ["cohort", "run", "method", "quantity", "against", "region", "seeds", "mean", "sd"],
              [row for group in groups for row in _rows(lines, group)])
    text = "\n\n".join(t.markdown() for t in tables) + "\n"
    with whole(out / "comparison.md") as path:
        path.write_text(f"# Comparison\n\n{text}", encoding="utf-8")
    _draw(out / "comparison.png", lines, groups)
    if not quiet:
        print("\n" + "\n\n".join(t.text() for t in tables), flush=True)
    return tables


def read(workdir: str | Path) -> Evaluated:
    """What eval.py has written of a run.

    Raises:
      InputError: the run was not evaluated, or its tables cannot be read.
    """
    folder, remedy = Path(workdir), f"evaluate it first: eval.py --workdir={workdir}"
    _, _, _, about = read_run(folder)
    path = folder / "tables" / "evaluation.json"
    evaluation = validate(read_json(path, expected="an evaluated run", remedy=remedy), EVALUATION,
                          path, remedy=remedy)
    path = folder / "tables" / "summary.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            means = {Key(*(row[field] for field in Key._fields)): float(row["mean"] or "nan")
                     for row in csv.DictReader(file)}
    except FileNotFoundError:
        found = "no such file"
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        found = f"not what eval.py writes ({type(error).__name__})"
    else:
        return Evaluated(folder.resolve().name, about, evaluation, means)
    raise InputError(path, found=found, expected="an evaluated run", remedy=remedy)


def _lines(runs):
    """Baselines of the first run, then the runs, seeds of a variant together."""
    first, sh = runs[0], runs[0].evaluation["sh"]
    group = next(iter(first.evaluation["origins"]))
    others = {key.method for key in first.means if key.cohort == group
              and key.quantity == DWI.quantity and key.method not in (NETWORKS, sh)}
    best = sorted(others, key=lambda m: _values([first], m, group, DWI).values.item())[:1]
    there = {key.method for key in first.means}
    shown = [INPUTS, ALL, "tensor", sh, *best]
    lines = [Line(_baseline(m, first), (first,), m) for m in dict.fromkeys(shown) if m in there]
    variants = {}
    for run in runs:
        config = {k: v for k, v in run.about["config"].items() if k != "seed"}
        variants.setdefault(json.dumps(config, sort_keys=True), []).append(run)
    return lines + [Line(" / ".join(r.name for r in same), tuple(same), NETWORKS)
                    for same in variants.values()]


def _baseline(method, run):
    q, k = run.evaluation["inputs"], run.evaluation["targets"]
    return {INPUTS: f"{q} acquired", ALL: f"{q + k} acquired"}.get(method, method)


def _values(runs, method, group, column):
    """`Values`."""
    found = []
    for run in runs:
        keys = [Key(group, column.quantity, against, column.region, method)
                for against in column.references]
        found.append(next((key for key in keys if key in run.means), keys[0]))
    values = [run.means.get(key, np.nan) for run, key in zip(runs, found, strict=True)]
    return Values(np.array(values), found[0].against)


def _of_line(line, group, column):
    return _values(line.runs, line.method, group, column)


def _against_sh(line, group):
    """Error of the DWIs, in % of that of each run's own tuned spherical harmonics."""
    sh = np.concatenate([_values([run], run.evaluation["sh"], group, DWI).values
                         for run in line.runs])
    share = _of_line(line, group, DWI).values / sh - 1
    return DASH if np.isnan(share).any() else f"{share.mean():+.1%}"


def _spread(values):
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _rows(lines, group):
    for line in lines:
        for column in COLUMNS:
            values, against = _of_line(line, group, column)
            if np.isfinite(values).any():
                yield (group, line.name, line.method, column.quantity, against, column.region,
                       len(values), float(values.mean()), _spread(values))


def _table(lines, group):
    rows = []
    for line in lines:
        cells = []
        for column in COLUMNS:
            values = _of_line(line, group, column).values
            cell = f"{values.mean():{column.sign}.{column.digits}f}"
            if len(values) > 1:
                cell += f" ± {_spread(values):.{column.digits}f}"
            cells.append(DASH if np.isnan(values).any() else cell)
        dwi, *rest = cells
        directions = seeds = DASH
        if line.method == NETWORKS:
            about = line.runs[0].evaluation
            directions, seeds = f"{about['inputs']} → {about['targets']}", str(len(line.runs))
        rows.append([line.name, directions, seeds, dwi, _against_sh(line, group), *rest])
    notes = [f"mean over subjects (± SD over seeds); FA and V1 against "
             f"{_of_line(lines[0], group, FA).against}, DWIs against "
             f"{_of_line(lines[-1], group, DWI).against}",
             "baselines: those of the first run, with its inputs",
             "numbers of other targets (directions) are of other DWIs: compare their FA and V1, "
             "and what they gain over the spherical harmonics tuned on the same inputs"]
    origin = lines[0].runs[0].evaluation["origins"][group]
    first, *others = (column.name for column in COLUMNS)
    return Table(f"{group}: comparison of runs" + f" ({origin})" * bool(origin),
                 ["", "directions", "seeds", first, "against tuned SH", *others], rows, notes)


def _short(line):
    """The name of a line; of several seeds, that of the first run and how many."""
    seeds = len(line.runs)
    return line.name if seeds == 1 else f"{line.runs[0].name}, {seeds} seeds"


def _draw(path, lines, groups):
    """One row a group: RMSE of DWIs and of FA."""
    plt = pyplot()
    figure, grid = plt.subplots(
        len(groups), len(PLOTTED), squeeze=False, layout="constrained",
        figsize=(11, 0.9 + len(groups) * (0.8 + 0.32 * len(lines))))
    for axes_row, group in zip(grid, groups, strict=True):
        for axes, column in zip(axes_row, PLOTTED, strict=True):
            shown = [(line, _of_line(line, group, column)) for line in lines]
            shown = [(line, found) for line, found in shown if np.isfinite(found.values).all()]
            for y, (line, (values, _)) in enumerate(shown):
                color = "#D55E00" if line.method == NETWORKS else "#0072B2" \
                    if line.method == ALL else "0.45"
                axes.plot(values, np.full(len(values), y), "o", color=color, alpha=0.35,
                          markersize=5)
                axes.plot(values.mean(), y, "D", color=color, markersize=6)
            axes.set_yticks(range(len(shown)), [_short(line) for line, _ in shown], fontsize=9)
            axes.set_ylim(len(shown) - 0.4, -0.6)
            axes.grid(axis="x", alpha=0.3)
            axes.locator_params(axis="x", nbins=6)  # long numbers beside each other
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_title(f"{group}\n{column.name} against {shown[0][1].against}", fontsize=10)
    figure.suptitle("Runs compared: mean over subjects (diamond: over seeds too)", fontsize=12,
                    weight="bold")
    save(figure, path)

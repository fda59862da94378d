"""``eval.py --compare RUN...``: the tables of several runs side by side."""

import csv
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.errors import InputError
from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.rows import ALL, INPUTS, NETWORKS, WITH_TARGETS
from dwijax.evaluation.common.tables import DASH, Table, write_csv
from dwijax.output import whole
from dwijax.runs.folders import read as read_run
from dwijax.schema import read_json, validate

# What is compared: column, quantity, candidates for the reference (the first there is), region.
COLUMNS = (
    ("DWI RMSE", "DWI RMSE", ("noise-free", "measured"), "brain"),
    ("DWI excess/σ", "DWI excess/sigma", ("measured",), "brain"),
    ("FA RMSE", "FA RMSE", ("noise-free", "all acquired"), "brain"),
    ("FA bias WM", "FA bias", ("noise-free", "all acquired"), "WM"),
    ("FA bias GM", "FA bias", ("noise-free", "all acquired"), "GM"),
    ("V1 angle WM, °", "V1 angle", ("noise-free", "all acquired"), "WM"),
    ("R", "R", (WITH_TARGETS,), "brain"),
)
PLOTTED = ("DWI RMSE", "FA RMSE")

# What is looked at of ``evaluation.json``.
EVALUATION = {"data": str, "origins": {str: str}, "inputs": int, "targets": int, "sh": str,
              str: object}


class Evaluated(NamedTuple):
    """An evaluated run: its folder's name, ``config.json``, ``evaluation.json``, and the mean over
    subjects by ``(cohort, quantity, against, region, method)``."""

    name: str
    about: dict
    evaluation: dict
    means: dict


class Line(NamedTuple):
    """A row of the comparison: seeds of one variant, or a baseline that the runs share."""

    name: str
    runs: tuple
    method: str


def data_hash(subjects, shell):
    """Sixteen hexadecimal digits of the test subjects ``[(name, origin or size)]`` and b."""
    return hashlib.sha256(json.dumps([subjects, shell]).encode()).hexdigest()[:16]


def compare(workdirs, out, *, quiet=False):
    """Writes ``comparison.csv``, ``comparison.md`` and ``comparison.png``, and prints the table.

    Runs whose configs differ in nothing but the seed are one row: mean ± SD over seeds.

    Args:
      workdirs: folders of evaluated runs, two or more.
      out: folder to write to.
      quiet: print nothing.

    Returns:
      list of `Table`, one for each group of subjects.

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


def read(workdir):
    """`Evaluated`.

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
            means = {tuple(row[k] for k in ("cohort", "quantity", "against", "region", "method")):
                     float(row["mean"] or "nan") for row in csv.DictReader(file)}
    except FileNotFoundError:
        found = "no such file"
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        found = f"not what eval.py writes ({type(error).__name__})"
    else:
        return Evaluated(folder.resolve().name, about, evaluation, means)
    raise InputError(path, found=found, expected="an evaluated run", remedy=remedy)


def _lines(runs):
    """Baselines of the first run, then the runs, seeds of a variant together."""
    first, best = runs[0], {}
    sh = first.evaluation["sh"]
    group = next(iter(first.evaluation["origins"]))
    others = {m for c, q, _, _, m in first.means
              if c == group and q == "DWI RMSE" and m not in (NETWORKS, sh)}
    for method in others:
        best[method] = _value(first, group, *COLUMNS[0][1:], method)[0]
    there = {key[4] for key in first.means}
    shown = [INPUTS, ALL, "tensor", sh, *sorted(best, key=best.get)[:1]]
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


def _value(run, group, quantity, candidates, region, method):
    """``(value, reference)``; NaN where there is none."""
    for against in candidates:
        value = run.means.get((group, quantity, against, region, method))
        if value is not None:
            return value, against
    return np.nan, candidates[0]


def _values(line, group, column):
    _, quantity, candidates, region = column
    found = [_value(run, group, quantity, candidates, region, line.method) for run in line.runs]
    return np.array([v for v, _ in found]), found[0][1]


def _against_sh(line, group):
    """Error of the DWIs, in % of that of each run's own tuned spherical harmonics."""
    def errors(method_of):
        return np.array([_value(run, group, *COLUMNS[0][1:], method_of(run))[0]
                         for run in line.runs])

    share = errors(lambda run: line.method) / errors(lambda run: run.evaluation["sh"]) - 1
    return DASH if np.isnan(share).any() else f"{share.mean():+.1%}"


def _spread(values):
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _rows(lines, group):
    for line in lines:
        for column in COLUMNS:
            values, against = _values(line, group, column)
            if np.isfinite(values).any():
                yield (group, line.name, line.method, column[1], against, column[3], len(values),
                       float(values.mean()), _spread(values))


def _table(lines, group):
    rows = []
    for line in lines:
        run, cells = line.runs[0], []
        for column in COLUMNS:
            values, _ = _values(line, group, column)
            digits, sign = (3, "") if column[0] == "R" else (2, "") if "°" in column[0] else \
                (4, "+" if "bias" in column[0] else "")
            cell = f"{values.mean():{sign}.{digits}f}"
            if len(values) > 1:
                cell += f" ± {_spread(values):.{digits}f}"
            cells.append(DASH if np.isnan(values).any() else cell)
        cells.insert(1, _against_sh(line, group))
        q, k = run.evaluation["inputs"], run.evaluation["targets"]
        directions = f"{q} → {k}" if line.method == NETWORKS else DASH
        seeds = str(len(line.runs)) if line.method == NETWORKS else DASH
        rows.append([line.name, directions, seeds, *cells])
    against = _values(lines[0], group, COLUMNS[2])[1]
    notes = [f"mean over subjects (± SD over seeds); FA and V1 against {against}, DWIs against "
             + _values(lines[-1], group, COLUMNS[0])[1],
             "baselines: those of the first run, with its inputs",
             "numbers of other targets (directions) are of other DWIs: compare their FA and V1, "
             "and what they gain over the spherical harmonics tuned on the same inputs"]
    origin = lines[0].runs[0].evaluation["origins"][group]
    return Table(f"{group}: comparison of runs" + f" ({origin})" * bool(origin),
                 ["", "directions", "seeds", COLUMNS[0][0], "against tuned SH",
                  *(c[0] for c in COLUMNS[1:])], rows, notes)


def _short(line):
    """The name of a line; of several seeds, that of the first run and how many."""
    seeds = len(line.runs)
    return line.name if seeds == 1 else f"{line.runs[0].name}, {seeds} seeds"


def _draw(path, lines, groups):
    """One row a group: RMSE of DWIs and of FA."""
    plt = pyplot()
    columns = [c for c in COLUMNS if c[0] in PLOTTED]
    figure, grid = plt.subplots(
        len(groups), len(columns), squeeze=False, layout="constrained",
        figsize=(11, 0.9 + len(groups) * (0.8 + 0.32 * len(lines))))
    for axes_row, group in zip(grid, groups, strict=True):
        for axes, column in zip(axes_row, columns, strict=True):
            shown = [(line, *_values(line, group, column)) for line in lines]
            shown = [s for s in shown if np.isfinite(s[1]).all()]
            for y, (line, values, _) in enumerate(shown):
                color = "#D55E00" if line.method == NETWORKS else "#0072B2" \
                    if line.method == ALL else "0.45"
                axes.plot(values, np.full(len(values), y), "o", color=color, alpha=0.35,
                          markersize=5)
                axes.plot(values.mean(), y, "D", color=color, markersize=6)
            axes.set_yticks(range(len(shown)), [_short(line) for line, *_ in shown], fontsize=9)
            axes.set_ylim(len(shown) - 0.4, -0.6)
            axes.grid(axis="x", alpha=0.3)
            axes.locator_params(axis="x", nbins=6)  # long numbers beside each other
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_title(f"{group}\n{column[0]} against {shown[0][2]}", fontsize=10)
    figure.suptitle("Runs compared: mean over subjects (diamond: over seeds too)", fontsize=12,
                    weight="bold")
    save(figure, path)

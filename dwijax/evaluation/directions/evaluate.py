"""A run that synthesises directions, judged on its test subjects."""

import time
from pathlib import Path

from dwijax.errors import collecting
from dwijax.evaluation.common.results import Results
from dwijax.evaluation.directions.draw import draw, write_page
from dwijax.evaluation.directions.judge import judge
from dwijax.evaluation.directions.prepare import prepare
from dwijax.evaluation.directions.tabulate import tabulate, write_tables


@collecting()
def evaluate(workdir: str | Path, *, baseline_set: str = "all", quiet: bool = False) -> Results:
    """Judges a run by the protocol of `dwijax.evaluation.directions.protocol`.

    Writes ``tables/``, ``figures/`` and ``report.html`` into the run's folder; prints the tables.

    Args:
      workdir: folder of a trained run.
      baseline_set: of `dwijax.baselines.SETS`: ``fewest``, ``quick``, or ``all`` with denoisers
        that take minutes a subject.
      quiet: neither progress bar nor printed tables.

    Raises:
      InputError: there is no run, its data cannot be used, or targets leak into inputs.
    """
    began = time.perf_counter()
    prepared = prepare(workdir, baseline_set, quiet)
    evidence = judge(prepared, quiet)
    report = tabulate(prepared, evidence, time.perf_counter() - began)
    # From here on nothing can be wrong with the data: files appear all or none.
    folder = prepared.workdir
    draw(folder / "figures", report)
    write_tables(folder / "tables", report)
    write_page(folder / "report.html", folder / "figures", report)
    if not quiet:
        print(report.document().text(), flush=True)
    return report.results

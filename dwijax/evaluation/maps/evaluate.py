"""Runs that map (SuperDTI), judged on their test subjects, side by side.

    python eval.py --workdir=runs/superdti
    python eval.py --compare runs/superdti-q6 runs/superdti-q18 --out=runs/superdti  # in one
"""

from pathlib import Path

from dwijax.errors import collecting
from dwijax.evaluation.common.results import Results
from dwijax.evaluation.maps.draw import draw, write_page
from dwijax.evaluation.maps.judge import judge
from dwijax.evaluation.maps.prepare import prepare
from dwijax.evaluation.maps.tabulate import tabulate, write_tables


@collecting()
def evaluate(workdirs: list[str | Path], out: str | Path, *,
             atlas: tuple[str, str, str] | None = None, quiet: bool = False) -> Results:
    """Judges runs by the protocol of `dwijax.evaluation.maps.protocol`.

    Writes ``tables/``, ``figures/`` and ``report.html`` and prints the tables. Runs on other data
    (such as fewer directions and one b0) have sections of their own.

    Args:
      workdirs: folders of trained runs; on the same data they differ in their number of directions
        or their kind (`dwijax.evaluation.maps.protocol.Contender`).
      out: folder to write to.
      atlas: ``(FA, LABELS, TABLE)``, files, for subjects without labels of their own.
      quiet: neither progress bar nor printed tables.

    Raises:
      InputError: data cannot be used, targets leak, or runs that cannot stand in one report.
    """
    prepared = prepare(workdirs, atlas)
    evidence = judge(prepared, quiet)
    report = tabulate(prepared, evidence)
    # From here on nothing can be wrong with the data: files appear all or none.
    folder = Path(out)
    draw(folder / "figures", report, evidence)
    write_tables(folder / "tables", report)
    write_page(folder / "report.html", folder / "figures", report, evidence)
    if not quiet:
        print(report.document().text(), flush=True)
    return report.results

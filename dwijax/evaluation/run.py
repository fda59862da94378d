"""``evaluate(workdir)``: a trained run judged on its test subjects, by what it was trained for."""

from pathlib import Path

from dwijax.evaluation.common.results import Results
from dwijax.evaluation.directions import evaluate as directions
from dwijax.evaluation.maps import evaluate as maps
from dwijax.runs import folders


def evaluate(workdir: str | Path, *, baseline_set: str = "all",
             atlas: tuple[str, str, str] | None = None, quiet: bool = False) -> Results:
    """Writes ``tables/``, ``figures/`` and ``report.html`` into the run's folder; prints tables.

    Args:
      workdir: folder of a trained run.
      baseline_set: as `dwijax.evaluation.directions.evaluate.evaluate`.
      atlas: of a SuperDTI run, as `dwijax.evaluation.maps.evaluate.evaluate`.
      quiet: neither progress bar nor printed tables.

    Raises:
      InputError: there is no run, its data cannot be used, or targets leak into inputs.
    """
    if folders.read(workdir)[0].task == "map_regression":
        return maps.evaluate([workdir], workdir, atlas=atlas, quiet=quiet)
    return directions.evaluate(workdir, baseline_set=baseline_set, quiet=quiet)

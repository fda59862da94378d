"""Every benchmark runs, at its smallest."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
# These measure nothing: what benchmarks run on, and the writers of tables.
BENCHMARKS = sorted({path.stem for path in FOLDER.glob("*.py")}
                    - {"smallest", "population", "heads", "render", "figures"})
# A word of what each prints; one that is new has to print a table of Markdown.
SAYS = {"killed_runs": "1 kills: 0 faults", "like_scan": "step 4 of 4: validation loss",
        "predict": "times as fast", "rescan": "Maps against the fit of the second run",
        "resample": "networks, resampled", "shipped": "any_table.dwijax: 1 network, "}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Folder of the runs and scans that several benchmarks need, each made by the first."""
    return tmp_path_factory.mktemp("smallest")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_quick_benchmark_prints_its_table(name, tmp_path, kept, script):
    done = script(f"benchmarks/{name}.py", "--quick", cwd=tmp_path,
                  env=os.environ | {"TMPDIR": str(tmp_path), "DWIJAX_SMALLEST": str(kept)})
    assert done.returncode == 0, done.stderr
    assert SAYS.get(name, "|---|---|") in done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())  # what was made for it is gone

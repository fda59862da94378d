"""eval.py --compare, on tables with known numbers."""

import csv
import json
from pathlib import Path

import pytest

from dwijax.errors import InputError
from dwijax.evaluation.common import figures
from dwijax.evaluation.common.results import Record, Results, write_results
from dwijax.evaluation.directions import comparison, tables, tabulate
from tests.tiny_run import described

ROOT = Path(__file__).resolve().parents[3]
NOISE_FREE = "noise-free"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Writes an evaluated run with one group of two subjects."""
    monkeypatch.setattr(figures, "DPI", 40)

    def make(name, dwi, fa, seed=0, data="aaaa", **config):
        folder = tmp_path / name
        numbers = [("DWI RMSE", NOISE_FREE, "networks", dwi), ("DWI RMSE", NOISE_FREE, "sh4", 0.03),
                   ("DWI RMSE", NOISE_FREE, "gp", 0.025), ("FA RMSE", NOISE_FREE, "networks", fa),
                   ("FA RMSE", NOISE_FREE, "all", 0.02), ("FA RMSE", NOISE_FREE, "inputs", 0.05)]
        records = [Record("test", s, q, against, "brain", m, v + d) for q, against, m, v in numbers
                   for s, d in (("a", 0.001), ("b", -0.001))]
        write_results(folder / "tables", Results(records), tables.compared("sh4"),
                      {"test": "phantom 0123"})
        about = described()
        about["config"]["seed"] = seed
        about["config"]["model"] |= config
        (folder / "config.json").write_text(json.dumps(about))
        (folder / "tables" / "evaluation.json").write_text(json.dumps(
            {"data": data, "origins": {"test": "phantom 0123"}, "inputs": 30, "targets": 60,
             "sh": "sh4"}))
        return folder

    return make


def test_seeds_of_a_variant_are_one_row(run, tmp_path):
    folders = [run("a-0", 0.020, 0.040, seed=0, width=16),
               run("a-1", 0.022, 0.042, seed=1, width=16),
               run("b-0", 0.018, 0.038, width=32)]
    table, = comparison.compare(folders, tmp_path / "out", quiet=True)
    rows = {row[0]: row[1:] for row in table.rows}
    assert list(rows) == ["30 acquired", "90 acquired", "sh4", "gp", "a-0 / a-1", "b-0"]
    assert rows["a-0 / a-1"][:4] == ["30 → 60", "2", "0.0210 ± 0.0014", "-30.0%"]
    assert rows["b-0"][1:4] == ["1", "0.0180", "-40.0%"] and rows["sh4"][3] == "+0.0%"
    assert rows["90 acquired"][2:4] == ["–", "–"] and rows["90 acquired"][5] == "0.0200"
    with (tmp_path / "out" / "comparison.csv").open() as file:
        found = {(r["run"], r["quantity"]): r for r in csv.DictReader(file)}
    assert float(found["a-0 / a-1", "FA RMSE"]["mean"]) == pytest.approx(0.041)
    assert found["b-0", "FA RMSE"]["sd"] == ""
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "comparison.csv", "comparison.md", "comparison.png"}


def test_other_subjects_are_refused(run, tmp_path):
    folders = [run("a", 0.02, 0.04), run("b", 0.02, 0.04, data="bbbb", width=1)]
    with pytest.raises(InputError, match="bbbb; expected those of"):
        comparison.compare(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("field", "value"), [
    ("origins", None), ("origins", {"test": 3}), ("data", 2**63), ("sh", []), ("inputs", "x")])
def test_a_record_of_an_evaluation_that_is_none(run, tmp_path, field, value):
    folders = [run("a", 0.02, 0.04), run("b", 0.02, 0.04, width=1)]
    path = folders[1] / "tables" / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(InputError, match=rf"evaluation\.json, field {field}"):
        comparison.compare(folders, tmp_path / "out")
    (folders[0] / "config.json").write_text(json.dumps(described() | {"versions": []}))
    with pytest.raises(InputError, match=r"config\.json, field versions"):
        comparison.compare(folders, tmp_path / "out")


def test_the_hash_is_of_subjects_and_shell():
    subjects = [("a", 100), ("b", 120)]
    code = tabulate.data_hash(subjects, 1000)
    assert code == tabulate.data_hash(list(subjects), 1000)
    assert code not in (tabulate.data_hash(subjects[:1], 1000),
                        tabulate.data_hash(subjects, 2000),
                        tabulate.data_hash([("a", 101), ("b", 120)], 1000))


def test_nothing_is_replaced_unasked(tmp_path, script):
    kept = tmp_path / "comparison.md"
    kept.write_text("mine")
    for words in (["--compare", "a", "b", f"--out={tmp_path}"], [f"--workdir={tmp_path}"]):
        done = script("eval.py", *words, cwd=tmp_path)
        assert done.returncode == 2 and "--force" in done.stderr
    assert list(tmp_path.iterdir()) == [kept] and kept.read_text() == "mine"


@pytest.mark.parametrize("words, told", [
    ([], "no --workdir"), (["--compare"], "0 run"), (["--compare", "nothing", "at-all"], "nothing"),
    (["--workdir=x", "stray"], "stray"), (["--workdir=x", "--baselines=some"], "some")])
def test_the_command_tells_what_is_wrong(tmp_path, script, words, told):
    done = script("eval.py", *words, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 2 and len(lines) == 1 and told in lines[0], done.stderr
    assert not list(tmp_path.iterdir())

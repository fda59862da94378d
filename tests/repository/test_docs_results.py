"""Figures of the documents are those of benchmarks/results, and commands repeat them."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from benchmarks import render
from tests.repository.documents import ROOT, TEXTS, refused

TABLES = render.read()
FIGURES = [line for lines in TABLES.values() for line in lines]


def commands(line):
    """Single command lines of a figure's ``command``, whose ``for`` loops are unrolled."""
    text = line["command"].replace("{row}", line["row"])

    def unrolled(loop):
        return " && ".join(loop[3].replace(f"${loop[1]}", value) for value in loop[2].split())

    text = re.sub(r"for (\w+) in ([^;]+); do (.*?); done", unrolled, text)
    return [part.strip() for part in re.split(r"&&|;", text)]


COMMANDS = list(dict.fromkeys(part for line in FIGURES for part in commands(line)))


@pytest.mark.parametrize("path", render.DOCUMENTS, ids=lambda path: path.name)
def test_tables_are_as_rendered(path):
    text = path.read_text(encoding="utf-8")
    assert render.render(text, TABLES) == text, "run: python benchmarks/render.py"


def test_every_table_is_shown_once():
    shown = [name for text in TEXTS.values()
             for name in re.findall("<!-- results: (.*?) -->", text)]
    assert sorted(shown) == sorted(TABLES)
    written = sum(text.count("<!-- end -->") for text in TEXTS.values())
    assert written == len(shown)


def test_a_figure_is_a_number_with_its_origin():
    described = re.findall(r"^\| (\d) \|", TEXTS["docs/results/performance.md"], re.M)
    for line in FIGURES:
        assert None not in line.values() and None not in line, line
        value = float(line["value"])
        assert not line["low"] or float(line["low"]) <= value <= float(line["high"]), line
        assert line["machine"] in described, line
        assert re.fullmatch(r"[0-9a-f]{7}", line["commit"]), line
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", line["date"]), line
    cells = [(line["table"], line["row"], line["figure"]) for line in FIGURES]
    assert len(set(cells)) == len(cells)


def test_the_headline_says_what_the_tables_say():
    def said(line):
        return [line[key] for key in ("value", "low", "high", "machine", "commit", "command")]

    others = [said(line) for line in FIGURES if line["table"] != "headline"]
    assert len({line["row"] for line in TABLES["headline"]}) == 6
    for line in TABLES["headline"]:
        assert said(line) in others, line


@pytest.mark.parametrize("script", ["train", "eval"])
def test_commands_of_figures_are_taken_by_their_flags(script):
    lines = [shlex.split(line)[1:] for line in COMMANDS if line.startswith(f"python {script}.py")]
    assert len(lines) > 3
    assert not refused(script, lines)


def test_other_commands_of_figures_are_there():
    others = [line for line in COMMANDS if not re.match(r"python (train|eval)\.py", line)]
    assert len(others) > 5
    for line in others:
        words = shlex.split(line)
        assert words[0] == "python", line
        source = (Path(importlib.util.find_spec(words[2]).origin) if words[1] == "-m"
                  else ROOT / words[1]).read_text(encoding="utf-8")
        for flag in re.findall(r" (--?[a-z][\w-]*)", line.partition(words[1])[2]):
            assert flag in source, (line, flag)

"""No message, document or docstring names a flag that does not exist."""

import argparse
import ast
import importlib.util
import re
from pathlib import Path

import pytest

from dwijax import cli

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*(ROOT / "dwijax").rglob("*.py"), *ROOT.glob("*.py"),
                  *(ROOT / "configs").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"),
                    *(ROOT / "benchmarks").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.csv")])
FLAG = re.compile(r"(?<![\w-])--([A-Za-z][\w.-]*)(\{)?")
# Of argparse, absl, pip, pytest and dipy; XLA's all begin with xla_. What stands for any.
OTHERS = {"help", "no-compile", "dist", "out_dir", "config.x", "name"}


def known_to_parsers():
    """Options of every ``dwijax`` command, by its name."""
    parser = cli.build_parser()
    commands = next(action.choices for action in parser._actions
                    if isinstance(action, argparse._SubParsersAction))
    options = {name: {option.lstrip("-") for action in command._actions
                      for option in action.option_strings}
               for name, command in commands.items()}
    return options | {"": {option.lstrip("-") for action in parser._actions
                           for option in action.option_strings}}


def strings(path):
    """Text of every string of a module; in f-strings "{" stands for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{"
                          for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def calls(path, name):
    """First arguments of calls of a function or method whose name begins so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called.startswith(name):
                yield called, [a.value for a in node.args if isinstance(a, ast.Constant)]


def known_to_scripts():
    """Options of train.py, eval.py, benchmarks and modules that are run by themselves."""
    found = set()
    for path in SOURCES:
        for called, names in calls(path, "DEFINE_"):
            found |= {names[0]} | ({f"no{names[0]}"} if called == "DEFINE_bool" else set())
        if path.parent.name != "commands":
            for _, names in calls(path, "add_argument"):
                found |= {n[2:] for n in names if isinstance(n, str) and n.startswith("--")}
    return found


def known_to_configs():
    """``config`` and every field of every variant: ``config.data.root``."""
    found = {"config"}
    for path in (ROOT / "configs").glob("[a-z]*.py"):
        if path.stem == "base":
            continue
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for variant in module.VARIANTS:
            fields = module.get_config(variant)
            flat = {name for name, _ in _flat(fields, "config")}
            found |= flat
    return found


def _flat(fields, name):
    yield name, fields
    if hasattr(fields, "items"):
        for key, value in fields.items():
            yield from _flat(value, f"{name}.{key}")


COMMANDS, SCRIPTS, CONFIGS = known_to_parsers(), known_to_scripts(), known_to_configs()


def unknown(text, known):
    """Flags named in a text that are not known; a name that is filled in is taken for granted."""
    return sorted({f"--{name.rstrip('.-')}" for name, filled in FLAG.findall(text)
                   if not filled and not name.startswith("xla_")
                   and name.rstrip(".-") not in known})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_messages_name_flags_that_there_are(path):
    known = SCRIPTS | CONFIGS | OTHERS | COMMANDS[""]
    if path.parent.name == "commands" and path.stem in COMMANDS:
        # Its own, and no other command's but for what is done with its output.
        known |= COMMANDS[path.stem] | ({"run"} if path.stem == "export" else set())
    else:
        known |= set().union(*COMMANDS.values())
    found = {flag for text in strings(path) for flag in unknown(text, known)}
    assert not found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_flags_that_there_are(path):
    known = SCRIPTS | CONFIGS | OTHERS | set().union(*COMMANDS.values())
    assert not unknown(path.read_text(encoding="utf-8"), known)


def test_a_flag_that_does_not_exist_is_found(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("def f(x):\n    return f'give --mask or --masque {x}, --config.dta.root=3, "
                      "--config.{x}'\n")
    text = " ".join(strings(module))
    assert unknown(text, COMMANDS["fit"] | CONFIGS) == ["--config.dta.root", "--masque"]

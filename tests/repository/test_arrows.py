"""Imports go downwards, in the order of the rooms; private names stay where they are."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "dwijax"

# From the bottom up: a room imports from itself and from those before it.
ROOMS = ("errors", "schema", "least_squares", "options", "process", "output", "devices", "volumes",
         "gradients", "dti", "fitting", "data", "models", "tasks", "config", "runs", "report_html",
         "inference", "training", "baselines", "checking", "evaluation", "enhancing", "commands",
         "flags", "cli", "__main__")
MODULES = {".".join(("dwijax", *path.relative_to(PACKAGE).with_suffix("").parts))
           .removesuffix(".__init__"): path for path in sorted(PACKAGE.rglob("*.py"))}
# The entry point of the installed command is that of ``python -m dwijax``.
START = ("dwijax.cli", "dwijax.__main__")
# Packages that some rooms alone know.
ONLY = {"flax": ("models",), "orbax": ("runs",), "ml_collections": ("config", "flags")}


def room(module):
    return module.split(".")[1] if "." in module else ""


def imports(path):
    """``(module, name or None)`` of every import, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full, None) if full in MODULES else (node.module, alias.name)


def test_every_room_has_its_place():
    assert {room(module) for module in MODULES} == {"", *ROOMS}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downwards(module):
    own = room(module)
    for target, name in imports(MODULES[module]):
        if target.split(".")[0] != "dwijax":
            allowed = ONLY.get(target.split(".")[0])
            assert allowed is None or own in allowed, f"{target} belongs in {allowed}"
            continue
        assert name is None or not name.startswith("_") or name == "__version__", (
            f"{name} is private to {target}")
        if room(target) not in ("", own) and (module, target) != START:
            assert ROOMS.index(room(target)) < ROOMS.index(own), f"{module} imports {target}"


def test_no_circles():
    edges = {module: {t for t, _ in imports(path)
                      if t in MODULES and t != module and (module, t) != START}
             for module, path in MODULES.items()}
    left = dict(edges)
    while left:
        free = [m for m, targets in left.items() if not targets & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for module in free:
            del left[module]

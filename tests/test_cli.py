"""The command: quick help, one-line errors, exit status."""

import importlib
import pkgutil
import subprocess
import sys
import time
import types

import pytest

from dwijax import __version__, cli, commands
from dwijax.errors import InputError

NAMES = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def dwijax(*arguments):
    command = [sys.executable, "-m", "dwijax.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_is_quick_and_imports_nothing_heavy():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = dwijax("--help")
        seconds.append(time.perf_counter() - start)
    assert done.returncode == 0, done.stderr
    assert min(seconds) < 0.5
    for name in NAMES:
        assert name in done.stdout
    heavy = "jax, numpy, scipy, dipy, nibabel, flax, optax, matplotlib, tqdm"
    code = f"import sys, dwijax.cli as c; c.build_parser(); print(set('{heavy}'.split(', '))"
    listed = subprocess.run(
        [sys.executable, "-c", code + " & set(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.strip() == "set()"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_what_the_help_needs(name):
    command = importlib.import_module(f"dwijax.commands.{name}")
    assert "\n" not in command.HELP
    assert command.EXAMPLE.startswith(f"dwijax {name} ")
    parser = cli.build_parser()
    assert parser.parse_args(command.EXAMPLE.split()[1:]).run is command.run


@pytest.mark.parametrize("arguments", [(), ("--nonsense",), ("nonsense",), ("--vers",)])
def test_wrong_arguments_are_told_in_one_line(arguments):
    done = dwijax(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dwijax: error: ")
    assert done.stderr.count("\n") == 1


def test_version():
    assert dwijax("--version").stdout == f"dwijax {__version__}\n"


@pytest.fixture
def one_command(monkeypatch):
    """Makes `run` the only sub-command, called ``try``."""

    def install(run):
        module = types.ModuleType("dwijax.commands.try")
        module.HELP, module.EXAMPLE = "tries", "dwijax try 3"
        module.add_arguments = lambda parser: parser.add_argument("number", type=int)
        module.run = run
        monkeypatch.setitem(sys.modules, "dwijax.commands.try", module)
        infos = [pkgutil.ModuleInfo(None, "try", False)]
        monkeypatch.setattr(cli.pkgutil, "iter_modules", lambda path: infos)

    return install


def raising(error):
    def run(args):
        raise error

    return run


def test_status_of_a_command(one_command, capsys):
    one_command(lambda args: None if args.number == 3 else args.number)
    assert cli.main(["try", "3"]) == 0
    assert cli.main(["try", "5"]) == 5
    with pytest.raises(SystemExit) as left:
        cli.main(["try", "three"])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dwijax: error: argument number: invalid int value: 'three'")
    assert err.endswith("(see dwijax try --help)\n")
    assert err.count("\n") == 1


def test_help_of_a_command_shows_its_example(one_command, capsys):
    one_command(lambda args: None)
    with pytest.raises(SystemExit) as left:
        cli.main(["try", "--help"])
    assert left.value.code == 0
    assert "example:\n  dwijax try 3" in capsys.readouterr().out


def test_bad_input_is_one_line_and_status_2(one_command, capsys):
    error = InputError("a.nii", found="a\nfolder", expected="an image", remedy="look again")
    one_command(raising(error))
    assert cli.main(["try", "3"]) == 2
    line = "dwijax: error: a.nii: found a folder; expected an image; look again\n"
    assert capsys.readouterr() == ("", line)


def test_interrupt_has_its_own_status(one_command, capsys):
    one_command(raising(KeyboardInterrupt()))
    assert cli.main(["try", "3"]) == 130
    assert capsys.readouterr() == ("", "dwijax: interrupted\n")


def test_faults_of_ours_keep_their_traceback(one_command):
    one_command(raising(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError):
        cli.main(["try", "3"])


def test_input_error_survives_a_worker_process():
    import copy
    import multiprocessing.reduction as reduction

    error = InputError("a file", found="x", expected="y", remedy="do z")
    assert str(copy.copy(error)) == str(error)
    assert b"a file" in reduction.ForkingPickler.dumps(error).tobytes()

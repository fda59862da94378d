"""The command: quick help, one-line errors, exit status."""

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from dwijax import __version__, cli, commands
from dwijax.errors import InputError

NAMES = sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def dwijax(*arguments):
    command = [sys.executable, "-m", "dwijax.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


HEAVY = {"jax", "numpy", "scipy", "dipy", "nibabel", "flax", "optax", "orbax", "matplotlib", "tqdm",
         "pandas", "bids", "safetensors", "ml_collections", "absl"}


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["--version"]])
def test_help_is_quick_as_it_imports_nothing_heavy(arguments):
    code = f"""
import sys, dwijax.cli
try:
    dwijax.cli.main({arguments})
finally:
    print(sorted({HEAVY} & {{name.split('.')[0] for name in sys.modules}}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    if arguments == ["--help"]:
        assert all(name in done.stdout for name in NAMES)
        assert "\x1b" not in done.stdout  # no colours, whatever NO_COLOR says


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
    said = capsys.readouterr().err
    assert "interrupted" in said and "goes on" in said and said.count("\n") == 1


def test_json_is_all_that_is_printed(one_command, capsys):
    def run(args):
        assert args.quiet
        return {"file": Path("a"), "status": 1}

    one_command(run)
    assert cli.main(["try", "3", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"file": "a", "status": 1}
    one_command(lambda args: None)
    assert cli.main(["try", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {}


def test_lack_of_memory_is_one_line(one_command, capsys):
    one_command(raising(MemoryError("9 TiB")))
    assert cli.main(["try", "3"]) == 2
    assert capsys.readouterr().err == "dwijax: error: not enough memory (9 TiB)\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="Linux only")
def test_threads_are_those_that_compute():
    """CPU time of every thread of a process that multiplies matrices in XLA."""
    code = """
import os, sys
from dwijax.process.threads import limit_threads
limit_threads(int(sys.argv[1]) or None)
import jax, jax.numpy as jnp
def times():
    return {t: int(open(f"/proc/self/task/{t}/stat").read().rsplit(")")[1].split()[11])
            for t in os.listdir("/proc/self/task")}
x = (jnp.ones((1000, 1000)) @ jnp.ones((1000, 1000)) / 1000).block_until_ready()
before = times()  # compiling has threads of its own
for _ in range(60):
    x = (x @ x / 1000).block_until_ready()
print(sum(t - before.get(name, 0) > 4 for name, t in times().items()))
"""
    def working(count):
        done = subprocess.run([sys.executable, "-c", code, str(count)], capture_output=True,
                              text=True, check=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
        return int(done.stdout)

    assert working(1) <= 2  # the one that computes and the one that calls
    if (os.cpu_count() or 1) > 1:
        assert working(4) > working(1)


def interrupted(line, when):
    """Sends Ctrl-C to a command as soon as `when` holds."""
    process = subprocess.Popen([sys.executable, "-m", "dwijax.cli", *map(str, line)],
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               start_new_session=True)
    while process.poll() is None and not when():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.splitlines()[-1].startswith("dwijax: interrupted; no unfinished file is left"), err
    assert "Traceback" not in err and out == ""


def test_interrupted_simulation_leaves_whole_subjects_and_goes_on(tmp_path):
    out = tmp_path / "phantoms"

    def line(subjects):
        return ["simulate", out, "--subjects", subjects, "--workers", "1", "--shape", "16", "20",
                "6", "--voxel-size", "6", "--directions", "6", "--b0s", "1", "--quiet"]

    interrupted(line(1000), lambda: (out / "sub-000").is_dir())
    left = [p.name for p in out.iterdir()]
    assert "phantom.json" in left and not [n for n in left if n.startswith(".")]
    assert all((out / n / "truth" / "labels.tsv").is_file() for n in left if n != "phantom.json")
    subjects = len(left) + 1  # two more than there are
    assert cli.main([str(word) for word in line(subjects)]) == 0
    assert len(list(out.iterdir())) == subjects + 1


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

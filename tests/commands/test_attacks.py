"""Every argument of every command is attacked by the table of its kind."""

import argparse
import contextlib
import shutil
import signal

import numpy as np
import pytest

from dwijax import cli
from tests.commands.attacks import ATTACKS, kind_of
from tests.malformed import BVALS, data_of, good_scan, listing, save
from tests.tiny_run import GTAB

SECONDS = 30  # that a refusal may take: a pipe nobody writes to would take for ever


def commands():
    """``{command: its argparse actions}``."""
    parser = cli.build_parser()
    choices = next(action.choices for action in parser._actions
                   if isinstance(action, argparse._SubParsersAction))
    return {name: [a for a in command._actions if a.dest != "help"]
            for name, command in choices.items()}


COMMANDS = commands()


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_run):
    """A scan, a run and what ``fit`` makes, that nothing is wrong with."""
    place = tmp_path_factory.mktemp("made")
    scan = good_scan(place / "scan")
    shutil.copytree(tiny_run, place / "run")
    for n, name in enumerate(("Ann", "Bob", "Cid")):
        shutil.copytree(scan, place / "cohort" / name)
        save(place / "cohort" / name / "dwi.nii", data_of(scan) + np.int16(n))
    status = cli.main(["fit", *map(str, files(scan)), "-o", str(place / "fit"), "--quiet"])
    assert status == 0
    two_tissues(place / "head")
    return place


def two_tissues(folder):
    """A scan with white and grey matter, without which there is nothing to enhance."""
    good_scan(folder)
    shape, rng = (12, 10, 6), np.random.default_rng(1)
    b, g = BVALS / 1000, np.r_[np.zeros((2, 3)), GTAB.bvecs]
    tissues = [800 * np.exp(-b * (g**2 @ np.array(evals))) for evals in (
        (1.6, 0.3, 0.3), (0.8, 0.8, 0.8))]
    clean = np.stack(tissues)[np.indices(shape)[0] // 6]
    save(folder / "dwi.nii", np.int16(clean + 20 * rng.standard_normal(clean.shape)))
    save(folder / "mask.nii", np.ones(shape, np.uint8))


def files(scan):
    return [scan / "dwi.nii", "--bvals", scan / "dwi.bval", "--bvecs", scan / "dwi.bvec",
            "--mask", scan / "mask.nii"]


def good_line(command, made, out):
    """``{dest: words}`` of a command line that is right, with as many options as there can be.

    Raises:
      KeyError: a command that nobody has written a line for.
    """
    scan, head = ({"dwi": made / name / "dwi.nii", "bvals": made / name / "dwi.bval",
                   "bvecs": made / name / "dwi.bvec", "mask": made / name / "mask.nii"}
                  for name in ("scan", "head"))
    return {
        "check": scan | {"out": out / "page"},
        "enhance": head | {"seconds": 0, "out": out / "out"},
        "export": {"trained": made / "run", "file": out / "run.dwijax"},
        "fit": scan | {"out": out / "maps"},
        "predict": scan | {"trained": made / "run", "out": out / "out"},
        "prepare": {"root": made / "cohort", "store": out / "store", "layout": "plain"},
        "simulate": {"out": out / "phantoms", "subjects": 1, "workers": 1, "shape": (16, 20, 6),
                     "voxel_size": 6, "directions": 6, "b0s": 1},
        "track": {"fa": made / "fit" / "fa.nii.gz", "v1": made / "fit" / "v1.nii.gz",
                  "seeds": made / "scan" / "mask.nii", "out": out / "tracts.trk",
                  "min_length": 1, "angle": 80, "threshold": 0.01},
    }[command]


def with_it(line, action, scan):
    """Options without which another one is refused before it is looked at."""
    if action.dest == "like" or (action.dest == "mask" and "subjects" in line):
        away = ("shape", "voxel_size", "directions", "b0s")
        return {k: v for k, v in line.items() if k not in away} | {
            "like": scan / "dwi.nii", "bvals": scan / "dwi.bval", "bvecs": scan / "dwi.bvec"}
    if action.dest in ("bvals", "bvecs") and "subjects" in line:
        return line | {"bvals": scan / "dwi.bval", "bvecs": scan / "dwi.bvec"}
    return line


def words_of(line, actions):
    """The command line, positional arguments behind the options, which may take any number."""
    options, positional = [], []
    for action in actions:
        if action.dest not in line:
            continue
        value = line[action.dest]
        if not action.option_strings:
            positional.append(str(value))
        elif isinstance(value, tuple):
            options += [action.option_strings[-1], *map(str, value)]
        else:  # as one word: what begins with a dash is no option of its own
            options.append(f"{action.option_strings[-1]}={value}")
    return ["--quiet", *options, *(["--", *positional] if positional else [])]


class Late(BaseException):
    """No exception that a command could take for its own."""


@contextlib.contextmanager
def in_time(seconds):
    def late(*_):
        raise Late(f"no answer in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def status_of(words):
    try:
        return cli.main(words)
    except SystemExit as left:
        return left.code


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_that_is_attacked_is_right(made, tmp_path, capfd, name):
    words = words_of(good_line(name, made, tmp_path), COMMANDS[name])
    assert status_of([name, *words]) in ((0, 1) if name == "check" else (0,))
    capfd.readouterr()


@pytest.mark.parametrize(("name", "action"), [
    pytest.param(name, action, id=f"{name}-{action.dest}")
    for name, actions in COMMANDS.items() for action in actions])
def test_an_argument_is_attacked(made, tmp_path, capfd, monkeypatch, name, action):
    faults = []
    for case, (make, refused) in ATTACKS[kind_of(name, action)].items():
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        (place / "attack").mkdir(parents=True)
        (place / "here").mkdir()
        monkeypatch.chdir(place / "here")
        value = make(place / "attack")
        if isinstance(action.nargs, int):
            value = (value,) * action.nargs
        line = with_it(good_line(name, made, place), action, made / "scan") | {action.dest: value}
        before, whole = listing(place), listing(made)
        capfd.readouterr()
        try:
            with in_time(SECONDS):
                status = status_of([name, *words_of(line, COMMANDS[name])])
        except (Exception, Late) as error:
            faults.append(f"{case}: {type(error).__name__}: {error}")
            continue
        out, err = capfd.readouterr()
        if refused and (status, out) != (2, ""):
            faults.append(f"{case}: status {status}, {out!r}, {err!r}")
        if status == 2 and not (err.startswith("dwijax: error: ") and err.count("\n") == 1):
            faults.append(f"{case}: says {err!r}")
        if status == 2 and (listing(place), listing(made)) != (before, whole):
            faults.append(f"{case}: left {set(listing(place)) - set(before)}")
    assert not faults, "\n".join(faults)[:5000]

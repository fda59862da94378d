"""Command-line handling that ``train.py`` and ``eval.py`` share: faults are one line, status 2."""

import os
import re
import runpy
import sys
from difflib import SequenceMatcher
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from dwijax.errors import InputError, collecting, line_of
from dwijax.process.compilation import check_flags
from dwijax.process.preemption import Stopped
from dwijax.process.program import run
from dwijax.process.threads import limit_threads

QUIET = flags.DEFINE_bool("quiet", False, "No progress bars, no tables; faults only.")
THREADS = flags.DEFINE_integer("threads", None, "CPU threads of the computation; default: all.")


def define_config(default):
    """``--config``, a config file with a variant after a colon, and ``--config.x=y``.

    A file, variant or field that there is not ends the process in one line with the nearest names
    and status 2.

    Args:
      default: path of the config file.

    Returns:
      absl's holder of the flag.
    """
    try:
        _check_config(sys.argv[1:], default)
    except InputError as error:
        _fail(error)
    return config_flags.DEFINE_config_file(
        "config", str(default),
        "Config file, with a variant after a colon; --config.x=y overrides x.")


def nearest(name, names, count=3):
    """The names that are most like one, of which each part counts by itself too."""
    def alike(other):
        ends = name.rpartition(".")[2], other.rpartition(".")[2]
        return max(SequenceMatcher(None, *pair).ratio() for pair in ((name, other), ends))

    return sorted(names, key=alike, reverse=True)[:count]


def launch(main, positional=False):
    """Runs ``main()`` after parsing flags; with ``positional`` the other arguments are main's.

    Ends the process, which `dwijax.process.program.begin` has set up. A fault in flags, config or
    data ends
    in one line on stderr and status 2.
    """
    def parse(argv):
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(error)
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            _fail(error)  # what ml_collections raises for a value
        for name in flags.FLAGS:
            if flags.FLAGS[name].present and flags.FLAGS[name].value == "":
                _fail(f"--{name} is empty, as with a shell's variable that is not set")
        if len(rest) > 1 and not positional:
            _fail(f"stray argument {rest[1]!r}; options are written --name=value, see --help")
        return rest

    def guarded(argv):
        # Orbax narrates every file it writes, and a full disk with a traceback for each thread.
        logging.set_verbosity(logging.FATAL)
        try:
            limit_threads(THREADS.value)
            check_flags()
            with collecting():
                main(*argv[1:])
        except Stopped:
            sys.stdout.flush()
            os._exit(0)  # threads that compile or read may crash while the interpreter goes down
        except Exception as error:
            if (line := line_of(error)) is None:
                raise
            _fail(line)

    run(lambda: app.run(guarded, flags_parser=parse))


def _check_config(words, default):
    chosen, fields = str(default), []
    for i, word in enumerate(words):
        found = re.fullmatch(r"--?(?:no)?config(?:\.([^=]*))?(=.*)?", word, re.DOTALL)
        if found and found[1] is not None:
            fields.append((word.partition("=")[0], found[1], found[2] and found[2][1:]))
        elif found:
            chosen = found[2][1:] if found[2] else "".join(words[i + 1:i + 2])
    path, colon, variant = chosen.partition(":")
    if not os.path.isfile(path):
        there = {p.stem: str(p) for p in Path(default).parent.glob("*.py")}
        raise InputError("--config", found=f"no file {path}", expected="a config file",
                         remedy="the nearest are " + ", ".join(
                             there[name] for name in nearest(Path(path).stem, there)))
    try:
        module = runpy.run_path(path)
        variants = module.get("VARIANTS")
        if isinstance(variants, dict) and variant not in variants:
            raise InputError(
                f"--config={chosen}", found=f"no variant {variant}", expected=f"one of {path}",
                remedy=f"the nearest are {', '.join(nearest(variant, filter(None, variants)))}")
        config = module["get_config"](*[variant] * bool(colon))
        known = dict(_flattened(config))
    except InputError:
        raise
    except Exception as error:  # the file is a program
        raise InputError(f"--config={chosen}", found=f"{type(error).__name__}: {error}",
                         expected="a file whose get_config() returns a ConfigDict",
                         remedy="correct it, or see configs/") from error
    for word, field, value in fields:
        if field.partition("[")[0] not in known:
            raise InputError(
                word, found="no such field", expected=f"a field of {path}",
                remedy="the nearest are " + ", ".join(
                    f"--config.{name}" for name in nearest(field, known)))
        for kind, (read, expected) in _VALUES.items():
            if value is None or type(known.get(field)) is not kind:
                continue
            try:
                read(value)
            except ValueError:
                raise InputError(word, found=repr(value), expected=expected,
                                 remedy=f"give one, as {known[field]}") from None


def _bool(text):
    if text.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError


# How absl reads a field of a type.
_VALUES = {bool: (_bool, "True or False"), float: (float, "a number"),
           int: (lambda text: int(text, 0) if text[:2] in ("0x", "0o") else int(text),
                 "a whole number")}


def _flattened(config, prefix=""):
    for name, value in config.items():
        yield f"{prefix}{name}", value
        if hasattr(value, "items"):
            yield from _flattened(value, f"{prefix}{name}.")


def _fail(error):
    text = str(error).strip()
    if "Traceback" in text:  # ml_collections puts the config file's whole traceback in its message
        text = text.splitlines()[-1]
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)

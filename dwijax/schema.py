"""What a description that was read from a file must look like, written as plain Python."""

import json
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from dwijax.errors import InputError

LARGEST = 256 * 2**20  # bytes of a description
_LARGEST_INTEGER = 2**53  # beyond it a float64 does not hold every integer


class Such(NamedTuple):
    """A value that fits `spec` and for which `holds` is true; `words` say so in a message."""

    spec: Any
    holds: Callable
    words: str


def validate(value, spec, where, *, remedy, path=""):
    """Refuses a value that its specification does not fit.

    ======================  ==================================================================
    specification           fits
    ======================  ==================================================================
    ``str``, ``bool``       text, true or false
    ``int``                 an integer of magnitude below 2^53
    ``float``               a finite number, integers among them
    ``None``                null
    ``object``              anything
    ``[spec]``              a list, every entry of which fits
    ``{"a": s, "b?": t}``   a mapping with the key a and perhaps b; other keys are refused
    ``{..., str: s}``       other keys are allowed, and their values fit s
    ``(s, t)``              what fits one of these
    ``Such(s, f, words)``   what fits s and for which f is true
    ======================  ==================================================================

    Args:
      value: as `json.loads` returns it.
      spec: see the table.
      where: the file, for the message; or, where it ends with a dot, what stands before names of
        fields: ``--config.``. path: dotted name of `value` in it, "" for all of it.
      remedy: of the message.

    Returns:
      `value` itself.

    Raises:
      InputError: naming the first field that does not fit, by its dotted name.
    """
    def refuse(found, expected, field=path):
        named = f"{where}{field}" if str(where).endswith(".") else f"{where}, field {field}"
        raise InputError(named if field else str(where).removesuffix("."), found=found,
                         expected=expected, remedy=remedy)

    def below(entry, part, key):
        validate(entry, part, where, remedy=remedy, path=f"{path}.{key}" if path else str(key))

    if not _same_kind(value, spec):
        refuse(_short(value), in_words(spec))
    if isinstance(spec, Such):
        validate(value, spec.spec, where, remedy=remedy, path=path)
        if not spec.holds(value):
            refuse(_short(value), spec.words)
    elif isinstance(spec, tuple):
        fitting = [part for part in spec if _same_kind(value, part)]
        for part in fitting[:-1]:
            try:
                return validate(value, part, where, remedy=remedy, path=path)
            except InputError:
                continue
        validate(value, fitting[-1], where, remedy=remedy, path=path)
    elif isinstance(spec, list):
        for i, entry in enumerate(value):
            below(entry, spec[0], i)
    elif isinstance(spec, dict):
        known = {}
        for key, part in spec.items():
            name = key if key is str else key.removesuffix("?")
            known[name] = part
            if key == name and key is not str and name not in value:
                refuse("nothing", in_words(part), f"{path}.{name}" if path else name)
        for key, entry in value.items():
            if key not in known and str not in known:
                refuse(f"an unknown field {_short(key)}",
                       f"one of {', '.join(known)}" if known else "none")
            below(entry, known[key] if key in known else known[str], key)
    return value


def in_words(spec):
    """A specification as a message tells it."""
    if isinstance(spec, Such):
        return spec.words
    if isinstance(spec, tuple):
        return " or ".join(map(in_words, spec))
    kind = type(spec) if isinstance(spec, list | dict) else spec
    return {str: "text", bool: "true or false", int: "an integer", float: "a finite number",
            None: "null", object: "a value", list: "a list", dict: "a mapping"}[kind]


def _same_kind(value, spec):
    """Whether the outermost of a value is what the outermost of a specification asks for."""
    if isinstance(spec, Such):
        return _same_kind(value, spec.spec)
    if isinstance(spec, tuple):
        return any(_same_kind(value, part) for part in spec)
    if spec is object:
        return True
    if spec is None:
        return value is None
    if isinstance(spec, list | dict):
        return isinstance(value, type(spec))
    if isinstance(value, bool) or spec in (str, bool):
        return type(value) is spec
    if spec is int:
        return isinstance(value, int) and abs(value) < _LARGEST_INTEGER
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max  # False for NaN


def _short(value):
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_bytes(path, *, expected, remedy, largest=LARGEST):
    """Reads a small file.

    Args:
      path: of a regular file: a named pipe would wait for ever.
      expected, remedy: of the message. largest: bytes it may have.

    Raises:
      InputError: there is no such file, it cannot be read or is too large.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            found = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        elif status.st_size > largest:
            found = f"{status.st_size / 2**20:.0f} MiB"
        else:
            with open(path, "rb") as file:
                return file.read(largest)
    except FileNotFoundError:
        found = "no such file"
    except (OSError, ValueError) as error:
        found = f"it cannot be read ({getattr(error, 'strerror', None) or error})"
    raise InputError(path, found=found, expected=expected, remedy=remedy)


def read_json(path, *, expected, remedy, largest=LARGEST):
    """Reads a JSON file in UTF-8 or UTF-16, with or without a byte-order mark, or in Latin-1.

    Args and raises: as `read_bytes`, and `InputError` where it is no JSON.
    """
    return parse_json(read_bytes(path, expected=expected, remedy=remedy, largest=largest), path,
                      expected=expected, remedy=remedy)


def parse_json(content, where, *, expected, remedy):
    """As `read_json`, of bytes that were read from `where`."""
    try:
        try:
            return json.loads(content)
        except UnicodeDecodeError:
            return json.loads(content.decode("latin-1"))
    except RecursionError:
        found = "no JSON (nested without end)"
    except ValueError as error:
        found = f"no JSON ({error})"
    raise InputError(where, found=found, expected=expected, remedy=remedy)


MOST = 2**31 - 1  # steps, slices and seeds are int32 on devices


def one_of(*names):
    """One of some names, or of some whole numbers."""
    return Such(type(names[0]), lambda v: v in names, "one of " + ", ".join(map(str, names)))


def whole(least=0, most=MOST):
    """A whole number of a range."""
    words = f"a whole number from {least}" + (f" to {most}" if most < MOST else "")
    return Such(int, lambda v: least <= v <= most, words)


def number(least=0.0, most=1e6):
    """A number of a range: JAX takes one beyond int32, where it is whole, for a fault."""
    return Such(float, lambda v: least <= v <= most, f"a number from {least:g} to {most:g}")


def listed(spec, least=0, most=None):
    """A list of so many."""
    words = f"a list of {least}" + ("" if most == least else " or more" if most is None
                                    else f" to {most}")
    return Such([spec], lambda v: least <= len(v) and (most is None or len(v) <= most),
                words if least or most is not None else in_words([spec]))


def array(*shape):
    """Nested lists of finite numbers; None in the shape is any length from 1."""
    if not shape:
        return float
    return listed(array(*shape[1:]), shape[0] or 1, shape[0])


COUNT = whole(1)
POSITIVE = Such(float, lambda v: 0 < v <= 1e6, "a number above 0, to 1e6")
DECAY = Such(float, lambda v: 0 <= v < 1, "a number from 0 to below 1")
SHARE = number(0, 1)

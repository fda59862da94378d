"""Arguments of a command line: what cannot be meant is refused before anything is read."""

import argparse
import os
from pathlib import Path

LONGEST = 255  # bytes of a name, as file systems have it


def path(text):
    """``type`` of an argparse argument: the `Path` of a file or folder.

    An empty one, as of a shell's variable that is not set, would be the working folder.
    """
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected the name of a file or folder")
    if max(map(len, os.fsencode(text).split(b"/"))) > LONGEST:
        raise argparse.ArgumentTypeError(
            f"found a name of more than {LONGEST} bytes, {text[:20]!r}...; expected a shorter one")
    return Path(text)


def whole(least, most=2**31 - 1):
    """``type`` of an argparse argument: a whole number of a range."""
    return _of_range(int, least, most, f"a whole number from {least}"
                     + ("" if most == 2**31 - 1 else f" to {most}"))


def number(least, most, unit=""):
    """``type`` of an argparse argument: a finite number of a range."""
    return _of_range(float, least, most, f"a number from {least:g} to {most:g}{unit}")


def _of_range(kind, least, most, words):
    def read(text):
        try:
            value = kind(text)
            if least <= value <= most:  # which NaN is not
                return value
        except (ValueError, OverflowError):
            pass
        raise argparse.ArgumentTypeError(f"found {text[:40]!r}; expected {words}")
    return read


SEED = whole(0)
B_VALUE = number(1, 50_000, " s/mm²")
B0_THRESHOLD = number(0, 10_000, " s/mm²")

"""Numbers on a command line: what is out of range is refused before anything is read."""

import argparse


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

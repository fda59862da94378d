"""The one exception that a user's input can cause, and the line for what a run survives."""

import contextlib
import os
import sys
from functools import partial


class InputError(Exception):
    """A fault in what the user gave, told in one line.

    Commands print it after ``error:`` and exit with status 2, without a traceback.

    Args:
      where: the file, option or configuration field at fault.
      found: what was found there.
      expected: what was expected instead.
      remedy: what the user can do about it.
    """

    def __init__(self, where, *, found, expected, remedy):
        self.where, self.found, self.expected, self.remedy = where, found, expected, remedy
        text = f"{where}: found {found}; expected {expected}; {remedy}"
        super().__init__(" ".join(text.split()))

    def __reduce__(self):  # worker processes hand it to their parent
        parts = {"found": self.found, "expected": self.expected, "remedy": self.remedy}
        return partial(type(self), **parts), (self.where,)


@contextlib.contextmanager
def ending_in_one_line():
    """Within, an `InputError` ends the process as it ends commands: for scripts."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def line_of(error):
    """The line that a user gets for an exception; None for a fault of ours, which has a traceback.

    Args:
      error: an exception.
    """
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return text
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"not enough memory ({text[:300]})"
    wanted = os.environ.get("JAX_PLATFORMS")
    if wanted and ("nable to initialize backend" in text or _asserted_by_jax(error)):
        return str(InputError("JAX_PLATFORMS", found=f"{wanted}: {text[:300] or 'no such device'}",
                              expected="a kind of device that is there",
                              remedy="unset it, or set it to cpu"))
    if isinstance(error, ValueError) and "for environment" in text:  # what JAX says of its own
        return str(InputError("environment", found=text[:300], expected="a value that JAX knows",
                              remedy="correct or unset it"))
    return None


def _asserted_by_jax(error):
    """What JAX says of ``JAX_PLATFORMS=cuda`` without a card is a bare AssertionError."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return (isinstance(error, AssertionError) and frame is not None
            and frame.tb_frame.f_globals.get("__name__", "").startswith("jax."))


@contextlib.contextmanager
def collecting():
    """Within, and in the functions that it decorates, `said` has the lines of `warn`.

    The outermost begins anew: pages of different scans do not share lines.
    """
    global _depth
    if not _depth:
        _said.clear()
        _once.clear()
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


_said, _once, _depth = [], set(), 0


def warnings_given():
    """Lines that `warn` has said since the outermost `collecting` began, each once."""
    return list(dict.fromkeys(_said))


def warn(text):
    """One line on stderr, above a progress bar where there is one; pages repeat it."""
    from tqdm import tqdm

    if _depth:
        _said.append(text)
    tqdm.write(text, file=sys.stderr)


def warn_once(text):
    """`warn`, of what is found again whenever a file is read: the first time only."""
    if text not in _once:
        _once.add(text)
        warn(text)

"""The one exception that a user's input can cause, and the line for what a run survives."""

import sys
from functools import cache, partial


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


def warn(text):
    """One line on stderr, above a progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


@cache
def warn_once(text):
    """`warn`, of what is found again whenever a file is read: the first time only."""
    warn(text)

"""The one exception that a user's input can cause."""


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

"""How ``dwijax``, ``train.py`` and ``eval.py`` begin and end: streams, surroundings, exit status.

They begin here before anything slow is imported, and nothing slow is imported here.
"""

import io
import os
import select
import sys

from dwijax.process import interruption

_name = ""


class _Stream(io.FileIO):
    """A descriptor that may be a pipe without a reader or a file on a full disk.

    Work goes on where what is said about it cannot be written; `run` tells of it.
    """

    fault = None

    def write(self, data):
        try:
            while (count := super().write(data)) is None:  # a terminal that is not ready yet
                select.select([], [self], [])
            return count
        except OSError as error:
            self.fault = self.fault or error
            return memoryview(data).nbytes


def begin(name, interrupted):
    """Sets up the process of a program.

    From here on Ctrl-C ends it at once with one line, a closed or full stream does not, names of
    files may be any bytes, and libraries keep their warnings and logs, which address programmers,
    to themselves.

    Args:
      name: what its lines begin with, as "dwijax: ".
      interrupted: the line that it ends with at Ctrl-C.
    """
    global _name
    _name = name
    interruption.obey(f"{name}interrupted; {interrupted}")
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file to be opened would take its number, and its text
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)
    os.environ["MPLBACKEND"] = "agg"  # figures go to files
    if not sys.warnoptions:
        import logging
        import warnings

        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"  # of processes that are started
        logging.disable(logging.ERROR)
    try:
        os.getcwd()
    except OSError:
        print(f"{name}error: the working folder: found that it has been deleted; expected a "
              "folder; change to one", file=sys.stderr)
        _end(2)


def _stream(descriptor, old):
    raw = _Stream(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), old.encoding if old else "utf-8", "backslashreplace",
        line_buffering=descriptor == 2 or raw.isatty())


def run(work):
    """Ends the process with the status that ``work()`` returns or exits with.

    What could not be written to standard output is told in one line; nothing is said where the
    reader of a pipe has gone: it had what it wanted.
    """
    try:
        status = work()
    except SystemExit as left:
        status = left.code
    except BaseException:
        interruption.stand_aside()
        raise
    _end(status or 0)


def _end(status):
    interruption.stand_aside()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    fault = getattr(getattr(sys.stdout.buffer, "raw", None), "fault", None)
    if fault is not None and not isinstance(fault, BrokenPipeError):
        print(f"{_name}error: standard output: found that it cannot be written "
              f"({fault.strerror or fault}); expected a place with room; everything else is done",
              file=sys.stderr, flush=True)
        status = status or 2
    sys.exit(status)

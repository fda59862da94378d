"""Command-line handling that ``train.py`` and ``eval.py`` share: faults are one line, status 2."""

import os
import sys

from absl import app, flags, logging

from dwijax.compilation import check_flags
from dwijax.errors import collecting, told
from dwijax.program import run
from dwijax.threads import limit_threads
from dwijax.training.preemption import Stopped

QUIET = flags.DEFINE_bool("quiet", False, "No progress bars, no tables; faults only.")
THREADS = flags.DEFINE_integer("threads", None, "CPU threads of the computation; default: all.")


def launch(main, positional=False):
    """Runs ``main()`` after parsing flags; with ``positional`` the other arguments are main's.

    Ends the process, which `dwijax.program.begin` has set up. A fault in flags, config or data ends
    in one line on stderr and status 2.
    """
    def parse(argv):
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(error)
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            # What ml_collections raises for an unknown field, and the config file itself.
            _fail(error)
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
            if (line := told(error)) is None:
                raise
            _fail(line)

    run(lambda: app.run(guarded, flags_parser=parse))


def _fail(error):
    text = str(error).strip()
    if "Traceback" in text:  # ml_collections puts the config file's whole traceback in its message
        text = text.splitlines()[-1]
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)

"""Command-line handling that ``train.py`` and ``eval.py`` share: faults are one line, status 2."""

import os
import sys

from absl import app, flags, logging

from dwijax.errors import InputError
from dwijax.threads import limit_threads
from dwijax.training.preemption import Stopped

QUIET = flags.DEFINE_bool("quiet", False, "No progress bars, no tables; faults only.")
THREADS = flags.DEFINE_integer("threads", None, "CPU threads of the computation; default: all.")


def launch(main, positional=False):
    """Runs ``main()`` after parsing flags; with ``positional`` the other arguments are main's.

    A fault in flags, config or data ends in one line on stderr and status 2; Ctrl-C in one line
    that says how to go on and status 130.
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
            main(*argv[1:])
        except InputError as error:
            _fail(error)
        except Stopped:
            sys.stdout.flush()
            os._exit(0)  # threads that compile or read may crash while the interpreter goes down
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from the last checkpoint",
                  file=sys.stderr)
            sys.exit(130)

    app.run(guarded, flags_parser=parse)


def _fail(error):
    text = str(error).strip()
    if "Traceback" in text:  # ml_collections puts the config file's whole traceback in its message
        text = text.splitlines()[-1]
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(2)

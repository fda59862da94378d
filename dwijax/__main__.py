"""The program ``dwijax``, also ``python -m dwijax``."""

import sys

from dwijax.process.program import begin, run

INTERRUPTED = "no unfinished file is left, the same command starts again or goes on"


def start():
    """Runs the command line of the process, which ends with it."""
    begin("dwijax: ", INTERRUPTED)
    from dwijax.cli import main

    run(lambda: main(sys.argv[1:]))


if __name__ == "__main__":
    start()

"""The ``dwijax`` command.

Every module in `dwijax.commands` is a sub-command of its name and holds

  HELP, one line; EXAMPLE, a whole command line;
  add_arguments(parser), which adds its arguments to an `argparse.ArgumentParser`;
  run(args), which does the work and returns None, an exit status, or a dict of what there is to
  know: ``--json`` prints it, and its entry ``status``, if there is one, is the exit status.

All commands have ``--quiet``, ``--json`` (which implies ``--quiet``) and ``--threads``. Results go
to standard output; progress and faults to standard error, without colours.

The help of ``dwijax`` imports all of them: what is slow to import is imported inside ``run``.

Exit status: 0 done, 2 bad input (one line on standard error, no traceback), 130 interrupted.
`dwijax.__main__` starts here, and says what a process of its own has besides.
"""

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

from dwijax import __version__, commands
from dwijax.__main__ import INTERRUPTED, start
from dwijax.errors import collecting, line_of
from dwijax.options import path
from dwijax.process.compilation import check_flags
from dwijax.process.threads import limit_threads


class _Parser(argparse.ArgumentParser):
    """Tells a fault in one line, and takes only options that are written out."""

    def __init__(self, **options):
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )
        self.register("type", Path, path)

    def error(self, message):
        message = " ".join(message.split())
        self.exit(2, f"dwijax: error: {message} (see {self.prog} --help)\n")


def build_parser():
    """`argparse.ArgumentParser` with every sub-command."""
    parser = _Parser(
        prog="dwijax",
        description="More diffusion directions, and better DTI maps, from a short scan.",
    )
    parser.add_argument("--version", action="version", version=f"dwijax {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in sorted(module.name for module in pkgutil.iter_modules(commands.__path__)):
        command = importlib.import_module(f"dwijax.commands.{name}")
        subparser = subparsers.add_parser(
            name,
            help=command.HELP,
            description=command.HELP,
            epilog=f"example:\n  {command.EXAMPLE}",
            conflict_handler="resolve",  # a command may describe an option better
        )
        _add_common(subparser)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def _add_common(parser):
    common = parser.add_argument_group("all commands")
    common.add_argument("--quiet", action="store_true", help="no progress bars, no summary")
    common.add_argument("--json", action="store_true",
                        help="print the summary as one line of JSON and nothing else")
    common.add_argument("--threads", type=int, metavar="N",
                        help="CPU threads of the computation (default: all processors)")


def main(argv=None):
    """Runs one command line.

    Args:
      argv: list of str; None for those of the process, which then ends with it.

    Returns:
      Exit status.
    """
    if argv is None:
        start()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes
    args = build_parser().parse_args(argv)
    args.quiet = args.quiet or args.json
    try:
        limit_threads(args.threads)
        check_flags()
        with collecting():
            result = args.run(args)
    except KeyboardInterrupt:
        print(f"dwijax: interrupted; {INTERRUPTED}", file=sys.stderr)
        return 130
    except Exception as error:
        if (line := line_of(error)) is None:
            raise
        print(f"dwijax: error: {line}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(result if isinstance(result, dict) else {}, default=str))
    return result.get("status", 0) if isinstance(result, dict) else result or 0


if __name__ == "__main__":
    main()

"""The ``dwijax`` command.

Every module in `dwijax.commands` is a sub-command of its name and holds

  HELP, one line; EXAMPLE, a whole command line;
  add_arguments(parser), which adds its arguments to an `argparse.ArgumentParser`;
  run(args), which does the work and returns None or an exit status.

The help of ``dwijax`` imports all of them: what is slow to import is imported inside ``run``.

Exit status: 0 done, 2 bad input (one line on standard error, no traceback), 130 interrupted.
"""

import argparse
import importlib
import pkgutil
import sys

from dwijax import __version__, commands
from dwijax.errors import InputError


class _Parser(argparse.ArgumentParser):
    """Tells a fault in one line, and takes only options that are written out."""

    def __init__(self, **options):
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )

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
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(argv=None):
    """Runs one command line.

    Args:
      argv: list of str; None for those of the process.

    Returns:
      Exit status.
    """
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except InputError as error:
        print(f"dwijax: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dwijax: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""The sub-commands of ``dwijax``, one module each, and the arguments by which they take a scan;
`dwijax.cli` says what such a module holds."""

from pathlib import Path

from dwijax.options import B0_THRESHOLD


def add_scan_arguments(parser, *, grad_dev: bool = False):
    """Adds the files of a scan to an `argparse.ArgumentParser`; `scan_files` is their reverse.

    Args:
      parser: of the command. grad_dev: whether the command undoes gradient deviations.
    """
    parser.add_argument("dwi", type=Path, metavar="DWI", help="NIfTI series")
    parser.add_argument("--bvals", type=Path, required=True, help="FSL b-values, s/mm²")
    parser.add_argument("--bvecs", type=Path, required=True, help="FSL directions")
    parser.add_argument("--mask", type=Path, help="NIfTI mask (default: made from the b0 volumes)")
    parser.add_argument("--b0-threshold", type=B0_THRESHOLD, metavar="B",
                        help="volumes with b up to this are b0s, s/mm² (default 50; without any, "
                        "as much as b0s of HCP 7T need, 60 to 70)")
    if grad_dev:
        parser.add_argument("--grad-dev", type=Path, metavar="NIFTI",
                            help="gradient deviations, nine volumes as FSL and the HCP ship them")


def scan_files(args):
    """`dwijax.data.files.SubjectFiles` of the parsed arguments."""
    from dwijax.data.files import SubjectFiles

    return SubjectFiles("scan", args.dwi, args.bvals, args.bvecs, args.mask,
                        grad_dev=getattr(args, "grad_dev", None), b0_threshold=args.b0_threshold)

"""``dwijax enhance DWI``: one short scan in, a better one out, and the proof of it."""

from pathlib import Path

from dwijax.commands import add_scan_arguments, scan_files
from dwijax.options import B_VALUE, number, whole

HELP = ("add directions to a short scan, judge by directions of it that are held back whether that "
        "makes it better, and write the better maps")
EXAMPLE = "dwijax enhance dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --mask mask.nii.gz -o out"


def add_arguments(parser):
    add_scan_arguments(parser, grad_dev=True)
    parser.add_argument("--force", action="store_true", help="replace outputs that are there")
    parser.add_argument("--run", type=Path, dest="trained", metavar="RUN",
                        help="folder of a trained run for any table, or the file that dwijax "
                        "export has made of it (default: the network that comes with dwijax)")
    parser.add_argument("-o", "--out", type=Path, required=True,
                        help="folder for dwi.nii.gz, .bval, .bvec, .json, maps, fa_low, fa_high "
                        "and v1_cone (68 and 95 %%), measured, verdict.json and report.html")
    directions = parser.add_mutually_exclusive_group()
    directions.add_argument("--add", type=whole(1, 1000), metavar="N",
                            help="synthesise N well placed directions (default: as many as make 90 "
                            "in all)")
    directions.add_argument("--table", type=Path, metavar="PREFIX",
                            help="synthesise the directions of PREFIX.bval and PREFIX.bvec that "
                            "are not within 1 degree of a measured one")
    parser.add_argument("--shell", type=B_VALUE, metavar="B",
                        help="which shell, s/mm², where there are several")
    parser.add_argument("--seconds", type=number(0, 3600), default=120.0, metavar="S",
                        help="how long the network may learn from subjects made like this scan, in "
                        "seconds of two cores; the same S gives the same bits (default 120)")
    parser.add_argument("--no-adapt", action="store_true", help="as --seconds 0: the network as it "
                        "comes")
    parser.add_argument("--replace-bad", action="store_true",
                        help="synthesise the directions of odd volumes, which are left out, anew")
    parser.add_argument("--keep-anyway", action="store_true",
                        help="write what was added even if the verdict is not \"better\"")
    parser.add_argument("--naming", choices=("dwijax", "bids"), default="dwijax",
                        help="of the files: as above, or BIDS derivatives")


def run(args):
    from dwijax.enhancing.scan import enhance_scan
    from dwijax.process import processes
    from dwijax.process.compilation import keep_compilations
    from dwijax.runs.weights import SHIPPED

    processes.split_cpu()
    keep_compilations()
    summary = enhance_scan(
        scan_files(args), args.out, place=args.trained or SHIPPED, table=args.table, add=args.add,
        shell=args.shell, seconds=0.0 if args.no_adapt else args.seconds,
        replace_bad=args.replace_bad, keep_anyway=args.keep_anyway, naming=args.naming,
        force=args.force, quiet=args.quiet)
    if not args.quiet:
        for line in summary["answer"]:
            print(line)
        for line in summary["suspect"]:
            print(f"suspect: {line}")
        for note in summary["notes"]:
            print(note)
        print(f"{args.out}: {summary['measured']} measured and {summary['synthetic']} synthetic "
              f"volumes. To look at: {summary['files']['page']}")
    return {"out": args.out, **summary}

"""``dwijax predict DWI [--run RUN]``: more directions for a scan, or its maps."""

from pathlib import Path

from dwijax.commands import add_scan_arguments, scan_files
from dwijax.options import whole

HELP = ("synthesise further directions for a scan and fit tensors to all of them, or, with a "
        "SuperDTI run, write its maps")
EXAMPLE = ("dwijax predict dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --mask mask.nii.gz "
           "--add 60 -o out")


def add_arguments(parser):
    add_scan_arguments(parser)
    parser.add_argument("--force", action="store_true", help="replace outputs that are there")
    parser.add_argument("--run", type=Path, dest="trained", metavar="RUN",
                        help="folder of a trained run (the --workdir of train.py), or the file "
                        "that dwijax export has made of it (default: the network for any table "
                        "that comes with dwijax)")
    parser.add_argument("-o", "--out", type=Path, required=True,
                        help="folder for dwi.nii.gz, .bval, .bvec, .json, maps and report.html; of "
                        "a SuperDTI run for fa, md, v1, color_fa ... .nii.gz and maps.json")
    directions = parser.add_mutually_exclusive_group()
    directions.add_argument("--add", type=whole(1, 1000), metavar="N",
                            help="of a run for any table: synthesise N well placed directions "
                            "(default: as many as make 90 in all)")
    directions.add_argument("--table", type=Path, metavar="PREFIX",
                            help="of a run for any table: synthesise the directions of PREFIX.bval "
                            "and PREFIX.bvec that are not within 1 degree of a measured one")
    parser.add_argument("--resample", action="store_true",
                        help="interpolate the run's input directions where the scan has others; "
                        "what that costs is printed and in dwi.json or maps.json")
    parser.add_argument("--scale-b", action="store_true",
                        help="scale a shell more than 10 %% away from the run's b-value to it, as "
                        "if the signal decayed mono-exponentially")
    parser.add_argument("--naming", choices=("dwijax", "bids"), default="dwijax",
                        help="of the files: as above, or BIDS derivatives")


def run(args):
    from dwijax.process import processes
    from dwijax.process.compilation import keep_compilations
    from dwijax.runs.folders import read
    from dwijax.runs.weights import SHIPPED

    processes.split_cpu()
    keep_compilations()
    run = args.trained or SHIPPED
    maps = read(run)[0].task == "map_regression"
    if maps:
        from dwijax.inference.map_prediction import predict_maps as predict
    else:
        from dwijax.inference.prediction import predict_scan as predict
    summary = predict(scan_files(args), run, args.out, resample=args.resample,
                      scale_b=args.scale_b, table=args.table, add=args.add, naming=args.naming,
                      force=args.force, quiet=args.quiet)
    if not args.quiet:
        for line in summary["suspect"]:
            print(f"suspect: {line}")
        for note in summary["notes"]:
            print(note)
    if maps and not args.quiet:
        print(f"{args.out}: {' '.join(summary['maps'])}. To look at: {summary['page']}")
    elif not args.quiet:
        print(f"{args.out}: {summary['measured']} measured and {summary['synthetic']} synthetic "
              f"volumes. Leave the synthetic ones (listed in {summary['files']['json']}) out of "
              "eddy correction, denoising, kurtosis and deconvolution: they bring no information "
              f"of their own. To look at: {summary['files']['page']}")
        if args.trained is None:
            print("Whether they make this scan better is not judged here: dwijax enhance does that")
    return {"out": args.out, **summary}

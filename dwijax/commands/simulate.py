"""``dwijax simulate OUT``: the embedded default data."""

from pathlib import Path

from dwijax.options import B0_THRESHOLD, B_VALUE, SEED, number, whole

HELP = "simulate subjects in HCP layout, each with its noise-free truth"
EXAMPLE = "dwijax simulate phantoms --subjects 20 --snr 20 --lesions"
# What a scan decides where subjects are made like it.
_FROM_THE_SCAN = {"generator": "default", "shape": (56, 68, 24), "voxel_size": 2.5,
                  "directions": 90, "b0s": 6, "lesions": False, "varying_noise": False,
                  "rotate_bvecs": 0.0}


def add_arguments(parser):
    parser.add_argument("out", type=Path, help="folder to write; made if need be")
    parser.add_argument("--subjects", type=whole(1), default=20, help="how many (default 20)")
    parser.add_argument("--first", type=whole(0), default=0, help="index of the first (default 0)")
    parser.add_argument("--seed", type=SEED, default=0, help="of the whole cohort (default 0)")
    parser.add_argument("--generator", choices=("default", "shifted"),
                        help="shifted differs in tissue, anatomy, noise and motion, for judging")
    parser.add_argument("--like", type=Path, metavar="DWI",
                        help="make subjects like this scan: its anatomy and fibres from a smooth "
                        "fit, deformed and perturbed at random, with its table (--bvals, --bvecs) "
                        "and noise level")
    parser.add_argument("--mask", type=Path, help="of the scan that --like names")
    parser.add_argument("--table", type=Path, metavar="PREFIX",
                        help="with --like: scan the subjects by PREFIX.bval and PREFIX.bvec, whose "
                        "directions belong to the scan's image; ln S is taken to be proportional "
                        "to b")
    parser.add_argument("--add", type=whole(1, 1000), metavar="N",
                        help="with --like: N well placed directions behind the scan's own")
    parser.add_argument("--snr", type=number(0.1, 1e6),
                        help="mean white-matter S0 over noise SD, before shading (default: "
                        "20; shifted: 12 to 30, drawn per subject; --like: the scan's)")
    parser.add_argument("--white-noise", action="store_true",
                        help="with --like: noise of one level, independent in all voxels (default: "
                        "as uneven, as much shared by neighbours, with gains, motion between "
                        "volumes and dropouts as the scan has)")
    parser.add_argument("--texture", action="store_true",
                        help="with --like: voxels differ from the smooth fit, by as much as the "
                        "scan has beyond noise; in the truth too")
    parser.add_argument("--shape", type=whole(4, 512), nargs=3, metavar=("X", "Y", "Z"),
                        help="voxels (default 56 68 24, a slab of axial "
                        "slices; 56 68 52 is the whole head)")
    parser.add_argument("--voxel-size", type=number(0.5, 6, " mm"), help="mm (default 2.5)")
    parser.add_argument("--directions", type=whole(1, 1000), help="per shell (default 90)")
    parser.add_argument("--shells", type=B_VALUE, nargs="+", metavar="B",
                        help="b-values in s/mm² (default 1000; --like: the scan's)")
    parser.add_argument("--b0s", type=whole(1, 1000), help="volumes with b = 5 (default 6)")
    parser.add_argument("--bvals", type=Path, help="FSL file: simulate this table instead")
    parser.add_argument("--bvecs", type=Path, help="FSL file, together with --bvals")
    parser.add_argument("--b0-threshold", type=B0_THRESHOLD, metavar="B",
                        help="volumes of this table with b up to this are b0s, s/mm² (default 50; "
                        "without any, as much as b0s of HCP 7T need, 60 to 70)")
    parser.add_argument("--lesions", action="store_true", default=None,
                        help="one to four lesions per subject")
    parser.add_argument("--varying-noise", action="store_true", default=None,
                        help="noise level varies in space, as with parallel imaging")
    parser.add_argument("--rotate-bvecs", type=number(0, 180, "°"), metavar="DEGREES",
                        help="turn each subject's directions a little, as motion correction does")
    parser.add_argument("--workers", type=whole(1, 1024), default=2, help="processes (default 2)")


def run(args):
    from dwijax.errors import InputError

    if (args.bvals is None) != (args.bvecs is None):
        given, absent = ("--bvals", "--bvecs") if args.bvecs is None else ("--bvecs", "--bvals")
        raise InputError(given, found=f"no {absent}", expected="both or neither",
                         remedy=f"give {absent} too")
    names = _like(args) if args.like else _drawn(args)
    if not args.quiet:
        print(f"{args.out}: {names[0]} to {names[-1]}" if len(names) > 1 else args.out / names[0])
    return {"out": args.out, "subjects": names}


def _drawn(args):
    from dwijax.data.phantom import simulate
    from dwijax.errors import InputError, warn
    from dwijax.gradients import find_b0s, read_gradients, repeats_in_words

    for name in ("mask", "table", "add", "white_noise", "texture"):
        if getattr(args, name):
            raise InputError(f"--{name.replace('_', '-')}", found="no --like",
                             expected="a scan that it belongs to",
                             remedy="give --like too, or leave it out")
    gtab = None
    if args.bvals is not None:
        gtab = read_gradients(args.bvals, args.bvecs, args.b0_threshold)
        find_b0s(gtab, args.bvals)
        for line in repeats_in_words(gtab):
            warn(f"{args.bvecs}: {line}")
    given = {name: default if getattr(args, name) is None else getattr(args, name)
             for name, default in _FROM_THE_SCAN.items()}
    return simulate(
        args.out, subjects=args.subjects, first=args.first, workers=args.workers,
        progress=not args.quiet, seed=args.seed, snr=args.snr, gtab=gtab,
        shells=tuple(args.shells or (1000.0,)), n_directions=given.pop("directions"),
        rotate_degrees=given.pop("rotate_bvecs"), **given)


def _like(args):
    from dwijax.data.files import SubjectFiles
    from dwijax.data.phantom import simulate_scans_like
    from dwijax.errors import InputError
    from dwijax.gradients import read_prefix

    for name in _FROM_THE_SCAN:
        if getattr(args, name) is not None:
            raise InputError(f"--{name.replace('_', '-')}", found="--like", remedy="leave it out",
                             expected="one of the two: the scan decides it")
    if args.bvals is None:
        raise InputError("--like", found="no --bvals and --bvecs", expected="the scan's table",
                         remedy="give both files")
    if args.shells and len(args.shells) > 1:
        raise InputError("--shells", found=f"{len(args.shells)} b-values with --like",
                         expected="one: that of the shell to imitate", remedy="give one")
    if args.table and args.add:
        raise InputError("--table", found="--add", expected="one of the two",
                         remedy="leave one out")
    table = args.table and read_prefix(args.table, args.b0_threshold)[0]
    files = SubjectFiles("scan", args.like, args.bvals, args.bvecs, args.mask,
                         b0_threshold=args.b0_threshold)
    return simulate_scans_like(
        args.out, files, subjects=args.subjects, first=args.first, seed=args.seed, snr=args.snr,
        shell=args.shells[0] if args.shells else None, table=table, add=args.add or 0,
        white_noise=args.white_noise, texture=args.texture, progress=not args.quiet)

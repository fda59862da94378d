"""``dwijax simulate OUT``: the embedded default data."""

from pathlib import Path

HELP = "simulate subjects in HCP layout, each with its noise-free truth"
EXAMPLE = "dwijax simulate phantoms --subjects 20 --snr 20 --lesions"


def add_arguments(parser):
    parser.add_argument("out", type=Path, help="folder to write; made if need be")
    parser.add_argument("--subjects", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--first", type=int, default=0, help="index of the first (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the whole cohort (default 0)")
    parser.add_argument("--generator", choices=("default", "shifted"), default="default",
                        help="shifted differs in tissue, anatomy, noise and motion, for judging")
    parser.add_argument("--snr", type=float, help="mean white-matter S0 over noise SD, before "
                        "shading (default: 20; shifted: 12 to 30, drawn per subject)")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("X", "Y", "Z"),
                        default=(56, 68, 24), help="voxels (default 56 68 24, a slab of axial "
                        "slices; 56 68 52 is the whole head)")
    parser.add_argument("--voxel-size", type=float, default=2.5, help="mm (default 2.5)")
    parser.add_argument("--directions", type=int, default=90, help="per shell (default 90)")
    parser.add_argument("--shells", type=float, nargs="+", default=(1000.0,), metavar="B",
                        help="b-values in s/mm² (default 1000)")
    parser.add_argument("--b0s", type=int, default=6, help="volumes with b = 5 (default 6)")
    parser.add_argument("--bvals", type=Path, help="FSL file: simulate this table instead")
    parser.add_argument("--bvecs", type=Path, help="FSL file, together with --bvals")
    parser.add_argument("--lesions", action="store_true", help="one to four lesions per subject")
    parser.add_argument("--varying-noise", action="store_true",
                        help="noise level varies in space, as with parallel imaging")
    parser.add_argument("--rotate-bvecs", type=float, default=0.0, metavar="DEGREES",
                        help="turn each subject's directions a little, as motion correction does")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")


def run(args):
    from dwijax.data.phantom import simulate
    from dwijax.errors import InputError
    from dwijax.gradients import read_gradients

    if (args.bvals is None) != (args.bvecs is None):
        given, absent = ("--bvals", "--bvecs") if args.bvecs is None else ("--bvecs", "--bvals")
        raise InputError(given, found=f"no {absent}", expected="both or neither",
                         remedy=f"give {absent} too")
    gtab = None if args.bvals is None else read_gradients(args.bvals, args.bvecs)
    names = simulate(
        args.out, subjects=args.subjects, first=args.first, workers=args.workers,
        progress=not args.quiet, seed=args.seed, generator=args.generator, snr=args.snr,
        shape=args.shape, voxel_size=args.voxel_size, gtab=gtab, n_directions=args.directions,
        shells=tuple(args.shells), b0s=args.b0s, lesions=args.lesions,
        varying_noise=args.varying_noise, rotate_degrees=args.rotate_bvecs,
    )
    if not args.quiet:
        print(f"{args.out}: {names[0]} to {names[-1]}" if len(names) > 1 else args.out / names[0])
    return {"out": args.out, "subjects": names}

"""``dwijax check DWI``: what is in a scan, and is its table right?"""

from pathlib import Path

from dwijax.options import B0_THRESHOLD

HELP = "look a scan over: shells, noise, odd volumes, orientation of the directions, fit to a run"
EXAMPLE = "dwijax check dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --run runs/phantom -o check"


def add_arguments(parser):
    parser.add_argument("dwi", type=Path, metavar="DWI", help="NIfTI series")
    parser.add_argument("--bvals", type=Path, required=True, help="FSL b-values, s/mm²")
    parser.add_argument("--bvecs", type=Path, required=True, help="FSL directions")
    parser.add_argument("--mask", type=Path, help="NIfTI mask (default: made from the b0 volumes)")
    parser.add_argument("--b0-threshold", type=B0_THRESHOLD, metavar="B",
                        help="volumes with b up to this are b0s, s/mm² (default 50; without any, "
                        "as much as b0s of HCP 7T need, 60 to 70)")
    parser.add_argument("--run", type=Path, dest="trained", metavar="RUN",
                        help="folder of a trained run, or file of dwijax export: how far is the "
                        "scan from its training data?")
    parser.add_argument("-o", "--out", type=Path, metavar="PAGE",
                        help="write PAGE.md and PAGE.png as well")
    parser.add_argument("--write-bvecs", type=Path, metavar="FILE",
                        help="where the directions are found wrong: write the right ones here")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.epilog += ("\n\nexit status: 0 nothing suspect, 1 something suspect (the first lines "
                      "say what), 2 unusable")


def run(args):
    """Returns what was found; ``status`` 0 where nothing is suspect, otherwise 1."""
    from dwijax.checking import page
    from dwijax.checking.scan import check_scan
    from dwijax.gradients import read_bvecs, write_bvecs
    from dwijax.output import refuse_to_overwrite, whole

    pages = []
    if args.out is not None:
        stem = args.out.with_suffix("") if args.out.suffix in (".md", ".png") else args.out
        pages = [stem.with_name(stem.name + ending) for ending in (".md", ".png")]
    if not args.force:
        refuse_to_overwrite([*pages, *filter(None, [args.write_bvecs])])
    trained = None
    if args.trained is not None:
        from dwijax.training.run import read
        from dwijax.training.settings import input_positions

        config, gtab, _, about = read(args.trained)
        trained = args.trained, gtab, input_positions(config, gtab), about
    report = check_scan(args.dwi, args.bvals, args.bvecs, args.mask, trained,
                        args.b0_threshold)
    found = page.warnings(report)
    if not args.quiet:
        print("\n".join(page.lines(report, found)))
    if pages:
        from dwijax.checking.figure import draw

        text, picture = pages
        with whole(picture) as path:
            draw(report, path)
        with whole(text) as path:
            path.write_text(page.markdown(report, found, picture.name), encoding="utf-8")
    seen = report.orientation
    if args.write_bvecs is not None:
        if seen is None or seen.verdict != "wrong":
            if not args.quiet:
                print(f"{args.write_bvecs} is not written: the directions were not found wrong")
        else:
            # As they stand in the file: lengths may encode b.
            bvecs = read_bvecs(args.bvecs, len(report.gtab))
            write_bvecs(bvecs @ page.mending(seen).T, args.write_bvecs)
            if not args.quiet:
                print(f"{args.write_bvecs}: {seen.names[0]}")
    return {"status": int(bool(found)), "suspect": found,
            **{title: dict(rows) for title, rows in page.sections(report)}}

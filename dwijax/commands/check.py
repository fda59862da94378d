"""``dwijax check DWI``: what is in a scan, and is its table right?"""

import os
from pathlib import Path

from dwijax.commands import add_scan_arguments, scan_files
from dwijax.errors import InputError

HELP = "look a scan over: shells, noise, odd volumes, orientation of the directions, fit to a run"
EXAMPLE = "dwijax check dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --run runs/phantom -o check"


def add_arguments(parser):
    add_scan_arguments(parser)
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
    from dwijax.checking.facts import facts
    from dwijax.checking.scan import TrainedOn, check_scan
    from dwijax.data.scan import open_scan
    from dwijax.output import refuse_to_overwrite, whole_files

    pages = [] if args.out is None else _pages(args.out)
    if not args.force:
        refuse_to_overwrite([*pages, *filter(None, [args.write_bvecs])])
    trained = None
    if args.trained is not None:
        from dwijax.config import input_positions
        from dwijax.runs.folders import read

        config, gtab, _, about = read(args.trained)
        trained = TrainedOn(str(args.trained), gtab, input_positions(config, gtab), about)
    report = check_scan(open_scan(scan_files(args)), trained)
    found = page.warnings(report)
    if pages:
        from dwijax.checking.figure import draw

        with whole_files(pages) as (text, picture):
            draw(report, picture)
            text.write_text(page.markdown(report, found, os.fsencode(pages[1].name)),
                            encoding="utf-8")
    said = [*page.lines(report, found)]
    if args.write_bvecs is not None:
        said.append(_write_mended(report, args.bvecs, args.write_bvecs))
    if not args.quiet:
        print("\n".join(said))
    return {"status": int(bool(found)), "suspect": found, **facts(report)}


def _pages(out):
    """The page's text and picture, from the name of either or of both."""
    stem = out.with_suffix("") if out.suffix in (".md", ".png") else out
    if stem.name in ("", ".."):
        raise InputError("--out", found=repr(str(out)), expected="the name of a page to write",
                         remedy="give a name such as check")
    return [stem.with_name(stem.name + ending) for ending in (".md", ".png")]


def _write_mended(report, bvecs, path):
    """Writes the right directions where those of ``bvecs`` were found wrong; says what was done."""
    from dwijax.checking.page import mending, shown
    from dwijax.gradients import read_bvecs, write_bvecs

    seen = report.orientation
    if report.companions.verdict == "apart":
        return f"{shown(path)} is not written: volumes and table do not belong together"
    if seen is None or seen.verdict != "wrong":
        return f"{shown(path)} is not written: the directions were not found wrong"
    # As they stand in the file: lengths may encode b.
    write_bvecs(read_bvecs(bvecs, len(report.gtab)) @ mending(seen).T, path)
    return f"{shown(path)}: {seen.names[0]}"

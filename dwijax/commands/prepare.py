"""``dwijax prepare ROOT STORE``: a cohort's slices, compressed, for training."""

from pathlib import Path

from dwijax.data.layouts import LAYOUTS
from dwijax.options import B0_THRESHOLD, B_VALUE, SEED, number, whole

HELP = "write a cohort's training and validation slices into a compressed store"
EXAMPLE = "dwijax prepare /data/hcp /scratch/hcp-store --layout hcp --split 0.6 0.2 0.2"


def add_arguments(parser):
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the subjects")
    parser.add_argument("store", type=Path, metavar="STORE", help="folder to make; train.py takes "
                        "it with --config.data.layout=store --config.data.root=STORE")
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help="of ROOT")
    parser.add_argument("--shell", type=B_VALUE, default=1000,
                        help="b-value in s/mm² (default 1000)")
    parser.add_argument("--b0-threshold", type=B0_THRESHOLD, default=50.0, metavar="B",
                        help="volumes with b up to this are b0s, s/mm² (default 50; b0s of HCP 7T "
                        "have 60 to 70)")
    parser.add_argument("--axis", type=int, choices=(0, 1, 2), default=2,
                        help="slices: 0 sagittal, 1 coronal, 2 axial (default 2)")
    parser.add_argument("--split", type=number(0, 1), nargs=3, default=(0.6, 0.2, 0.2),
                        metavar=("TRAIN", "VALIDATION", "TEST"),
                        help="shares of the subjects (default 0.6 0.2 0.2)")
    parser.add_argument("--seed", type=SEED, default=0, help="of the split (default 0)")
    parser.add_argument("--slices", type=whole(1), nargs=2, default=(),
                        metavar=("TRAIN", "VALIDATION"),
                        help="of all subjects together, evenly spread (default: all)")
    parser.add_argument("--within-subject", action="store_true",
                        help="cut a single scan into slabs")
    parser.add_argument("--skip-bad", action="store_true", help="leave out, each with a line, "
                        "subjects that cannot be used")
    parser.add_argument("--force", action="store_true", help="replace a store that is there")


def run(args):
    from functools import partial

    from tqdm import tqdm

    from dwijax.data import leakage
    from dwijax.data.cohort import limited, split_cohort
    from dwijax.data.store import write_store
    from dwijax.output import refuse_to_overwrite

    if not args.force:
        refuse_to_overwrite([args.store])
    cohort = split_cohort(args.root, args.layout, fractions=tuple(args.split), seed=args.seed,
                          axis=args.axis, shell=args.shell, within_subject=args.within_subject,
                          skip_bad=args.skip_bad, b0_threshold=args.b0_threshold)
    leakage.check_cohort(cohort, args.root)
    cohort = limited(cohort, 0, args.slices)
    cohort, slices, plain, stored = write_store(
        args.store, cohort, shell=args.shell, axis=args.axis, force=args.force,
        skip_bad=args.skip_bad,
        progress=partial(tqdm, desc="preparing", unit="subject", disable=args.quiet or None,
                         leave=False))
    train, validation, test = (len(part) for part in cohort[:3])
    if not args.quiet:
        print(f"{args.store}: {slices} slices of {train} training and {validation} validation "
              f"subjects, {plain / 2**20:,.0f} MiB in {stored / 2**20:,.0f} ({plain / stored:.1f} "
              f"times smaller); {test} test subjects stay in {args.root}")
    return {"store": args.store, "slices": slices, "train": train, "validation": validation,
            "test": test, "bytes": stored, "bytes_uncompressed": plain}

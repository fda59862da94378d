"""``dwijax export RUN FILE``: a trained run in one file."""

from pathlib import Path

HELP = "write a trained run (parameters, table, normalisation, model card) into one file"
EXAMPLE = "dwijax export runs/phantom phantom.dwijax"


def add_arguments(parser):
    parser.add_argument("trained", type=Path, metavar="RUN",
                        help="folder of a trained run (the --workdir of train.py)")
    parser.add_argument("file", type=Path, metavar="FILE",
                        help="file to write; commands take it as --run FILE")
    parser.add_argument("--note", action="append", default=[], metavar="TEXT",
                        help="a line about the training data for the model card, such as whose "
                        "they are and their licence; may be given several times")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(args):
    import jax
    import numpy as np

    from dwijax.errors import InputError
    from dwijax.output import refuse_to_overwrite
    from dwijax.runs import export, restore

    if not args.trained.is_dir():
        raise InputError(args.trained, found="no folder", expected="the folder of a trained run",
                         remedy="give the --workdir that train.py was given")
    if not args.force:
        refuse_to_overwrite([args.file])
    *_, params, about = restore.restore_run(args.trained)
    size = export.write(
        args.file, about, jax.tree.map(np.asarray, params), export.training_summary(args.trained),
        export.evaluation_headlines(args.trained, about), notes=args.note, force=args.force)
    networks = jax.tree.leaves(params)[0].shape[0]
    if not args.quiet:
        print(f"{args.file}: {networks} network{'s' * (networks > 1)}, {size / 2**20:.2f} MiB")
    return {"file": args.file, "bytes": size, "networks": networks}

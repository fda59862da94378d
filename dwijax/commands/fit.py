"""``dwijax fit DWI``: tensor maps of a scan."""

from pathlib import Path

from dwijax.commands import add_scan_arguments, scan_files
from dwijax.options import B_VALUE, number, whole

HELP = "fit diffusion tensors to a scan and write FA, MD, directions and other maps"
EXAMPLE = "dwijax fit dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --mask mask.nii.gz -o dti"

_MAPS = (
    "fa md ad rd v1 color_fa tensor (these by default), mode cl cp cs norm l1 l2 l3 v2 v3 fa_v1 "
    "s0 rmse residuals, sigma fa_se md_se covariance; all"
)


def add_arguments(parser):
    add_scan_arguments(parser, grad_dev=True)
    parser.add_argument("--shells", type=B_VALUE, nargs="+", metavar="B",
                        help="fit these shells and the b0s, b in s/mm² (default: all volumes)")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for the maps")
    parser.add_argument("--method", choices=("ols", "wls", "iwls", "robust"), default="wls",
                        help="least squares on ln S: ordinary, weighted by the predicted signal "
                        "(default), reweighted, or reweighted without outliers (REKINDLE)")
    parser.add_argument("--reweightings", type=whole(0, 100), metavar="N",
                        help="refits with new weights (default: wls 1, iwls and robust 2)")
    parser.add_argument("--floor", type=number(1e-30, 1e12), metavar="SIGNAL",
                        help="raise smaller samples to this, as dipy does with 1e-4 (default: "
                        "leave samples near 0 out of the fit)")
    parser.add_argument("--positive", action="store_true",
                        help="raise negative eigenvalues to 1e-9 mm²/s")
    parser.add_argument("--maps", nargs="+", metavar="MAP", help=_MAPS)
    parser.add_argument("--naming", choices=("dwijax", "mrtrix", "fsl", "bids"), default="dwijax",
                        help="whose file names, element order and frame (default dwijax: RAS+)")
    parser.add_argument("--measured-only", action="store_true",
                        help="leave out the volumes that the JSON beside DWI calls synthetic")
    parser.add_argument("--force", action="store_true", help="replace maps that are there")


def run(args):
    import numpy as np

    from dwijax.data.scan import open_scan
    from dwijax.errors import warn
    from dwijax.fitting.choice import bias_of_shells, with_shells
    from dwijax.process.compilation import keep_compilations

    scan = open_scan(scan_files(args))
    gtab, synthetic = scan.gtab, scan.synthetic(needed=args.measured_only)
    volumes = np.arange(len(gtab))
    if args.shells:
        volumes = with_shells(gtab, args.shells, args.bvals)
    if args.measured_only:
        volumes = np.setdiff1d(volumes, synthetic)
    maps = _chosen(args.maps, synthetic and not args.measured_only)

    keep_compilations()
    from dwijax.dti.design import check_design
    from dwijax.fitting import fit_scan, in_words

    used = gtab[volumes]
    check_design(used.bvals, used.bvecs, args.bvals, used.b0_threshold)
    told = [f"{args.dwi}: {note}" for note in scan.header_notes]
    if bias := bias_of_shells(used):
        told.append(f"{args.bvals}: {bias}")
    mask = scan.brain(volumes)
    grad_dev, turned = scan.grad_dev(mask)
    told += turned

    options = {"method": args.method}
    if args.reweightings is not None:
        options["reweightings"] = args.reweightings
    if args.floor is not None:
        options["floor"] = args.floor
    if args.positive:
        options["min_diffusivity"] = 1e-6
    summary = fit_scan(
        scan.image, gtab, mask, args.out, maps=maps, naming=args.naming, volumes=volumes,
        grad_dev=grad_dev, options=options, notes=[*gtab.notes, *told],
        progress=None if args.quiet else _bar, force=args.force,
    )
    for line in told:
        warn(line)
    if not args.quiet:
        print(f"{args.out}: {len(maps)} maps of {summary['voxels']} voxels from {len(volumes)} "
              f"volumes, {in_words(summary)}")
    return {"out": args.out, "maps": maps, **summary}


def _chosen(wanted, with_synthetic):
    from dwijax.errors import InputError
    from dwijax.fitting.maps import DEFAULT_MAPS, MAPS, OF_MEASURED

    maps = list(dict.fromkeys(wanted or DEFAULT_MAPS))
    if "all" in maps:
        maps = [name for name in MAPS if not (with_synthetic and name in OF_MEASURED)]
    for name in maps:
        if name not in MAPS:
            raise InputError("--maps", found=name, expected=f"some of {' '.join(MAPS)}, or all",
                             remedy="correct the name")
        if with_synthetic and name in OF_MEASURED:
            raise InputError(
                "--maps",
                found=f"{name} of a series with synthetic volumes",
                expected="measured volumes: synthetic ones bring no information of their own",
                remedy="add --measured-only",
            )
    return maps


def _bar(iterable, total, what):
    from tqdm import tqdm

    return tqdm(iterable, total=total, desc=what, unit="", leave=False,
                disable=None)  # off where stderr is not a terminal

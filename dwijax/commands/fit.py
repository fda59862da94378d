"""``dwijax fit DWI``: tensor maps of a scan."""

from pathlib import Path

from dwijax.options import B0_THRESHOLD, B_VALUE, number, whole

HELP = "fit diffusion tensors to a scan and write FA, MD, directions and other maps"
EXAMPLE = "dwijax fit dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --mask mask.nii.gz -o dti"

_MAPS = (
    "fa md ad rd v1 color_fa tensor (these by default), mode cl cp cs norm l1 l2 l3 v2 v3 fa_v1 "
    "s0 rmse residuals, sigma fa_se md_se covariance; all"
)


def add_arguments(parser):
    parser.add_argument("dwi", type=Path, metavar="DWI", help="NIfTI series")
    parser.add_argument("--bvals", type=Path, required=True, help="FSL b-values, s/mm²")
    parser.add_argument("--bvecs", type=Path, required=True, help="FSL directions")
    parser.add_argument("--mask", type=Path, help="NIfTI mask (default: made from the b0 volumes)")
    parser.add_argument("--b0-threshold", type=B0_THRESHOLD, metavar="B",
                        help="volumes with b up to this are b0s, s/mm² (default 50; without any, "
                        "as much as b0s of HCP 7T need, 60 to 70)")
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
    parser.add_argument("--grad-dev", type=Path, metavar="NIFTI",
                        help="gradient deviations, nine volumes as FSL and the HCP ship them")
    parser.add_argument("--measured-only", action="store_true",
                        help="leave out the volumes that the JSON beside DWI calls synthetic")
    parser.add_argument("--force", action="store_true", help="replace maps that are there")


def run(args):
    import numpy as np

    from dwijax.compilation import keep_compilations
    from dwijax.data.subject import read_scan_gradients
    from dwijax.data.volumes import (
        make_mask,
        only_usable,
        orientation_notes,
        read_dwi,
        read_mask,
        read_volumes,
    )
    from dwijax.errors import InputError, warn
    from dwijax.fitting.choice import bias_of_shells, with_shells
    from dwijax.gradients import find_b0s

    image = read_dwi(args.dwi)
    gtab = read_scan_gradients(args.bvals, args.bvecs, image, args.b0_threshold)
    synthetic = _synthetic(args.dwi, len(gtab), needed=args.measured_only)
    if args.measured_only and synthetic is None:
        raise InputError(
            _sidecar(args.dwi),
            found="no list of synthetic volumes",
            expected="the JSON that dwijax predict writes beside its series",
            remedy="leave out --measured-only if all volumes are measured",
        )
    volumes = np.arange(len(gtab))
    if args.shells:
        volumes = with_shells(gtab, args.shells, args.bvals)
    if args.measured_only:
        volumes = np.setdiff1d(volumes, synthetic)
    maps = _chosen(args.maps, synthetic is not None and len(synthetic) and not args.measured_only)

    keep_compilations()
    from dwijax.dti.design import check_design
    from dwijax.fitting import fit_scan, in_words

    used = gtab[volumes]
    check_design(used.bvals, used.bvecs, args.bvals, used.b0_threshold)
    told = [f"{args.dwi}: {note}" for note in orientation_notes(image)]
    if bias := bias_of_shells(used):
        told.append(f"{args.bvals}: {bias}")
    grad_dev = None
    if args.grad_dev is not None:
        grad_dev, turned = _deviations(args.grad_dev, image)
        told += turned
    if args.mask is not None:
        mask = read_mask(args.mask, image.shape[:3], image.affine)
    else:
        b0 = read_volumes(image, volumes[find_b0s(used, args.bvals, "give --mask")])
        mask = make_mask(b0, np.ones(b0.shape[-1], bool), where=args.dwi)
    if grad_dev is not None:
        only_usable(grad_dev, mask, args.grad_dev)

    options = {"method": args.method}
    if args.reweightings is not None:
        options["reweightings"] = args.reweightings
    if args.floor is not None:
        options["floor"] = args.floor
    if args.positive:
        options["min_diffusivity"] = 1e-6
    summary = fit_scan(
        image, gtab, mask, args.out, maps=maps, naming=args.naming, volumes=volumes,
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


def _deviations(path, image):
    """FSL's gradient deviations ``[X, Y, Z, 9]`` on the grid of a scan, and lines to know.

    They change the directions of the scan's table, ``v = (I + L) g``, and are in its frame. Tools
    that reorient an image move its voxels and leave its numbers, and so are they taken.
    """
    import numpy as np

    from dwijax.data.volumes import read_image, read_on_grid
    from dwijax.gradients import fsl_to_world

    found = read_on_grid(path, image.shape, image.affine, (9,), what="grad_dev")
    frames = [fsl_to_world(i.affine) for i in (read_image(path), image)]
    if np.allclose(*frames, atol=1e-2):
        return found, []
    return found, [f"{path}: stored in another orientation than the scan; its voxels are moved, "
                   "its numbers taken as they are, in the frame of the scan's directions"]


def _sidecar(dwi):
    return dwi.with_name(dwi.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def _synthetic(dwi, volumes, needed):
    """Indices of synthetic volumes told by the JSON beside a series; None if it tells nothing.

    One that cannot be read is refused where it is ``needed``, and told in a line otherwise.
    """
    from dwijax.errors import InputError, warn
    from dwijax.schema import read_json

    path = _sidecar(dwi)
    if not path.is_file():
        return None
    try:
        content = read_json(path, expected="a JSON file", remedy="mend or remove it")
    except InputError as error:
        if needed:
            raise
        warn(f"{path}: {error.found}; all volumes are taken for measured ones")
        return None
    listed = content.get("synthetic_volumes") if isinstance(content, dict) else None
    if listed is None:
        return None
    whole_numbers = isinstance(listed, list) and all(
        isinstance(m, int) and 0 <= m < volumes for m in listed)
    if not whole_numbers:
        raise InputError(path, found=f"synthetic_volumes {str(listed)[:60]}",
                         expected=f"a list of volumes, 0 to {volumes - 1}",
                         remedy="give the JSON of this series")
    return listed


def _bar(iterable, total, what):
    from tqdm import tqdm

    return tqdm(iterable, total=total, desc=what, unit="", leave=False,
                disable=None)  # off where stderr is not a terminal

"""``dwijax track``: streamlines through FA and first eigenvectors."""

from pathlib import Path

from dwijax.options import number, whole

HELP = "track streamlines through the FA and first eigenvectors that fit or predict wrote"
EXAMPLE = "dwijax track dti/fa.nii.gz dti/v1.nii.gz --seeds callosum.nii.gz -o callosum.tck"


def add_arguments(parser):
    parser.add_argument("fa", type=Path, metavar="FA", help="NIfTI map")
    parser.add_argument("v1", type=Path, metavar="V1",
                        help="NIfTI of first eigenvectors; the JSON beside it tells their frame")
    parser.add_argument("--frame", choices=("scanner", "fsl", "array"),
                        help="of V1, where no JSON tells it: the scanner's (RAS+: dwijax, MRtrix3),"
                        " FSL's image space, or along the voxel axes")
    parser.add_argument("--seeds", type=Path, required=True, help="NIfTI mask to start in")
    parser.add_argument("--through", type=Path, nargs="+", default=[], metavar="MASK",
                        help="keep streamlines that pass all of these masks")
    parser.add_argument("-o", "--out", type=Path, required=True, help=".tck or .trk file")
    parser.add_argument("--threshold", type=number(0.001, 1), default=0.15,
                        help="least FA (default 0.15)")
    parser.add_argument("--angle", type=number(1, 90, "°"), default=45.0,
                        help="largest turn in 0.5 mm, degrees (default 45)")
    parser.add_argument("--density", type=whole(1, 20), default=2,
                        help="seeds along each edge of a seed voxel (default 2)")
    parser.add_argument("--min-length", type=number(0, 2000, " mm"), default=20.0,
                        help="mm (default 20)")
    parser.add_argument("--max-length", type=number(0, 2000, " mm"), default=300.0,
                        help="mm (default 300)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(args):
    import numpy as np

    from dwijax.errors import InputError
    from dwijax.output import refuse_to_overwrite
    from dwijax.output import whole as whole_file
    from dwijax.volumes import read_image, read_mask, read_on_grid, voxel_size

    if args.out.suffix not in (".tck", ".trk"):
        raise InputError(args.out, found="another ending", expected=".tck or .trk",
                         remedy="choose another name")
    if args.min_length > args.max_length:
        raise InputError("--min-length", found=f"{args.min_length:g} mm",
                         expected=f"at most --max-length, {args.max_length:g} mm",
                         remedy="choose another value")
    if not args.force:
        refuse_to_overwrite([args.out])
    image = read_image(args.fa)
    shape, affine = image.shape[:3], image.affine
    fa = read_on_grid(args.fa, shape, affine, what="map of FA")
    v1 = read_on_grid(args.v1, shape, affine, (3,), what="map of vectors")
    seeds = read_mask(args.seeds, shape, affine)
    through = [read_mask(path, shape, affine) for path in args.through]
    v1 = v1 @ _to_scanner(args, affine).T

    from dwijax.evaluation.studies.tractography import passing, track

    # From the scanner's axes to the array's.
    axes = affine[:3, :3] / voxel_size(affine)
    lines = track(fa, v1 @ np.linalg.inv(axes).T, affine, seeds,
                  threshold=args.threshold, max_angle=args.angle, density=args.density,
                  min_length=args.min_length, max_length=args.max_length)
    kept = passing(lines, affine, through)
    if not kept:
        raise InputError(
            args.seeds, found=f"{len(lines)} streamlines, none through all masks" if lines else
            f"no streamline of {args.min_length:g} mm from FA of {args.threshold:g} up",
            expected="streamlines", remedy="give other masks or thresholds")
    with whole_file(args.out) as temporary:
        save(kept, image, temporary)
    length = float(np.median(
        [np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in kept]))
    if not args.quiet:
        print(f"{args.out}: {len(kept)} of {len(lines)} streamlines, median length "
              f"{length:.0f} mm")
    return {"out": args.out, "streamlines": len(kept), "tracked": len(lines),
            "median_length_mm": length}


def _to_scanner(args, affine):
    """Matrix ``[3, 3]`` that takes V1 to RAS+; ``affine`` is that of FA."""
    import numpy as np

    from dwijax.errors import InputError
    from dwijax.fitting.frames import SCANNER, frames_agree, stated_frame, to_scanner
    from dwijax.volumes import read_image

    own = read_image(args.v1).affine
    frame = args.frame or stated_frame(args.v1)[0]
    if frame is None:
        if not frames_agree(own):
            raise InputError(
                args.v1, found="no JSON beside it that tells the frame of its vectors",
                expected="fit.json, maps.json or a sidecar of BIDS, as the image's axes leave open "
                "which it is", remedy="give --frame scanner (dwijax, MRtrix3) or --frame fsl")
        frame = SCANNER
    matrix = to_scanner(frame, own)
    if not np.allclose(matrix, to_scanner(frame, affine), atol=1e-2):
        raise InputError(
            args.v1, found=f"vectors along axes that are not those of {args.fa}, which is stored "
            "in another orientation", expected="maps of one fit: who turned the image may have "
            "left its vectors", remedy="give FA and V1 as the fit wrote them")
    return matrix


def save(streamlines, image, path):
    """Writes streamlines (mm) as ``.tck`` or ``.trk`` by the name of ``path``."""
    import nibabel as nib
    import numpy as np

    from dwijax.volumes import orientation_of

    tractogram = nib.streamlines.Tractogram(streamlines, affine_to_rasmm=np.eye(4))
    if str(path).endswith(".tck"):
        nib.streamlines.TckFile(tractogram).save(str(path))
        return
    field = nib.streamlines.Field
    header = {field.VOXEL_TO_RASMM: image.affine.astype(np.float32),
              field.VOXEL_SIZES: image.header.get_zooms()[:3], field.DIMENSIONS: image.shape[:3],
              field.VOXEL_ORDER: orientation_of(image.affine)}
    nib.streamlines.TrkFile(tractogram, header).save(str(path))

"""Images that belong to a scan, brought onto its grid: masks, labels, lesions, maps, seeds."""

from pathlib import Path

import numpy as np

from dwijax.errors import InputError
from dwijax.volumes.orientation import (
    canonical,
    orientation_of,
    uncanonical,
    uncanonical_affine,
    voxel_size,
)
from dwijax.volumes.reading import read_image, read_volumes, shown


def read_on_grid(path: Path, shape: tuple[int, ...], affine: np.ndarray,
                 components: tuple[int, ...] = (), *, volumes: np.ndarray | None = None,
                 dtype=np.float32, what: str = "image") -> np.ndarray:
    """Reads an image onto the grid of the scan that it belongs to.

    All images beside a scan are matched here. The same grid stored in another orientation is the
    same grid: axes are reordered and reversed, nothing is interpolated. Only voxels move: the
    numbers in a voxel stay as they are, whatever frame they are in.

    Args:
      path: NIfTI file.
      shape: (X, Y, Z, ...) of the scan.
      affine: [4, 4] of the scan, voxel to RAS+ mm.
      components: of each voxel: () for a map, (3,) for vectors, (9,) for gradient deviations.
      volumes: indices [n] of the components to read; None: all.
      dtype: of the result.
      what: the image's name in messages.

    Returns:
      `dtype` [X, Y, Z, *components], NaN where the file has NaN.

    Raises:
      InputError: as `read_image`, or the image has another shape, or lies elsewhere in space (by
        more than half a voxel at any corner).
    """
    image = read_image(path)
    shape, remedy = tuple(shape[:3]), "make it on this scan, or resample it (mrgrid, flirt)"
    found = image.shape[3:]
    if (found not in ((), (1,))) if components == () else (found != components):
        raise InputError(
            path,
            found=f"shape {shown(image.shape)}",
            expected=f"shape {shown((*shape, *components))}, a {3 + len(components)}-D {what}",
            remedy=remedy,
        )
    orientation = orientation_of(affine)
    view, moved, _ = canonical(np.empty(image.shape[:3], bool), image.affine)
    affines = f"affine {_shown_affine(image.affine)} against {_shown_affine(affine)}"
    if uncanonical(view, orientation).shape != shape:
        raise InputError(
            path,
            found=f"shape {shown(image.shape[:3])}",
            expected=f"the image's {shown(shape)} ({affines})",
            remedy=remedy,
        )
    offset = _largest_offset(uncanonical_affine(moved, shape, orientation), affine, shape)
    if offset > 0.5:
        raise InputError(
            path,
            found=f"a{'n' * (what[0] in 'aeiou')} {what} {offset:.1f} voxels away from the image "
            "in space",
            expected=f"the image's position and voxel size ({affines})",
            remedy=remedy,
        )
    array = read_volumes(image, volumes, dtype)
    if components == ():
        array = array.reshape(array.shape[:3])
    return uncanonical(canonical(array, image.affine)[0], orientation)


def _largest_offset(affine_a, affine_b, shape):
    """Largest distance between the corners of two grids, in voxels of the second."""
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij"), -1)
    moved = (corners.reshape(-1, 4) @ (np.asarray(affine_a) - np.asarray(affine_b)).T)[:, :3]
    voxel = voxel_size(np.asarray(affine_b)).min()
    return float(np.linalg.norm(moved, axis=1).max() / voxel)


def _shown_affine(affine):
    return "[" + "; ".join(" ".join(f"{x:.4g}" for x in row) for row in affine[:3]) + "]"

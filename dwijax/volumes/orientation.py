"""One orientation for all scans, exactly.

Networks tell left from right, so every scan is brought into one orientation before they see it:
LAS, voxel axes running to the Left, Anterior and Superior. Its affine has a negative determinant,
and FSL's directions are then exactly directions along the array's axes. Oblique scans are brought
to the nearest axes; nothing is ever interpolated.
"""

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

CANONICAL = "LAS"


def voxel_size(affine: np.ndarray) -> np.ndarray:
    """mm along the three axes of an array, of its affine ``[4, 4]``."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def canonical(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Reorders and reverses axes to LAS. Exact: no value changes.

    Args:
      array: [X, Y, Z, ...].
      affine: [4, 4] of `array`, voxel to RAS+ mm.

    Returns:
      (array, affine, orientation): a view in LAS, its float64 affine [4, 4], and the three letters
      the stored axes run to (such as ``"RAS"``), which `uncanonical` takes.
    """
    orientation = orientation_of(affine)
    to_las = _transform(orientation, CANONICAL)
    moved = np.asarray(affine, np.float64) @ nib.orientations.inv_ornt_aff(to_las, array.shape[:3])
    return nib.orientations.apply_orientation(array, to_las), moved, orientation


def uncanonical(array: np.ndarray, orientation: str) -> np.ndarray:
    """Puts a LAS array back into the stored orientation; the exact inverse of `canonical`.

    Args:
      array: [X, Y, Z, ...] in LAS.
      orientation: three letters from `canonical`.

    Returns:
      A view of `array` in the stored orientation.
    """
    return nib.orientations.apply_orientation(array, _transform(CANONICAL, orientation))


def uncanonical_affine(affine: np.ndarray, shape: tuple[int, ...],
                       orientation: str) -> np.ndarray:
    """The affine of a LAS image after `uncanonical`.

    Args:
      affine: [4, 4] in LAS.
      shape: (X, Y, Z) in the stored orientation.
      orientation: three letters from `canonical`.

    Returns:
      float64 [4, 4].
    """
    to_las = _transform(orientation, CANONICAL)
    return np.asarray(affine, np.float64) @ np.linalg.inv(
        nib.orientations.inv_ornt_aff(to_las, shape[:3])
    )


def canonical_bvecs(bvecs: np.ndarray, orientation: str) -> np.ndarray:
    """FSL directions of a stored image to those of the same image in LAS.

    Args:
      bvecs: [..., 3], FSL convention for the stored image.
      orientation: three letters from `canonical`.

    Returns:
      float64 [..., 3]: FSL convention for the LAS image, that is along its array axes. Exact.
    """
    return np.asarray(bvecs, np.float64) @ _bvec_matrix(orientation).T


def uncanonical_bvecs(bvecs: np.ndarray, orientation: str) -> np.ndarray:
    """The exact inverse of `canonical_bvecs`, for directions and vector maps [..., 3]."""
    return np.asarray(bvecs, np.float64) @ _bvec_matrix(orientation)


def orientation_notes(image: nib.Nifti1Image) -> list[str]:
    """What a header leaves open, or contradicts itself in, about where voxels lie.

    Args:
      image: nibabel NIfTI image.

    Returns:
      list of lines, each with what is used instead and why; none for a sound header.
    """
    header = image.header
    codes = {form: int(header[f"{form}_code"]) for form in ("sform", "qform")}
    if max(codes.values()) <= 0:
        return ["no orientation in the header (sform and qform codes are 0): its axes are taken to "
                f"run to {', '.join(orientation_of(image.affine))}, as FSL takes them; nothing "
                "tells left from right"]
    if min(codes.values()) <= 0:
        return []
    forms = {"sform": header.get_sform()}
    with np.errstate(all="ignore"):
        try:
            forms["qform"] = header.get_qform()
        except (HeaderDataError, ValueError) as error:
            return [f"the qform cannot be read ({error}): the sform is used"]
    if not invertible(forms["qform"]):
        return ["the qform cannot be inverted: the sform is used"]
    sides = {form: np.linalg.det(affine[:3, :3]) for form, affine in forms.items()}
    why = f"the sform (code {codes['sform']}) is used, as FSL and nibabel do"
    if sides["sform"] * sides["qform"] < 0:
        return [f"sform ({orientation_of(forms['sform'])}) and qform "
                f"({orientation_of(forms['qform'])}) are of opposite hand: {why}, and directions "
                "are read for its hand"]
    turn = _rotation(forms["sform"]) @ _rotation(forms["qform"]).T
    degrees = np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))
    if degrees > 1:
        return [f"sform and qform differ by {degrees:.0f}°: {why}"]
    return []


def invertible(affine: np.ndarray) -> bool:
    """Whether an affine ``[4, 4]`` has finite axes of 1e-6 to 1e6 mm that span space."""
    axes = np.asarray(affine, np.float64)[:3]
    if not np.isfinite(axes).all() or np.abs(axes).max() > 1e9:
        return False
    lengths = np.linalg.norm(axes[:, :3], axis=0)
    return bool((lengths > 1e-6).all() and (lengths < 1e6).all()
                and abs(np.linalg.det(axes[:, :3] / lengths)) > 1e-6)


def slice_axis(image: nib.Nifti1Image) -> int:
    """Which axis of a stored image its slices were acquired along; the last where the header does
    not say."""
    axis = image.header.get_dim_info()[2]
    return 2 if axis is None else axis


def _rotation(affine):
    """Orthogonal polar factor of the axes, ``[3, 3]``."""
    u, _, vt = np.linalg.svd(affine[:3, :3] / voxel_size(affine))
    return u @ vt


def orientation_of(affine: np.ndarray) -> str:
    """Where the axes of an array run to, such as LAS."""
    return "".join(nib.orientations.aff2axcodes(affine))


def _transform(source, target):
    axcodes2ornt = nib.orientations.axcodes2ornt
    return nib.orientations.ornt_transform(axcodes2ornt(source), axcodes2ornt(target))


def _bvec_matrix(orientation):
    """Signed permutation [3, 3] from stored FSL directions to LAS array axes."""
    to_las = _transform(orientation, CANONICAL)
    matrix = np.zeros((3, 3))
    for axis, (target, flip) in enumerate(to_las):
        matrix[int(target), axis] = flip
    # det(LAS) < 0, so the stored determinant is positive exactly where `matrix` is improper.
    return matrix @ np.diag([np.sign(np.linalg.det(matrix)), 1.0, 1.0])

"""One orientation for all scans, exactly.

Networks tell left from right, so every scan is brought into one orientation before they see it:
LAS, voxel axes running to the Left, Anterior and Superior. Its affine has a negative determinant,
and FSL's directions are then exactly directions along the array's axes. Oblique scans are brought
to the nearest axes; nothing is ever interpolated.
"""

import nibabel as nib
import numpy as np

CANONICAL = "LAS"


def canonical(array, affine):
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


def uncanonical(array, orientation):
    """Puts a LAS array back into the stored orientation; the exact inverse of `canonical`.

    Args:
      array: [X, Y, Z, ...] in LAS.
      orientation: three letters from `canonical`.

    Returns:
      A view of `array` in the stored orientation.
    """
    return nib.orientations.apply_orientation(array, _transform(CANONICAL, orientation))


def uncanonical_affine(affine, shape, orientation):
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


def canonical_bvecs(bvecs, orientation):
    """FSL directions of a stored image to those of the same image in LAS.

    Args:
      bvecs: [..., 3], FSL convention for the stored image.
      orientation: three letters from `canonical`.

    Returns:
      float64 [..., 3]: FSL convention for the LAS image, that is along its array axes. Exact.
    """
    return np.asarray(bvecs, np.float64) @ _bvec_matrix(orientation).T


def uncanonical_bvecs(bvecs, orientation):
    """The exact inverse of `canonical_bvecs`, for directions and vector maps [..., 3]."""
    return np.asarray(bvecs, np.float64) @ _bvec_matrix(orientation)


def orientation_of(affine):
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

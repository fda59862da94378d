"""One subject's scan as networks see it: LAS, one shell, one scale."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dwijax.errors import InputError
from dwijax.gradients import B0_THRESHOLD, GradientTable, find_b0s, read_gradients, select_shell
from dwijax.volumes import (
    SMALLEST,
    canonical,
    canonical_bvecs,
    make_mask,
    only_usable,
    read_dwi,
    read_mask,
    read_on_grid,
    read_volumes,
    uncanonical,
    usable,
)

# A volume without a direction is a b0 if it is brighter than DWIs are where diffusivity is least in
# a head (mm²/s), but for noise, which lifts DWIs ...
_LEAST_DIFFUSIVITY, _ENOUGH = 0.25e-3, 1.5
# ... if of nearly all voxels it makes a diffusivity that there is ...
_LARGEST_DIFFUSIVITY, _IMPOSSIBLE = 3.5e-3, 0.1
# ... and, where there are b0s, looks like them: mean absolute difference over mean.
_LIKE_A_B0 = 0.3
_SAMPLES = 8  # volumes of a kind that it is compared with


@dataclass(frozen=True, eq=False)
class Subject:
    """A scan in memory.

    Attributes:
      name: the subject's.
      dwi: float32 [X, Y, Z, M] in LAS, in the file's intensities: all b0s, then the shell's
        directions, each in acquired order; 0 where the file is not finite, outside the mask.
      gtab: `GradientTable` of these M volumes, directions along the axes of `dwi`.
      mask: bool [X, Y, Z].
      affine: float64 [4, 4] of `dwi`, voxel to RAS+ mm.
      orientation: of the stored image, for `dwijax.volumes.uncanonical`.
      image: nibabel image of the file, whose header outputs are written with.
      volumes: int64 [M], where each volume stands in the file.
      b0: float32 [X, Y, Z], mean of the b0 volumes.
      scale: intensity by which networks divide b0 and DWIs alike: the median of `b0` in the mask.
        A float32 value, so that dividing in float32 and storing it in JSON both use it exactly.
    """

    name: str
    dwi: np.ndarray
    gtab: GradientTable
    mask: np.ndarray
    affine: np.ndarray
    orientation: str
    image: object
    volumes: np.ndarray
    b0: np.ndarray
    scale: float

    def stored(self, array):
        """An array [X, Y, Z, ...] of this subject back in the orientation of its file."""
        return uncanonical(array, self.orientation)

    def companion(self, path, components=(), *, volumes=None, dtype=np.float32, what="image",
                  finite=True):
        """An image that belongs to this scan, in LAS.

        Args:
          path, components, volumes, dtype, what: as `dwijax.volumes.read_on_grid`.
          finite: refuse values inside the mask that are not, and set those outside to 0.
        """
        found = read_on_grid(path, self.image.shape, self.image.affine, components,
                             volumes=volumes, dtype=dtype, what=what)
        found = canonical(found, self.image.affine)[0]
        if finite:
            only_usable(found, self.mask, path, volumes)
        return found


def load_subject(files, shell=1000, min_directions=1):
    """Reads one shell of a scan.

    No more is held in memory than the chosen volumes in float32 and one further volume.

    Args:
      files: `dwijax.data.files.SubjectFiles`.
      shell: b-value in s/mm²; the shell within 10 % of it is taken.
      min_directions: least number of directions the shell must have.

    Returns:
      `Subject`.

    Raises:
      InputError: a file is missing, broken or does not fit the others; the image is not 4-D or
        holds values that are not finite in the mask; there is no b0, no such shell or too few
        directions in it; the mask has another shape or place or is empty; the b0 is not positive
        in the mask.
    """
    image, gtab, b0s, directions, mask = open_scan(files, shell, min_directions)
    volumes = np.concatenate([b0s, directions])

    stored = read_volumes(image, volumes)
    view, affine, orientation = canonical(stored, image.affine)
    dwi = np.ascontiguousarray(view)
    del stored, view
    gtab = gtab[volumes]
    gtab = replace(gtab, bvecs=canonical_bvecs(gtab.bvecs, orientation))
    if mask is None:
        mask = make_mask(dwi, gtab.b0s_mask, where=files.dwi)
    else:
        mask = np.ascontiguousarray(canonical(mask, image.affine)[0])
    only_usable(dwi, mask, files.dwi, volumes)
    b0 = np.mean(dwi[..., : len(b0s)], axis=-1, dtype=np.float64).astype(np.float32)
    return Subject(
        name=files.name,
        dwi=dwi,
        gtab=gtab,
        mask=mask,
        affine=affine,
        orientation=orientation,
        image=image,
        volumes=volumes,
        b0=b0,
        scale=_scale(b0[mask], files.dwi),
    )


def open_scan(files, shell, min_directions=1):
    """Opens a scan and checks all about it that can be checked before its volumes are read.

    Args and raises: as `load_subject`.

    Returns:
      ``(image, gtab, b0s, directions, mask)``: nibabel image, the whole table, positions of b0s and
      of the shell's directions, bool mask as stored or None.
    """
    image = read_dwi(files.dwi)
    gtab = read_scan_gradients(files.bval, files.bvec, image, files.b0_threshold)
    b0s = find_b0s(gtab, files.bval)
    if shell <= gtab.b0_threshold:
        raise InputError(
            files.bval,
            found=f"b={shell:g} asked for, which is a b0",
            expected=f"a shell above b={gtab.b0_threshold:g} s/mm²",
            remedy="choose another shell or a lower b0 threshold",
        )
    directions = select_shell(gtab, shell, where=files.bval)
    if len(directions) < min_directions:
        raise InputError(
            files.bval,
            found=f"{len(directions)} directions at b={shell:g}",
            expected=f"at least {min_directions}",
            remedy="choose another shell or fewer directions",
        )
    mask = files.mask and read_mask(files.mask, image.shape, image.affine)
    return image, gtab, b0s, directions, mask


def read_scan_gradients(bval_path, bvec_path, image, b0_threshold=None):
    """Reads the gradient table of an image, which decides whether volumes that have a b-value but
    no direction are b0s.

    Args:
      bval_path: FSL b-values.
      bvec_path: FSL directions.
      image: nibabel image [X, Y, Z, M].
      b0_threshold: as `dwijax.gradients.read_gradients`.

    Returns:
      `GradientTable` of M volumes.

    Raises:
      InputError: as `dwijax.gradients.read_gradients`, or the table has not M volumes.
    """
    def check_count(bvals):
        if len(bvals) != image.shape[3]:
            raise InputError(
                bval_path,
                found=f"{len(bvals)} b-values",
                expected=f"one for each of the {image.shape[3]} volumes of {image.get_filename()}",
                remedy="give the files of the same scan",
            )

    def are_b0s(volumes, bvals, bvecs):
        check_count(bvals)
        return _are_b0s(image, volumes, bvals, bvecs)

    gtab = read_gradients(bval_path, bvec_path, b0_threshold, are_b0s)
    check_count(gtab.bvals)
    return gtab


def _are_b0s(image, volumes, bvals, bvecs):
    """bool [n]: whether these volumes without a direction are as bright as b0s are."""
    lengths = np.linalg.norm(bvecs, axis=1)
    directed = (lengths > 1e-6) & (bvals >= bvals[volumes].min() / 2)
    known = (bvals <= B0_THRESHOLD) & ~directed
    if directed.any():  # of the strongest half, if lengths scale b
        directed &= lengths >= np.median(lengths[directed])
    dwis, b0s = (_spaced(np.flatnonzero(mask)) for mask in (directed, known))
    if not len(dwis):
        return np.zeros(len(volumes), bool)
    order, place = np.unique(np.r_[volumes, dwis, b0s], return_inverse=True)
    read = read_volumes(image, order)
    read[~usable(read).all(axis=-1)] = 0  # outside of any mask
    asked, dwi, b0 = np.split(place, [len(volumes), len(volumes) + len(dwis)])
    return np.array([_is_b0(read[..., m], read[..., dwi], read[..., b0], np.median(bvals[dwis]))
                     for m in asked])


def _is_b0(volume, dwi, b0s, b):
    """Whether a volume ``[X, Y, Z]`` is brighter than DWIs ``[X, Y, Z, n]`` of this b, everywhere
    by as much as diffusion can explain, and, if there are some, like the b0s ``[X, Y, Z, m]``."""
    head = volume > 0.15 * np.percentile(volume, 99)
    if not head.any():
        return False
    volume, dwi, b0s = volume[head], dwi[head], b0s[head]
    brighter = np.exp(min(_LEAST_DIFFUSIVITY * b, np.log(_ENOUGH)))
    # A map of ADC or FA may be bright too, but makes of DWIs diffusivities that there are not.
    decay = np.log(np.maximum(volume, 1e-6) / np.maximum(dwi.mean(axis=1), 1e-6))
    impossible = (decay < 0) | (decay > _LARGEST_DIFFUSIVITY * b)
    return bool(
        volume.mean() > brighter * dwi.mean(axis=0).max()
        and impossible.mean() < _IMPOSSIBLE
        and (not b0s.size
             or np.abs(volume - b0s.mean(axis=1)).mean() < _LIKE_A_B0 * b0s.mean()))


def _spaced(index):
    """At most so many of them, evenly spaced."""
    return index[np.unique(np.linspace(0, len(index) - 1, _SAMPLES).astype(int))
                 ] if len(index) else index


def _scale(b0, where):
    """Median of b0 in the mask: CSF, three times as bright, and a mask that reaches over the
    skull or into the air move it little, where they would drag a mean from subject to subject."""
    scale = float(np.float32(np.median(b0)))
    if scale < SMALLEST:
        raise InputError(
            Path(where),
            found=f"a median b0 of {scale:g} inside the mask",
            expected="a positive signal",
            remedy="check the mask and the b0 volumes",
        )
    return scale

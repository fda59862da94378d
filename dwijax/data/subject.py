"""One subject's scan as networks see it: LAS, one shell, one scale."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dwijax.data.files import SubjectFiles
from dwijax.data.scan import Scan, open_scan
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.volumes import (
    SMALLEST,
    canonical,
    canonical_bvecs,
    make_mask,
    only_usable,
    read_on_grid,
    uncanonical,
)


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


def load_subject(files: SubjectFiles, shell: float = 1000, min_directions: int = 1) -> Subject:
    """Opens a scan and reads one shell of it (`subject_of`).

    Raises:
      InputError: as `dwijax.data.scan.open_scan` and `subject_of`.
    """
    return subject_of(open_scan(files), shell, min_directions)


def subject_of(scan: Scan, shell: float = 1000, min_directions: int = 1) -> Subject:
    """Reads one shell of a scan.

    No more is held in memory than the chosen volumes in float32 and one further volume.

    Args:
      scan: `dwijax.data.scan.Scan`.
      shell: b-value in s/mm²; the shell within 10 % of it is taken.
      min_directions: least number of directions the shell must have.

    Returns:
      `Subject`.

    Raises:
      InputError: there is no b0, no such shell or too few directions in it; the file is truncated
        or holds values that are not finite in the mask; the b0 is not positive in the mask.
    """
    path, volumes = scan.files.dwi, scan.shell(shell, min_directions)
    stored = scan.read(volumes)
    view, affine, orientation = canonical(stored, scan.image.affine)
    dwi = np.ascontiguousarray(view)
    del stored, view
    gtab = scan.gtab[volumes]
    gtab = replace(gtab, bvecs=canonical_bvecs(gtab.bvecs, orientation))
    b0s = dwi[..., : np.count_nonzero(gtab.b0s_mask)]
    if scan.mask is None:
        mask = make_mask(b0s, path)
    else:
        mask = np.ascontiguousarray(canonical(scan.mask, scan.image.affine)[0])
    only_usable(dwi, mask, path, volumes)
    b0 = np.mean(b0s, axis=-1, dtype=np.float64).astype(np.float32)
    return Subject(
        name=scan.files.name,
        dwi=dwi,
        gtab=gtab,
        mask=mask,
        affine=affine,
        orientation=orientation,
        image=scan.image,
        volumes=volumes,
        b0=b0,
        scale=_scale(b0[mask], path),
    )


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

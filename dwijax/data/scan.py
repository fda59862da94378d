"""A scan on disk: series, table, mask and what else belongs to it, opened and checked in one place.

Commands and training open scans here. Voxels are read when they are asked for.
"""

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from dwijax.data.b0s import look_like_b0s
from dwijax.data.files import SubjectFiles
from dwijax.data.sidecars import synthetic_volumes
from dwijax.errors import InputError
from dwijax.gradients import GradientTable, find_b0s, fsl_to_world, read_gradients, select_shell
from dwijax.volumes import (
    make_mask,
    only_usable,
    orientation_notes,
    read_dwi,
    read_image,
    read_mask,
    read_on_grid,
    read_volumes,
)


@dataclass(frozen=True, eq=False)
class Scan:
    """A diffusion-weighted series and what belongs to it, in the orientation of the file.

    Attributes:
      files: `SubjectFiles` that it was opened from.
      image: nibabel image [X, Y, Z, M].
      gtab: `GradientTable` of the M volumes, FSL's directions of the stored image.
      mask: bool [X, Y, Z] of the mask's file; None where there is none.
    """

    files: SubjectFiles
    image: nib.Nifti1Image
    gtab: GradientTable
    mask: np.ndarray | None

    def read(self, volumes: np.ndarray | None = None) -> np.ndarray:
        """float32 [X, Y, Z, n] of the volumes at these positions, by default all."""
        return read_volumes(self.image, volumes)

    @property
    def header_notes(self) -> list[str]:
        """Lines about what the header leaves open (`dwijax.volumes.orientation_notes`)."""
        return orientation_notes(self.image)

    @property
    def b0s(self) -> np.ndarray:
        """Positions of the b0s, int64 [n].

        Raises:
          InputError: there are none.
        """
        return find_b0s(self.gtab, self.files.bval)

    def shell(self, b: float, least: int = 1) -> np.ndarray:
        """Positions of the b0s, then of the directions of one shell, int64 [n].

        Args:
          b: s/mm²; the shell within 10 % of it is taken.
          least: number of directions that it must have.

        Raises:
          InputError: there is no b0; b is that of a b0; there is no such shell, or it has too few
            directions.
        """
        b0s, where = self.b0s, self.files.bval
        if b <= self.gtab.b0_threshold:
            raise InputError(
                where,
                found=f"b={b:g} asked for, which is a b0",
                expected=f"a shell above b={self.gtab.b0_threshold:g} s/mm²",
                remedy="choose another shell or a lower b0 threshold",
            )
        directions = select_shell(self.gtab, b, where=where)
        if len(directions) < least:
            raise InputError(
                where,
                found=f"{len(directions)} directions at b={b:g}",
                expected=f"at least {least}",
                remedy="choose another shell or fewer directions",
            )
        return np.concatenate([b0s, directions])

    def brain(self, volumes: np.ndarray | None = None) -> np.ndarray:
        """bool [X, Y, Z]: the mask; without one, the head in the mean of the b0s.

        Args:
          volumes: positions of the volumes whose b0s are used; by default all.

        Raises:
          InputError: there is no mask and no b0, or no head in the b0s.
        """
        if self.mask is not None:
            return self.mask
        volumes = np.arange(len(self.gtab)) if volumes is None else volumes
        b0s = volumes[find_b0s(self.gtab[volumes], self.files.bval, "give --mask")]
        return make_mask(self.read(b0s), self.files.dwi)

    def synthetic(self, needed: bool = False) -> list[int]:
        """Positions of the volumes that the JSON beside the series calls synthetic
        (`dwijax.data.sidecars.synthetic_volumes`)."""
        return synthetic_volumes(self.files.dwi, len(self.gtab), needed)

    def grad_dev(self, mask: np.ndarray) -> tuple[np.ndarray | None, list[str]]:
        """FSL's gradient deviations [X, Y, Z, 9], None without such a file, and lines about them.

        They change the directions of the scan's table, ``v = (I + L) g``, and are in its frame.
        Tools that reorient an image move its voxels and leave its numbers, and so are they taken.

        Args:
          mask: bool [X, Y, Z].

        Raises:
          InputError: the file does not fit the scan, or holds NaN or infinite values in the mask.
        """
        path = self.files.grad_dev
        if path is None:
            return None, []
        deviations = read_on_grid(path, self.image.shape, self.image.affine, (9,), what="grad_dev")
        only_usable(deviations, mask, path)
        frames = [fsl_to_world(image.affine) for image in (read_image(path), self.image)]
        if np.allclose(*frames, atol=1e-2):
            return deviations, []
        return deviations, [f"{path}: stored in another orientation than the scan; its voxels are "
                            "moved, its numbers taken as they are, in the frame of the scan's "
                            "directions"]


def open_scan(files: SubjectFiles) -> Scan:
    """Opens a scan and checks all about it that can be checked before its volumes are read.

    The series decides whether volumes that have a b-value but no direction are b0s.

    Args:
      files: `SubjectFiles`.

    Returns:
      `Scan`.

    Raises:
      InputError: a file is missing, broken or does not fit the others; the image is not 4-D; the
        table is none (`dwijax.gradients.read_gradients`); the mask has another shape or place or
        is empty.
    """
    image = read_dwi(files.dwi)

    def check_count(bvals):
        if len(bvals) != image.shape[3]:
            raise InputError(
                files.bval,
                found=f"{len(bvals)} b-values",
                expected=f"one for each of the {image.shape[3]} volumes of {image.get_filename()}",
                remedy="give the files of the same scan",
            )

    def are_b0s(volumes, bvals, bvecs):
        check_count(bvals)
        return look_like_b0s(image, volumes, bvals, bvecs)

    gtab = read_gradients(files.bval, files.bvec, files.b0_threshold, are_b0s)
    check_count(gtab.bvals)
    mask = files.mask and read_mask(files.mask, image.shape, image.affine)
    return Scan(files, image, gtab, mask)

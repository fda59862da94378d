"""Deterministic tracking on FA and first eigenvectors (dipy's EuDX), and how bundles compare."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

STEP = 0.5  # mm
POINTS = 20  # of a streamline, where two are compared

Streamlines = list[np.ndarray]  # each [n, 3], mm


class Bundle(NamedTuple):
    """A bundle by regions: names of label regions that its streamlines start in, and names of
    groups of regions of which each must be passed."""

    name: str
    seeds: tuple
    waypoints: tuple


# Of the phantom's regions (`dwijax.data.phantom.regions`): Li et al., Fig. 6.
BUNDLES = (
    Bundle("corpus callosum", ("callosum_genu", "callosum_body", "callosum_splenium"), ()),
    Bundle("corticospinal tract",
           ("posterior_internal_capsule_left", "posterior_internal_capsule_right"),
           (("superior_corona_radiata_left", "superior_corona_radiata_right"),)),
    Bundle("superior longitudinal",
           ("superior_longitudinal_left", "superior_longitudinal_right"), ()),
)


def track(fa: np.ndarray, v1: np.ndarray, affine: np.ndarray, seeds: np.ndarray, *,
          threshold: float = 0.15, max_angle: float = 45.0, density: int = 1,
          min_length: float = 20.0, max_length: float = 300.0) -> Streamlines:
    """Streamlines from every seed voxel, both ways, to where FA ends or a turn is too sharp.

    Between voxels the direction is interpolated over the eight neighbours, each turned to the side
    of travel first: eigenvectors have no sign. They are taken as they are, not to the nearest
    vertex of a sphere as dipy does by itself.

    Args:
      fa: ``[X, Y, Z]``. v1: ``[X, Y, Z, 3]``, unit, along the axes of the array.
      affine: ``[4, 4]``, voxel to mm.
      seeds: bool ``[X, Y, Z]``. density: seeds along each edge of a seed voxel.
      threshold: least FA. max_angle: degrees, from one step of 0.5 mm to the next.
      min_length, max_length: mm; what is shorter, or longer (it goes round in circles), is left
        out.

    Returns:
      list of float32 ``[n, 3]``, mm.
    """
    from dipy.tracking.stopping_criterion import ThresholdStoppingCriterion
    from dipy.tracking.tracker import eudx_tracking
    from dipy.tracking.utils import seeds_from_mask

    fa = np.where(np.isfinite(fa), fa, 0).astype(np.float64)
    inside = (fa >= threshold) & (np.linalg.norm(v1, axis=-1) > 0.5)
    points = seeds_from_mask(seeds & inside, affine, density=density)
    if not len(points):
        return []
    # Every voxel's own vector is a vertex.
    index = np.full((*fa.shape, 1), -1, np.int32)
    index[inside, 0] = np.arange(inside.sum())
    field = SimpleNamespace(peak_indices=index, peak_values=np.where(inside, fa, 0)[..., None],
                            odf_vertices=v1[inside].astype(np.float64))
    lines = eudx_tracking(
        points, ThresholdStoppingCriterion(fa, threshold), np.asarray(affine, np.float64),
        pam=field, pmf_threshold=threshold, max_angle=max_angle, step_size=STEP,
        min_len=min_length, max_len=max_length, random_seed=1, nbr_threads=1)
    return [np.asarray(line, np.float32) for line in lines]


def passing(streamlines: Streamlines, affine: np.ndarray, masks: list[np.ndarray]) -> Streamlines:
    """Those that pass every mask ``[X, Y, Z]``."""
    from dipy.tracking.utils import target

    for mask in masks:
        streamlines = list(target(streamlines, affine, mask, include=True))
    return streamlines


def visit_map(streamlines: Streamlines, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Voxels that a streamline goes through, bool ``[X, Y, Z]``."""
    from dipy.tracking.utils import density_map

    if not streamlines:
        return np.zeros(shape, bool)
    return density_map(streamlines, affine, shape) > 0


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """``2 |A and B| / (|A| + |B|)``; NaN of two empty masks."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else float("nan")


def distance(streamlines: Streamlines, others: Streamlines) -> float:
    """Mean distance, mm, from each streamline to the nearest of the other set and back (dipy's MDF
    of 20 points); NaN where one of them is empty."""
    from dipy.tracking.distances import bundles_distances_mdf
    from dipy.tracking.streamline import set_number_of_points

    if not streamlines or not others:
        return float("nan")
    a, b = (set_number_of_points(list(s), nb_points=POINTS) for s in (streamlines, others))
    distances = bundles_distances_mdf(a, b)
    return float((distances.min(axis=1).mean() + distances.min(axis=0).mean()) / 2)


def bundles(fa: np.ndarray, v1: np.ndarray, affine: np.ndarray, rois: dict[str, np.ndarray],
            definitions: tuple[Bundle, ...] = BUNDLES, **options) -> dict[str, Streamlines]:
    """``{bundle: streamlines}`` of maps.

    Args:
      fa, v1, affine: as `track`. rois: region to bool ``[X, Y, Z]``.
      definitions: those whose regions are not there are left out.
      **options: of `track`.
    """
    found = {}
    for bundle in definitions:
        seeds = [rois[name] for name in bundle.seeds if name in rois]
        ways = [np.any([rois[n] for n in group if n in rois], axis=0) for group in bundle.waypoints
                if any(n in rois for n in group)]
        if seeds and len(ways) == len(bundle.waypoints):
            lines = track(fa, v1, affine, np.any(seeds, axis=0), **options)
            found[bundle.name] = passing(lines, affine, ways)
    return found

"""A head that no other subject has: tissue fractions on the voxel grid.

Structures are signed distances in a template frame (mm, RAS, origin near the anterior
commissure, sizes after the MNI152 atlas).  Each subject sees the template through its own pose,
proportions and smooth deformation.  The cortex is folded by a band-passed random field on the
brain's hull: its zero lines become sulci that cut inwards along the hull's normals, each to its
own depth.  Everything is drawn on a grid finer than the voxels, then averaged, which gives the
partial volume of every border.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import map_coordinates

from dwijax.data.phantom.fields import (
    band_noise,
    block_mean,
    ellipsoid,
    ramp,
    refined,
    smooth_min,
    smooth_step,
    tube,
)
from dwijax.data.phantom.recipe import Recipe

# Both sides share these: x is the distance from the midsagittal plane.  Rows: x, y, z, radius.
LATERAL_VENTRICLE = (
    (11, 35, 3, 2.2),
    (7.5, 25, 9, 4.2),
    (6, 10, 14, 4.0),
    (9, -8, 18, 4.0),
    (15, -25, 19, 4.8),
    (23, -38, 13, 6.6),
    (26, -52, 9, 4.6),
    (24, -66, 6, 2.2),
)
TEMPORAL_HORN = ((24, -38, 11, 5), (31, -30, -3, 3.2), (32, -15, -14, 3))
CAUDATE = (
    (12, 20, 1, 6.2),
    (14, 12, 8, 6.0),
    (16, 0, 16, 4.4),
    (19, -14, 21, 3.4),
    (25, -28, 19, 2.5),
)
HIPPOCAMPUS = ((24, -38, 3, 3.6), (28, -30, -5, 4.6), (27, -18, -15, 5.5))
BRAINSTEM = ((0, -16, -6, 12), (0, -24, -18, 13), (0, -30, -32, 14), (0, -42, -58, 9))
THIRD_VENTRICLE = ((0, 4, -6, 1.6), (0, -8, 2, 2.0), (0, -22, 2, 2.0))

BASE = -14.0  # brainstem and cerebellum take over below this z

DEEP = ("caudate", "putamen", "pallidum", "thalamus", "hippocampus", "basal_forebrain")

# The corpus callosum arches along this ellipse (y, z) of the midsagittal plane.
CORE_CENTRE = (-4.0, 3.0)
CORE_RADII = (39.5, 25.5)


class Anatomy(NamedTuple):
    """Voxel grids [X, Y, Z] float32 unless said; coordinates are the template's."""

    points: np.ndarray  # [3, X, Y, Z] template mm (x < 0: left)
    to_world: np.ndarray  # [3, 3] rotation, template directions to RAS world
    wm: np.ndarray  # fractions of the voxel; with air and skull they sum to 1
    cortex: np.ndarray
    deep: np.ndarray
    csf: np.ndarray
    scalp: np.ndarray
    nuclei: np.ndarray  # [6, X, Y, Z] shares of DEEP
    brain: np.ndarray  # bool
    pial: np.ndarray  # mm from the nearest cerebrospinal fluid outside the cortex
    depth: np.ndarray  # mm below the hull
    fold: np.ndarray  # mm from the nearest sulcus's middle surface
    normal: np.ndarray  # [3, X, Y, Z] away from the pial surface, in voxel axes' world frame


def core_distance(y, z):
    """Signed distance (positive inside) to the core's ellipse in the midsagittal plane."""
    v, w = y - np.float32(CORE_CENTRE[0]), z - np.float32(CORE_CENTRE[1])
    a, b = (np.float32(r) for r in CORE_RADII)
    k0 = np.sqrt((v / a) ** 2 + (w / b) ** 2)
    k1 = np.sqrt((v / a**2) ** 2 + (w / b**2) ** 2) + np.float32(1e-6)
    return k0 * (1 - k0) / k1


def callosum_distance(ax, y, z):
    """Signed distance to the corpus callosum's sheet, which rises outwards from the midline."""
    inside = core_distance(y, z)
    ends = smooth_step(np.abs(y + 4), 18, 36)
    half = 2.6 + 2.2 * ends + 0.10 * ax
    middle = 4.2 + 1.6 * ends - 0.028 * ax**2
    lower = z - np.where(y > 0, np.float32(-3), np.float32(3))
    return np.minimum(half - np.abs(inside - middle), lower)


def _pose(rng, recipe):
    """Rotation [3, 3] (small angles about x, y, z) and shift [3] mm of the head."""
    a, b, c = np.radians(recipe.pose_degrees * np.clip(rng.standard_normal(3), -2, 2))
    rx = [[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]
    ry = [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    rz = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    rotation = (np.array(rx) @ np.array(ry) @ np.array(rz)).astype(np.float32)
    shift = recipe.pose_shift * np.clip(rng.standard_normal(3), -2, 2)
    return rotation, shift.astype(np.float32)


def _template_points(rng, recipe, shape, affine, spacing):
    """Template coordinates of the grid's cells, [3, X, Y, Z], and the pose's rotation."""
    rotation, shift = _pose(rng, recipe)
    axes = [np.arange(n, dtype=np.float32) for n in shape]
    world_to_template = rotation.T
    matrix = (world_to_template @ affine[:3, :3]).astype(np.float32)
    offset = (world_to_template @ (affine[:3, 3] - shift)).astype(np.float32)
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    points = np.empty((3, *shape), np.float32)
    for n in range(3):
        points[n] = matrix[n, 0] * i + matrix[n, 1] * j + (matrix[n, 2] * k + offset[n])
        warp = band_noise(rng, shape, spacing, 75.0, 0.3)
        points[n] += np.float32(recipe.deformation) * warp
    return points, rotation


def _hull(recipe, rng, ax, y, z):
    """Signed distance to the smooth outside of one hemisphere, its medial wall included."""
    a, b, c = (s.draw(rng) for s in (recipe.half_width, recipe.half_length, recipe.half_height))
    v, w = y + np.float32(14), z - np.float32(8)
    # The head is widest behind its middle and narrow in front.
    width = a * (1 - np.float32(0.13) * smooth_step(v, -30, 75))
    r2 = (ax / width) ** 2
    power = np.float32(1.15)  # a little fuller than an ellipsoid
    norm = (r2**power + ((v / b) ** 2) ** power + ((w / c) ** 2) ** power) ** (0.5 / power)
    radius = np.sqrt(ax**2 + v**2 + w**2)
    outer = radius / np.maximum(norm, 1e-3) * (1 - norm)
    floor = -16 - 24 * smooth_step(ax, 14, 24) * smooth_step(y, 22, 10) * smooth_step(y, -62, -40)
    # Above the brainstem the base has no cortex of its own: keep the hull away from there.
    stem = smooth_step(ax, 24, 15) * smooth_step(np.abs(y + 16), 34, 20)
    outer = smooth_min(outer, z - floor + 50 * stem, 8.0)
    core = np.maximum(core_distance(y, z), 0)
    below = np.maximum(smooth_step(z, 6, -4) * smooth_step(np.abs(y + 6), 34, 22) * 14, core)
    medial = np.sqrt(ax**2 + below**2) - np.float32(0.3)
    return outer, smooth_min(outer, medial, 7.0), medial


def _folds(recipe, rng, points, depth, hull_gradient, active, spacing, medial, outer):
    """Distance to the pial surface where ``active``: hull, two generations of sulci."""
    box, cell = (128, 128, 128), 1.5
    wavelength = float(recipe.fold_wavelength.draw(rng))
    primary = band_noise(rng, box, (cell,) * 3, wavelength, 0.22)
    secondary = band_noise(rng, box, (cell,) * 3, wavelength * 0.55, 0.22)
    bottoms = band_noise(rng, box, (cell,) * 3, wavelength * 1.7, 0.4)
    square = np.maximum((hull_gradient**2).sum(0)[active], 0.25)
    anchor = points[:, active] - depth[active] * hull_gradient[:, active] / square
    # The two medial walls face each other but fold on their own.
    anchor[0] += np.float32(7) * np.sign(anchor[0])
    anchor = anchor * np.float32(1 / cell)

    def distance(field):
        value = np.zeros(active.shape, np.float32)
        value[active] = map_coordinates(field, anchor, order=1, mode="grid-wrap")
        slopes = np.gradient(value, *spacing)
        slope = np.sqrt(sum(s**2 for s in slopes))[active]
        return np.abs(value[active]) / np.maximum(slope, np.float32(0.4 * 6.28 / wavelength))

    limit = recipe.fold_depth.draw(rng) + np.float32(6) * map_coordinates(
        bottoms, anchor, order=1, mode="grid-wrap"
    )
    lateral = smooth_step(medial[active] - outer[active], -4, 8)
    limit = np.clip(limit, 2, np.float32(10) + 15 * lateral)
    within = depth[active]
    sheet = distance(primary)
    dimple = distance(secondary)
    first = np.hypot(sheet, np.maximum(within - limit, 0))
    second = np.hypot(dimple, np.maximum(within - np.float32(0.33) * limit, 0))
    return np.minimum(first, second), np.minimum(sheet, dimple * 1.5)


def _sylvian(ax, y, z, wobble):
    """Distance to the lateral fissure and to the insula's outer face (positive, mm)."""
    ax, y = ax + np.float32(1.8) * wobble, y - np.float32(3) * wobble
    roof = np.float32(2) - np.float32(0.42) * (y + 5) + np.float32(4) * wobble
    along = np.maximum(np.maximum(y - 18, -44 - y), 0)
    across = np.maximum(np.float32(36) - ax, 0)
    fissure = np.sqrt(((z - roof) * np.float32(0.92)) ** 2 + along**2 + across**2)
    span = np.maximum(np.abs(z - roof - 3) - 13, 0)
    reach = np.maximum(np.abs(y - 2) - 19, 0)
    plane = ax - np.float32(37.5) + np.float32(0.006) * (y - 2) ** 2
    insula = np.sqrt(plane**2 + span**2 + reach**2)
    return np.minimum(fissure, insula)


def _posterior_fossa(ax, y, z):
    """Signed distances to brainstem and cerebellum, and to the cerebellum's folia."""
    stem = tube((ax, y, z), refined(BRAINSTEM))
    cerebellum = ellipsoid((ax, y, z), (19.0, -64.0, -36.0), (29.0, 25.0, 19.0))
    # Folia are sheets that meet where the peduncles enter.
    angle = np.arctan2(z + 34, -(y + 40))
    reach = np.hypot(y + 40, z + 34)
    sheet = np.abs(np.sin(angle * np.float32(np.pi / 0.36))) * reach * np.float32(0.36 / np.pi)
    pial = np.minimum(cerebellum, np.hypot(sheet, np.maximum(cerebellum - 9, 0)) - 0.3)
    return stem, cerebellum, pial


def build(recipe: Recipe, rng, shape, affine, voxel_size) -> Anatomy:
    """Draw one subject.

    Args:
      recipe: the generator.
      rng: numpy Generator; everything random comes from it.
      shape: voxels (X, Y, Z).
      affine: [4, 4] voxel to RAS world, mm.
      voxel_size: three values, mm.
    """
    factor = max(1, int(np.ceil(max(voxel_size) / 1.3)))
    fine_shape = tuple(n * factor for n in shape)
    spacing = tuple(float(v) / factor for v in voxel_size)
    fine_affine = affine.copy()
    fine_affine[:3, :3] = affine[:3, :3] / factor
    fine_affine[:3, 3] = affine[:3, 3] - affine[:3, :3] @ np.full(3, 0.5 - 0.5 / factor)
    cell = float(np.mean(spacing))
    points, rotation = _template_points(rng, recipe, fine_shape, fine_affine, spacing)
    x, y, z = points
    ax = np.abs(x)

    outer, depth, medial = _hull(recipe, rng, ax, y, z)
    gradient = np.stack(np.gradient(depth, *spacing))
    # Voxel axes to template axes, to walk from a cell to its foot on the hull.
    to_template = (rotation.T @ (fine_affine[:3, :3] / np.asarray(spacing))).astype(np.float32)
    gradient = np.einsum("ab,b...->a...", to_template, gradient)
    active = (depth > -4) & (depth < 28)
    folded, fold = _folds(
        recipe, rng, points, depth, gradient, active, spacing, medial, outer
    )
    sulcus = recipe.sulcus.draw(rng)
    pial = depth.copy()
    pial[active] = np.minimum(depth[active], folded - sulcus)
    wobble = band_noise(rng, fine_shape, spacing, 32.0, 0.4)
    pial = np.minimum(pial, _sylvian(ax, y, z, wobble) - sulcus * np.float32(1.3))
    thickness = recipe.cortex.draw(rng) * (
        1 + np.float32(0.14) * band_noise(rng, fine_shape, spacing, 25.0, 0.5)
    )

    brain = ramp(outer, cell)
    wm = ramp(pial - thickness, cell)
    csf = ramp(-pial, cell) * ramp(outer + 1.0, cell)
    scalp = ramp(-outer - 5.5, cell) * ramp(outer + 10, cell)
    cortex = np.clip(1 - wm - ramp(-pial, cell), 0, 1) * brain

    if (z < BASE).any():
        low = z < BASE
        stem, cerebellum, folia = _posterior_fossa(ax[low], y[low], z[low])
        hind = np.maximum(ramp(stem, cell), ramp(cerebellum, cell))
        hollow = ramp(np.minimum(24 - ax[low], 40 - np.abs(y[low] + 16)), cell)
        cistern = ramp(np.maximum(stem, cerebellum) + np.float32(2.5), cell)
        core = np.maximum(ramp(stem, cell), ramp(folia - thickness[low] * np.float32(0.8), cell))
        keep = 1 - np.maximum(hollow, cistern)
        wm[low] = wm[low] * keep + core * hind
        cortex[low] = cortex[low] * keep + np.clip(ramp(folia, cell) - core, 0, 1) * hind
        csf[low] = csf[low] * keep + np.maximum(cistern - core - cortex[low] * hind, 0)
        scalp[low] *= keep
        outer[low] = np.maximum(outer[low], np.maximum(stem, cerebellum))
        brain = ramp(outer, cell)
        pial[low] = np.where(hind > 0, np.maximum(stem, folia), pial[low])

    callosum = ramp(callosum_distance(ax, y, z), cell) * ramp(16 - ax, cell)
    bounds = (ax < 42) & (np.abs(y + 14) < 62) & (z < 36) & (z > -64)
    near = (ax[bounds], y[bounds], z[bounds])
    size = recipe.ventricles.draw(rng)
    grow = (size - 1) * 4
    ventricle = tube(near, refined(LATERAL_VENTRICLE)) + grow
    ventricle = np.maximum(ventricle, tube(near, TEMPORAL_HORN) + grow)
    ventricle = np.minimum(ventricle, near[0] - np.float32(1.2))  # septum
    third = np.minimum(tube((near[0] * 1, near[1], near[2] * 0.3), THIRD_VENTRICLE), 9 - near[2])
    ventricle = np.maximum(ventricle, third + grow * 0.3)
    distances = (
        tube(near, refined(CAUDATE)),
        ellipsoid(near, (26.0, 2.5, 1.0), (5.4, 16.5, 10.0), yaw=-13, pitch=8),
        ellipsoid(near, (19.6, -3.0, -1.0), (3.9, 10.5, 6.5), yaw=-22),
        ellipsoid(near, (10.2, -18.0, 7.5), (8.2, 15.0, 9.0), yaw=-20),
        tube(near, refined(HIPPOCAMPUS)),
        ellipsoid(near, (6.0, 7.0, -9.0), (9.0, 15.0, 10.0)),
    )
    room = 1 - callosum[bounds]
    chamber = ramp(ventricle, cell) * room
    room = room - chamber
    nuclei = np.zeros((len(DEEP), *fine_shape), np.float32)
    for n, distance in enumerate(distances):
        share = np.minimum(ramp(distance, cell), room)
        nuclei[n][bounds] = share
        room = room - share
    # What is left keeps the proportions of cortex, white matter and fluid it had before.
    for tissue in (wm, cortex, csf):
        tissue[bounds] *= room
    wm[bounds] += callosum[bounds]
    csf[bounds] += chamber

    coarse = [block_mean(f, factor) for f in (wm, cortex, csf, scalp, pial, depth)]
    wm, cortex, csf, scalp, pial, depth = coarse
    wm *= block_mean(brain, factor)
    nuclei = np.stack([block_mean(n, factor) for n in nuclei])
    whole = np.zeros(fine_shape, np.float32)
    whole[active] = fold
    fold = block_mean(whole, factor)
    normal = np.stack(np.gradient(pial, *voxel_size))
    normal = np.einsum("ab,b...->a...", (affine[:3, :3] / np.asarray(voxel_size)), normal)
    deep = nuclei.sum(0)
    total = wm + cortex + deep + csf
    inside = (total > 0.5) & (block_mean(outer, factor) > -0.6)
    return Anatomy(
        points=np.stack([block_mean(p, factor) for p in points]),
        to_world=rotation,
        wm=wm,
        cortex=cortex,
        deep=deep,
        csf=csf,
        scalp=scalp,
        nuclei=nuclei,
        brain=inside,
        pial=pial,
        depth=depth,
        fold=fold,
        normal=normal.astype(np.float32),
    )

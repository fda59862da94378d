"""White matter: which fibre populations a voxel holds and where they point.

Every tract is a weight and a field of directions in the template frame, written for the right
half (x >= 0) and mirrored.  Tubes follow curves after the tracts' usual course; the callosal
sheet, the corona radiata and the thalamic radiations are analytic fields; gyral blades and
U-fibres follow this subject's own folds.  The three strongest tracts of a voxel become its
populations.
"""

from typing import NamedTuple

import numpy as np

from dwijax.data.phantom.anatomy import (
    CORE_CENTRE,
    CORE_RADII,
    Anatomy,
    callosum_distance,
    core_distance,
)
from dwijax.data.phantom.fields import (
    band_noise,
    normalised,
    refined,
    smooth_step,
    tube,
)
from dwijax.data.phantom.recipe import Recipe

# Rows: x, y, z, radius (mm).
CURVES = {
    "superior_longitudinal": (
        (38, 34, 18, 4.0),
        (36, 18, 27, 5.5),
        (36, 0, 30, 6.0),
        (36, -20, 30, 6.0),
        (38, -36, 27, 6.0),
        (42, -48, 17, 5.0),
        (47, -46, 5, 4.0),
        (50, -30, -6, 4.0),
    ),
    "superior_longitudinal_dorsal": ((20, 34, 38, 4), (19, 5, 46, 5), (20, -30, 46, 5),
                                     (18, -55, 38, 4)),
    "cingulum": (
        (6, 30, -6, 2.5),
        (7, 39, 6, 3.2),
        (7, 34, 21, 3.4),
        (8, 18, 30, 3.4),
        (8, -5, 34, 3.4),
        (8, -28, 31, 3.4),
        (8, -43, 20, 3.2),
        (12, -46, 6, 3.0),
        (21, -38, -6, 3.0),
        (24, -24, -16, 2.5),
    ),
    "sagittal_stratum": (
        (18, -82, 4, 4.0),
        (27, -68, 6, 5.5),
        (33, -50, 7, 5.0),
        (36, -34, 2, 5.0),
        (38, -16, -8, 4.5),
        (40, 0, -20, 4.0),
    ),
    "inferior_fronto_occipital": (
        (22, -74, 8, 3.5),
        (35, -48, 2, 3.5),
        (36, -28, 0, 3.5),
        (32.5, -8, -4, 3.2),
        (30, 10, -5, 3.5),
        (27, 28, 0, 4.5),
        (22, 48, 6, 4.0),
    ),
    "external_capsule": (
        (33, -22, 6, 2.6),
        (34, -5, 8, 2.8),
        (33, 10, 6, 2.8),
        (28, 24, 4, 2.6),
    ),
    "optic_radiation": ((21, -24, 0, 3), (31, -28, 3, 3.4), (32, -45, 8, 3.4), (24, -66, 6, 4),
                        (12, -82, 5, 4)),
    "fornix": ((3, -34, 14, 2.0), (2, -18, 17, 2.2), (2.2, -2, 14, 2.2), (3, 4, 4, 1.8)),
    "anterior_commissure": ((0, 2, -3, 2), (14, 2, -4, 2), (26, -4, -9, 2)),
    "corticospinal": (
        (25, -18, 30, 5.0),
        (24, -16, 16, 4.6),
        (20, -13, 4, 4.2),
        (15, -15, -10, 4.2),
        (8, -22, -24, 4.5),
        (5, -30, -42, 4.5),
        (3, -42, -60, 4.0),
    ),
    "uncinate": ((30, 2, -20, 3), (31, 10, -8, 3), (25, 24, -8, 3.5), (18, 36, -6, 3.5)),
    "cerebellar_peduncle": ((3, -30, -32, 5), (17, -36, -34, 5), (22, -54, -38, 6)),
}

FIELDS = ("callosum", "corona_radiata", "thalamic_radiation", "blade", "u_fibres")
TRACTS = (*FIELDS, *CURVES)
COMMISSURAL = ("callosum", "anterior_commissure")
PROJECTION = ("corona_radiata", "thalamic_radiation", "corticospinal")

# Some tracts are tighter than others: factor on the dispersion of voxels that they lead.
FANNING = dict.fromkeys(TRACTS, 1.0) | {
    "callosum": 0.8,
    "corticospinal": 0.8,
    "cingulum": 0.9,
    "optic_radiation": 0.8,
    "corona_radiata": 1.4,
    "thalamic_radiation": 1.3,
    "superior_longitudinal": 1.2,
    "blade": 1.2,
    "u_fibres": 1.6,
}

POPULATIONS = 3
FEWEST = 0.08  # a population below this share of the fibres is dropped


class Fibres(NamedTuple):
    """Over the V voxels with white matter."""

    index: np.ndarray  # int [V] into the raveled grid
    fraction: np.ndarray  # float32 [3, V], descending, sums to 1
    direction: np.ndarray  # float32 [3, V, 3], unit, RAS world
    fanning: np.ndarray  # float32 [V], factor on the dispersion: towards the cortex fibres fan out
    tract: np.ndarray  # int [V], the strongest, into TRACTS


def _gap(distance, width):
    """Soft share inside a border that lies at ``distance``, ``width`` mm wide."""
    return 1 / (1 + np.exp(-np.clip(distance * np.float32(3.5 / width), -30, 30)))


def _callosum(ax, y, z, edge):
    """Weight and direction of the callosal sheet and of its radiation."""
    inside = core_distance(y, z)
    out_y = (y - np.float32(CORE_CENTRE[0])) / np.float32(CORE_RADII[0] ** 2)
    out_z = (z - np.float32(CORE_CENTRE[1])) / np.float32(CORE_RADII[1] ** 2)
    norm = np.sqrt(out_y**2 + out_z**2) + np.float32(1e-9)
    slope = 0.056 * np.minimum(ax, 34)
    # Away from the sheet the fibres have already turned towards the hull.
    slope = slope + 0.05 * np.clip(-inside - 0.028 * ax**2 + 4, 0, 25) * smooth_step(ax, 5, 16)
    direction = normalised(np.stack([np.ones_like(ax), slope * out_y / norm, slope * out_z / norm],
                                    -1))
    sheet = _gap(callosum_distance(ax, y, z), edge)
    fan = _gap(-inside - 0.028 * ax**2 + 6, 3.0) * _gap(ax - 6, 3.0)
    fan = fan * (0.30 + 0.25 * smooth_step(ax, 45, 15))
    core = sheet * smooth_step(ax, 34, 6)
    return np.maximum(4.0 * core, fan), direction


def _fan(ax, y, z, apex, stretch):
    """Directions away from an apex, the fan ``stretch``-ed along each axis."""
    offset = np.stack([ax - apex[0], y - apex[1], z - apex[2]], -1)
    return normalised(offset * np.asarray(stretch, np.float32))


def _superficial(anatomy: Anatomy, index, inward, hull_normal, edge):
    """Blades run along the hull's normal within a gyrus, U-fibres under the bottom of a sulcus."""
    pial = anatomy.pial.reshape(-1)[index]
    depth = anatomy.depth.reshape(-1)[index]
    cortical = normalised(inward)
    blade = hull_normal - (hull_normal * cortical).sum(-1, keepdims=True) * cortical * 0.8
    blade = normalised(np.where((blade**2).sum(-1, keepdims=True) > 0.02, blade, hull_normal))
    crest = np.cross(cortical, hull_normal)
    across = normalised(np.cross(crest, cortical) + 0.02 * hull_normal)
    buried = smooth_step(depth - pial, 1.0, 5.0)  # beside a sulcus rather than below the hull
    shallow = _gap(21 - depth, 6.0)
    in_blade = shallow * _gap(7.0 - pial, 2.0) * (0.9 + 0.5 * buried)
    under = _gap(5.0 - pial, edge) * smooth_step(np.abs((hull_normal * cortical).sum(-1)), 0.3, 0.8)
    return in_blade, blade, 0.9 * under * shallow, across


def populate(anatomy: Anatomy, recipe: Recipe, rng, voxel_size) -> Fibres:
    """Choose each white-matter voxel's populations.

    Args:
      anatomy: from ``anatomy.build``.
      recipe: the generator.
      rng: numpy Generator.
      voxel_size: three values, mm.
    """
    shape = anatomy.wm.shape
    index = np.flatnonzero(anatomy.wm.reshape(-1) > 0.02)
    x, y, z = anatomy.points.reshape(3, -1)[:, index]
    ax, side = np.abs(x), np.where(x < 0, np.float32(-1), np.float32(1))
    mirror = np.stack([side, np.ones_like(side), np.ones_like(side)], -1)
    edge = recipe.tract_edge

    hull = np.stack(np.gradient(anatomy.depth, *voxel_size)).reshape(3, -1)[:, index].T
    # The grid's first axis runs to the left.
    hull_normal = normalised(hull * np.array([-1, 1, 1], np.float32)) @ anatomy.to_world
    inward = anatomy.normal.reshape(3, -1)[:, index].T @ anatomy.to_world
    in_blade, blade, under, across = _superficial(anatomy, index, inward, hull_normal, edge)

    weights, directions = {}, {}
    weights["callosum"], directions["callosum"] = _callosum(ax, y, z, edge)
    directions["corona_radiata"] = _fan(ax, y, z, (17.0, -11.0, -14.0), (0.9, 0.75, 1.0))
    directions["thalamic_radiation"] = _fan(ax, y, z, (8.0, -14.0, 3.0), (1.0, 1.0, 0.8))
    radius = np.hypot(ax - 24, (y + 8) * np.float32(0.42))
    band = _gap(9 + 0.22 * np.maximum(z, 0) - radius, 3.0)
    deep = _gap(anatomy.depth.reshape(-1)[index] - 12, 5.0)
    weights["corona_radiata"] = (0.75 * band + 0.35) * _gap(z + 4, 4.0) * deep
    anterior = np.maximum(smooth_step(y, 4, 18), smooth_step(y, -20, -36))
    weights["thalamic_radiation"] = (
        (0.15 + 0.75 * anterior) * _gap(30 - z, 5.0) * _gap(ax - 8, 3.0) * deep
    )
    for name, curve in CURVES.items():
        distance, tangent = tube((ax, y, z), refined(curve, 2), tangents=True)
        weights[name] = np.float32(1.5) * _gap(distance, edge)
        directions[name] = tangent
    weights["cingulum"] *= 2
    weights["external_capsule"] *= 2
    weights["corticospinal"] *= 1.5
    weights["corticospinal"] += np.float32(0.3) * _gap(-12 - z, 3.0) * _gap(16 - ax, 3.0)
    for name in directions:
        directions[name] = directions[name] * mirror
    weights["blade"], directions["blade"] = in_blade, blade
    weights["u_fibres"], directions["u_fibres"] = under, across

    stacked = np.empty((len(TRACTS), index.size), np.float32)
    for n, name in enumerate(TRACTS):
        family = (
            recipe.commissural
            if name in COMMISSURAL
            else recipe.projection if name in PROJECTION else recipe.association
        )
        uneven = band_noise(rng, shape, voxel_size, recipe.interleaving_wavelength, 0.5)
        share = np.exp(np.float32(recipe.interleaving) * uneven.reshape(-1)[index])
        stacked[n] = weights[name] * np.float32(family) * share
    stacked[FIELDS.index("callosum")][callosum_distance(ax, y, z) * (ax < 9) > 0.8] *= 8

    order = np.argsort(-stacked, axis=0)[:POPULATIONS]
    fraction = np.take_along_axis(stacked, order, 0)
    fraction /= np.maximum(fraction.sum(0), 1e-9)
    fraction[fraction < FEWEST] = 0
    fraction[0][fraction[0] == 0] = 1
    fraction /= fraction.sum(0)

    every = np.stack([directions[name] for name in TRACTS])
    chosen = np.take_along_axis(every, order[..., None], 0)
    tilt = np.float32(np.radians(recipe.perturbation_degrees))
    for population in chosen:
        for axis in range(3):
            wander = band_noise(rng, shape, voxel_size, recipe.perturbation_wavelength, 0.6)
            population[:, axis] += tilt * wander.reshape(-1)[index]
    chosen = normalised(chosen) @ anatomy.to_world.T
    fanning = np.array([FANNING[name] for name in TRACTS], np.float32)[order[0]]
    fanning *= 1 + np.float32(0.4) * smooth_step(anatomy.pial.reshape(-1)[index], 9, 3)
    return Fibres(index, fraction, chosen.astype(np.float32), fanning, order[0])

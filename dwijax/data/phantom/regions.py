"""Region labels: an atlas drawn with the subject, at least 40 regions with a look-up table."""

import numpy as np

from dwijax.data.phantom.anatomy import DEEP, Anatomy, callosum_distance, core_distance
from dwijax.data.phantom.fibres import TRACTS, Fibres

# Cortical parcels are the cells nearest to these points (template mm, right side).
CORTEX = {
    "superior_frontal": (14, 36, 44),
    "middle_frontal": (36, 38, 26),
    "inferior_frontal": (50, 24, 10),
    "frontal_pole": (20, 62, 6),
    "precentral": (38, -2, 46),
    "postcentral": (44, -28, 48),
    "superior_parietal": (22, -56, 50),
    "inferior_parietal": (46, -52, 36),
    "precuneus": (6, -58, 36),
    "cuneus": (6, -80, 18),
    "lateral_occipital": (34, -80, 8),
    "lingual": (10, -66, -2),
    "superior_temporal": (56, -24, 6),
    "middle_temporal": (56, -44, -4),
    "opercular": (54, 0, 14),
    "insula": (38, 0, 4),
    "anterior_cingulate": (5, 36, 12),
    "posterior_cingulate": (5, -34, 34),
}
# Superficial white matter, likewise.
LOBES = {
    "frontal_white": (28, 40, 22),
    "central_white": (34, -16, 44),
    "parietal_white": (30, -50, 36),
    "occipital_white": (24, -78, 8),
    "temporal_white": (46, -36, 0),
    "opercular_white": (48, 4, 16),
}
CALLOSUM = ("callosum_genu", "callosum_body", "callosum_splenium")
DEEP_WHITE = (
    "anterior_internal_capsule",
    "posterior_internal_capsule",
    "anterior_corona_radiata",
    "superior_corona_radiata",
    "posterior_corona_radiata",
    "forceps_minor",
    "forceps_major",
    "callosal_radiation",
    "superior_longitudinal",
    "cingulum",
    "sagittal_stratum",
    "external_capsule",
)
MIDLINE = ("third_ventricle", "brainstem")
SIDED = ("lateral_ventricle", *DEEP, *CORTEX, *LOBES, *DEEP_WHITE)

NAMES = (
    *CALLOSUM,
    *MIDLINE,
    *(f"{name}_{side}" for name in SIDED for side in ("left", "right")),
)
_NUMBER = {name: n + 1 for n, name in enumerate(NAMES)}

BACKGROUND, CSF, CORTICAL, DEEP_GREY, WHITE = range(5)
TISSUES = ("background", "csf", "cortical_grey", "deep_grey", "white")


def tissue_map(anatomy: Anatomy):
    """The tissue that fills most of each voxel: uint8 [X, Y, Z], indices into TISSUES."""
    shares = np.stack([anatomy.csf, anatomy.cortex, anatomy.deep, anatomy.wm])
    return np.where(anatomy.brain, shares.argmax(0) + 1, BACKGROUND).astype(np.uint8)


def label_map(anatomy: Anatomy, fibres: Fibres, tissue):
    """Region of each voxel: int16 [X, Y, Z], 0 or ``NAMES.index(region) + 1``."""
    x, y, z = anatomy.points
    ax, right = np.abs(x), x >= 0
    labels = np.zeros(tissue.shape, np.int16)

    def paint(name, where):
        for side, half in (("left", ~right), ("right", right)):
            labels[where & half] = _NUMBER[f"{name}_{side}"]

    def nearest(seeds, where):
        inside = np.flatnonzero(where.reshape(-1))
        points = np.stack([ax, y, z]).reshape(3, -1)[:, inside]
        centres = np.array(list(seeds.values()), np.float32)
        closest = ((points[None] - centres[:, :, None]) ** 2).sum(1).argmin(0)
        owner = np.full(where.size, -1)
        owner[inside] = closest
        for n, name in enumerate(seeds):
            paint(name, (owner == n).reshape(where.shape))

    nearest(CORTEX, tissue == CORTICAL)
    for n, name in enumerate(DEEP):
        paint(name, (tissue == DEEP_GREY) & (anatomy.nuclei.argmax(0) == n))
    core = core_distance(y, z)
    inner = (tissue == CSF) & (ax < 40) & (anatomy.depth > 8) & (np.abs(y + 18) < 58)
    fluid = inner & ((core > 2) | (ax > 8)) & (anatomy.pial > 1)
    paint("lateral_ventricle", fluid)
    labels[fluid & (ax < 3) & (z < 9)] = _NUMBER["third_ventricle"]

    white = tissue == WHITE
    nearest(LOBES, white)
    strongest = np.full(tissue.size, -1)
    strongest[fibres.index] = fibres.tract
    strongest = strongest.reshape(tissue.shape)

    def led_by(*tracts):
        return white & np.isin(strongest, [TRACTS.index(t) for t in tracts])

    sheet = callosum_distance(ax, y, z) > -1
    callosal = led_by("callosum")
    middle = callosal & sheet & (ax < 11)
    paint("callosal_radiation", callosal)
    paint("forceps_minor", callosal & (y > 22))
    paint("forceps_major", callosal & (y < -36))
    for name, band in zip(CALLOSUM, (y > 18, np.abs(y + 3) <= 21, y < -24), strict=True):
        labels[middle & band] = _NUMBER[name]
    radiation = led_by("corona_radiata", "thalamic_radiation", "corticospinal")
    low = radiation & (z < 19) & (ax < 32) & (y > -30) & (y < 28)
    paint("superior_corona_radiata", radiation)
    paint("anterior_corona_radiata", radiation & (y > 12))
    paint("posterior_corona_radiata", radiation & (y < -28))
    paint("anterior_internal_capsule", low & (y >= 3))
    paint("posterior_internal_capsule", low & (y < 3))
    paint("superior_longitudinal", led_by("superior_longitudinal", "superior_longitudinal_dorsal"))
    paint("cingulum", led_by("cingulum"))
    paint(
        "sagittal_stratum",
        led_by("sagittal_stratum", "inferior_fronto_occipital", "optic_radiation"),
    )
    paint("external_capsule", led_by("external_capsule", "uncinate"))
    labels[white & (ax < 16) & (z < -8) & (y < 0) & (y > -50)] = _NUMBER["brainstem"]
    return labels

"""One simulated subject, as arrays."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from dwijax.data.phantom import anatomy, fibres, noise, signal
from dwijax.data.phantom.fields import band_noise, smooth_step
from dwijax.data.phantom.recipe import RECIPES
from dwijax.data.phantom.regions import label_map, tissue_map
from dwijax.gradients import B0_THRESHOLD, GradientTable

WM_DENSE = 0.9  # voxels this full of white matter define its mean S0


@dataclass(frozen=True)
class Settings:
    """Everything that decides a subject's bits besides its index.

    Attributes:
      seed: of the whole cohort.
      generator: ``default`` or ``shifted``.
      bvals: M values, s/mm^2.
      bvecs: M unit vectors, FSL convention.
      shape: voxels (X, Y, Z).
      voxel_size: mm, three values.
      snr: mean white-matter S0 over noise SD before shading; None: as the generator has it;
        infinite: no noise.
      lesions: whether subjects have lesions.
      varying_noise: whether the noise level varies in space.
      rotate_degrees: SD of each angle by which a subject's own directions are turned, as motion
        correction does.
    """

    seed: int
    generator: str
    bvals: tuple[float, ...]
    bvecs: tuple[tuple[float, float, float], ...]
    shape: tuple[int, int, int] = (56, 68, 24)
    voxel_size: tuple[float, float, float] = (2.5, 2.5, 2.5)
    snr: float | None = None
    lesions: bool = False
    varying_noise: bool = False
    rotate_degrees: float = 0.0

    def as_dict(self):
        """Plain values, for JSON."""
        return asdict(self)


class SimulatedSubject(NamedTuple):
    """Arrays on the grid of an LAS image; directions in FSL's frame, which is the arrays'."""

    dwi: np.ndarray  # float32 [X, Y, Z, M], with noise
    clean: np.ndarray  # float32 [X, Y, Z, M], without noise and motion, with shading
    gtab: GradientTable
    affine: np.ndarray  # [4, 4]
    mask: np.ndarray  # bool [X, Y, Z]
    tissue: np.ndarray  # uint8 [X, Y, Z]
    labels: np.ndarray  # int16 [X, Y, Z]
    lesion: np.ndarray  # bool [X, Y, Z]
    populations: np.ndarray  # uint8 [X, Y, Z], fibre populations
    fractions: np.ndarray  # float32 [X, Y, Z, 4]: CSF, cortex, deep grey, white
    sigma: np.ndarray  # float32 [X, Y, Z], noise SD
    snr: float


def grid_affine(shape, voxel_size):
    """Affine [4, 4] of an LAS grid on the slab from the basal ganglia up, or on the whole head."""
    affine = np.diag([-voxel_size[0], voxel_size[1], voxel_size[2], 1.0])
    height = shape[2] * voxel_size[2]
    centre = np.array([0.0, -14.0, max(21 - 0.2 * max(height - 60, 0), 7.0)])
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def simulate_subject(settings: Settings, index: int) -> SimulatedSubject:
    """Draws subject ``index``; it depends on nothing but the two arguments.

    Returns:
      SimulatedSubject.  Intensities have a mean white-matter S0 of about 1000.
    """
    recipe = RECIPES[settings.generator]

    def stream(number):
        generator = list(RECIPES).index(settings.generator)
        return np.random.default_rng([settings.seed, generator, index, number])

    shape, voxel_size = tuple(settings.shape), tuple(settings.voxel_size)
    affine = grid_affine(shape, voxel_size)
    head = anatomy.build(recipe, stream(0), shape, affine, voxel_size)
    bundles = fibres.populate(head, recipe, stream(1), voxel_size)
    damage = np.zeros(shape, np.float32)
    if settings.lesions:
        damage = lesion_field(head, stream(2), voxel_size)
    tissue = signal.compose(head, bundles, recipe, stream(3), voxel_size, damage)

    bvecs = np.asarray(settings.bvecs, np.float64)
    if settings.rotate_degrees:
        bvecs = bvecs @ _rotation(stream(4), settings.rotate_degrees).T
    bvals = np.asarray(settings.bvals, np.float64)
    b0s = bvals[~bvecs.any(axis=1)]  # without directions, of whatever b
    gtab = GradientTable(bvals, bvecs, max(B0_THRESHOLD, b0s.max(initial=0)))
    emitted = signal.evaluate(tissue, gtab.bvals, gtab.bvecs)
    dense = head.wm.reshape(-1)[tissue.index] > WM_DENSE
    white = tissue.amplitude.sum(0)[dense].mean() if dense.any() else signal.WM_S0

    coil = noise.shading(stream(5), shape, recipe.shading)
    emitted *= coil.reshape(-1)[tissue.index]
    clean = np.zeros((len(gtab), *shape), np.float32)
    clean.reshape(len(gtab), -1)[:, tissue.index] = emitted

    rng = stream(6)
    low, high = recipe.snr if settings.snr is None else (settings.snr, settings.snr)
    snr = float(rng.uniform(low, high)) if high > low else float(low)
    sigma = np.full(shape, white / snr, np.float32)
    if settings.varying_noise:
        sigma *= noise.noise_map(rng, shape)
    scanned = clean
    if recipe.motion_mm or recipe.motion_degrees:
        scanned = clean.copy()
        noise.moved(scanned, stream(7), recipe.motion_mm, recipe.motion_degrees, voxel_size)
    measured = noise.rician(scanned, sigma, stream(8))

    kind = tissue_map(head)
    populations = np.zeros(shape, np.uint8)
    populations.reshape(-1)[bundles.index] = (bundles.fraction > 0).sum(0)
    return SimulatedSubject(
        dwi=np.moveaxis(measured, 0, -1),
        clean=np.moveaxis(clean, 0, -1),
        gtab=gtab,
        affine=affine,
        mask=head.brain,
        tissue=kind,
        labels=label_map(head, bundles, kind),
        lesion=damage > 0.5,
        populations=populations,
        fractions=np.stack([head.csf, head.cortex, head.deep, head.wm], -1),
        sigma=sigma,
        snr=snr,
    )


def lesion_field(head, rng, voxel_size):
    """Share of damage, float32 [X, Y, Z]: one to four ragged blobs centred in white matter."""
    shape = head.wm.shape
    grid = np.indices(shape, dtype=np.float32) * np.asarray(voxel_size, np.float32)[:, None, None,
                                                                                    None]
    ragged = band_noise(rng, shape, voxel_size, 14.0, 0.7)
    seats = np.argwhere((head.wm > 0.8) & (head.depth > 8))
    damage = np.zeros(shape, np.float32)
    if not len(seats):
        return damage
    for _ in range(rng.integers(1, 5)):
        centre = seats[rng.integers(len(seats))] * np.asarray(voxel_size, np.float32)
        radius = np.float32(rng.uniform(4, 11))
        stretch = np.exp(0.25 * rng.standard_normal(3)).astype(np.float32)
        offset = (grid - centre.astype(np.float32)[:, None, None, None]) * stretch[:, None, None,
                                                                                  None]
        inside = radius - np.sqrt((offset**2).sum(0)) + np.float32(0.25) * radius * ragged
        damage = np.maximum(damage, smooth_step(inside, -1.5, 1.5))
    return damage * (head.wm + head.cortex + head.deep)


def _rotation(rng, degrees):
    a, b, c = np.radians(degrees * rng.standard_normal(3))
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rx @ ry @ rz

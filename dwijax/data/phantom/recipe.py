"""What the two generators are made of: every number that the anatomy and the signal depend on.

Networks train on ``default`` and are judged on both; ``shifted`` differs in diffusivities,
crossing fractions, texture, geometry, noise level and residual motion, so that a method which
merely learned the first generator by heart is found out.

Lengths in mm, diffusivities in um^2/ms.  ``Spread`` is a mean and its standard deviation between
subjects; the diffusivities' spreads are narrow because in life whole-brain FA and MD differ little
from one healthy adult to the next.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """A subject's value is drawn from a normal distribution, cut at two standard deviations."""

    mean: float
    sd: float

    def draw(self, rng: np.random.Generator) -> np.float32:
        return np.float32(self.mean + self.sd * np.clip(rng.standard_normal(), -2, 2))


@dataclass(frozen=True)
class Recipe:
    """One generator.  See the module docstring for units."""

    name: str

    # Geometry of the head and of the folds.
    half_width: Spread = Spread(62.5, 1.6)
    half_length: Spread = Spread(78.0, 2.0)
    half_height: Spread = Spread(62.0, 1.5)
    deformation: float = 1.6  # SD of the smooth displacement of every structure
    pose_degrees: float = 3.0
    pose_shift: float = 1.5
    fold_wavelength: Spread = Spread(25.0, 1.0)  # two gyri and two sulci
    fold_depth: Spread = Spread(17.0, 0.5)
    cortex: Spread = Spread(2.6, 0.06)
    sulcus: Spread = Spread(0.42, 0.04)  # half its width
    ventricles: Spread = Spread(1.0, 0.07)  # factor on radii

    # Fibres.
    perturbation_degrees: float = 12.0  # fine wandering of the directions
    perturbation_wavelength: float = 14.0
    interleaving: float = 0.5  # how unevenly populations share a voxel: SD of the log weights
    interleaving_wavelength: float = 13.0
    tract_edge: float = 0.8  # mm over which a tract ends
    projection: float = 1.0  # factors on the weights of the three families
    commissural: float = 1.0
    association: float = 1.0
    dispersion: Spread = Spread(0.10, 0.004)  # share of a stick's diffusivity lost sideways

    # Compartments.
    intra_fraction: Spread = Spread(0.44, 0.006)
    intra_parallel: Spread = Spread(1.85, 0.03)
    extra_parallel: Spread = Spread(1.30, 0.03)
    extra_perpendicular: Spread = Spread(0.55, 0.012)
    cortex_diffusivity: Spread = Spread(0.75, 0.010)
    cortex_anisotropy: float = 0.24  # (parallel - perpendicular) / mean, along the cortex's normal
    deep_diffusivity: Spread = Spread(0.70, 0.010)
    csf_diffusivity: Spread = Spread(3.0, 0.02)
    lesion_diffusivity: float = 1.35

    # b0 intensities relative to white matter.
    csf_s0: Spread = Spread(3.1, 0.08)
    cortex_s0: Spread = Spread(1.27, 0.02)
    deep_s0: Spread = Spread(1.18, 0.02)
    lesion_s0: float = 1.7

    # Texture: relative SD and the exponent of its power spectrum, power ~ k^-exponent.
    texture_exponent: float = 1.6
    s0_texture: float = 0.035
    fraction_texture: float = 0.20
    diffusivity_texture: float = 0.03

    # Acquisition.
    shading: float = 0.22  # SD of the log receive sensitivity
    snr: tuple[float, float] = (20.0, 20.0)  # drawn uniformly between the two
    motion_mm: float = 0.0  # residual motion between volumes, SD of each shift
    motion_degrees: float = 0.0


DEFAULT = Recipe("default")

SHIFTED = Recipe(
    "shifted",
    half_width=Spread(60.0, 1.6),
    half_length=Spread(79.5, 2.0),
    deformation=2.2,
    pose_degrees=5.0,
    fold_wavelength=Spread(22.0, 1.2),
    fold_depth=Spread(15.0, 0.5),
    cortex=Spread(2.9, 0.06),
    sulcus=Spread(0.50, 0.05),
    ventricles=Spread(1.12, 0.08),
    perturbation_degrees=14.0,
    perturbation_wavelength=11.0,
    interleaving=0.8,
    interleaving_wavelength=10.0,
    tract_edge=1.4,
    projection=1.25,
    commissural=0.8,
    association=1.3,
    dispersion=Spread(0.10, 0.006),
    intra_fraction=Spread(0.51, 0.006),
    intra_parallel=Spread(2.20, 0.03),
    extra_parallel=Spread(1.30, 0.03),
    extra_perpendicular=Spread(0.58, 0.012),
    cortex_diffusivity=Spread(0.80, 0.010),
    cortex_anisotropy=0.15,
    deep_diffusivity=Spread(0.79, 0.010),
    csf_s0=Spread(3.6, 0.08),
    cortex_s0=Spread(1.20, 0.02),
    deep_s0=Spread(1.08, 0.02),
    texture_exponent=2.2,
    s0_texture=0.045,
    fraction_texture=0.25,
    diffusivity_texture=0.045,
    shading=0.28,
    snr=(12.0, 30.0),
    motion_mm=0.25,
    motion_degrees=0.25,
)

RECIPES = {recipe.name: recipe for recipe in (DEFAULT, SHIFTED)}

"""What the scanner would measure without noise: compartments, relaxation, receive coil.

White matter is one stick (with a little dispersion) and one zeppelin per population, after
Panagiotaki et al. 2012 (NeuroImage 59, 2241); cortex a weak zeppelin along its normal; deep grey
matter, fluid and scalp are balls.  Diffusivities in um^2/ms, b in s/mm^2 on the outside.
"""

from typing import NamedTuple

import numpy as np

from dwijax.data.phantom.anatomy import Anatomy
from dwijax.data.phantom.fibres import Fibres
from dwijax.data.phantom.fields import band_noise, normalised, texture
from dwijax.data.phantom.recipe import Recipe

# Iron shortens T2: relative b0 of caudate, putamen, pallidum, thalamus, hippocampus,
# basal forebrain.
NUCLEI_S0 = (1.02, 0.98, 0.74, 1.0, 1.14, 1.08)
NUCLEI_ANISOTROPY = (0.25, 0.22, 0.45, 0.50, 0.25, 0.30)
SCALP_S0 = 0.35
WM_S0 = 1000.0  # intensity units of the files
SCALP_DIFFUSIVITY = 0.25
LESION_SHARE = 0.6  # of the tissue in a lesion's core that turns to water
TO_AXES = np.array([-1, 1, 1], np.float32)  # RAS to the axes of an LAS grid


class Tissue(NamedTuple):
    """Compartments over the V voxels that emit signal, ready for any gradient table."""

    index: np.ndarray  # int [V] into the raveled grid
    amplitude: np.ndarray  # float32 [C, V]
    parallel: np.ndarray  # float32 [C, V] um^2/ms
    perpendicular: np.ndarray  # float32 [C, V]
    axis: np.ndarray  # float32 [C, V, 3], array axes (the frame of FSL bvecs)


def compose(anatomy: Anatomy, fibres: Fibres, recipe: Recipe, rng, voxel_size, lesion) -> Tissue:
    """Turn anatomy and fibres into compartments.

    Args:
      anatomy, fibres: of one subject.
      recipe: the generator.
      rng: numpy Generator.
      voxel_size: three values, mm.
      lesion: float32 [X, Y, Z], share of the voxel's tissue that is damaged.
    """
    shape = anatomy.wm.shape
    lesion = lesion.reshape(-1)
    keep = anatomy.brain | (anatomy.scalp > 0.02) | (anatomy.csf > 0.02)
    index = np.flatnonzero(keep.reshape(-1))
    row = np.zeros(anatomy.wm.size, np.int64)
    row[index] = np.arange(index.size)
    inner = row[fibres.index]

    def grain(relative):
        field = texture(rng, shape, voxel_size, recipe.texture_exponent).reshape(-1)[index]
        return np.exp(np.float32(relative) * field)

    def band(wavelength, bandwidth):
        return band_noise(rng, shape, voxel_size, wavelength, bandwidth).reshape(-1)[index]

    def at(volume):
        return volume.reshape(-1)[index]

    s0 = grain(recipe.s0_texture)
    scale = grain(recipe.diffusivity_texture)
    healthy = 1 - np.float32(LESION_SHARE) * lesion[index]
    compartments = []

    def add(amplitude, parallel, perpendicular=None, axis=None):
        parallel = np.broadcast_to(np.float32(parallel), index.shape)
        perpendicular = parallel if perpendicular is None else perpendicular
        if axis is None:
            axis = np.zeros((index.size, 3), np.float32)
        compartments.append((amplitude, parallel, perpendicular, axis))

    # White matter.
    intra = recipe.intra_fraction.draw(rng) * grain(recipe.fraction_texture)
    intra = intra * np.exp(np.float32(recipe.fraction_texture) * band(14.0, 0.5))
    intra = np.clip(intra, 0.15, 0.85)
    d_in, d_out = recipe.intra_parallel.draw(rng), recipe.extra_parallel.draw(rng)
    d_across = recipe.extra_perpendicular.draw(rng)
    d_across = d_across * scale * (1 + np.float32(0.5) * (np.float32(0.6) - intra))
    spread = recipe.dispersion.draw(rng) * np.exp(np.float32(0.4) * band(9.0, 0.7))
    spread[inner] *= fibres.fanning
    spread = np.minimum(spread, np.float32(0.3))  # a third would be isotropic
    white = at(anatomy.wm) * s0 * healthy
    for population, direction in zip(fibres.fraction, fibres.direction, strict=True):
        share = np.zeros(index.size, np.float32)
        share[inner] = population
        axis = np.zeros((index.size, 3), np.float32)
        axis[inner] = direction * TO_AXES
        add(white * share * intra, d_in * scale * (1 - 2 * spread), d_in * scale * spread, axis)
        add(white * share * (1 - intra), d_out * scale, d_across, axis)

    # Cortex along its normal, deep nuclei along axes of their own.
    normal = normalised(anatomy.normal.reshape(3, -1)[:, index].T) * TO_AXES
    mean = recipe.cortex_diffusivity.draw(rng) * scale**2
    part = np.float32(recipe.cortex_anisotropy)
    grey = at(anatomy.cortex) * recipe.cortex_s0.draw(rng) * s0 * healthy
    add(grey, mean * (1 + part * 2 / 3), mean * (1 - part / 3), normal)

    nuclei = anatomy.nuclei.reshape(len(NUCLEI_S0), -1)[:, index]
    amplitude = np.asarray(NUCLEI_S0, np.float32) @ nuclei
    part = np.asarray(NUCLEI_ANISOTROPY, np.float32) @ nuclei / np.maximum(nuclei.sum(0), 1e-3)
    mean = recipe.deep_diffusivity.draw(rng) * scale
    wander = np.stack([band(16.0, 0.5) for _ in range(3)], -1)
    deep = amplitude * recipe.deep_s0.draw(rng) * s0 * healthy
    add(deep, mean * (1 + part * 2 / 3), mean * (1 - part / 3), normalised(wander))

    add(at(anatomy.csf) * recipe.csf_s0.draw(rng), recipe.csf_diffusivity.draw(rng))
    add(at(anatomy.scalp) * SCALP_S0 * s0, SCALP_DIFFUSIVITY)
    # Damage: what it takes from the tissue comes back as brighter water that diffuses freely.
    tissue = at(anatomy.wm + anatomy.cortex + anatomy.deep)
    add(tissue * (1 - healthy) * recipe.lesion_s0, recipe.lesion_diffusivity)

    amplitude, parallel, perpendicular, axis = (
        np.stack(c).astype(np.float32) for c in zip(*compartments, strict=True)
    )
    return Tissue(index, amplitude * np.float32(WM_S0), parallel, perpendicular, axis)


def evaluate(tissue: Tissue, bvals, bvecs):
    """Noise-free signal of every voxel and volume.

    Args:
      tissue: C compartments of V voxels.
      bvals: [M] s/mm^2.
      bvecs: [M, 3] unit (or zero), FSL convention.

    Returns:
      float32 [M, V].
    """
    signal = np.zeros((len(bvals), tissue.index.size), np.float32)
    for amplitude, parallel, perpendicular, axis in zip(*tissue[1:], strict=True):
        there = np.flatnonzero(amplitude > 0)
        if not there.size:
            continue
        a, across = amplitude[there], perpendicular[there]
        along = parallel[there] - across
        x, y, z = axis[there].T.copy()
        if not along.any():
            for m, b in enumerate(bvals):
                signal[m, there] += a * np.exp(np.float32(-b * 1e-3) * across)
            continue
        for m, (b, g) in enumerate(zip(bvals, bvecs.astype(np.float32), strict=True)):
            cosine = x * g[0] + y * g[1] + z * g[2]
            exponent = across + along * cosine * cosine
            signal[m, there] += a * np.exp(exponent * np.float32(-b * 1e-3))
    return signal

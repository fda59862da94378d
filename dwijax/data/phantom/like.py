"""Subjects like a given scan: its anatomy and its fibres from a smooth fit, deformed at random.

A phantom that is drawn is smoother than a brain at 2 mm. Here a scan is denoised (MP-PCA),
the mean that its noise adds to magnitudes is taken off, and the logarithm of its attenuation is
expanded in spherical harmonics, which hold crossing fibres. A subject is that fit, warped by a pose
and a smooth displacement, its directions turned with it, its tissue and shading perturbed, scanned
by the scan's own table, or by any other: ln S is taken to be proportional to b. New noise is as the
scan's: as strong where, as much shared by neighbours; gains and shifts of volumes are as far apart,
and as many slices drop out. What the fit has missed, no subject has, but for texture of the same
strength where that is asked for.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

import jax
import numpy as np

from dwijax.data import domain
from dwijax.data.mppca import mppca
from dwijax.data.phantom import noise
from dwijax.data.phantom.excess import excess_of, textured
from dwijax.data.phantom.fields import band_noise, texture
from dwijax.data.phantom.store import truth_maps
from dwijax.data.phantom.subject import SimulatedSubject
from dwijax.errors import InputError
from dwijax.fitting.noise import noise_in_space
from dwijax.fitting.series import examine, slice_means
from dwijax.fitting.voxels import in_chunks
from dwijax.gradients import GradientTable
from dwijax.gradients.harmonics import (
    FLOOR,
    log_sh_coefficients,
    log_sh_system,
    sh_basis,
    sh_polynomials,
)
from dwijax.volumes import canonical_bvecs, slice_axis, voxel_size

VERSION = 8  # raised when the same scan and settings give other bits
WEIGHT = 0.001  # Laplace-Beltrami
# Directions from which a scan carries harmonics of an order. With 60 directions order 6 is noise: a
# truth that nothing can predict.
ORDERS = ((84, 6), (20, 4), (0, 2))
LEAST = 100  # voxels of a brain that can be fitted and deformed
AROUND = 3  # voxels around the brain that are fitted too
_CSF, _GREY, _WHITE = 1, 2, 4  # of the phantom's tissue map


@dataclass(frozen=True)
class LikeSettings:
    """What decides a subject's bits besides the scan and the subject's index.

    Attributes:
      seed: of the cohort.
      identity: of the scan, :func:`identity`. shell: its b-value, s/mm².
      snr: mean white-matter S0 over noise SD; None: the scan's noise level.
      white_noise: the same everywhere, independent in all voxels, no gains, motion and dropouts;
        else all as the scan has them.
      texture: whether voxels differ from what is smooth by as much as the scan's do beyond noise.
      deformation, wavelength: SD and wavelength of the smooth displacement, mm.
      pose_degrees, pose_shift: SD of angles, and of shifts in mm.
      s0, diffusivity, anisotropy: relative SD of the textures that each is perturbed by.
      shading: SD of the logarithm of what is added to the scan's shading.
      table: of the subjects, b in s/mm² and a direction along the scan's canonical axes of every
        volume; None: the scan's.
    """

    seed: int
    identity: str
    shell: float
    snr: float | None = None
    white_noise: bool = False
    texture: bool = False
    deformation: float = 2.0
    wavelength: float = 45.0
    pose_degrees: float = 4.0
    pose_shift: float = 2.0
    s0: float = 0.03
    diffusivity: float = 0.05
    anisotropy: float = 0.10
    shading: float = 0.10
    table: tuple | None = None

    def scanned_by(self, own):
        """`GradientTable` of the subjects, of a scan with the table ``own``."""
        if self.table is None:
            return own
        table = np.asarray(self.table)
        return GradientTable(table[:, 0], table[:, 1:], own.b0_threshold)

    def as_dict(self):
        """Plain values, for JSON."""
        return asdict(self)

    def hash(self):
        """Sixteen hexadecimal digits of everything that decides a subject's bits."""
        text = json.dumps([self.as_dict(), VERSION], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Fit(NamedTuple):
    """A scan without noise.

    ``b0`` float32 ``[X, Y, Z]``, in units of the scan's scale; ``attenuation`` float32
    ``[X, Y, Z, c]``, spherical harmonics of ln S/S0 up to ``order``; ``mask`` bool ``[X, Y, Z]``;
    ``gtab`` b0s, then directions, along the array's axes; ``affine`` ``[4, 4]``; ``sigma`` of the
    scan's noise, in units of ``scale``, the intensity that is 1; ``relative`` float32
    ``[X, Y, Z]``, σ over its median; ``correlation [3]``, ``gain`` and ``motion [3]`` of
    `dwijax.fitting.noise.NoiseInSpace`; ``dropouts`` float32 ``[n]``, the share of its signal that
    is missing from each slice of each DWI, 0 of most, slices along ``slice_axis``; ``excess``
    float32 ``[X, Y, Z]``, of `dwijax.data.phantom.excess.excess_of`.
    """

    b0: np.ndarray
    attenuation: np.ndarray
    order: int
    mask: np.ndarray
    gtab: GradientTable
    affine: np.ndarray
    sigma: float
    scale: float
    relative: np.ndarray
    correlation: np.ndarray
    gain: float
    motion: np.ndarray
    dropouts: np.ndarray
    slice_axis: int
    excess: np.ndarray

    @property
    def b(self):
        """Median b of its directions, s/mm²."""
        return float(np.median(self.gtab.bvals[~self.gtab.b0s_mask]))


def identity(subject):
    """Which scan it is: the checksum of its mean b0, which no renaming, recompression or
    reorientation of the file changes.

    Args:
      subject: `dwijax.data.subject.Subject`.
    """
    return hashlib.sha256(np.ascontiguousarray(subject.b0).tobytes()).hexdigest()


def fit_scan(subject, progress=False):
    """`Fit` of a `dwijax.data.subject.Subject`; ``progress``: whether to show a bar."""
    from scipy.ndimage import binary_dilation

    b0s_mask, scale = subject.gtab.b0s_mask, np.float32(subject.scale)
    brain = subject.dwi[subject.mask] / scale
    bvecs = subject.gtab.bvecs[~b0s_mask]
    sigma = domain.noise_level(brain[:, b0s_mask], brain[:, ~b0s_mask], bvecs,
                               subject.mask) or 0.0
    found = noise_in_space(brain[:, ~b0s_mask], bvecs, subject.mask)
    relative = np.ones(subject.mask.shape, np.float32)
    relative[subject.mask] = found.relative
    head = binary_dilation(subject.mask, iterations=AROUND)
    signal = noise_free(mppca(subject.dwi / scale, head, progress=progress)[head], sigma)

    order = next(order for least, order in ORDERS if len(bvecs) >= least)
    b0 = signal[:, b0s_mask].mean(axis=1)
    rows, start = log_sh_system(bvecs, order, WEIGHT)
    coefficients, = in_chunks(lambda dwi: (_coefficients(rows, start, dwi),),
                              [signal[:, ~b0s_mask]])
    basis = sh_basis(bvecs, order)[0].astype(np.float32)
    coefficients[:, 0] -= np.log(np.maximum(b0, FLOOR)) / basis[0, 0]
    model = b0[:, None] * np.exp(np.minimum(coefficients @ basis.T, 0))

    def volume(values):
        out = np.zeros((*head.shape, *values.shape[1:]), np.float32)
        out[head] = values
        return out

    excess = excess_of(subject.dwi[..., ~b0s_mask] / scale, volume(model), volume(b0), bvecs,
                       subject.mask, found)
    axis = _slice_axis(subject)
    return Fit(volume(b0), volume(coefficients), order, subject.mask, subject.gtab,
               subject.affine, float(sigma), float(scale), relative, found.correlation,
               found.gain, found.motion, _dropouts(subject, brain, axis), axis, excess)


def _slice_axis(subject):
    """Which axis of the arrays slices were acquired along."""
    stored = np.eye(3)[slice_axis(subject.image)]
    return int(np.abs(canonical_bvecs(stored, subject.orientation)).argmax())


def _dropouts(subject, brain, axis):
    """Of `Fit`: what the slices that are out of line and darker lack, and 0 for all others."""
    found = examine(*slice_means(brain.T, np.nonzero(subject.mask)[axis]), subject.gtab)
    weighted = ~subject.gtab.b0s_mask
    missing = np.zeros(max(np.count_nonzero(weighted) * len(found.slices), 1), np.float32)
    dark = [-change for m, _, change in found.odd if weighted[m] and change < 0]
    missing[:len(dark)] = dark
    return missing


@jax.jit
def _coefficients(rows, start, dwi):
    return log_sh_coefficients(rows, start, dwi).T


def noise_free(mean, sigma):
    """The signal ν whose magnitude, with noise of SD σ, has this mean (Rice).

    E[M] = σ sqrt(π/2) L½(−ν²/2σ²); below its least value, σ sqrt(π/2), ν is 0.

    Args:
      mean: float32 array. sigma: σ.
    """
    from scipy.special import ive

    if not sigma:
        return mean
    nu = np.linspace(0, 20, 4001)
    x = nu**2 / 4
    means = np.sqrt(np.pi / 2) * ((1 + 2 * x) * ive(0, x) + 2 * x * ive(1, x))
    high = np.sqrt(np.maximum(mean**2 - sigma**2, 0))
    return np.where(mean < 19 * sigma, sigma * np.interp(mean / sigma, means, nu),
                    high).astype(np.float32)


def simulate_like(fit, settings, index):
    """Draws subject ``index``; it depends on nothing but the arguments.

    Args:
      fit: `Fit`. settings: `LikeSettings`.

    Returns:
      `dwijax.data.phantom.subject.SimulatedSubject`, in the scan's intensities.
    """
    def stream(number):
        return np.random.default_rng([settings.seed, index, number])

    shape, size = fit.mask.shape, voxel_size(fit.affine)
    place = displaced(stream(0), shape, size, settings)
    warped, turns = warp(fit, place, size)
    if not warped.mask.any():
        raise InputError("mask", found=f"nothing left of it once it is deformed (subject {index})",
                         expected="a brain some voxels thick", remedy="give a mask of the brain")
    b0, attenuation = warped.b0, warped.attenuation

    def grain(number, relative):
        return np.exp(np.float32(relative) * texture(stream(number), shape, size, 1.6))

    b0 = b0 * grain(1, settings.s0) * noise.shading(stream(2), shape, settings.shading)
    attenuation = attenuation * grain(3, settings.diffusivity)[..., None]
    attenuation[..., 1:] *= grain(4, settings.anisotropy)[..., None]

    gtab = settings.scanned_by(fit.gtab)
    weighted = ~gtab.b0s_mask
    logs = evaluate(attenuation, fit.order, turns, gtab.bvecs[weighted])
    logs *= (gtab.bvals[weighted] / fit.b)[:, None, None, None].astype(np.float32)
    clean = np.empty((len(gtab), *shape), np.float32)
    clean[~weighted] = b0
    clean[weighted] = b0 * np.exp(np.minimum(logs, 0))
    if settings.texture:
        textured(clean, b0 * warped.excess, gtab, fit.b, stream(9))
    clean *= np.float32(fit.scale)

    moved = SimulatedSubject(
        dwi=None, clean=np.moveaxis(clean, 0, -1), gtab=gtab, affine=fit.affine,
        mask=warped.mask, tissue=None, labels=np.zeros(shape, np.int16),
        lesion=np.zeros(shape, bool), populations=None, fractions=None, sigma=None, snr=None)
    maps = truth_maps(moved)
    tissue = np.where(maps["md"] > 1.5e-3, _CSF, np.where(maps["fa"] > 0.25, _WHITE, _GREY))
    tissue = np.where(warped.mask, tissue, 0).astype(np.uint8)
    bright = clean[~weighted].mean(axis=0)
    white = float(bright[tissue == _WHITE].mean()) if (tissue == _WHITE).any() else fit.scale
    sigma = fit.sigma * fit.scale if settings.snr is None else white / settings.snr
    level, measured = np.full(shape, sigma, np.float32), clean
    if not settings.white_noise:
        level *= warped.relative
        gains = 1 + fit.gain * stream(6).standard_normal(len(gtab)) * weighted
        measured = clean * gains.astype(np.float32)[:, None, None, None]
        measured[weighted] = _disturbed(measured[weighted], fit, stream(7), stream(8), size)
    measured = noise.rician(measured, level, stream(5),
                            np.zeros(3) if settings.white_noise else fit.correlation)
    return moved._replace(dwi=np.moveaxis(measured, 0, -1), tissue=tissue, sigma=level,
                          snr=white / sigma if sigma else np.inf)


def _disturbed(dwi, fit, motion, dropouts, size):
    """DWIs ``[N, X, Y, Z]`` that have moved and lost slices as those of the scan have; by two
    generators."""
    noise.moved(dwi, motion, fit.motion * size, 0.0, size)
    missing = dropouts.choice(fit.dropouts, (len(dwi), dwi.shape[1 + fit.slice_axis]))
    along = [1, 1, 1]
    along[fit.slice_axis] = -1
    return dwi * (1 - missing.reshape(len(dwi), *along))


def displaced(rng, shape, size, settings):
    """Where each voxel of a subject lies in the scan, mm ``[X, Y, Z, 3]`` along its axes."""
    from scipy.spatial.transform import Rotation

    points = np.stack(np.meshgrid(*((np.arange(n) - (n - 1) / 2) * s for n, s in
                                    zip(shape, size, strict=True)), indexing="ij"), axis=-1)
    pose = Rotation.from_euler("xyz", settings.pose_degrees * rng.standard_normal(3), degrees=True)
    shift = settings.pose_shift * rng.standard_normal(3)
    wander = np.stack([band_noise(rng, shape, size, settings.wavelength, 0.4)
                       for _ in range(3)], axis=-1)
    return points @ pose.as_matrix().T + shift + settings.deformation * wander


def warp(fit, place, size):
    """The fit as it looks from elsewhere.

    Args:
      fit: `Fit`. place: for each voxel its place in the scan, mm ``[X, Y, Z, 3]`` from the centre.
      size: of a voxel, mm, three values.

    Returns:
      ``(Fit, turns [X, Y, Z, 3, 3])``: the harmonics are still those of the scan's directions,
      ``turns @ g`` of the direction g here (finite strain: the rotation of the Jacobian's polar
      decomposition, Alexander et al. 2001).
    """
    from scipy.ndimage import map_coordinates

    shape = fit.mask.shape
    where = np.moveaxis(place / size + (np.asarray(shape) - 1) / 2, -1, 0)

    def sampled(volume, mode="constant"):
        return map_coordinates(volume.astype(np.float32), where, order=1, mode=mode)

    jacobian = np.stack([np.stack(np.gradient(place[..., i], *size), axis=-1) for i in range(3)],
                        axis=-2)
    u, _, v = np.linalg.svd(jacobian)
    attenuation = np.stack([sampled(fit.attenuation[..., i], "nearest")
                            for i in range(fit.attenuation.shape[-1])], axis=-1)
    found = fit._replace(b0=sampled(fit.b0), attenuation=attenuation,
                         mask=sampled(fit.mask) > 0.5,
                         relative=sampled(fit.relative, "nearest"), excess=sampled(fit.excess))
    return found, u @ v


def evaluate(coefficients, order, turns, bvecs):
    """Spherical harmonics of each voxel at its own turned directions, float32 ``[M, X, Y, Z]``.

    Args:
      coefficients: ``[X, Y, Z, c]``. order: 2, 4 or 6. turns: ``[X, Y, Z, 3, 3]``.
      bvecs: ``[M, 3]``.
    """
    powers, change = sh_polynomials(order)

    def monomials(points):
        x, y, z = np.moveaxis(points, -1, 0)
        return np.stack([x**i * y**j * z**k for i, j, k in powers], axis=-1)

    polynomials = (coefficients @ change.T).astype(np.float32)
    turns = turns.astype(np.float32)
    return np.stack([np.einsum("...p,...p->...", monomials(turns @ g.astype(np.float32)),
                               polynomials) for g in bvecs])

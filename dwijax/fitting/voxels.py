"""Tensor fits and maps of masked voxels, in chunks of one shape: compiled once per table length."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from dwijax import dti
from dwijax.gradients import GradientTable
from dwijax.process.threads import cores

# MRtrix3's default, which He et al. used: the squared measured signals as weights, then two
# reweightings by the squared predicted ones.
FIT = {"method": "iwls", "start": "measured"}
_REWEIGHTINGS = 2
# Its first step (MRtrix3's -iter 0) has none. As a sample's weight does not depend on the other
# samples, points put on the surface of a fit leave it exactly where it was.
_FIRST_STEP = 0

_CHUNK = 2048  # voxels; with a hundred volumes a chunk still fits into a core's cache
_VOLUMES = 32


class Maps(NamedTuple):
    """Of V voxels, NumPy float32: ``fa [V]`` clipped to 0..1, ``md [V]`` and ``tensor [V, 6]`` in
    µm²/ms, ``log_s0 [V]``, bool ``determined [V]``: elsewhere the others are as of
    `dwijax.dti.TensorFit`, and no mean or error may count them."""

    fa: np.ndarray
    md: np.ndarray
    tensor: np.ndarray
    log_s0: np.ndarray
    determined: np.ndarray


def fit_maps(parts: list[np.ndarray], gtab: GradientTable, first_step: bool = False) -> Maps:
    """Tensors by `FIT`, FA and MD.

    Args:
      parts: list of float32 ``[V, m_i]``, side by side the volumes of ``gtab``. They are joined
        chunk by chunk, never as a whole.
      gtab: `dwijax.gradients.GradientTable` of all their volumes.
      first_step: by its first step alone, MRtrix3's ``-iter 0``.

    Returns:
      `Maps`.
    """
    design = np.asarray(dti.design_matrix(gtab.bvals, gtab.bvecs))
    # Tables of like lengths share one program: a sample of 0 does not count, nor its row.
    volumes = -(-len(design) // _VOLUMES) * _VOLUMES
    design = np.pad(design, [(0, volumes - len(design)), (0, 0)])
    reweightings = np.int32(_FIRST_STEP if first_step else _REWEIGHTINGS)
    return Maps(*in_chunks(lambda signal: _fit(signal, design, reweightings), parts, volumes))


def tensor_signal(maps: Maps, gtab: GradientTable) -> np.ndarray:
    """Signal float32 ``[V, M]`` of fitted tensors at the volumes of ``gtab``."""
    design = np.asarray(dti.design_matrix(gtab.bvals, gtab.bvecs))
    return np.exp(maps.tensor @ design[:, :6].T + maps.log_s0[:, None])


def along_and_across(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(ad [V], rd [V], v1 [V, 3])`` float32 of tensors ``[V, 6]``: axial and radial diffusivity
    in their unit, unit eigenvector of the largest eigenvalue."""
    return tuple(in_chunks(_along_and_across, [tensor]))


def principal_directions(tensor: np.ndarray) -> np.ndarray:
    """Unit eigenvectors of the largest eigenvalues, float32 ``[V, 3]``, of ``[V, 6]``."""
    return along_and_across(tensor)[2]


def in_chunks(function: Callable, parts: list[np.ndarray],
              width: int | None = None) -> list[np.ndarray]:
    """Applies ``function([chunk, M]) -> tuple of [chunk, ...]`` to ``parts``, joined ``[V, M]``.

    Filled up with columns of 0 to ``width``.
    """
    voxels, columns = len(parts[0]), sum(p.shape[1] for p in parts)

    def apply(start):
        chunk = np.ones((_CHUNK, width or columns), np.float32)
        chunk[:, columns:] = 0
        count = min(_CHUNK, voxels - start)
        np.concatenate([p[start:start + count] for p in parts], axis=1,
                       out=chunk[:count, :columns])
        return [np.asarray(r)[:count] for r in function(chunk)]

    # One chunk's program keeps one core busy.
    with ThreadPoolExecutor(cores()) as pool:
        results = pool.map(apply, range(0, voxels, _CHUNK))
        return [np.concatenate(r) for r in zip(*results, strict=True)]


@jax.jit
def _fit(signal, design, reweightings):
    # A traced number: compiling takes longer than fitting a subject, so one program serves both.
    fit = dti.fit_tensor(signal, design, **FIT, reweightings=reweightings)
    fa = dti.fractional_anisotropy(fit.tensor).clip(0, 1)
    return fa, dti.mean_diffusivity(fit.tensor), fit.tensor, fit.log_s0, fit.determined


@jax.jit
def _along_and_across(tensor):
    return (dti.axial_diffusivity(tensor), dti.radial_diffusivity(tensor),
            dti.principal_direction(tensor))

"""Tensor fits and maps of masked voxels, in chunks of one shape: compiled once per table length."""

from typing import NamedTuple

import jax
import numpy as np

from dwijax import dti

# The fit of He et al.: MRtrix3's default, measured weights and two reweightings. Points put on
# the surface of its own fit leave it where it was, so tensor interpolation adds nothing to it.
FIT = {"method": "iwls", "start": "measured"}

_CHUNK = 8192  # voxels; with a hundred volumes a chunk still fits into a processor's cache


class Maps(NamedTuple):
    """Of V voxels, float32: ``fa [V]`` clipped to 0..1, ``md [V]`` and ``tensor [V, 6]`` in
    µm²/ms."""

    fa: np.ndarray
    md: np.ndarray
    tensor: np.ndarray


def fit_tensors(parts, gtab):
    """Tensors by `FIT`.

    Args:
      parts: list of float32 ``[V, m_i]``, side by side the volumes of ``gtab``. They are joined
        chunk by chunk, never as a whole.
      gtab: `dwijax.gradients.GradientTable` of all their volumes.

    Returns:
      `dwijax.dti.TensorFit` of float32 NumPy arrays, ``[V, 6]`` in µm²/ms and ``[V]``.
    """
    return dti.TensorFit(*_in_chunks(_fit, parts, gtab))


def fit_maps(parts, gtab):
    """`Maps` of the same fit; arguments as `fit_tensors`."""
    return Maps(*_in_chunks(_maps, parts, gtab))


def tensor_signal(fit, gtab):
    """Signal float32 ``[V, M]`` of fitted tensors (NumPy) at the volumes of ``gtab``."""
    design = np.asarray(dti.design_matrix(gtab.bvals, gtab.bvecs))
    return np.exp(fit.tensor @ design[:, :6].T + fit.log_s0[:, None])


def _in_chunks(function, parts, gtab):
    """Applies ``function(signal [chunk, M], design [M, 7]) -> tuple of [chunk, ...]``."""
    design = dti.design_matrix(gtab.bvals, gtab.bvecs)
    voxels = len(parts[0])
    chunk = np.ones((_CHUNK, len(gtab)), np.float32)
    outputs = None
    for start in range(0, voxels, _CHUNK):
        count = min(_CHUNK, voxels - start)
        np.concatenate([p[start:start + count] for p in parts], axis=1, out=chunk[:count])
        # Fetched before the buffer is filled again: on a CPU the device may read it in place.
        results = [np.asarray(r)[:count] for r in function(chunk, design)]
        if outputs is None:
            outputs = [np.empty((voxels, *r.shape[1:]), r.dtype) for r in results]
        for output, result in zip(outputs, results, strict=True):
            output[start:start + count] = result
    return outputs


@jax.jit
def _fit(signal, design):
    return dti.fit_tensor(signal, design, **FIT)


@jax.jit
def _maps(signal, design):
    tensor = dti.fit_tensor(signal, design, **FIT).tensor
    fa = dti.fractional_anisotropy(tensor).clip(0, 1)
    return fa, dti.mean_diffusivity(tensor), tensor

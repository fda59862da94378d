"""All maps of one chunk of voxels, in one compiled function."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dwijax import dti
from dwijax.dti.elements import MM2_PER_S, congruence
from dwijax.dti.fit import samples_that_count

_TILE = 4096  # voxels whose 100 volumes of weights, residuals and products stay in the cache
_PER_CHUNK = 8 * 2**20  # samples of a chunk: 32 MB

# Maps: number of components. Diffusivities are written in mm²/s.
MAPS = {
    "fa": 1, "md": 1, "ad": 1, "rd": 1, "mode": 1, "cl": 1, "cp": 1, "cs": 1, "norm": 1,
    "l1": 1, "l2": 1, "l3": 1, "v1": 3, "v2": 3, "v3": 3, "fa_v1": 3, "color_fa": 3,
    "tensor": 6, "s0": 1, "sigma": 1, "rmse": 1, "fa_se": 1, "md_se": 1, "covariance": 21,
    "residuals": None,
}  # fmt: skip
DEFAULT_MAPS = ("fa", "md", "ad", "rd", "v1", "color_fa", "tensor")
OF_RESIDUALS = ("sigma", "rmse", "fa_se", "md_se", "covariance", "residuals")
OF_MEASURED = ("sigma", "fa_se", "md_se", "covariance")  # claim knowledge of the noise


@dataclass(frozen=True)
class ChunkFit:
    """Fits chunks of one size and makes their maps; compiled once.

    Attributes:
      design: float32 ``[M, 7]`` in the frame of the directions.
      to_frame: float ``[3, 3]``, rotation of tensors and vectors to the frame of the output.
      to_world: float ``[3, 3]``, the same to RAS+ for colours.
      maps: names out of `MAPS`.
      options: keywords of `dti.fit_tensor`.
      grad_dev: whether chunks come with gradient deviations.
      voxels: of the scan, which decide the size of a chunk.
    """

    design: np.ndarray
    to_frame: np.ndarray
    to_world: np.ndarray
    maps: tuple
    options: dict
    grad_dev: bool
    voxels: int

    @property
    def chunk(self):
        """Voxels in a chunk: whole tiles, about 32 MB of samples."""
        most = max(_PER_CHUNK // len(self.design) // _TILE, 1)
        tiles = -(-self.voxels // _TILE)
        return -(-tiles // -(-tiles // most)) * _TILE

    def compiled(self):
        """``(samples [M, chunk], grad_dev [9, chunk] or [0, chunk]) -> {name: [chunk, ...]}``.

        Beside the maps there are ``failed`` (no tensor), ``incomplete`` (samples left out),
        ``exact`` (a tensor of seven samples, without degrees of freedom) and ``negative`` (an
        eigenvalue below 0), bool ``[chunk]``, and ``beta`` ``[chunk, 7]``.
        """
        samples = jax.ShapeDtypeStruct((len(self.design), self.chunk), jnp.float32)
        grad_dev = jax.ShapeDtypeStruct((9 if self.grad_dev else 0, self.chunk), jnp.float32)
        return jax.jit(self._tiled).lower(samples, grad_dev).compile()

    def _tiled(self, samples, grad_dev):
        def tile(i):
            part, deviation = (
                lax.dynamic_slice_in_dim(a, i * _TILE, _TILE, 1).T for a in (samples, grad_dev))
            return self._fit(part, deviation)

        out = lax.map(tile, jnp.arange(self.chunk // _TILE))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)

    def _fit(self, signal, grad_dev):
        design = jnp.asarray(self.design, signal.dtype)
        to_frame, to_world = (jnp.asarray(r, signal.dtype) for r in (self.to_frame, self.to_world))
        fit = dti.fit_tensor(signal, design, **self.options)
        tensor = dti.correct_tensor(fit.tensor, grad_dev) if self.grad_dev else fit.tensor
        count = samples_that_count(signal, design)[0].sum(-1)
        out = {
            "failed": ~fit.determined,
            "incomplete": count < len(design),
            "exact": fit.determined & (count <= design.shape[1]),
            "beta": jnp.concatenate([fit.tensor, fit.log_s0[..., None]], axis=-1),
        }
        evals, evecs = dti.eigen(tensor)
        evecs = jnp.where(out["failed"][..., None, None], jnp.zeros_like(evecs), evecs)
        vectors = jnp.einsum("ij,...jk->...ki", to_frame, evecs, precision="highest")
        fa = dti.fractional_anisotropy(tensor)
        out["negative"] = evals[..., 2] < 0
        scalars = {
            "fa": fa,
            "md": dti.mean_diffusivity(tensor) * MM2_PER_S,
            "ad": evals[..., 0] * MM2_PER_S,
            "rd": (evals[..., 1] + evals[..., 2]) / 2 * MM2_PER_S,
            "mode": dti.mode(tensor),
            "norm": dti.norm(tensor) * MM2_PER_S,
            "cl": dti.linearity(tensor),
            "cp": dti.planarity(tensor),
            "cs": dti.sphericity(tensor),
            "s0": jnp.where(fit.determined, jnp.exp(fit.log_s0), jnp.zeros_like(fit.log_s0)),
            "fa_v1": fa[..., None] * vectors[..., 0, :],
            "color_fa": dti.color_fa(fa, (evecs[..., :, 0] @ to_world.T)),
            "tensor": congruence(tensor, to_frame) * MM2_PER_S,
            **{f"l{k + 1}": evals[..., k] * MM2_PER_S for k in range(3)},
            **{f"v{k + 1}": vectors[..., k, :] for k in range(3)},
        }
        out |= {name: scalars[name] for name in self.maps if name in scalars}
        if set(OF_RESIDUALS) & set(self.maps):
            out |= self._statistics(signal, design, fit, tensor, to_frame, grad_dev)
        return out

    def _statistics(self, signal, design, fit, tensor, to_frame, grad_dev):
        found = dti.fit_statistics(signal, design, fit, self.options.get("method", "wls"))
        covariance = found.covariance
        if self.grad_dev:
            covariance = dti.rotate_covariance(covariance, dti.inverse_map(grad_dev))
        lower = np.tril_indices(6)
        out = {
            "sigma": found.sigma,
            "rmse": found.rmse,
            "fa_se": dti.standard_error(dti.fractional_anisotropy, tensor, covariance),
            "md_se": dti.standard_error(dti.mean_diffusivity, tensor, covariance) * MM2_PER_S,
            "covariance": dti.rotate_covariance(covariance, to_frame)[..., lower[0], lower[1]]
            * MM2_PER_S**2,
        }
        return {name: value for name, value in out.items() if name in self.maps}

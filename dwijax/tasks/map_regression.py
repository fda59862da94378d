"""SuperDTI (Li et al.): networks that map a few DWIs to maps of the tensor fitted to all.

Truth is the fit of all directions of the shell, made from the same slices inside the step: there
are no precomputed maps. With ``residual="fit"`` a network starts at the map of the tensor fitted to
its own q directions.
"""

import jax
import jax.numpy as jnp
import numpy as np

from dwijax import dti
from dwijax.data import channels
from dwijax.dti.elements import from_matrix, to_matrix
from dwijax.tasks.task import Task

# What a network can stand for, and its channels. The first eigenvector v comes in two forms:
#   signed   FA v, as in the paper, v turned to the side of SEAM where v · SEAM >= 0
#   dyadic   FA v vᵀ, six elements: no sign, no seam, v is its first eigenvector
# "tensor" predicts a positive definite tensor, and its maps come from that (FA, MD and the
# orientation of `orientation`).
TARGETS = {"fa": 1, "md": 1, "signed": 3, "dyadic": 6, "tensor": 8}

_SEEDS = 1000  # of a target, at most: between the numbers of two targets' networks

# Eigenvectors have no continuous sign: some tracts cross the plane normal to this, and there v
# jumps. It is 35° away from all three axes, along which the great tracts run.
SEAM = np.full(3, 3**-0.5)

LEAST = 6  # directions of a tensor
# The weighted fit; further reweightings change what is learned by nothing, and compile for long.
_FIT = {"method": "wls"}
_LEAST_DIFFUSIVITY = 0.05  # µm²/ms, of the tensors that logarithms are taken of
_LOG_RANGE = 4.0  # of ln L: diffusivities of e^-8 to e^8 µm²/ms and no overflow


def target_of(number):
    """Which of ``TARGETS`` a network stands for, by its number in `Task.numbers`."""
    return list(TARGETS)[int(number) // _SEEDS]


def map_regression(gtab, b0s, inputs, *, targets, seeds=1, networks=None, residual="none",
                   b0_input=True, added_noise=0.0):
    """Li et al.: each network maps the same q DWIs to its own map.

    Networks of fewer channels than the widest share its architecture; their other channels are 0
    in target and prediction alike.

    Args:
      gtab: table of the shell's n directions in acquired order, without b0s.
      b0s: number of b0 volumes behind the mean b0.
      inputs: positions of the inputs among the n directions, ``[q]``.
      targets: names of ``TARGETS``. seeds: networks of each, that differ in initialisation.
      networks: positions in this stack of targets and their seeds, ``[K]``; all by default.
      residual: ``fit`` adds the networks' output to the maps of the fit of the q directions;
        ``none`` does not.
      b0_input: whether the networks see the mean b0 too (the paper's do not).
      added_noise: largest SD of the noise added to what networks see while they learn, in units of
        the scale; see `noisier`. Targets are without.

    Raises:
      ValueError: an unknown target, or a fit that the inputs do not determine.
    """
    inputs = np.asarray(inputs)
    if set(targets) - set(TARGETS):
        raise ValueError(f"unknown targets {sorted(set(targets) - set(TARGETS))}")
    numbers = np.array([_SEEDS * list(TARGETS).index(t) + s for t in targets for s in range(seeds)])
    numbers = numbers if networks is None else numbers[networks]
    kinds = [target_of(number) for number in numbers]
    if residual == "fit" and not b0_input:
        raise ValueError("a fit needs the b0")
    if residual == "fit" and len(inputs) < LEAST and set(kinds) != {"md"}:
        raise ValueError(f"{len(inputs)} directions do not determine a tensor")
    maps_out = max(TARGETS[target] for target in targets)
    # Network k takes its channels out of all maps side by side by a 0-1 matrix [all, channels].
    select = np.stack([_selection(kind, tuple(dict.fromkeys(kinds)), maps_out) for kind in kinds])
    physical = np.array([kind == "tensor" for kind in kinds])
    seen = {"inputs": channels.Directions(inputs)}
    others = np.setdiff1d(np.arange(len(gtab)), inputs)
    everything = _fitter(gtab, np.concatenate([inputs, others]), b0s)
    learnt = {"others": channels.Directions(others)}
    if b0_input:
        seen = {"b0": channels.B0()} | seen
    else:
        learnt["b0"] = channels.B0()

    def measured(images):
        fit = everything(jnp.concatenate(
            [images[name] for name in ("b0", "inputs", "others")], axis=-1))
        maps = jnp.concatenate(
            [tensor_maps(fit.tensor, kind) for kind in dict.fromkeys(kinds)], -1)
        # What has no tensor has no target.
        maps = jnp.where(fit.determined[..., None], maps, jnp.nan)
        return jnp.einsum("nhwc,kcd->knhwd", maps, select, precision="highest")

    def disturb(images):
        if not added_noise:
            return images
        x = noisier(jnp.concatenate([images["b0"], images["inputs"]], axis=-1), b0s, added_noise)
        return images | {"b0": x[..., :1], "inputs": x[..., 1:]}

    def baseline(weights, images):
        if residual == "none":
            return jnp.zeros((*images["inputs"].shape[:-1], maps_out), images["inputs"].dtype)
        x = jnp.concatenate([images["b0"], images["inputs"]], axis=-1)
        starts = _starts(gtab, inputs, b0s, tuple(dict.fromkeys(kinds)), x)
        return jnp.einsum("nhwc,cd->nhwd", starts, weights["select"], precision="highest")

    def combine(weights, baseline, output):
        y = baseline + output
        direct = y * jnp.sum(weights["select"], axis=0)
        if not physical.any():
            return direct
        # Of the other networks too, under vmap: at 0, which is harmless.
        elements = jnp.where(weights["physical"], y[..., :6], jnp.zeros((), y.dtype))
        maps = tensor_maps(from_log_cholesky(elements), "tensor")
        return jnp.where(weights["physical"], maps, direct)

    weights = {"select": jnp.asarray(select, jnp.float32), "physical": jnp.asarray(physical)}
    return Task(numbers, seen, learnt, maps_out, measured, baseline, weights, disturb=disturb,
                combine=combine)


def noisier(x, b0s, largest):
    """b0 and DWIs with complex noise added before the magnitude, of another level in each slice.

    The noise is drawn from the slice itself: a step stays a pure function of its batch, and does
    not depend on how that is shared out between devices.

    Args:
      x: float32 ``[N, H, W, 1 + q]``. b0s: number of b0s in the mean.
      largest: of the SD, which is uniform between 0 and this, in the unit of ``x``.
    """
    share = np.ones(x.shape[-1], np.float32)
    share[0] = b0s**-0.5

    def one(image):
        bits = jax.lax.bitcast_convert_type(image, jnp.uint32)
        key = jax.random.fold_in(jax.random.key(0), jnp.sum(bits, dtype=jnp.uint32))
        level, noise = jax.random.split(key)
        sigma = jax.random.uniform(level, maxval=jnp.float32(largest)) * share
        real, imaginary = sigma * jax.random.normal(noise, (2, *image.shape), image.dtype)
        return jnp.hypot(image + real, imaginary)

    return jax.vmap(one)(jnp.asarray(x))


def tensor_maps(tensor, target):
    """Channels ``[..., TARGETS[target]]`` of a target, of tensors ``[..., 6]`` in µm²/ms."""
    fa = jnp.clip(dti.fractional_anisotropy(tensor), 0, 1)[..., None]
    md = dti.mean_diffusivity(tensor)[..., None]
    if target == "fa":
        return fa
    if target == "md":
        return md
    if target == "tensor":
        return jnp.concatenate([fa, md, orientation(tensor)], axis=-1)
    v = dti.principal_direction(tensor)
    if target == "signed":
        return fa * v * jnp.where(v @ jnp.asarray(SEAM, v.dtype) < 0, -1, 1)[..., None].astype(
            v.dtype)
    return fa * from_matrix(v[..., :, None] * v[..., None, :])


def orientation(tensor):
    """``sqrt(3/2) (D - MD I) / |D|`` ``[..., 6]``: its norm is FA, its eigenvectors are those of D.

    What a loss can say about the eigenvectors of a tensor: v vᵀ jumps where two eigenvalues cross,
    and its gradient has no bound there; this is smooth wherever D is not 0.
    """
    size = dti.norm(tensor)[..., None]
    md = dti.mean_diffusivity(tensor)[..., None]
    positive = size > 0
    deviatoric = tensor - md * jnp.asarray([1, 0, 1, 0, 0, 1], tensor.dtype)
    return jnp.where(positive, 1.5**0.5 * deviatoric / jnp.where(positive, size, 1), 0)


def from_orientation(md, oriented):
    """The tensor ``[..., 6]`` with this MD ``[...]`` and `orientation` ``[..., 6]``."""
    fa = np.linalg.norm(to_matrix(oriented), axis=(-2, -1))
    # |D|² = 3 MD² + |A|² and |A|² = 2/3 FA² |D|² (A the deviatoric part).
    size = md * np.sqrt(3 / (1 - np.minimum(fa, 0.999) ** 2 / 1.5))
    return oriented * (size / 1.5**0.5)[..., None] + md[..., None] * np.array([1, 0, 1, 0, 0, 1])


def log_cholesky(tensor):
    """``L`` of ``D = L Lᵀ``, its diagonal as logarithms, ``[..., 6]`` in the tensor's order.

    Eigenvalues below 0.05 µm²/ms are raised to it first: noise makes them negative.
    """
    xx, xy, yy, xz, yz, zz = jnp.moveaxis(dti.clip_eigenvalues(tensor, _LEAST_DIFFUSIVITY), -1, 0)
    least = jnp.asarray(_LEAST_DIFFUSIVITY / 2, tensor.dtype)  # rounding can go below
    a = jnp.sqrt(jnp.maximum(xx, least))
    b, d = xy / a, xz / a
    c = jnp.sqrt(jnp.maximum(yy - b * b, least))
    e = (yz - b * d) / c
    f = jnp.sqrt(jnp.maximum(zz - d * d - e * e, least))
    return jnp.stack([jnp.log(a), b, jnp.log(c), d, e, jnp.log(f)], axis=-1)


def from_log_cholesky(elements):
    """The positive definite tensor ``[..., 6]`` of `log_cholesky`'s elements ``[..., 6]``."""
    a, b, c, d, e, f = jnp.moveaxis(elements, -1, 0)
    a, c, f = (jnp.exp(jnp.clip(diagonal, -_LOG_RANGE, _LOG_RANGE)) for diagonal in (a, c, f))
    return jnp.stack([a * a, a * b, b * b + c * c, a * d, b * d + c * e, d * d + e * e + f * f],
                     axis=-1)


def _selection(kind, kinds, channels):
    """``[all channels of kinds, channels]``: identity on the rows of ``kind``."""
    rows = [np.eye(TARGETS[k], channels) * (k == kind) for k in kinds]
    return np.concatenate(rows).astype(np.float32)


def _fitter(gtab, directions, b0s):
    """``(b0 and DWIs [..., 1 + n]) -> TensorFit``; the mean b0 counts for all b0s."""
    design = dti.design_with_b0(gtab.bvals[directions], gtab.bvecs[directions])
    weights = jnp.asarray([b0s] + [1] * len(directions), jnp.float32)
    return lambda signal: dti.fit_tensor(signal, design, weights=weights, **_FIT)


def _starts(gtab, inputs, b0s, kinds, x):
    """What the outputs are added to, by kind and side by side, from ``x [..., 1 + q]``."""
    if len(inputs) < LEAST:
        adc = mean_adc(x, gtab.bvals[inputs])
        return adc[..., None]
    tensor = _fitter(gtab, inputs, b0s)(x).tensor
    # A "tensor" network's output is added to the logarithm of the fit's Cholesky factor; the
    # last two of its channels are not used.
    blocks = [tensor_maps(tensor, kind) if kind != "tensor" else
              jnp.pad(log_cholesky(tensor), [(0, 0)] * (x.ndim - 1) + [(0, 2)]) for kind in kinds]
    return jax.lax.stop_gradient(jnp.concatenate(blocks, axis=-1))


def mean_adc(x, bvals):
    """Mean of the ADCs ``[...]``, µm²/ms, of b0 and DWIs ``[..., 1 + q]``: MD where the directions
    are orthogonal, which three are at best. 0 where the b0 is not a hundredth of the largest DWI.

    Args:
      x: b0, then DWIs. bvals: of the DWIs, s/mm² ``[q]``.
    """
    logs = jnp.log(jnp.maximum(x, 1e-3 * jnp.maximum(x[..., :1], 1e-3)))
    adc = jnp.mean((logs[..., :1] - logs[..., 1:]) / jnp.asarray(bvals / 1000, x.dtype), axis=-1)
    return jnp.where(x[..., 0] > 0.01 * x[..., 1:].max(-1), adc, jnp.zeros_like(adc))

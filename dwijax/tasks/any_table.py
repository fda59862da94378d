"""One network for any gradient table: harmonics of the acquired directions in, of S out.

A network sees what `dwijax.data.harmonic_channels` makes of a scan and predicts the harmonics of
its signal, which can be evaluated at any direction. It learns from noise-free signals: in every
step each crop is scanned anew, by another table turned at random, with other b, noise, motion,
gain and number of b0s, so that no network sees the same scan twice. What it must predict is the
mean of a measured magnitude (Rice), at all directions, as in the volumes that its predictions are
put beside.
"""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dwijax.data import harmonic_channels as channels
from dwijax.data.channels import B0
from dwijax.gradients.directions import direction_set
from dwijax.gradients.harmonics import degrees_of, sh_at, sh_basis
from dwijax.tasks.task import Task

MOST = 90  # directions of a scan
_TABLES = 512  # that scans are drawn from, before they are turned
_JITTER = 0.15  # largest SD of each component of their directions, radians
_B0S = 18
_POINTS = 60  # directions that stand for the whole sphere
# σ that errors count as much at as those of a mean squared error.
_SIGMA = 0.05


class Disturbances(NamedTuple):
    """The most that scans are drawn with of what real ones have beside white noise.

    Attributes:
      gain: SD of a volume's. motion: SD of a volume's shifts, voxels.
      shared: weight of a neighbour in a voxel's noise, over that of its own.
      uneven: SD of ln of the noise level over a crop.
    """

    gain: float = 0.02
    motion: float = 0.2
    shared: float = 0.6
    uneven: float = 0.25


ALL, NONE = Disturbances(), Disturbances(0.0, 0.0, 0.0, 0.0)


class Tables(NamedTuple):
    """Tables that training scans are drawn from, float32, T of them.

    Attributes:
      bvecs: ``[T, 90, 3]``, those beyond a table's own without weight in its projection.
      projection: ``[T, c, 90]``. noise: ``[T, c, c]``, a square root of the covariance of what
        noise of SD 1 becomes in the harmonics. conditions: ``[T, CONDITIONS]``, but for b.
      sigma: ``[T]``. b0s: ``[T]``.
    """

    bvecs: np.ndarray
    projection: np.ndarray
    noise: np.ndarray
    conditions: np.ndarray
    sigma: np.ndarray
    b0s: np.ndarray


def any_table(*, seeds=1, networks=None, inputs=None, directions=(6, MOST), b=(700.0, 1600.0),
              snr=(8.0, 40.0), order=4, disturbances=ALL):
    """K networks of this kind, that differ in initialisation.

    Args:
      seeds: K. networks: positions in this stack; all by default.
      inputs: positions of the acquired directions in a scan's shell, ``[q]``.
      directions, b, snr: least and most of what training draws, s/mm² and median b0 over σ.
      order: of the harmonics that come out, 4 or 6. disturbances: of the scans that are drawn.
    """
    numbers = np.arange(seeds)
    numbers = numbers if networks is None else numbers[networks]
    positions = np.arange(directions[0]) if inputs is None else np.asarray(inputs)
    seen = {"harmonics": channels.Harmonics(positions), "b0": B0(),
            "beside": channels.HarmonicsBeside(positions),
            "conditions": channels.Conditions(positions)}
    count = len(degrees_of(order))
    degrees = channels.AMPLITUDES
    # Degrees beyond those that are seen are small.
    small = np.pad(1 / degrees, (0, max(count - len(degrees), 0)), constant_values=0.02)[:count]
    small = small.astype(np.float32)

    def baseline(weights, images):
        known = images["harmonics"] * jnp.asarray(1 / degrees)
        return jnp.pad(known, [(0, 0)] * 3 + [(0, max(count - known.shape[-1], 0))])[..., :count]

    def combine(weights, baseline, output):
        return baseline + output * jnp.asarray(small)

    def scan(images, draw):
        tables = jax.tree.map(jnp.asarray, _tables(tuple(directions), tuple(snr)))
        one = partial(_scan, tables, b=b, order=order, most=disturbances)
        inputs, target, precision = jax.vmap(one)(images["noise-free"], draw)
        return inputs, jnp.broadcast_to(target, (len(numbers), *target.shape)), precision

    return Task(numbers, seen, {"noise-free": channels.NoiseFree()}, count, None, baseline,
                jnp.zeros((len(numbers), 0), jnp.float32), scan=scan, combine=combine)


def mean_magnitude(signal, sigma):
    """``E[M]`` of a magnitude with noise of SD σ (Rice), to 0.001 σ.

    ``sqrt(S² + σ² f(S²/σ²))`` with f from π/2 to 1, fitted to the exact mean,
    ``σ sqrt(π/2) L½(-S²/2σ²)``.
    """
    x = (signal / sigma) ** 2
    return sigma * jnp.sqrt(x + 1 + (np.pi / 2 - 1) / (1 + x * (0.3814 + 0.0563 * x)))


@cache
def _tables(directions, snr):
    rng, found = np.random.default_rng(0), []
    spread_out = direction_set(MOST)  # and so are the first n of it
    for _ in range(_TABLES):
        q = round(float(np.exp(rng.uniform(*np.log(directions)))))
        sigma = float(np.exp(-rng.uniform(*np.log(snr))))
        b0s = round(float(np.exp(rng.uniform(0, np.log(_B0S)))))
        bvecs = spread_out[:q] + _JITTER * rng.uniform() * rng.standard_normal((q, 3))
        bvecs = bvecs @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
        onto = channels.projection(bvecs, sigma)
        end = MOST - q
        found.append(Tables(
            np.pad(bvecs, [(0, end), (0, 0)], constant_values=3**-0.5),
            np.pad(onto, [(0, 0), (0, end)]),
            np.linalg.cholesky(onto @ onto.T + 1e-8 * np.eye(len(onto))),
            channels.conditions(onto, sigma, 0.0, b0s), sigma, b0s))
    return Tables(*(np.stack(x).astype(np.float32) for x in zip(*found, strict=True)))


def _scan(tables, image, bits, b, order, most):
    """A scan of one crop: ``(inputs, target [H, W, c], precision [1, 1, 1])``.

    Mean magnitudes are expanded in harmonics once; what a table measures of them, with gains and
    motion, and projects is a small matrix. Noise is drawn in the harmonics, which are linear in the
    DWIs: a sixth of the random numbers. Its variance in a voxel is that of magnitudes, in the mean
    over the sphere.
    """
    keys = iter(jax.random.split(jax.random.key(bits), 12))
    which = jax.random.randint(next(keys), (), 0, _TABLES)
    table = jax.tree.map(lambda a: a[which], tables)
    rotation = _rotation(next(keys))
    points = direction_set(MOST)[:_POINTS].astype(np.float32)
    # Harmonics of f(Rᵀ x) from those of f.
    turned = jnp.asarray(_onto(points, channels.ORDER)) @ sh_at(points @ rotation, channels.ORDER)
    turned *= channels.AMPLITUDES[:, None] / channels.AMPLITUDES
    projection, root = turned @ table.projection, turned @ table.noise
    b = jnp.exp(jax.random.uniform(next(keys), minval=np.log(b[0]), maxval=np.log(b[1])))
    relative = _noise_map(next(keys), image.shape[:2], most)[..., None]
    sigma, sigma_b0 = table.sigma * relative, table.sigma / jnp.sqrt(table.b0s) * relative

    slices = image.reshape(*image.shape[:2], 3, -1)
    s0, logs = slices[..., 0], slices[..., 1:] * (b / 1000)
    rows = sh_basis(points, channels.TRUTH_ORDER)[0].astype(np.float32)
    clean = s0[..., None] * jnp.exp(jnp.minimum(logs @ rows.T, 0))
    mean = mean_magnitude(clean, sigma[..., None])
    sd = jnp.sqrt(jnp.mean(
        jnp.maximum(clean**2 + 2 * sigma[..., None]**2 - mean**2, 0), axis=-1))
    mean = mean @ jnp.asarray(_onto(points, channels.TRUTH_ORDER).T)

    measure = sh_at(table.bvecs @ rotation.T, channels.TRUTH_ORDER)  # [90, c]
    harmonics = _moved(next(keys), mean, projection, measure, most)
    shared = most.shared * jax.random.uniform(next(keys), (3,)) ** 2
    # Rotations and `root` leave degrees 0 and 2, all that is seen of the slices beside, among
    # themselves.
    low = channels.BESIDE_COUNT
    drawn = _in_plane(jax.random.normal(
        next(keys), (*s0.shape[:2], 3 * (1 + low) + channels.COUNT - low)), shared)
    beside = _across(drawn[..., :3 * (1 + low)].reshape(*s0.shape, 1 + low), shared)
    b0 = mean_magnitude(s0, sigma_b0) + sigma_b0 * beside[..., 0]
    own = jnp.concatenate([beside[..., 1, 1:], drawn[..., 3 * (1 + low):]], axis=-1)
    own = harmonics[..., 1, :] + sd[..., 1, None] * (own @ root.T)
    low = harmonics[..., :low] + sd[..., None] * (beside[..., 1:] @ root[:low, :low].T)
    beside = jnp.concatenate([b0[..., 0, None], low[..., 0, :], b0[..., 2, None], low[..., 2, :]],
                             axis=-1)
    known = jnp.concatenate([table.conditions.at[-1].set(b / 1000), _correlation(shared)])
    known = jnp.broadcast_to(known, (*s0.shape[:2], len(known)))
    inputs = {"harmonics": own, "b0": b0[..., 1, None], "beside": beside,
              "conditions": jnp.concatenate([known, jnp.log(relative)], axis=-1)}
    target = mean[..., 1, :len(degrees_of(order))]
    return inputs, target, jnp.reshape((_SIGMA / table.sigma) ** 2, (1, 1, 1))


def _noise_map(key, shape, most):
    """σ of a crop over that of its scan, ``[H, W]``: the exponential of a random parabola."""
    x, y = jnp.meshgrid(*(jnp.linspace(-1, 1, n) for n in shape), indexing="ij")
    terms = jnp.stack([jnp.ones_like(x), x, y, x * y, x * x + y * y - 2 / 3])
    size, weights = jax.random.uniform(key), jax.random.normal(key, (len(terms),))
    return jnp.exp(most.uneven * size * jnp.einsum("i,ixy->xy", weights, terms))


def _moved(key, mean, projection, measure, most):
    """What a table makes of three slices, where every volume has a gain and, to first order, a
    shift of its own: S + u · grad S.

    Args:
      mean: harmonics ``[H, W, 3, c]``. projection: ``[d, q]``. measure: ``[q, c]``.

    Returns:
      ``[H, W, 3, d]``.
    """
    sizes, gain, shift = jax.random.split(key, 3)
    much, far = jnp.array([most.gain, most.motion]) * jax.random.uniform(sizes, (2,)) ** 2
    gains = 1 + much * jax.random.normal(gain, (projection.shape[1],))
    along = [mean @ ((projection * u) @ measure).T
             for u in far * jax.random.normal(shift, (3, projection.shape[1]))]
    rows, columns = ((_next(along[i], i, 1) - _next(along[i], i, -1)) / 2 for i in (0, 1))
    across = (along[2][..., 2:, :] - along[2][..., :1, :]) / 2
    return mean @ ((projection * gains) @ measure).T + rows + columns + across


def _next(image, axis, offset):
    """The neighbour of each voxel along an axis, one before or after; of the last itself."""
    n = image.shape[axis]
    first, last = (lax.slice_in_dim(image, i, i + 1, axis=axis) for i in (0, n - 1))
    parts = ([lax.slice_in_dim(image, 1, n, axis=axis), last] if offset > 0 else
             [first, lax.slice_in_dim(image, 0, n - 1, axis=axis)])
    return jnp.concatenate(parts, axis)


def _in_plane(noise, shared):
    """White noise ``[H, W, c]`` of SD 1 as interpolation leaves it: each voxel with a share of its
    neighbours along rows and columns."""
    for axis, weight in enumerate(shared[:2]):
        total = noise + weight * (_next(noise, axis, 1) + _next(noise, axis, -1))
        noise = total / jnp.sqrt(1 + 2 * weight**2)
    return noise


def _across(noise, shared):
    """The same across slices ``[H, W, 3, c]``."""
    r = _correlation(shared)[2]
    first, second, third = jnp.moveaxis(noise, 2, 0)
    second = r * first + jnp.sqrt(1 - r**2) * second
    return jnp.stack([first, second, r * second + jnp.sqrt(1 - r**2) * third], axis=2)


def _correlation(shared):
    """Of neighbours in such noise."""
    return 2 * shared / (1 + 2 * shared**2)


def _onto(points, order):
    return np.linalg.pinv(sh_basis(points, order)[0]).astype(np.float32)


def _rotation(key):
    """A rotation ``[3, 3]``, all alike likely: of a random unit quaternion."""
    q = jax.random.normal(key, (4,))
    w, x, y, z = q / jnp.linalg.norm(q)
    return jnp.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


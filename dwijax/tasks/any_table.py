"""One network for any gradient table: harmonics of the acquired directions in, of S out.

A network sees what `dwijax.data.harmonic_channels` makes of a scan and predicts the harmonics of
its signal, which can be evaluated at any direction. It learns from noise-free signals: in every
step each crop is scanned anew, by another table turned at random, with other b, noise and number
of b0s, so that no network sees the same scan twice. What it must predict is the mean of a measured
magnitude (Rice), at all directions, as in the volumes that its predictions are put beside.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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


class Tables(NamedTuple):
    """Tables that training scans are drawn from, float32, T of them.

    Attributes:
      bvecs: ``[T, 90, 3]``; used: ``[T, 90]``, 1 or 0.
      projection: ``[T, c, 90]``. noise: ``[T, c, c]``, a square root of the covariance of what
        noise of SD 1 becomes in the harmonics. conditions: ``[T, CONDITIONS]``, but for b.
      sigma: ``[T]``. b0s: ``[T]``.
    """

    bvecs: np.ndarray
    used: np.ndarray
    projection: np.ndarray
    noise: np.ndarray
    conditions: np.ndarray
    sigma: np.ndarray
    b0s: np.ndarray


def any_table(*, seeds=1, networks=None, inputs=None, directions=(6, MOST), b=(700.0, 1600.0),
              snr=(8.0, 40.0), order=4):
    """K networks of this kind, that differ in initialisation.

    Args:
      seeds: K. networks: positions in this stack; all by default.
      inputs: positions of the acquired directions in a scan's shell, ``[q]``.
      directions, b, snr: least and most of what training draws, s/mm² and median b0 over σ.
      order: of the harmonics that come out, 4 or 6.
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
        one = lambda image, bits: _scan(tables, image, bits, b, order)  # noqa: E731
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
            np.pad(bvecs, [(0, end), (0, 0)], constant_values=3**-0.5), np.arange(MOST) < q,
            np.pad(onto, [(0, 0), (0, end)]),
            np.linalg.cholesky(onto @ onto.T + 1e-8 * np.eye(len(onto))),
            channels.conditions(onto, sigma, 0.0, b0s), sigma, b0s))
    return Tables(*(np.stack(x).astype(np.float32) for x in zip(*found, strict=True)))


def _scan(tables, image, bits, b, order):
    """A scan of one crop: ``(inputs, target [H, W, c], precision [1, 1, 1])``.

    Noise is drawn in the harmonics, which are linear in the DWIs: a sixth of the random numbers.
    Its variance in a voxel is that of magnitudes, in the mean over the directions.
    """
    which, turn, contrast, noise, noise_b0 = jax.random.split(jax.random.key(bits), 5)
    table = jax.tree.map(lambda a: a[jax.random.randint(which, (), 0, _TABLES)], tables)
    rotation = _rotation(turn)
    points = direction_set(MOST)[:_POINTS].astype(np.float32)
    # Harmonics of f(Rᵀ x) from those of f.
    turned = jnp.asarray(_onto(points, channels.ORDER)) @ sh_at(points @ rotation, channels.ORDER)
    turned *= channels.AMPLITUDES[:, None] / channels.AMPLITUDES
    projection, root = turned @ table.projection, turned @ table.noise
    b = jnp.exp(jax.random.uniform(contrast, minval=np.log(b[0]), maxval=np.log(b[1])))
    sigma, sigma_b0 = table.sigma, table.sigma / jnp.sqrt(table.b0s)

    slices = image.reshape(*image.shape[:2], 3, -1)
    s0, logs = slices[..., 0], slices[..., 1:] * (b / 1000)

    def signal(bvecs, s0, logs):
        rows = sh_at(bvecs, channels.TRUTH_ORDER)
        return s0[..., None] * jnp.exp(jnp.minimum(logs @ rows.T, 0))

    clean = signal(table.bvecs @ rotation.T, s0, logs)
    mean = mean_magnitude(clean, sigma)
    variance = jnp.maximum(clean**2 + 2 * sigma**2 - mean**2, 0)
    sd = jnp.sqrt(variance @ table.used / jnp.sum(table.used))
    drawn = jax.random.normal(noise, (*s0.shape, channels.COUNT), image.dtype) @ root.T
    harmonics = mean @ projection.T + sd[..., None] * drawn
    b0 = mean_magnitude(s0, sigma_b0) + sigma_b0 * jax.random.normal(
        noise_b0, s0.shape, image.dtype)
    beside = jnp.concatenate([
        image for i in (0, 2) for image in (b0[..., i, None],
                                            harmonics[..., i, :channels.BESIDE_COUNT])], axis=-1)
    known = jnp.broadcast_to(table.conditions.at[-1].set(b / 1000),
                             (*s0.shape[:2], channels.CONDITIONS))
    inputs = {"harmonics": harmonics[..., 1, :], "b0": b0[..., 1, None], "beside": beside,
              "conditions": known}
    everywhere = mean_magnitude(signal(jnp.asarray(points), s0[..., 1], logs[..., 1, :]), sigma)
    target = everywhere @ jnp.asarray(_onto(points, order).T)
    return inputs, target, jnp.reshape((_SIGMA / sigma) ** 2, (1, 1, 1))


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


"""One network for any gradient table: what it sees, what it is taught, what cannot matter."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import ive

from dwijax.data import harmonic_channels as channels
from dwijax.data.channels import Where
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.gradients.harmonics import (
    FEWEST_OF_ORDER_4,
    SPREAD,
    degrees_of,
    sh_at,
    sh_basis,
    wiener_sh,
)
from dwijax.inference.volumes import signal
from dwijax.models.stack import Network
from dwijax.tasks import any_table
from dwijax.tasks.task import predictor

SHAPE, SIGMA, B0S = (8, 9, 5), 0.04, 3


def scan(bvecs, *, seed=0, sigma=SIGMA):
    """A subject of random tensors, scanned by these directions."""
    rng = np.random.default_rng(seed)
    root = 0.45 * rng.normal(size=(*SHAPE, 3, 3))
    tensor = root @ np.swapaxes(root, -1, -2) + 0.3 * np.eye(3)
    clean = np.exp(-np.einsum("mi,...ij,mj->...m", bvecs, tensor, bvecs))
    clean = np.concatenate([np.ones((*SHAPE, B0S)), clean], axis=-1)
    dwi = (clean + sigma * rng.normal(size=clean.shape)).astype(np.float32)
    gtab = GradientTable(np.r_[np.zeros(B0S), np.full(len(bvecs), 1000.0)],
                         np.r_[np.zeros((B0S, 3)), bvecs])
    mask = np.ones(SHAPE, bool)
    return SimpleSubject(name="scan", dwi=dwi, gtab=gtab, mask=mask, scale=1.0,
                         b0=dwi[..., :B0S].mean(-1)), tensor


class SimpleSubject(SimpleNamespace):
    """What channels look at of a `dwijax.data.subject.Subject`."""

    __hash__, __eq__ = object.__hash__, object.__eq__


def changed(subject, **fields):
    return SimpleSubject(**vars(subject) | fields)


def images(subject, q, axis=2, task=None):
    task = task or any_table.any_table(inputs=np.arange(q))
    where = Where(np.arange(SHAPE[axis]), axis)
    return {name: np.asarray(channel.at(np.arange(q))(subject, where))
            for name, channel in task.inputs.items()}


def silent(task):
    """The predictor of networks whose output is 0."""
    network = Network(None, lambda params, x: jnp.zeros((*x.shape[:-1], task.out_channels)))
    return predictor(task, network, 0.3)


def start(subject, q, bvecs, axis=2):
    """DWIs of the residual baseline at other directions ``[X, Y, Z, T]``."""
    task = any_table.any_table(inputs=np.arange(q))
    x = task.see(images(subject, q, axis, task))
    found = np.asarray(silent(task)(jnp.zeros(1), x))  # [1, S, H, W, c]
    return signal(np.moveaxis(found, 1, 1 + axis), bvecs, axis)


@pytest.mark.parametrize("q", [6, 12, 30])
def test_a_silent_network_is_tuned_harmonics(q):
    """Ridge regression by hand, with the noise that the scan has; the same across every axis."""
    bvecs, wanted = direction_set(q), direction_set(20)
    subject, _ = scan(bvecs)
    order = 4 if q >= FEWEST_OF_ORDER_4 else 2
    basis, degrees = sh_basis(bvecs, order)
    sigma = channels.seen(subject, np.arange(q), 2).conditions[0] / 10
    assert sigma == pytest.approx(SIGMA, rel=0.15)
    penalty = np.array([(sigma / SPREAD[d]) ** 2 * (d > 0) for d in degrees])
    by_hand = sh_basis(wanted, order)[0] @ np.linalg.solve(
        basis.T @ basis + np.diag(penalty), basis.T)
    expected = subject.dwi[..., B0S:] @ by_hand.T
    for axis in range(3):
        np.testing.assert_allclose(start(subject, q, wanted, axis), expected, atol=2e-4)


def test_the_wiener_filter_is_the_best_linear_estimate():
    """Of coefficients with that spread no other weight of the penalty does better."""
    rng, bvecs, sigma = np.random.default_rng(0), direction_set(24), 0.06
    degrees = degrees_of(4)
    basis = sh_basis(bvecs, 4)[0]
    spread = np.array([SPREAD[d] for d in degrees])
    true = rng.normal(size=(20_000, len(degrees))) * spread
    dwi = true @ basis.T + sigma * rng.normal(size=(20_000, 24))

    def error(sigma):
        found = dwi @ wiener_sh(bvecs, sigma).T
        return np.sqrt(np.mean((found - true)[:, 1:] ** 2))

    assert error(sigma) < min(error(sigma / 2), error(sigma * 2), error(1e-4))


def test_turning_scan_and_table_turns_the_answer():
    bvecs, wanted = direction_set(30), direction_set(20)
    subject, _ = scan(bvecs)
    turn = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
    gtab = subject.gtab
    turned = changed(subject, gtab=GradientTable(gtab.bvals, gtab.bvecs @ turn.T))
    np.testing.assert_allclose(start(turned, 30, wanted @ turn.T), start(subject, 30, wanted),
                               atol=1e-4)


def test_order_and_signs_of_directions_do_not_matter_to_the_last_bit():
    bvecs = direction_set(15)
    subject, _ = scan(bvecs)
    rng = np.random.default_rng(1)
    order, signs = rng.permutation(15), rng.choice([-1.0, 1.0], 15)
    volumes = np.r_[np.arange(B0S), B0S + order]
    other = changed(subject, dwi=subject.dwi[..., volumes], gtab=GradientTable(
        subject.gtab.bvals, np.r_[np.zeros((B0S, 3)), bvecs[order] * signs[:, None]]))
    for axis in range(3):
        for a, b in zip(images(subject, 15, axis).values(), images(other, 15, axis).values(),
                        strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("table", ["six", "duplicates", "hemisphere", "near a plane"])
def test_tables_of_all_kinds(table):
    bvecs = {"six": direction_set(6), "duplicates": np.repeat(direction_set(10), 2, axis=0),
             "hemisphere": direction_set(20) * np.sign(direction_set(20)[:, 2:]),
             "near a plane": direction_set(30) * [1, 1, 0.3]}[table]
    bvecs = bvecs / np.linalg.norm(bvecs, axis=1, keepdims=True)
    subject, tensor = scan(bvecs)
    wanted = direction_set(20)
    clean = np.exp(-np.einsum("mi,...ij,mj->...m", wanted, tensor, wanted))
    found = start(subject, len(bvecs), wanted)
    assert np.isfinite(found).all()
    assert np.sqrt(np.mean((found - clean) ** 2)) < 0.15


def test_a_direction_that_is_left_out_is_not_seen():
    bvecs = direction_set(20)
    subject, _ = scan(bvecs)
    blind = changed(subject, dwi=np.where(np.arange(B0S + 20) < B0S + 12, subject.dwi, np.nan))
    for axis in range(3):
        for a, b in zip(images(subject, 12, axis).values(), images(blind, 12, axis).values(),
                        strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.isfinite(a).all()


def test_polynomials_are_dipys_harmonics():
    bvecs = direction_set(30)
    for order in (2, 4, 6):
        np.testing.assert_allclose(sh_at(jnp.asarray(bvecs, jnp.float32), order),
                                   sh_basis(bvecs, order)[0], atol=2e-5)


def test_the_mean_of_a_magnitude_is_rices():
    x = np.linspace(0, 12, 600)
    z = x**2 / 4
    exact = np.sqrt(np.pi / 2) * ((1 + 2 * z) * ive(0, z) + 2 * z * ive(1, z))
    np.testing.assert_allclose(any_table.mean_magnitude(0.05 * x, 0.05), 0.05 * exact, atol=5e-5)


def truth(shape=(16, 16)):
    """`NoiseFree` of one tensor everywhere, and S of any directions and b."""
    tensor = np.array([[1.6, 0.2, 0.1], [0.2, 0.5, 0.0], [0.1, 0.0, 0.4]])
    bvecs = direction_set(60)
    logs = -np.einsum("mi,ij,mj->m", bvecs, tensor, bvecs)
    harmonics = np.linalg.pinv(sh_basis(bvecs, channels.TRUTH_ORDER)[0]) @ logs
    image = np.tile(np.r_[1.0, harmonics], 3).astype(np.float32)
    return np.broadcast_to(image, (*shape, len(image)))


def test_a_drawn_scan_is_what_measuring_and_projecting_it_gives():
    """Mean and covariance over voxels of the harmonics, against Rician volumes of that very table
    projected by `wiener_sh`; what must be predicted is the mean magnitude."""
    image = truth((64, 64))
    bits, b_range, snr, directions = np.uint32(7), (1000.0, 1000.001), (15.0, 15.001), (20, 24)
    tables = any_table._tables(directions, snr)
    inputs, target, precision = any_table._scan(
        jax.tree.map(jnp.asarray, tables), jnp.asarray(image), bits, b_range, 4, any_table.NONE)
    which, turn, *_ = jax.random.split(jax.random.key(bits), 12)
    index = int(jax.random.randint(which, (), 0, len(tables.sigma)))
    rotation = np.asarray(any_table._rotation(turn), np.float64)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    q = int((tables.projection[index] != 0).any(axis=0).sum())
    bvecs, sigma = tables.bvecs[index, :q] @ rotation.T, float(tables.sigma[index])
    assert sigma == pytest.approx(1 / 15, rel=1e-3)
    clean = np.exp(sh_basis(bvecs, channels.TRUTH_ORDER)[0] @ image[0, 0, 1:29])
    rng = np.random.default_rng(0)
    noise = sigma * rng.normal(size=(2, 20_000, q))
    onto = channels.projection(bvecs, sigma)
    measured = np.hypot(clean + noise[0], noise[1]) @ onto.T
    drawn = np.asarray(inputs["harmonics"]).reshape(-1, channels.COUNT)
    error = measured.std(axis=0) / np.sqrt(len(drawn))
    np.testing.assert_allclose(drawn.mean(0), measured.mean(0), atol=5 * error.max())
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(measured.T), atol=0.12 * np.cov(
        measured.T).max())
    everywhere = direction_set(90)[:60]
    clean = np.exp(sh_basis(everywhere, channels.TRUTH_ORDER)[0] @ image[0, 0, 1:29])
    expected = np.hypot(clean[:, None] + sigma * rng.normal(size=(60, 40_000)),
                        sigma * rng.normal(size=(60, 40_000))).mean(1)
    np.testing.assert_allclose(np.asarray(target)[0, 0], np.linalg.pinv(
        sh_basis(everywhere, 4)[0]) @ expected, atol=2e-3)
    assert float(precision[0, 0, 0]) == pytest.approx((0.05 / sigma) ** 2, rel=1e-4)
    np.testing.assert_allclose(inputs["conditions"][0, 0], np.r_[channels.conditions(
        onto, sigma, 1000.0, int(tables.b0s[index])), np.zeros(channels.SPATIAL)], rtol=1e-3)


def test_every_draw_is_another_scan_and_the_same_draw_the_same():
    task = any_table.any_table(seeds=2)
    noise_free = {"noise-free": jnp.asarray(np.stack([truth()] * 3))}
    inputs, targets, _ = task.scan(noise_free, jnp.asarray([1, 2, 1], jnp.uint32))
    assert targets.shape == (2, 3, 16, 16, 15)
    x = np.asarray(task.see(inputs))
    assert x.shape[-1] == task.in_channels and np.isfinite(x).all()
    np.testing.assert_array_equal(x[0], x[2])
    assert np.abs(x[0] - x[1]).max() > 0.1


def test_gradients_are_finite_and_reach_every_parameter():
    from dwijax.models.stack import functional, network_keys, stack
    from dwijax.models.unet import UNet

    task = any_table.any_table(seeds=2)
    network = functional(lambda rngs: UNet(
        task.in_channels, task.out_channels, width=4, levels=1, convolutions=1, first_kernel=1,
        expansion=2, activation="silu", zero_output=False, rngs=rngs))
    predict = predictor(task, network, 0.3)
    params = stack(network).init(network_keys(jax.random.key(0), jnp.arange(2)))
    params = jax.tree.map(lambda a: a + 0.05, params)  # voxels' own layers start at 0
    inputs, targets, precision = task.scan(
        {"noise-free": jnp.asarray(truth()[None])}, jnp.asarray([3], jnp.uint32))

    def loss(params):
        return jnp.sum(precision * (predict(params, task.see(inputs)) - targets) ** 2)

    found = jax.grad(loss)(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        assert np.isfinite(leaf).all(), path
        assert (np.abs(leaf).reshape(2, -1).max(1) > 0).all(), path

"""The stack is what it says: every network trains as it would alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dwijax import dti
from dwijax.data.slices import Slices
from dwijax.data.whitening import whitening
from dwijax.devices import placement
from dwijax.devices.memory import Pieces
from dwijax.gradients import GradientTable
from dwijax.models.stack import functional, network_keys
from dwijax.models.unet import UNet
from dwijax.tasks import losses, residual_baselines
from dwijax.tasks.direction_synthesis import direction_synthesis
from dwijax.tasks.task import predictor
from dwijax.training import optimizers
from dwijax.training import step as steps
from dwijax.training.step import init_state, make_gradients, make_step, make_validation

Q, N = 8, 12


def make_dispatch(step):
    return jax.jit(steps.make_dispatch(step), donate_argnums=0)


# `direction_set(N)` in two digits: it may itself end in another minimum for another last bit, and
# what rounding does to a gradient depends on the directions.
AXES = np.array([
    (-9, -39, 92), (-79, -58, -20), (-98, -4, 20), (43, -70, -57), (-6, 99, -13), (-79, 1, -61),
    (19, 27, 94), (80, -60, 2), (54, 71, -46), (-61, 6, 79), (-25, -83, -50), (45, -64, 62)], float)
GTAB = GradientTable(np.full(N, 1000.0), AXES / np.linalg.norm(AXES, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def slices():
    """Six slices of smoothly varying random tensors with a little noise."""
    rng = np.random.default_rng(0)
    root = rng.normal(0, 0.4, (6, 1, 1, 3, 3)) + 0.2 * rng.normal(0, 1, (6, 16, 16, 3, 3))
    tensor = root @ np.swapaxes(root, -1, -2) + 0.3 * np.eye(3)
    adc = np.einsum("mi,...ij,mj->...m", GTAB.bvecs, tensor, GTAB.bvecs)
    dwi = np.exp(-adc) + rng.normal(0, 0.03, adc.shape)
    mask = np.zeros((6, 16, 16, 1), np.float32)
    mask[:, 2:14, 3:15] = 1
    origins = np.tile(np.int32([[[0, 0], [8, 8]]]), (6, 1, 1))
    dwi = dwi.astype(np.float32)
    images = {"b0": np.ones_like(mask), "inputs": dwi[..., :Q], "targets": dwi[..., Q:]}
    return jax.tree.map(jnp.asarray, Slices(images, mask, origins))


def setup(slices, targets, *, optimizer="sgd", fa_weight=0.0, residual="sh", rate=0.05,
          unet=None, **options):
    task = direction_synthesis(GTAB, 2, np.arange(Q), targets, residual=residual,
                               fa_weight=fa_weight)
    network = functional(lambda rngs: UNet(task.in_channels, 1, rngs=rngs, **unet or {
        "width": 4, "levels": 2, "convolutions": 1}))
    optimizer = optimizers.build(optimizer, learning_rate=rate, steps=20, decay=0.01)
    statistics = whitening(np.asarray(task.see(slices.images)), slices.mask)
    predict = predictor(task, network, 0.1, statistics)
    step = make_step(predict, task, optimizer, seed=5, batch=2, patch=8, **options)
    keys = network_keys(jax.random.key(1), jnp.asarray(task.numbers))
    return task, predict, step, init_state(network, optimizer, keys)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_network_in_the_stack_equals_network_alone(slices, optimizer):
    """Parameters to 1e-5 after 20 steps, same seed, same batches."""
    with jax.numpy_dtype_promotion("standard"):  # optax's adam mixes dtypes
        rate = {"sgd": 0.05, "adamw": 1e-3}[optimizer]
        _, _, step, state = setup(slices, np.arange(Q, N), optimizer=optimizer, rate=rate)
        together, _ = make_dispatch(step)(state, slices, 20)
        own = slices._replace(images=slices.images | {
            "targets": slices.images["targets"][..., 10 - Q:11 - Q]})
        _, _, step, state = setup(own, np.array([10]), optimizer=optimizer, rate=rate)
        start = jax.tree.map(np.asarray, state.params)
        alone, _ = make_dispatch(step)(state, own, 20)
    moved = 0.0
    for a, b, s in zip(*map(jax.tree.leaves, (together.params, alone.params, start)), strict=True):
        np.testing.assert_allclose(a[2], b[0], atol=1e-5)
        moved = max(moved, float(np.abs(b - s).max()))
    assert moved > 1e-3  # it did train


def test_training_lowers_the_loss_and_validation_agrees(slices):
    task, predict, step, state = setup(slices, np.arange(Q, N), rate=0.2)
    validate = jax.jit(make_validation(predict, task, batch=4))  # 6 slices: the last is half empty
    before = validate(state.params, slices)
    predictions = jax.jit(predict)(state.params, task.see(slices.images))
    by_hand = ((np.asarray(predictions)[..., 0] - np.moveaxis(slices.images["targets"], -1, 0)) ** 2
               * slices.mask[..., 0]).sum((1, 2, 3)) / slices.mask.sum()
    np.testing.assert_allclose(before, by_hand, rtol=1e-4)
    state, _ = make_dispatch(step)(state, slices, 60)
    assert (validate(state.params, slices) < before).all()


def test_dispatch_length_does_not_matter(slices):
    _, _, step, state = setup(slices, np.arange(Q, N))
    dispatch = make_dispatch(step)
    once, _ = dispatch(jax.tree.map(jnp.copy, state), slices, jnp.int32(7))
    twice, _ = dispatch(state, slices, jnp.int32(3))
    twice, _ = dispatch(twice, slices, jnp.int32(4))
    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(twice), strict=True):
        np.testing.assert_array_equal(a, b)
    assert dispatch._cache_size() == 1  # one program for every number of steps


def test_fa_loss_reaches_every_network(slices):
    with jax.numpy_dtype_promotion("strict"):
        task, predict, _, state = setup(slices, np.arange(Q, N), fa_weight=1.0)

        def coupled(params):
            x = task.see(slices.images)
            usable = jnp.ones(N - Q, bool)
            return task.coupled(predict(params, x), usable, slices.images, slices.mask)

        value, gradient = jax.jit(jax.value_and_grad(coupled))(state.params)
    assert value > 0
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
    outputs = jax.tree.leaves(gradient)[-1].reshape(N - Q, -1)
    assert (np.abs(np.concatenate([np.asarray(leaf).reshape(N - Q, -1) for leaf in
                                   jax.tree.leaves(gradient)], 1)).max(1) > 0).all(), outputs


def test_fa_loss_is_zero_for_the_measured_volumes(slices):
    design = dti.design_matrix(np.r_[0.0, GTAB.bvals], np.r_[np.zeros((1, 3)), GTAB.bvecs])
    signal = jnp.concatenate([slices.images[name] for name in ("b0", "inputs", "targets")], -1)
    weights = jnp.asarray([2.0] + [1.0] * N, jnp.float32)
    options = {"design": design, "volume_weights": weights}
    fa = jax.jit(partial(losses.fitted_fa, **options))
    loss = jax.jit(partial(losses.fa_loss, **options))
    assert loss(signal, fa(signal), weight=slices.mask) < 1e-12  # two programs round in two ways
    assert loss(signal, fa(signal[..., ::-1]), weight=slices.mask) > 1e-4


def whole_objective(task, predict, params, slices):
    """The loss written down at once, for automatic differentiation to check the pieces against."""
    predictions = predict(params, task.see(slices.images))
    weight = slices.mask / slices.mask.sum()
    targets = task.targets(slices.images)
    total = jnp.sum(weight * (predictions - targets) ** 2)
    if task.coupled:
        total += task.coupled(predictions, jnp.ones(len(targets), bool), slices.images, weight)
    return total


@pytest.mark.parametrize("fa_weight, plans", [
    (0.0, [(2, None), (1, 2)]), (3.0, [(None, 2), (2, 3)])])
def test_gradients_do_not_depend_on_the_plan(slices, fa_weight, plans):
    # At the kink of a ReLU or a maximum, two orders of the same sum may differ in the fourth digit.
    smooth = {"width": 4, "levels": 1, "convolutions": 2, "activation": "silu"}
    task, predict, _, state = setup(slices, np.arange(Q, N), fa_weight=fa_weight, unet=smooth)
    batch = slices.read(slice(None))
    losses, found = jax.jit(make_gradients(predict, task))(state.params, batch)
    expected = jax.jit(jax.grad(lambda p: whole_objective(task, predict, p, slices)))(state.params)
    _close(found, expected, 1e-5)
    for plan in plans:
        pieces = Pieces(*plan)
        again, piecewise = jax.jit(make_gradients(predict, task, pieces=pieces))(
            state.params, batch)
        _close(piecewise, found, 5e-6)
        np.testing.assert_allclose(again, losses, rtol=1e-5)
    validate = jax.jit(make_validation(predict, task, batch=2, pieces=pieces))
    np.testing.assert_allclose(losses, validate(state.params, slices), rtol=1e-5)


def _close(found, expected, tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * float(jnp.abs(b).max()))


@pytest.mark.parametrize("fa_weight", [0.0, 1.0])
def test_one_bad_network_does_not_sink_the_others(slices, fa_weight):
    """Network 1 of 4 overflows: it is left as it is, then frozen; the others go on."""
    _, _, step, state = setup(slices, np.arange(Q, N), fa_weight=fa_weight, freeze_after=3)
    dispatch = make_dispatch(step)
    sound, _ = dispatch(jax.tree.map(jnp.copy, state), slices, 5)
    params = jax.tree.map(lambda a: a.at[1].set(3e38), state.params)
    bad, losses = dispatch(state._replace(params=jax.tree.map(jnp.copy, params)), slices, 5)
    assert not np.isfinite(losses[1]) and np.isfinite(np.delete(losses, 1)).all()
    np.testing.assert_array_equal(bad.health.skipped, [0, 5, 0, 0])
    np.testing.assert_array_equal(bad.health.in_a_row >= 3, [False, True, False, False])
    for a, b, start in zip(*map(jax.tree.leaves, (bad.params, sound.params, params)), strict=True):
        np.testing.assert_array_equal(a[1], start[1])
        others = np.delete(a, 1, 0), np.delete(b, 1, 0)
        if fa_weight:
            assert np.isfinite(others[0]).all()
        else:
            np.testing.assert_array_equal(*others)
    # Made well again it stays as it is: it has been frozen.
    well = bad._replace(params=jax.tree.map(lambda a, b: a.at[1].set(b[1]), bad.params,
                                            sound.params))
    later, _ = dispatch(jax.tree.map(jnp.copy, well), slices, 2)
    for a, b in zip(jax.tree.leaves(later.params), jax.tree.leaves(well.params), strict=True):
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize("name, log, tolerance", [
    ("none", False, 1e-6), ("mean", False, 1e-6), ("sh", False, 2e-3), ("sh", True, 1e-5),
    ("tensor", False, 1e-5),
])
def test_residual_baselines(slices, name, log, tolerance):
    """Of a noise-free tensor signal: sh of ln S and tensor are exact, sh of S nearly."""
    tensor = np.diag([1.1, 0.9, 1.0])
    dwi = np.exp(-np.einsum("mi,ij,mj->m", GTAB.bvecs, tensor, GTAB.bvecs)).astype(np.float32)
    x = jnp.asarray(np.r_[1.0, dwi[:Q]], jnp.float32)[None, None, None]
    baseline, weights = residual_baselines.build(
        name, GTAB, np.arange(Q), np.arange(Q, N), order=2, weight=1e-6, log=log)
    out = np.asarray(jax.vmap(baseline, (0, None))(weights, x))[:, 0, 0, 0, 0]
    expected = {"none": 0 * dwi[Q:], "mean": np.full(N - Q, dwi[:Q].mean())}.get(name, dwi[Q:])
    np.testing.assert_allclose(out, expected, atol=tolerance)


def test_input_cannot_be_target():
    with pytest.raises(ValueError, match="both input and target"):
        direction_synthesis(GTAB, 1, np.arange(8), np.arange(7, 12))


def test_the_sum_over_parts_does_not_depend_on_what_goes_together(monkeypatch):
    monkeypatch.setattr(placement, "_SMALL", 6)
    axes = placement.Axes(batch="batch", batches=3)
    rng = np.random.default_rng(0)
    tree = {name: rng.standard_normal((3, *shape)).astype(np.float32)
            for name, shape in (("a", (2, 3)), ("b", (7,)), ("c", ()), ("d", (4, 5)), ("e", (1,)))}
    found = jax.vmap(axes.total, axis_name="batch")(tree)
    for name, parts in tree.items():
        np.testing.assert_allclose(found[name], np.broadcast_to(parts.sum(0), parts.shape),
                                   rtol=1e-6)

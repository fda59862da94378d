"""SuperDTI as a task: targets by dipy, exact baselines without noise, one stack for all maps."""


from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dwijax import dti
from dwijax.data.sampling import crop_origins
from dwijax.data.slices import Slices
from dwijax.dti.elements import from_matrix, to_matrix
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import best_conditioned, condition_number, direction_set
from dwijax.models.stack import Network, functional, network_keys
from dwijax.models.superdti import SuperDTI
from dwijax.tasks import map_regression as maps
from dwijax.tasks.task import predictor
from dwijax.training import optimizers
from dwijax.training.step import init_state, make_dispatch, make_step, make_validation

N, ALL = 20, ("fa", "md", "signed", "dyadic", "tensor")
GTAB = GradientTable(np.full(N, 1000.0), direction_set(N))


def random_tensors(seed, *shape):
    root = np.random.default_rng(seed).normal(0, 0.5, (*shape, 3, 3))
    return (root @ np.swapaxes(root, -1, -2) + 0.2 * np.eye(3)).astype(np.float32)


def make_slices(noise=0.0):
    tensor = random_tensors(0, 4, 24, 24)
    dwi = np.exp(-np.einsum("mi,...ij,mj->...m", GTAB.bvecs, tensor, GTAB.bvecs))
    dwi += noise * np.random.default_rng(1).normal(size=dwi.shape)
    mask = np.ones((4, 24, 24, 1), np.float32)
    origins = np.tile(np.int32([[[0, 0], [3, 3]]]), (4, 1, 1))
    dwi = dwi.astype(np.float32)
    images = {"b0": np.ones_like(mask), "inputs": dwi[..., :6], "others": dwi[..., 6:]}
    return tensor, Slices(images, mask, origins)


def setup(targets):
    """Two networks of each target, that start anywhere."""
    task = maps.map_regression(GTAB, 6, np.arange(6), targets=targets, seeds=2)
    network = functional(lambda rngs: SuperDTI(
        task.in_channels, task.out_channels, width=4, rngs=rngs))
    optimizer = optimizers.build("adamw", learning_rate=3e-3, steps=40, clip=1.0)
    predict = predictor(task, network, 0.1)
    # Of a seed with which rounding flips no ReLU (5: one flips in step 4, and parameters that start
    # 1e-7 apart end 8e-3 apart).
    step = make_step(predict, task, optimizer, seed=6, batch=3, patch=21, stride=3)
    keys = network_keys(jax.random.key(1), jnp.asarray(task.numbers))
    return task, predict, step, jax.jit(partial(init_state, network, optimizer))(keys)


def test_targets_are_dipys():
    """FA, MD and the first eigenvector of dipy's weighted fit, its six dyadic elements, signs."""
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    _, slices = make_slices(noise=0.01)
    task = maps.map_regression(GTAB, 6, np.arange(6), targets=ALL)
    with jax.numpy_dtype_promotion("strict"):
        images = {name: image[:1, :8] for name, image in slices.images.items()}
        found = np.asarray(jax.jit(task.targets)(images))
    assert found.shape == (5, 1, 8, 24, 8)
    table = gradient_table(np.r_[np.zeros(6), GTAB.bvals],
                           bvecs=np.concatenate([np.zeros((6, 3)), GTAB.bvecs]))
    signal = np.concatenate(
        [np.repeat(images["b0"], 6, -1), images["inputs"], images["others"]], -1)[0]
    fit = TensorModel(table, fit_method="WLS").fit(signal.astype(np.float64))
    fa, v = fit.fa, fit.evecs[..., :, 0]
    v = v * np.where(v @ maps.SEAM < 0, -1, 1)[..., None]
    np.testing.assert_allclose(found[0, 0, ..., 0], fa, atol=1e-4)
    np.testing.assert_allclose(found[1, 0, ..., 0], 1000 * fit.md, rtol=1e-4)
    clear = (fit.evals[..., 0] > 1.2 * fit.evals[..., 1]) & (np.abs(v @ maps.SEAM) > 0.02)
    assert clear.sum() > 100
    np.testing.assert_allclose(found[2, 0, ..., :3][clear], (fa[..., None] * v)[clear], atol=2e-3)
    dyadic = from_matrix(v[..., :, None] * v[..., None, :]) * fa[..., None]
    np.testing.assert_allclose(found[3, 0, ..., :6][clear], dyadic[clear], atol=2e-3)
    for k, target in enumerate(ALL):  # channels that a network does not have
        np.testing.assert_array_equal(found[k, ..., maps.TARGETS[target]:], 0)


def test_networks_start_at_the_fit():
    """Without noise the fit of q directions is the fit of all, for every target."""
    _, slices = make_slices()
    task = maps.map_regression(GTAB, 6, np.arange(6), targets=ALL, residual="fit")
    silent = Network(None, lambda params, x: jnp.zeros((*x.shape[:-1], task.out_channels)))
    predict = predictor(task, silent, 0.1)
    x = task.see(slices.images)
    assert x.shape[-1] == task.in_channels == 7
    found = jax.jit(predict)(jnp.zeros(len(ALL)), x)
    expected = jax.jit(task.targets)(slices.images)
    for k, target in enumerate(ALL):
        # Not quite where an eigenvalue is below the least that a logarithm is taken of, or where
        # rounding decides between two eigenvectors or two signs.
        error = np.abs(found[k] - expected[k]).max(-1)
        assert np.quantile(error, 0.97) < 2e-3, target


def test_md_of_three_directions_is_the_mean_adc():
    bvecs = np.concatenate([np.eye(3), direction_set(7)])
    gtab = GradientTable(np.full(10, 1000.0), bvecs)
    task = maps.map_regression(gtab, 2, np.arange(3), targets=("md",), residual="fit")
    tensor = random_tensors(3, 5, 4)
    dwi = np.exp(-np.einsum("mi,...ij,mj->...m", bvecs, tensor, bvecs)).astype(np.float32)
    images = {"b0": jnp.ones((1, 5, 4, 1)), "inputs": jnp.asarray(dwi[None, ..., :3])}
    weights = jax.tree.map(lambda w: w[0], task.baseline_weights)
    np.testing.assert_allclose(task.baseline(weights, images)[0, ..., 0],
                               np.trace(tensor, axis1=-2, axis2=-1) / 3, rtol=1e-4)
    with pytest.raises(ValueError, match="3 directions do not determine a tensor"):
        maps.map_regression(gtab, 2, np.arange(3), targets=("fa",), residual="fit")
    maps.map_regression(gtab, 2, np.arange(3), targets=("fa",))  # a network may try


def test_without_b0():
    task = maps.map_regression(GTAB, 6, np.arange(6), targets=("fa",), b0_input=False)
    _, slices = make_slices()
    np.testing.assert_array_equal(task.see(slices.images), slices.images["inputs"])
    assert task.in_channels == 6 and task.channels["b0"].count == 1  # which targets are made with
    with pytest.raises(ValueError, match="needs the b0"):
        maps.map_regression(GTAB, 6, np.arange(6), targets=("fa",), b0_input=False, residual="fit")


def test_noise_is_added_to_what_networks_see_alone():
    noisy, clean = (maps.map_regression(GTAB, 4, np.arange(6), targets=("fa",), added_noise=level)
                    for level in (0.2, 0.0))
    images = make_slices()[1].images

    @jax.jit
    def learning(images):
        return noisy.see(noisy.disturb(images))

    with jax.numpy_dtype_promotion("strict"):
        seen, again = learning(images), learning({n: a[::-1] for n, a in images.items()})
    np.testing.assert_array_equal(seen, again[::-1])  # however a batch is shared out
    error = np.asarray(seen - clean.see(clean.disturb(images)))
    # Of large signals the magnitude's noise is Gaussian; b0 is the mean of four.
    sigma = error[..., 0].std(axis=(1, 2)) * 2
    assert 0 < sigma.min() < sigma.max() < 0.21 and np.ptp(sigma) > 0.02
    strong = images["inputs"] > 0.6
    for i, s in enumerate(sigma):
        assert error[i, ..., 1:][strong[i]].std() == pytest.approx(s, rel=0.12)
    np.testing.assert_array_equal(noisy.see(images), clean.see(images))  # when they predict
    np.testing.assert_array_equal(noisy.targets(images), clean.targets(images))


@jax.jit
def there_and_back(tensor):
    return (maps.from_log_cholesky(maps.log_cholesky(tensor)), maps.orientation(tensor),
            dti.fractional_anisotropy(tensor), dti.mean_diffusivity(tensor))


@given(arrays(np.float32, (3, 3), elements=st.floats(-1, 1, width=32)))
def test_tensors_survive_their_parametrisations(root):
    tensor = np.asarray(from_matrix(root @ root.T + 0.1 * np.eye(3, dtype=np.float32)))
    again, oriented, fa, md = map(np.asarray, there_and_back(tensor))
    np.testing.assert_allclose(again, tensor, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(to_matrix(oriented)), fa, atol=1e-5)
    np.testing.assert_allclose(maps.from_orientation(md, oriented), tensor, rtol=5e-3, atol=5e-3)


@jax.jit
def tensor_and_slope(elements):
    def loss(e):
        return jnp.sum(maps.tensor_maps(maps.from_log_cholesky(e), "tensor"))

    return maps.from_log_cholesky(elements), jax.grad(loss)(elements)


@given(arrays(np.float32, 6, elements=st.floats(-50, 50, width=32)))
def test_whatever_a_network_says_is_a_positive_definite_tensor(elements):
    assert np.isfinite(tensor_and_slope(elements)[1]).all()
    tensor, _ = tensor_and_slope(np.clip(elements, -3, 3))
    evals = np.linalg.eigvalsh(np.asarray(to_matrix(tensor), np.float64))
    assert evals.min() > -1e-6 * evals.max()  # float32


def test_network_in_the_stack_equals_network_alone():
    """Several targets, two seeds, one stack: tensor networks alone have the same parameters."""
    _, slices = make_slices(noise=0.05)
    both, predict, step, state = setup(("fa", "md", "tensor"))
    task, _, alone_step, alone = setup(("tensor",))
    assert task.numbers.tolist() == [4000, 4001]
    start = jax.tree.map(np.asarray, alone.params)
    validate = jax.jit(make_validation(predict, both, batch=3))
    before = validate(state.params, slices)
    state, _ = jax.jit(make_dispatch(step))(state, slices, 20)
    alone, _ = jax.jit(make_dispatch(alone_step))(alone, slices, 20)
    moved = 0.0
    for a, b, s in zip(*map(jax.tree.leaves, (state.params, alone.params, start)), strict=True):
        np.testing.assert_allclose(a[4:], b, atol=2e-4)
        moved = max(moved, float(np.abs(b - s).max()))
    assert moved > 1e-2
    assert (validate(state.params, slices) < before).all()  # every network learns


drawn = jax.jit(partial(crop_origins, 0))


@given(st.integers(0, 40), st.integers(0, 30), st.integers(1, 9), st.integers(0, 1000))
def test_patches_start_on_the_stride_or_at_the_end(low, more, stride, step):
    lowest = np.full((6, 2), low, np.int32)
    origins = np.asarray(drawn(step, lowest, lowest + more, stride))
    assert (((origins - low) % stride == 0) | (origins == low + more)).all()
    assert origins.min() >= low and origins.max() <= low + more


def test_best_conditioned_directions():
    rng = np.random.default_rng(0)
    bvecs = rng.normal(size=(30, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    chosen = best_conditioned(bvecs, 6)
    assert len(set(chosen.tolist())) == 6
    random = [condition_number(bvecs[rng.permutation(30)[:6]]) for _ in range(300)]
    assert condition_number(bvecs[chosen]) <= np.quantile(random, 0.01)
    three = bvecs[best_conditioned(bvecs, 3)]
    cosines = np.abs(three @ three.T)[np.triu_indices(3, 1)]
    assert np.degrees(np.arccos(cosines)).min() > 65



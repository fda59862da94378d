"""Optimisers by name, against NumPy and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dwijax.training import optimizers


def tree(seed, *lead):
    """Kernels and biases of two layers, the last one wider than its inputs."""
    random = np.random.default_rng(seed)
    shapes = {"inner": {"kernel": (3, 3, 4, 8), "bias": (8,)},
              "last": {"kernel": (1, 1, 4, 16), "bias": (16,)}}
    return jax.tree.map(lambda shape: jnp.asarray(random.normal(size=lead + shape), jnp.float32),
                        shapes, is_leaf=lambda shape: isinstance(shape, tuple))


def steps(optimizer, params, gradients):
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, updates


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_steps_of_muon_are_the_nearest_orthogonal_matrices(scale):
    rate, decay = 0.02, 0.1
    options = {"learning_rate": rate, "steps": 100, "warmup": 0.01, "weight_decay": decay}
    params, gradient = tree(0), jax.tree.map(lambda g: scale * g, tree(1))
    # The first update, of the warm-up, has a rate of 0.
    muon, adamw = (steps(optimizers.build(name, **options), params, 2 * [gradient])[1]
                   for name in ("muon", "adamw"))
    for layer, widen in (("inner", 1), ("last", 2)):  # √(O / (h·w·I)) where that is above 1
        step = -np.asarray(muon[layer]["kernel"], np.float64) / rate - decay * np.asarray(
            params[layer]["kernel"], np.float64)
        u, _, v = np.linalg.svd(
            np.asarray(gradient[layer]["kernel"], np.float64).reshape(-1, step.shape[-1]),
            full_matrices=False)
        # In the gradient's own singular vectors, a step is the same along each: five iterations
        # of Newton and Schulz bring it to 0.7 to 1.2 (Jordan et al. 2024), not to 1.
        along = u.T @ step.reshape(-1, step.shape[-1]) @ v.T
        assert np.all(np.abs(np.diag(along) / widen - 0.95) < 0.3)
        np.testing.assert_allclose(along, np.diag(np.diag(along)), atol=1e-3)
    for layer in muon:
        # Biases have AdamW, but with Nesterov's momentum: another length, not another sign.
        assert np.array_equal(np.sign(muon[layer]["bias"]), np.sign(adamw[layer]["bias"]))
        assert np.all(np.abs(muon[layer]["bias"]) < 2 * rate)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_a_network_of_the_stack_steps_as_alone(name):
    optimizer = optimizers.build(name, learning_rate=0.01, steps=4, decay=0.1)
    params, gradients = tree(0, 3), [tree(seed, 3) for seed in range(1, 5)]
    stacked = jax.vmap(lambda p, g: steps(optimizer, p, g)[0])(params, gradients)
    for k in range(3):
        of_one = lambda tree, k=k: jax.tree.map(lambda leaf: leaf[k], tree)  # noqa: E731
        alone, _ = steps(optimizer, of_one(params), [of_one(g) for g in gradients])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
                     of_one(stacked), alone)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_a_gradient_of_zero_moves_nothing_but_by_weight_decay(name):
    # Where the last layer starts at zero, the others have no gradient at first.
    optimizer = optimizers.build(name, learning_rate=0.01, steps=4, weight_decay=0.0)
    params = tree(0)
    after, _ = steps(optimizer, params, 3 * [jax.tree.map(jnp.zeros_like, params)])
    jax.tree.map(np.testing.assert_array_equal, after, params)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="known: adamw, muon, sgd"):
        optimizers.build("adagrad", learning_rate=0.1, steps=1)

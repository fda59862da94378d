"""SuperDTI's network against the paper's equations."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.signal import correlate2d

from dwijax.models.stack import functional
from dwijax.models.superdti import LAYERS, RECEPTIVE_FIELD, SuperDTI
from dwijax.tasks.losses import squared_error


def network(inputs=3, outputs=2, **options):
    return functional(lambda rngs: SuperDTI(inputs, outputs, rngs=rngs, **{"width": 5} | options))


def positive(params):
    """Every ReLU lets through whatever is positive."""
    return jax.tree.map(lambda leaf: 0.1 * jnp.abs(leaf) + 0.01, params)


def test_equations_1_and_2_by_hand():
    """One image, layer by layer, with scipy's convolution."""
    net = network()
    params = net.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(12, 9, 3))

    def layer(images, conv):
        kernel, bias = np.asarray(conv["kernel"], np.float64), np.asarray(conv["bias"])
        return np.stack([sum(correlate2d(images[..., c], kernel[:, :, c, d], "same")
                             for c in range(images.shape[-1])) + bias[d]
                         for d in range(kernel.shape[-1])], axis=-1)

    h = [x]
    for number in range(1, LAYERS):
        seen = h[-1]
        if number in (6, 7, 8, 9):
            seen = seen + h[10 - number]
        h.append(np.maximum(layer(seen, params["hidden"][number - 1]), 0))
    expected = layer(h[-1], params["out"])
    np.testing.assert_allclose(net.apply(params, jnp.asarray(x[None], jnp.float32))[0], expected,
                               rtol=1e-4, atol=1e-4)


def test_equation_3_by_hand():
    """The loss: squared distance of a batch to its maps, a mean over the mask and channels."""
    rng = np.random.default_rng(0)
    predicted, maps = rng.normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
    mask = rng.uniform(size=(3, 4, 5, 1)) > 0.4
    expected = sum((predicted[n, i, j] - maps[n, i, j]) @ (predicted[n, i, j] - maps[n, i, j])
                   for n, i, j, _ in np.argwhere(mask))
    found = squared_error(jnp.asarray(predicted), jnp.asarray(maps), mask / np.float32(mask.sum()))
    np.testing.assert_allclose(found, expected / mask.sum() / 2, rtol=1e-5)


def test_paper_size():
    """q = 6 in, FA out, 64 filters: 6·9·64 + 64 and 8 (64·9·64 + 64) and 64·9 + 1."""
    shapes = jax.eval_shape(lambda: nnx.state(SuperDTI(6, 1, rngs=nnx.Rngs(0)), nnx.Param))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 3520 + 8 * 36_928 + 577


def test_receptive_field_is_the_paper_patch():
    net = network()
    params = positive(net.init(jax.random.key(0)))
    gradient = jax.grad(lambda x: net.apply(params, x)[0, 15, 16, 0])(jnp.ones((1, 31, 33, 3)))
    reached = np.abs(np.asarray(gradient[0])).max(-1) > 0
    expected = np.zeros((31, 33), bool)
    expected[5:26, 6:27] = True
    np.testing.assert_array_equal(reached, expected)
    assert RECEPTIVE_FIELD == 21 == reached.any(0).sum()


def test_patch_equals_whole_slice_at_its_centre_alone():
    net = network()
    params = positive(net.init(jax.random.key(0)))
    x = jax.random.uniform(jax.random.key(1), (1, 40, 40, 3))
    whole = net.apply(params, x)[0, 7:28, 9:30]
    patch = net.apply(params, x[:, 7:28, 9:30])[0]
    same = np.isclose(whole, patch, rtol=1e-6, atol=0).all(-1)
    assert same[10, 10] and same.sum() == 1


def test_projected_residual():
    net = network(projection=True, zero_output=True)
    params = net.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 3))
    kernel = params["shortcut"][0]["kernel"][0, 0]
    np.testing.assert_allclose(net.apply(params, x), x @ kernel, rtol=1e-5, atol=1e-6)

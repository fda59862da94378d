"""One U-Net, and the stack made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dwijax.models.stack import functional, network_keys, stack
from dwijax.models.unet import Pointwise, UNet, max_pool, upsample


def network(**options):
    options = {"width": 4, "levels": 3, **options}
    return functional(lambda rngs: UNet(5, 2, rngs=rngs, **options))


@pytest.mark.parametrize("options", [
    {}, {"levels": 1}, {"activation": "gelu"},
    {"first_kernel": 1}, {"convolutions": 1}, {"dtype": jnp.bfloat16}, {"expansion": 2},
    {"expansion": 2, "dtype": jnp.bfloat16},
])
def test_shapes_and_dtypes(options):
    net = network(**options)
    with jax.numpy_dtype_promotion("strict"):
        params = net.init(jax.random.key(0))
        y = net.apply(params, jnp.ones((2, 8, 12, 5)))
    assert y.shape == (2, 8, 12, 2) and y.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_zero_output_starts_at_zero():
    net = network(zero_output=True)
    y = net.apply(net.init(jax.random.key(0)), jnp.ones((1, 8, 8, 5)))
    np.testing.assert_array_equal(y, 0)


def test_pointwise_layer_mixes_channels_and_never_voxels():
    """Against matrix products; at first it changes nothing."""
    layer = Pointwise(5, 20, activation="silu", dtype=jnp.float32, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 4, 6, 5))
    np.testing.assert_array_equal(layer(x), x)
    layer.narrow.kernel[...] = jax.random.normal(jax.random.key(2), (1, 1, 20, 5))
    layer.widen.bias[...] = jnp.arange(20.0)
    hidden = jax.nn.silu(x @ layer.widen.kernel[0, 0] + jnp.arange(20.0))
    np.testing.assert_allclose(
        layer(x), x + hidden @ layer.narrow.kernel[0, 0], rtol=1e-4, atol=1e-4)


def test_pointwise_layer_stands_for_the_last_activation():
    """As many 3×3 convolutions, and two 1×1 more for each block: 5 of three levels."""
    def kernels(**options):
        params = jax.eval_shape(network(**options).init, jax.random.key(0))
        return sorted(leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 4)

    more = list(kernels(expansion=3))
    for shape in kernels():
        more.remove(shape)
    assert sorted(more) == sorted(
        shape for width in (4, 4, 8, 8, 16) for shape in ((1, 1, width, 3 * width),
                                                          (1, 1, 3 * width, width)))


def test_paper_size():
    """Ronneberger et al. 2015: 31.0 million parameters with 64 to 1024 channels."""
    shapes = jax.eval_shape(
        lambda: nnx.state(UNet(1, 2, width=64, levels=5, rngs=nnx.Rngs(0)), nnx.Param))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert count == 31_030_658


def test_pool_and_upsample():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    expected = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    np.testing.assert_array_equal(max_pool(x), expected)


def test_equal_maxima_share_the_gradient_of_the_pool():
    x = jnp.asarray(np.random.default_rng(0).integers(0, 3, (2, 4, 6, 5)), jnp.float32)
    g = jnp.asarray(np.random.default_rng(1).normal(size=(2, 2, 3, 5)), jnp.float32)

    def plain(x):
        return jnp.max(x.reshape(2, 2, 2, 3, 2, 5), axis=(2, 4))

    (mine,), (theirs,) = (jax.vjp(pool, x)[1](g) for pool in (max_pool, plain))
    np.testing.assert_allclose(mine, theirs, rtol=1e-6)
    np.testing.assert_array_equal(upsample(x)[:, 1::2, ::2], x)


def test_key_of_a_network_does_not_depend_on_the_stack():
    net = stack(network())
    alone = net.init(network_keys(jax.random.key(3), jnp.array([41])))
    many = net.init(network_keys(jax.random.key(3), jnp.arange(40, 44)))
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(many), strict=True):
        np.testing.assert_array_equal(a[0], b[1])


def test_stack_applies_each_network():
    net = network()
    stacked = stack(net)
    params = stacked.init(network_keys(jax.random.key(0), jnp.arange(3)))
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 5))
    y = stacked.apply(params, x)
    assert y.shape == (3, 2, 8, 8, 2)
    for k in range(3):
        alone = net.apply(jax.tree.map(lambda leaf, k=k: leaf[k], params), x)
        np.testing.assert_allclose(y[k], alone, rtol=1e-4, atol=1e-5)

"""The stacked convolution against jax.lax, network by network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dwijax.models.convolution import conv2d, conv_general_dilated

NHWC = ("NHWC", "HWIO", "NHWC")
CASES = [  # kernel, strides, padding
    ((1, 1), (1, 1), "SAME"),
    ((3, 3), (1, 1), "SAME"),
    ((3, 3), (1, 1), "VALID"),
    ((2, 2), (1, 1), "SAME"),
    ((3, 3), (2, 2), "SAME"),
    ((3, 2), (2, 1), ((2, 0), (0, 3))),
]


def reference(x, kernel, strides, padding):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=NHWC)


def ours(x, kernel, strides, padding):
    return conv_general_dilated(x, kernel, strides, padding, dimension_numbers=NHWC)


def arrays(k, kernel, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (k, 2, 8, 9, 3), dtype)
    return x, jax.random.normal(keys[1], (k, *kernel, 3, 4), dtype), keys[2]


@pytest.mark.parametrize("kernel, strides, padding, shared, nesting", [
    *[(*case, "neither", "grad(vmap)") for case in CASES],
    *[(*CASES[1], shared, nesting) for shared in ("neither", "images", "kernel")
      for nesting in ("vmap(grad)", "grad(vmap)", "checkpoint")][1:],
    (*CASES[4], "images", "vmap(grad)"),
])
def test_stack_equals_loop(kernel, strides, padding, shared, nesting):
    k = 3
    x, w, key = arrays(k, kernel)
    x_axis, w_axis = (None if shared == "images" else 0), (None if shared == "kernel" else 0)
    x, w = (x[0] if x_axis is None else x), (w[0] if w_axis is None else w)
    one = jax.eval_shape(partial(reference, strides=strides, padding=padding),
                         x if x_axis is None else x[0], w if w_axis is None else w[0])
    target = jax.random.normal(key, (k, *one.shape))

    def loss(conv, x, w, t):
        return jnp.sum((conv(x, w, strides, padding) - t) ** 2)

    def stacked(conv):
        if nesting == "vmap(grad)":
            f = jax.vmap(jax.grad(partial(loss, conv), argnums=(0, 1)), (x_axis, w_axis, 0))
            gx, gw = f(x, w, target)
            return (gx.sum(0) if x_axis is None else gx), (gw.sum(0) if w_axis is None else gw)
        f = jax.vmap(partial(loss, conv), (x_axis, w_axis, 0))
        f = jax.checkpoint(f) if nesting == "checkpoint" else f
        return jax.grad(lambda x, w: f(x, w, target).sum(), argnums=(0, 1))(x, w)

    for mine, theirs in zip(jax.jit(stacked, static_argnums=0)(ours), stacked(reference),
                            strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("images, width, c, d, kernel, padding", [
    (2, 8, 16, 16, (3, 3), "SAME"),   # two pixels at a time
    (2, 8, 12, 8, (3, 3), "SAME"),    # four
    (2, 6, 16, 4, (2, 2), "SAME"),    # four do not divide the row
    (2, 9, 16, 16, (3, 3), "SAME"),   # nor two
    (2, 8, 16, 32, (3, 3), "SAME"),   # one side as the other's kernel for the gradient of this one
    (4, 8, 32, 16, (3, 3), "SAME"),
    (2, 8, 48, 16, (2, 2), "SAME"),
    (2, 8, 64, 32, (3, 2), ((2, 0), (0, 3))),
    (2, 8, 31, 16, (3, 3), "SAME"),   # a channel filled in
    (2, 8, 16, 62, (3, 3), "VALID"),
    (3, 8, 32, 16, (3, 3), "SAME"),   # an odd number of images
])
@pytest.mark.parametrize("shared", [False, True])
def test_lowerings_by_number_of_channels(images, width, c, d, kernel, padding, shared):
    """Against float64, so that it is seen that none of them loses digits."""
    k = 2
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1 if shared else k, images, 8, width, c))
    w = rng.standard_normal((k, *kernel, c, d))

    def gradients(x, w):
        def one(x, w):
            conv = reference if x.dtype == np.float64 else ours
            y = conv(x, w, (1, 1), padding)
            return jnp.mean(y ** 2), y

        f = jax.vmap(jax.value_and_grad(one, argnums=(0, 1), has_aux=True),
                     (None if shared else 0, 0))
        (_, y), found = f(x[0] if shared else x, w)
        return y, *found

    with jax.enable_x64(True):
        expected = gradients(jnp.asarray(x), jnp.asarray(w))
    found = jax.jit(gradients)(jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32))
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=3e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 1e-5), (jnp.bfloat16, 3e-2)])
def test_values_and_dtype(dtype, tolerance):
    x, w, _ = arrays(2, (3, 3), dtype)
    out = jax.vmap(partial(ours, strides=(1, 1), padding="SAME"))(x, w)
    assert out.dtype == dtype
    for k in range(2):
        expected = reference(x[k].astype(jnp.float32), w[k].astype(jnp.float32), (1, 1), "SAME")
        np.testing.assert_allclose(out[k].astype(jnp.float32), expected, rtol=tolerance,
                                   atol=10 * tolerance)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_every_platform_lowers(platform):
    x, w, _ = arrays(5, (3, 3))

    def gradients(x, w):
        f = jax.vmap(lambda x, w: jnp.sum(conv2d(x, w, (1, 1), ((1, 1), (1, 1))) ** 2))
        return jax.grad(lambda x, w: f(x, w).sum(), argnums=(0, 1))(x, w)

    text = jax.jit(gradients).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
    grouped = "feature_group_count = 5" in text
    assert grouped == (platform != "cpu")  # XLA's CPU backend must never see the grouped form
    assert ("stablehlo.while" in text) == (platform == "cpu")


def test_other_convolutions_are_left_to_lax():
    x, w, _ = arrays(1, (3, 3))
    out = conv_general_dilated(x[0], w[0], (1, 1), "SAME", rhs_dilation=(2, 2),
                               dimension_numbers=NHWC)
    expected = lax.conv_general_dilated(x[0], w[0], (1, 1), "SAME", rhs_dilation=(2, 2),
                                        dimension_numbers=NHWC)
    np.testing.assert_array_equal(out, expected)

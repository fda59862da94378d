"""A 2-D convolution that stays fast when many networks are stacked with ``jax.vmap``.

``jax.vmap`` over kernels turns a convolution into a *grouped* convolution, for which XLA's
CPU backend has no fast kernel; differentiating inside a loop instead leaves
transposed convolutions that it does not simplify. Here the three convolutions of a training step
(output, gradient of the input, gradient of the kernel) are each given their own batching rule,
and the whole its own reverse-mode rule. The network never knows that it is stacked: it hands
:func:`conv_general_dilated` to ``flax.nnx.Conv`` and is vmapped like any other function.

First-order reverse mode only: ``custom_vjp`` outside, ``custom_vmap`` inside, which is the order
that survives ``vmap(grad)``, ``grad(vmap)``, ``jax.checkpoint`` and ``shard_map``.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

_NHWC = ("NHWC", "HWIO", "NHWC")
# Networks unrolled per iteration of the CPU loop: enough to hide the loop's bookkeeping, few
# enough that the program's size, hence its compile time, does not grow with the stack.
_UNROLL = 4


def conv_general_dilated(
    lhs, rhs, window_strides, padding, lhs_dilation=None, rhs_dilation=None,
    dimension_numbers=None, feature_group_count=1, precision=None,
    preferred_element_type=None, out_sharding=None,
):
    """Drop-in for ``jax.lax.conv_general_dilated`` (jax 0.10) as ``flax.nnx.Conv`` calls it.

    Plain 2-D channels-last convolutions take the stacked path of this module; whatever it does
    not cover (dilation, groups, other ranks, explicit shardings) goes to ``jax.lax`` unchanged.

    Args:
      lhs: images ``[N, H, W, C]``, float32 or bfloat16.
      rhs: kernel ``[kh, kw, C, D]`` of the same dtype.
      window_strides, padding, ...: as in ``jax.lax.conv_general_dilated``.

    Returns:
      ``[N, H', W', D]`` in the dtype of ``lhs``.
    """
    ones = (None, (1, 1))
    plain = (
        lhs.ndim == 4 and feature_group_count == 1 and out_sharding is None
        and preferred_element_type is None and precision is None
        and (lhs_dilation is None or tuple(lhs_dilation) in ones)
        and (rhs_dilation is None or tuple(rhs_dilation) in ones)
        and _is_channels_last(dimension_numbers, lhs.shape, rhs.shape)
    )
    if not plain:
        return lax.conv_general_dilated(
            lhs, rhs, window_strides, padding, lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation, dimension_numbers=dimension_numbers,
            feature_group_count=feature_group_count, precision=precision,
            preferred_element_type=preferred_element_type, out_sharding=out_sharding,
        )
    strides = tuple(window_strides)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], strides, padding)
    return conv2d(lhs, rhs, strides, tuple((int(low), int(high)) for low, high in padding))


def _is_channels_last(dimension_numbers, lhs_shape, rhs_shape):
    asked = lax.conv_dimension_numbers(lhs_shape, rhs_shape, dimension_numbers)
    return asked == lax.conv_dimension_numbers(lhs_shape, rhs_shape, _NHWC)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv2d(x, kernel, strides, padding):
    """2-D convolution ``[N, H, W, C] * [kh, kw, C, D] -> [N, H', W', D]``.

    Args:
      x: images ``[N, H, W, C]``.
      kernel: ``[kh, kw, C, D]``, same dtype as ``x``.
      strides: two ints.
      padding: ``((low, high), (low, high))``.
    """
    return _output(strides, padding)(x, kernel)


def _conv2d_forward(x, kernel, strides, padding):
    return _output(strides, padding)(x, kernel), (x, kernel)


def _conv2d_backward(strides, padding, residuals, g):
    x, kernel = residuals
    gx = _input_gradient(strides, padding, x.shape[-3:-1])(g, kernel)
    gk = _kernel_gradient(strides, padding, kernel.shape[-4:-2])(x, g)
    return gx, gk


conv2d.defvjp(_conv2d_forward, _conv2d_backward)


# --- the three convolutions of one network ---------------------------------------------------


def _conv(x, kernel, strides, padding):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=_NHWC)


def _convolve_back(g, kernel, strides, padding, size):
    """Gradient of the input: an ordinary convolution of ``g`` with the flipped kernel."""
    kh, kw = kernel.shape[:2]
    dilated = [(n - 1) * s + 1 for n, s in zip(g.shape[1:3], strides, strict=True)]
    pads = []
    for length, (low, _), k, wide in zip(size, padding, (kh, kw), dilated, strict=True):
        pads.append((k - 1 - low, length + low - wide))
    config = [(0, 0, 0), *((lo, hi, s - 1) for (lo, hi), s in zip(pads, strides, strict=True)),
              (0, 0, 0)]
    flipped = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    if strides == (1, 1) and min(min(p) for p in pads) >= 0:
        return _conv(g, flipped, (1, 1), pads)
    return _conv(lax.pad(g, jnp.zeros((), g.dtype), config), flipped, (1, 1), ((0, 0), (0, 0)))


def _correlate(x, g, strides, padding, kernel_size):
    """Gradient of the kernel: one matrix product ``[C, NHW] x [NHW, D]`` per kernel element."""
    config = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), config)
    n, h, w, d = g.shape
    flat = g.reshape(n * h * w, d)
    rows = []
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            window = lax.slice(
                x, (0, i, j, 0),
                (n, i + (h - 1) * strides[0] + 1, j + (w - 1) * strides[1] + 1, x.shape[3]),
                (1, *strides, 1),
            ).reshape(n * h * w, x.shape[3])
            rows.append(lax.dot_general(window, flat, (((0,), (0,)), ((), ()))))
    return jnp.stack(rows).reshape(*kernel_size, x.shape[3], d)


# --- the same for a stack of K networks --------------------------------------------------------


def _over_networks(function, *stacked):
    """``vmap(function)`` in the lowering that suits the platform."""

    def loop(*arrays):
        _, out = lax.scan(lambda _, a: (None, function(*a)), None, arrays, unroll=_UNROLL)
        return out

    # Grouped convolutions are what cuDNN and the TPU compiler have kernels for.
    return lax.platform_dependent(*stacked, cpu=loop, default=jax.vmap(function))


def _join(a):
    """``[K, N, H, W, D] -> [N, H, W, K·D]``: the networks side by side as channels."""
    return jnp.moveaxis(a, 0, 3).reshape(*a.shape[1:4], -1)


def _stack(function, join_shared):
    """Gives ``function`` (one network) its batching rule over the networks' axis."""
    batched = custom_vmap(function)

    @batched.def_vmap
    def rule(axis_size, in_batched, a, b):
        shared = join_shared(axis_size, in_batched, a, b)
        if shared is not None:
            return shared, True
        a, b = (
            v if is_batched else jnp.broadcast_to(v, (axis_size, *v.shape))
            for v, is_batched in zip((a, b), in_batched, strict=True)
        )
        return _over_networks(function, a, b), True

    return batched


@lru_cache
def _output(strides, padding):
    def one(x, kernel):
        return _conv(x, kernel, strides, padding)

    def shared(k, in_batched, x, kernel):
        if in_batched == [False, True]:  # the first layer: all networks see the same images
            kh, kw, c, d = kernel.shape[1:]
            wide = jnp.moveaxis(kernel, 0, 3).reshape(kh, kw, c, k * d)
            out = one(x, wide)
            return jnp.moveaxis(out.reshape(*out.shape[:3], k, d), 3, 0)
        if in_batched == [True, False]:  # one network on K batches
            out = one(x.reshape(-1, *x.shape[2:]), kernel)
            return out.reshape(k, -1, *out.shape[1:])
        return None

    return _stack(one, shared)


@lru_cache
def _input_gradient(strides, padding, size):
    def one(g, kernel):
        return _convolve_back(g, kernel, strides, padding, size)

    return _stack(one, lambda *_: None)


@lru_cache
def _kernel_gradient(strides, padding, kernel_size):
    def one(x, g):
        return _correlate(x, g, strides, padding, kernel_size)

    def shared(k, in_batched, x, g):
        if in_batched == [False, True]:
            out = one(x, _join(g))
            return jnp.moveaxis(out.reshape(*out.shape[:3], k, -1), 3, 0)
        return None

    return _stack(one, shared)

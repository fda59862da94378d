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
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

_NHWC = ("NHWC", "HWIO", "NHWC")
# Networks unrolled per iteration of the CPU loop: enough to hide the loop's bookkeeping where one
# network has little to do, few enough that the program does not grow with the stack.
_UNROLL = 4
_LITTLE = 32 * 16  # input times output channels
# What XLA's convolutions on the CPU like (docs/results/performance.md). They halve their rate where
# neither side has more channels than _FEW, and where those of the input are no multiple of _LANES.
_FEW, _LANES = 16, 4
# As gradient of a kernel one side is convolved by the other: channels of the wider side, a multiple
# of which, how much wider it may be, and how many images at most.
_WIDE, _WIDE_LANES, _WIDER, _IMAGES = range(32, 129), 16, 4, 16
# Output channels of all networks together from which one matrix product of windows is better.
_JOINED = 65


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


def _convolve_back(g, kernel, strides, padding, size, conv=_conv):
    """Gradient of the input: an ordinary convolution of ``g`` with the flipped kernel."""
    pads = _pads_back(g, strides, padding, kernel.shape[:2], size)
    config = [(0, 0, 0), *((lo, hi, s - 1) for (lo, hi), s in zip(pads, strides, strict=True)),
              (0, 0, 0)]
    flipped = jnp.swapaxes(kernel[::-1, ::-1], 2, 3)
    if strides == (1, 1) and min(min(p) for p in pads) >= 0:
        return conv(g, flipped, (1, 1), pads)
    return conv(lax.pad(g, jnp.zeros((), g.dtype), config), flipped, (1, 1), ((0, 0), (0, 0)))


def _pads_back(g, strides, padding, kernel_size, size):
    """What ``g``, dilated by the strides, is padded by so that it meets every input pixel."""
    dilated = [(n - 1) * s + 1 for n, s in zip(g.shape[1:3], strides, strict=True)]
    return tuple((k - 1 - low, length + low - wide) for length, (low, _), k, wide
                 in zip(size, padding, kernel_size, dilated, strict=True))


def _correlate(x, g, strides, padding, kernel_size):
    """Gradient of the kernel, as every backend's own rule has it."""
    kernel = jax.ShapeDtypeStruct((*kernel_size, x.shape[3], g.shape[3]), x.dtype)
    return jax.linear_transpose(lambda k: _conv(x, k, strides, padding), kernel)(g)[0]


def _correlate_on_cpu(x, g, strides, padding, kernel_size):
    """Gradient of the kernel: a convolution of one side by the other, or matrix products."""
    c, d = x.shape[3], g.shape[3]
    if strides == (1, 1) and _suits_convolution(x.shape[0], c, d):
        if c <= d:
            return jnp.moveaxis(_conv_of_images(x, g, padding), 0, 2)
        pads = _pads_back(g, strides, padding, kernel_size, x.shape[1:3])
        return jnp.moveaxis(_conv_of_images(g, x, pads)[:, ::-1, ::-1], 0, 3)
    return _correlate_by_products(x, g, strides, padding, kernel_size).astype(x.dtype)


def _correlate_by_products(x, g, strides, padding, kernel_size):
    """Gradient of the kernel from matrix products of pixels beside their neighbours.

    Where both sides have about as many channels, one is spread out along the rows and the other
    along the columns, ``[kw·C, kh·D]``: products of better proportions, from fewer copies, than of
    one side's pixels with the other's windows. Otherwise the windows are the smaller side's.
    """
    (kh, kw), c, d = kernel_size, x.shape[3], g.shape[3]
    if kernel_size == strides == (1, 1) and not np.any(padding):
        return _product(x, g)[None, None]
    if strides == (1, 1) and kw * c + kh * d <= kh * kw * min(c, d):
        # x [i + h, j + w] meets g [h, w]: row i + h of either side, column w.
        rows, columns = g.shape[1] + kh - 1, g.shape[2]

        def across(x):
            x = _padded(x, padding)
            return jnp.concatenate([x[:, :, j:j + columns] for j in range(kw)], axis=3)

        def down(g):
            g = _padded(g, ((kh - 1, kh - 1), (0, 0)))
            return jnp.concatenate([g[:, kh - 1 - i:kh - 1 - i + rows] for i in range(kh)], axis=3)

        product = _product_of_images(across, down, x, g)
        return jnp.transpose(product.reshape(kw, c, kh, d), (2, 0, 1, 3))
    if strides == (1, 1) and c >= d:
        pads = _pads_back(g, strides, padding, kernel_size, x.shape[1:3])
        windows = partial(_windows, strides=strides, padding=pads, kernel_size=kernel_size)
        product = _product_of_images(lambda x: x, windows, x, g).reshape(c, *kernel_size, d)
        return jnp.moveaxis(product[:, ::-1, ::-1], 0, 2)
    windows = partial(_windows, strides=strides, padding=padding, kernel_size=kernel_size)
    return _product_of_images(windows, lambda g: g, x, g).reshape(*kernel_size, c, d)


def _suits_convolution(images, c, d):
    narrow, wide = sorted((c, d))
    wide = _filled(wide, _WIDE_LANES)
    return (wide in _WIDE and wide % _WIDE_LANES == 0 and wide <= _WIDER * narrow
            and images <= _IMAGES and images % 2 == 0)


def _conv_of_images(a, b, padding):
    """``a [N, H, W, A]`` by ``b [N, H', W', B]``, images as channels: ``[A, kh, kw, B]``."""
    wide = b.shape[3]
    b = _with_channels(b, 3, _filled(wide, _WIDE_LANES))
    out = _conv(jnp.transpose(a, (3, 1, 2, 0)), jnp.transpose(b, (1, 2, 0, 3)), (1, 1), padding)
    return out[..., :wide]


def _filled(channels, lanes):
    """The next multiple of ``lanes``, if no more than an eighth of that is filling."""
    filling = -channels % lanes
    return channels + filling if 8 * filling <= channels + filling else channels


def _with_channels(a, axis, channels):
    """``a`` with zeros for channels that it has not."""
    return jnp.pad(a, [(0, channels - n if i == axis else 0) for i, n in enumerate(a.shape)])


def _product_of_images(left, right, x, g):
    """:func:`_product` of ``left(x)`` and ``right(g)``, which copy pixels several times over.

    Image by image, so that the copies stay in the caches.
    """
    def one(x, g):
        return _product(left(x[None]), right(g[None]))

    zero = jnp.zeros_like(jax.eval_shape(one, x[0], g[0]))
    return lax.scan(lambda total, image: (total + one(*image), None), zero, (x, g))[0]


def _product(a, b):
    """``[N, H, W, ...] x [N, H, W, ...]``, summed over pixels: ``[A, B]``."""
    pixels, sums = np.prod(a.shape[:3]), jnp.promote_types(a.dtype, jnp.float32)
    return lax.dot_general(a.reshape(pixels, -1), b.reshape(pixels, -1), (((0,), (0,)), ((), ())),
                           preferred_element_type=sums)


def _windows(x, strides, padding, kernel_size):
    """What a kernel sees at every step, ``[N, H', W', kh, kw, C]``."""
    kh, kw = kernel_size
    x = _padded(x, padding)
    h, w = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel_size, strides, strict=True))

    def window(i, j):
        last = i + (h - 1) * strides[0] + 1, j + (w - 1) * strides[1] + 1
        return lax.slice(x, (0, i, j, 0), (x.shape[0], *last, x.shape[3]), (1, *strides, 1))

    windows = jnp.stack([window(i, j) for i in range(kh) for j in range(kw)], axis=3)
    return windows.reshape(*windows.shape[:3], kh, kw, x.shape[3])


def _padded(x, padding):
    """``x [N, H, W, C]`` with rows and columns of zeros, or without some of its own."""
    config = [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), config)


# --- the same where XLA's CPU backend needs help ----------------------------------------------


def _conv_on_cpu(x, kernel, strides, padding):
    """Several pixels at a time where that fills the processor's matrix kernel better."""
    channels = _filled(x.shape[3], _LANES)
    x, kernel = _with_channels(x, 3, channels), _with_channels(kernel, 2, channels)
    kh, kw, c, d = kernel.shape
    width = x.shape[2] + sum(padding[1]) - kw + 1
    at_once = _pixels_at_once(c, d, width) if kw > 1 and strides == (1, 1) else 1
    if at_once == 1:
        return _conv(x, kernel, strides, padding)
    # The kernel beside itself moved by a pixel each time: more output channels from one look at
    # the input, at the price of the zeros between.
    moved = [jnp.pad(kernel, ((0, 0), (pixel, at_once - 1 - pixel), (0, 0), (0, 0)))
             for pixel in range(at_once)]
    wide = jnp.stack(moved, axis=3).reshape(kh, kw + at_once - 1, c, at_once * d)
    y = _conv(x, wide, (1, at_once), padding)
    return y.reshape(*y.shape[:2], width, d)


def _pixels_at_once(c, d, width):
    """The matrix kernel halves its rate where neither side has more than 16 channels."""
    if max(c, d) > _FEW:
        return 1
    most = 4 if 2 * d <= _FEW else 2
    return next(n for n in (most, 2, 1) if width % n == 0)


def _conv_as_product(x, kernel, strides, padding):
    """One matrix product of all windows with all kernels: for one image and very many channels."""
    windows = _windows(x, strides, padding, kernel.shape[:2])
    flat = windows.reshape(*windows.shape[:3], -1)
    return lax.dot_general(flat, kernel.reshape(flat.shape[-1], -1), (((3,), (0,)), ((), ())))


# --- the same for a stack of K networks --------------------------------------------------------


def _over_networks(function, on_cpu, *stacked):
    """``vmap(function)`` in the lowering that suits the platform."""

    def loop(*arrays):
        networks = len(arrays[0])
        most = _UNROLL if np.prod([a.shape[-1] for a in arrays]) < _LITTLE else 1
        # A remainder would be cut off the arrays and put back on: copies of all of them.
        unroll = next(n for n in range(most, 0, -1) if networks % n == 0)
        _, out = lax.scan(lambda _, a: (None, on_cpu(*a)), None, arrays, unroll=unroll)
        return out

    # Grouped convolutions are what cuDNN and the TPU compiler have kernels for.
    return lax.platform_dependent(*stacked, cpu=loop, default=jax.vmap(function))


def _join(a):
    """``[K, N, H, W, D] -> [N, H, W, K·D]``: the networks side by side as channels."""
    return jnp.moveaxis(a, 0, 3).reshape(*a.shape[1:4], -1)


def _stack(function, on_cpu, join_shared):
    """Gives ``function`` (one network) its batching rule over the networks' axis."""
    batched = custom_vmap(
        lambda a, b: lax.platform_dependent(a, b, cpu=on_cpu, default=function))

    @batched.def_vmap
    def rule(axis_size, in_batched, a, b):
        shared = join_shared(axis_size, in_batched, a, b)
        if shared is not None:
            return shared, True
        a, b = (
            v if is_batched else jnp.broadcast_to(v, (axis_size, *v.shape))
            for v, is_batched in zip((a, b), in_batched, strict=True)
        )
        return _over_networks(function, on_cpu, a, b), True

    return batched


@lru_cache
def _output(strides, padding):
    one = partial(_conv, strides=strides, padding=padding)

    def shared(k, in_batched, x, kernel):
        if in_batched == [False, True]:  # the first layer: all networks see the same images
            kh, kw, c, d = kernel.shape[1:]
            wide = jnp.moveaxis(kernel, 0, 3).reshape(kh, kw, c, k * d)
            on_cpu = partial(_conv_on_cpu if k * d < _JOINED else _conv_as_product,
                             strides=strides, padding=padding)
            out = lax.platform_dependent(x, wide, cpu=on_cpu, default=one)
            return jnp.moveaxis(out.reshape(*out.shape[:3], k, d), 3, 0)
        if in_batched == [True, False]:  # one network on K batches
            out = one(x.reshape(-1, *x.shape[2:]), kernel)
            return out.reshape(k, -1, *out.shape[1:])
        return None

    return _stack(one, partial(_conv_on_cpu, strides=strides, padding=padding), shared)


@lru_cache
def _input_gradient(strides, padding, size):
    one = partial(_convolve_back, strides=strides, padding=padding, size=size)
    return _stack(one, partial(one, conv=_conv_on_cpu), lambda *_: None)


@lru_cache
def _kernel_gradient(strides, padding, kernel_size):
    options = {"strides": strides, "padding": padding, "kernel_size": kernel_size}
    one, on_cpu = partial(_correlate, **options), partial(_correlate_on_cpu, **options)

    def shared(k, in_batched, x, g):
        if in_batched == [False, True]:
            out = lax.platform_dependent(x, _join(g), cpu=on_cpu, default=one)
            return jnp.moveaxis(out.reshape(*out.shape[:3], k, -1), 3, 0)
        return None

    return _stack(one, on_cpu, shared)

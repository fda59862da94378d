"""One U-Net for one diffusion direction."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from dwijax.models.convolution import conv_general_dilated

ACTIVATIONS: dict[str, Callable] = {
    "relu": jax.nn.relu, "leaky_relu": jax.nn.leaky_relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu,
}


class Block(nnx.Module):
    """``convolutions`` times: 3×3 convolution, activation; with an ``expansion``, a
    :class:`Pointwise` layer stands for the last activation. Without normalisation: batch statistics
    would tie the output to the batch."""

    def __init__(self, cin, width, *, convolutions, activation, dtype, kernel=3, expansion=0,
                 rngs):
        self.activation = ACTIVATIONS[activation]
        channels = [cin] + [width] * convolutions
        sizes = [kernel] + [3] * (convolutions - 1)
        self.convs = nnx.List([
            convolution(c, width, size, dtype, rngs)
            for c, size in zip(channels[:-1], sizes, strict=True)
        ])
        self.last = Pointwise(
            width, expansion * width, activation=activation, dtype=dtype, rngs=rngs,
        ) if expansion else self.activation

    def __call__(self, x):
        for conv in self.convs:
            x = conv(x)
            x = (self.activation if conv is not self.convs[-1] else self.last)(x)
        return x


class Pointwise(nnx.Module):
    """Adds to what a voxel holds what ``hidden`` channels make of it alone.

    How a voxel's DWIs hang together is not linear, and what its neighbours add is little: where a
    3×3 convolution computes nine products for each of a few channels, this computes one for each
    of many (the inverted bottleneck of Liu et al. 2022, "A ConvNet for the 2020s").
    """

    def __init__(self, width, hidden, *, activation, dtype, rngs):
        self.activation = ACTIVATIONS[activation]
        self.widen = convolution(width, hidden, 1, dtype, rngs)
        self.narrow = convolution(hidden, width, 1, dtype, rngs, nnx.initializers.zeros_init())

    def __call__(self, x):
        return x + self.narrow(self.activation(self.widen(x)))


class UNet(nnx.Module):
    """U-Net (Ronneberger et al. 2015, Fig. 1), with "same" padding.

    ``levels`` resolutions; at each, ``convolutions`` 3×3 convolutions; 2×2 max pooling on the
    way down; on the way up nearest-neighbour upsampling followed by a 2×2 convolution (the
    paper's "up-convolution") and concatenation with the skip. Upsampling, then convolving, has
    no checkerboard of the kind He et al. report. Level ``l`` has ``width · 2**l`` channels.

    Args:
      in_channels: C of the input ``[N, H, W, C]``; H and W divisible by ``2**(levels - 1)``.
      out_channels: channels of the output ``[N, H, W, out_channels]``.
      width: channels at full resolution.
      levels: resolutions, 1 or more (5 in the paper).
      convolutions: convolutions per level and side (2 in the paper).
      first_kernel: side of the very first kernel. 1 mixes directions before space.
      expansion: hidden channels of each block's :class:`Pointwise` layer, in multiples of the
        level's channels; 0: no such layer.
      activation: a key of ``ACTIVATIONS``.
      dtype: of the computation; parameters stay float32.
      rngs: Flax random streams for the initialisation.

    The last layer starts at zero: a network that predicts a residual starts at its reference.
    """

    def __init__(self, in_channels, out_channels=1, *, width=64, levels=5, convolutions=2,
                 first_kernel=3, expansion=0, activation="relu",
                 zero_output=False, dtype=jnp.float32, rngs):
        block = {"convolutions": convolutions, "activation": activation,
                 "expansion": expansion, "dtype": dtype, "rngs": rngs}
        widths = [width * 2**level for level in range(levels)]
        self.down = nnx.List([
            Block(cin, w, kernel=first_kernel if level == 0 else 3, **block)
            for level, (cin, w) in enumerate(zip([in_channels, *widths], widths, strict=False))
        ])
        self.up = nnx.List([convolution(2 * w, w, 2, dtype, rngs) for w in widths[:-1]])
        self.merge = nnx.List([Block(2 * w, w, **block) for w in widths[:-1]])
        init = nnx.initializers.zeros_init() if zero_output else None
        self.out = convolution(width, out_channels, 1, dtype, rngs, init)
        self.dtype = dtype

    def __call__(self, x):
        """``x [N, H, W, C] -> [N, H, W, out_channels]`` float32."""
        x = x.astype(self.dtype)
        skips = []
        for level, block in enumerate(self.down):
            x = block(max_pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge), strict=True):
            x = merge(jnp.concatenate([skips.pop(), up(upsample(x))], axis=-1))
        return self.out(x).astype(jnp.float32)


def convolution(cin, cout, size, dtype, rngs, kernel_init=None):
    """``nnx.Conv`` with the stacked convolution in it (He normal initialisation for ReLUs)."""
    return nnx.Conv(
        cin, cout, (size, size), dtype=dtype, rngs=rngs,
        conv_general_dilated=conv_general_dilated,
        kernel_init=kernel_init or nnx.initializers.he_normal(),
    )


@jax.custom_vjp
def max_pool(x):
    """2×2 maximum, ``[N, H, W, C] -> [N, H/2, W/2, C]``; equal maxima share the gradient.

    Written as maxima of reshaped slices: the gradient of ``lax.reduce_window`` is a
    select-and-scatter, which XLA's CPU backend runs element by element.
    """
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c)
    x = jnp.maximum(x[:, :, 0], x[:, :, 1])
    return jnp.maximum(x[:, :, :, 0], x[:, :, :, 1])


def _max_pool_forward(x):
    pooled = max_pool(x)
    return pooled, (x, pooled)


def _max_pool_backward(residuals, g):
    # Two neighbours in a row as one pixel of 2·C channels: half the time of the derived gradient,
    # which XLA fuses with the layer before it and computes again for each of the four.
    x, pooled = residuals
    n, h, w, c = x.shape
    rows = x.reshape(n, h // 2, 2, w // 2, 2 * c)
    largest = (rows == jnp.concatenate([pooled, pooled], axis=3)[:, :, None]).astype(g.dtype)
    count = largest[:, :, 0] + largest[:, :, 1]
    share = g / (count[..., :c] + count[..., c:])
    return ((largest * jnp.concatenate([share, share], axis=3)[:, :, None]).reshape(x.shape),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def upsample(x):
    """Nearest neighbour, ``[N, H, W, C] -> [N, 2H, 2W, C]``."""
    n, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c))
    return x.reshape(n, 2 * h, 2 * w, c)


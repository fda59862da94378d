"""One SuperDTI network (Li et al., Fig. 1): a few DWIs in, one map out."""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from dwijax.models.unet import convolution

LAYERS = 10  # L of the paper: five convolutions, five deconvolutions
RECEPTIVE_FIELD = 1 + 2 * LAYERS  # 21, the side of the paper's patches


class SuperDTI(nnx.Module):
    """Five 3×3 convolutions, five 3×3 deconvolutions, skips that add (Li et al., eqs. 1 and 2).

        H_l = relu(W_l * H_{l-1} + B_l)                 l = 1 ... 5
        H_l = relu(W_l * (H_{l-1} + H_{10-l}) + B_l)    l = 6 ... 9
        H_10 = W_10 * H_9 + B_10

    At stride 1 with padding 1 truncated again ("s1p1(p'1)" in Fig. 1) a deconvolution is a
    convolution with the flipped kernel, which a network that learns its kernels cannot tell apart:
    all ten are convolutions with zero padding.

    The paper's network "learns the residual between its input and output" and does not say how q
    DWIs are added to a map. ``projection`` reads it as ResNet does, which the paper cites, where
    channels differ (its eq. 2): the input is added through a learned 1×1 convolution. Where the
    residual is over a classical estimate instead, that is added outside of the network.

    Args:
      in_channels: C of the input ``[N, H, W, C]``, any H and W.
      out_channels: D of the output ``[N, H, W, D]``.
      width: filters of every layer but the last (64 in the paper).
      projection: whether the projected input is added to the output.
      zero_output: start the last layer at zero, for a residual over a classical estimate.
      dtype: of the computation; parameters stay float32.
      rngs: Flax random streams for the initialisation.
    """

    def __init__(self, in_channels, out_channels, *, width=64, projection=False,
                 zero_output=False, dtype=jnp.float32, rngs):
        widths = [in_channels] + [width] * (LAYERS - 1)
        self.hidden = nnx.List([
            convolution(c, d, 3, dtype, rngs) for c, d in itertools.pairwise(widths)
        ])
        init = nnx.initializers.zeros_init() if zero_output else None
        self.out = convolution(width, out_channels, 3, dtype, rngs, init)
        self.shortcut = nnx.List([
            convolution(in_channels, out_channels, 1, dtype, rngs) for _ in range(projection)
        ])
        self.dtype = dtype

    def __call__(self, x):
        """``x [N, H, W, C] -> [N, H, W, D]`` float32."""
        x = x.astype(self.dtype)
        h = [x]
        for layer, conv in enumerate(self.hidden, start=1):
            skipped = h[-1] + h[LAYERS - layer] if layer > LAYERS // 2 else h[-1]
            h.append(jax.nn.relu(conv(skipped)))
        y = self.out(h[-1])
        for shortcut in self.shortcut:
            y = y + shortcut(x)
        return y.astype(jnp.float32)

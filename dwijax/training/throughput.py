"""How fast a run is, beside what the machine could do."""

import functools
import time

import jax
import jax.numpy as jnp


def step_flops(network, shape, *, networks, batch):
    """FLOP of one training step: forward and backward of all networks, by XLA's own count.

    Of the convolutions as they are written: as the CPU does them they multiply zeros too
    (`dwijax.models.convolution`).

    Args:
      network: :class:`dwijax.models.stack.Network`. shape: ``(H, W, C)`` of what it sees.
      networks: K. batch: N.
    """
    params = jax.eval_shape(network.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    back = jax.jit(jax.grad(lambda p, x: jnp.sum(network.apply(p, x) ** 2)))
    written = back.trace(params, x).lower(lowering_platforms=("tpu",))
    return networks * batch * written.cost_analysis()["flops"]


@functools.cache
def product_rate(dtype=jnp.float32, repeats=3):
    """FLOP/s of one device's best matrix product: what no network can be faster than.

    Args:
      dtype: of the matrices.
    """
    size = 2048 if jax.default_backend() == "cpu" else 8192
    product = jax.jit(lambda a, b: a @ b)
    a = jnp.ones((size, size), dtype)
    product(a, a).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        product(a, a).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return 2 * size ** 3 / best

"""From one network to a stack of K: ``init(key) -> params`` and ``apply(params, x) -> y``.

Everything outside ``dwijax/models`` sees a network as this pair of pure functions over a plain
tree of arrays. :func:`stack` lifts the pair once; every leaf of the parameters gains a leading
axis ``[K, ...]``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx


class Network(NamedTuple):
    """A network as two pure functions.

    ``init(key) -> params``; ``apply(params, x) -> y``. Of one network ``x [N, H, W, C] ->
    y [N, H, W, D]``; of a stack ``init(keys [K])`` and ``y [K, N, H, W, D]``, ``x`` shared.
    """

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, jax.Array], jax.Array]


def functional(build: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Turns a Flax module into a :class:`Network` over a plain tree of arrays.

    Args:
      build: makes the module from its random streams.
    """
    graph = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param)[0]

    def init(key):
        return nnx.to_pure_dict(nnx.state(build(nnx.Rngs(params=key)), nnx.Param))

    def apply(params, x):
        return nnx.merge(graph, nnx.State(params))(x)

    return Network(init, apply)


def stack(network: Network) -> Network:
    """K networks of one architecture: ``vmap`` over parameters, the images shared."""
    return Network(jax.vmap(network.init), jax.vmap(network.apply, in_axes=(0, None)))


def network_keys(key: jax.Array, directions) -> jax.Array:
    """Key of each network, ``[K]``: it depends on its direction's number and nothing else.

    So network k of a stack is the network k of any other stack, chunk or device.

    Args:
      key: a typed JAX random key.
      directions: int ``[K]``, number of each network's direction.
    """
    return jax.vmap(lambda k: jax.random.fold_in(key, k))(directions)

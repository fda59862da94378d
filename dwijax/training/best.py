"""Each network at its own best validation, kept as one stacked tree."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Best(NamedTuple):
    """``params`` with leaves ``[K, ...]``; row k is network k at step ``step[k]`` (int32 ``[K]``,
    0 before the first validation), where its validation loss was ``loss[k]`` (float32 ``[K]``)."""

    params: Any
    loss: jax.Array
    step: jax.Array


def init_best(params):
    """Before the first validation: the parameters there are, with infinite loss."""
    networks = jax.tree.leaves(params)[0].shape[0]
    return Best(jax.tree.map(jnp.copy, params), jnp.full(networks, jnp.inf, jnp.float32),
                jnp.zeros(networks, jnp.int32))


@partial(jax.jit, donate_argnums=0)
def update_best(best, params, losses, step):
    """Takes over the networks whose validation ``losses [K]`` are below their best so far.

    A loss that is not finite is below nothing.
    """
    better = losses < best.loss

    def choose(new, old):
        return jnp.where(better.reshape(*better.shape, *[1] * (new.ndim - better.ndim)), new, old)

    return Best(jax.tree.map(choose, params, best.params), choose(losses, best.loss),
                choose(jnp.full_like(best.step, step), best.step))

"""Exponential moving averages of parameters: what predicts is steadier than what is trained.

The averages live in the optimiser's state, one of each network, so that whatever skips, shards or
stores that state does the same to them.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Averaged(NamedTuple):
    """State of :func:`averaged`: of the optimiser inside, the ``average``, number of updates."""

    inner: Any
    average: Any
    count: jax.Array


def averaged(optimizer, decay):
    """An optimiser that averages the parameters it makes.

    The average's decay is (1 + t) / (10 + t) after t updates until that exceeds ``decay``: what
    networks were initialised with is soon forgotten.

    Args:
      optimizer: ``optax.GradientTransformation`` of one network. decay: of an update, below 1.
    """

    def init(params):
        return Averaged(optimizer.init(params), jax.tree.map(jnp.copy, params), jnp.int32(0))

    def update(gradients, state, params):
        updates, inner = optimizer.update(gradients, state.inner, params)
        count = state.count + 1
        share = 1 - jnp.minimum(decay, (1.0 + count) / (10.0 + count))
        average = optax.incremental_update(
            optax.apply_updates(params, updates), state.average, share)
        return updates, Averaged(inner, average, count)

    return optax.GradientTransformation(init, update)


def predicting(state):
    """The parameters that predict: the averages, where there are some."""
    found = state.opt_state
    return found.average if isinstance(found, Averaged) else state.params


def apart(state):
    """``(the parameters that predict, the rest of the state)``, as checkpoints hold them."""
    if isinstance(state.opt_state, Averaged):
        return state.opt_state.average, state._replace(
            opt_state=state.opt_state._replace(average=None))
    return state.params, state._replace(params=None)


def together(params, rest):
    """The inverse of :func:`apart`."""
    if isinstance(rest.opt_state, Averaged):
        return rest._replace(opt_state=rest.opt_state._replace(average=params))
    return rest._replace(params=params)

"""One training step of the whole stack, and the validation of every network."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dwijax.data.sampling import take_batch
from dwijax.training.losses import masked_mse


class TrainState(NamedTuple):
    """``step`` int32; ``params`` and ``opt_state`` with leaves ``[K, ...]``."""

    step: jax.Array
    params: Any
    opt_state: Any


def init_state(network, optimizer, keys):
    """State of K networks from their keys ``[K]``."""
    params = jax.vmap(network.init)(keys)
    return TrainState(jnp.int32(0), params, jax.vmap(optimizer.init)(params))


def objective(predict, task, params, b0, dwi, mask):
    """Sum over networks of their own losses, plus what couples them.

    The sum, not the mean: the gradient of network k is then that of network k alone.

    Returns:
      ``(scalar, losses [K])``.
    """
    predictions = predict(params, task.see(b0, dwi))
    losses = jax.vmap(masked_mse, in_axes=(0, 0, None))(predictions, task.targets(b0, dwi), mask)
    total = jnp.sum(losses)
    if task.coupled is not None:
        total += task.coupled(predictions, b0, dwi, mask)
    return total, losses


def make_step(predict, task, optimizer, *, seed, batch, patch, stride=1):
    """``step(state, slices) -> (state, losses [K])``; pure, to be jitted or looped over.

    Args:
      predict: from :func:`dwijax.training.tasks.predictor`.
      optimizer: of one network; vmapped, so that every network has its own state and norm.
      seed, batch, patch, stride: of the sampling.
    """

    def step(state, slices):
        b0, dwi, mask = take_batch(slices, seed, state.step, batch=batch, patch=patch,
                                   stride=stride)
        gradients, losses = jax.grad(
            lambda params: objective(predict, task, params, b0, dwi, mask), has_aux=True
        )(state.params)
        updates, opt_state = jax.vmap(optimizer.update)(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state), losses

    return step


def make_dispatch(step):
    """``dispatch(state, slices, n) -> (state, mean losses [K])``: n steps without the host.

    n is traced: one program serves every number of steps, and resuming between any two steps
    repeats the same arithmetic.
    """

    def dispatch(state, slices, n):
        def body(_, carry):
            state, total = carry
            state, losses = step(state, slices)
            return state, total + losses

        networks = jax.tree.leaves(state.params)[0].shape[0]
        state, total = jax.lax.fori_loop(0, n, body, (state, jnp.zeros(networks, jnp.float32)))
        return state, total / n

    return jax.jit(dispatch, donate_argnums=0)


def make_validation(predict, task, *, batch):
    """``validate(params, slices) -> [K]``: masked squared error of each network.

    Whole slices, ``batch`` at a time; the slices past the last full batch wrap around and count
    with weight 0.
    """

    def validate(params, slices):
        count = slices.b0.shape[0]

        def body(i, totals):
            index = i * batch + jnp.arange(batch)
            inside = (index < count).astype(jnp.float32)[:, None, None, None]
            b0, dwi, mask = (a[index % count] for a in slices[:3])
            mask = mask * inside
            predictions = predict(params, task.see(b0, dwi))
            losses = jax.vmap(masked_mse, in_axes=(0, 0, None))(
                predictions, task.targets(b0, dwi), mask)
            return totals[0] + losses * jnp.sum(mask), totals[1] + jnp.sum(mask)

        zeros = jnp.zeros(len(task.numbers), jnp.float32), jnp.float32(0)
        total, voxels = jax.lax.fori_loop(0, -(-count // batch), body, zeros)
        return total / jnp.maximum(voxels, 1)

    return jax.jit(validate)

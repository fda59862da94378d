"""One training step of the whole stack, and its validation, as one device of a mesh sees them.

With θ_k the parameters of network k, y_k its outputs, t_k its targets and v the weights of the
voxels, of sum 1 over the batch:

    L_k = sum of v · loss(y_k, t_k),   C = coupled(y_1 ... y_K, images, v), or 0
    gradient of θ_k = (dy_k/dθ_k)ᵀ (dL_k/dy_k + dC/dy_k)

No collective is ever differentiated: each device runs its networks forward, finds the derivative by
their outputs, and runs its networks backward. So there is no factor to get wrong. Sums over parts
of a batch, on one device or several, are those of the whole:

    | in memory at once (`Pieces`) | C | how                                             |
    | ---------------------------- | - | ----------------------------------------------- |
    | all networks, all slices     |   | forward, backward                               |
    | all networks, some slices    |   | the same for each part of the batch, added up   |
    | some networks                | 0 | the same for each part of the stack             |
    | some networks                | C | forward for all; dC/dy of all; then as above    |
    | networks on several devices  | C | outputs exchanged: each device has some voxels' |

Every function is written for the networks and the slices of a single device; with :data:`ALONE`
that device has all of them.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from dwijax.data.sampling import take_batch
from dwijax.data.slices import Batch
from dwijax.devices.memory import WHOLE
from dwijax.devices.placement import ALONE
from dwijax.tasks.losses import squared_error


class Health(NamedTuple):
    """Of each network, int32 ``[K]``: updates ``skipped`` so far, and skipped ``in_a_row``."""

    skipped: jax.Array
    in_a_row: jax.Array


class TrainState(NamedTuple):
    """``step`` int32; ``params`` and ``opt_state`` with leaves ``[K, ...]``; ``health``."""

    step: jax.Array
    params: Any
    opt_state: Any
    health: Health


# What a state is to the devices of a mesh (`dwijax.devices.placement.lift`).
STATE = TrainState("number", "stack", "stack", "stack")


def init_state(network, optimizer, keys, params=None):
    """State of K networks from their keys ``[K]``, or from parameters ``[K, ...]``."""
    params = jax.vmap(network.init)(keys) if params is None else params
    health = Health(*(jnp.zeros(len(keys), jnp.int32) for _ in Health._fields))
    return TrainState(jnp.int32(0), params, jax.vmap(optimizer.init)(params), health)


def make_gradients(predict, task, *, axes=ALONE, pieces=WHOLE):
    """``gradients(params, batch) -> (losses [K], gradients)`` of networks on their batch; pure.

    The gradient of network k is that of its own loss, plus what couples it to the others.

    Args:
      predict: from :func:`dwijax.tasks.task.predictor`.
      task: :class:`dwijax.tasks.task.Task`.
      axes: of this device. pieces: what is in memory at once.
    """
    stack = len(task.numbers)

    def own(rows, targets, weight, predictions):
        targets = targets if rows is None else targets[rows]
        losses = jax.vmap(task.loss, in_axes=(0, 0, None))(predictions, targets, weight)
        return jnp.sum(losses), losses

    def backward(params, rows, batch, coupling):
        """Of some networks on some slices; ``coupling`` adds to the derivative by the outputs."""
        x, targets, weight = task.learn(batch)
        predictions, pull_back = jax.vjp(lambda p: predict(p, x, rows), params)
        derivative, losses = jax.grad(partial(own, rows, targets, weight), has_aux=True)(
            predictions)
        derivative = coupling(derivative, predictions, batch)
        return losses, pull_back(derivative)[0]

    def uncoupled(derivative, predictions, batch):
        return derivative

    def coupled(derivative, predictions, batch):
        return derivative + _coupled_derivative(task, axes, stack, predictions, batch)

    def forward(params, rows, batch):
        """Outputs of all networks of the device on some slices, a piece of them at a time."""
        x, _, _ = task.learn(batch)
        predictions = lax.map(lambda p: predict(p[0], x, p[1]),
                              _split((params, rows), pieces.networks))
        return _merge(predictions)

    def over_slices(function, batch):
        """Sum of ``function(part of the batch)``."""
        count = jax.tree.leaves(batch)[0].shape[0]
        size = pieces.slices or count
        if size == count:
            return function(batch)
        parts = _split(batch, size)
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype),
                             jax.eval_shape(function, jax.tree.map(lambda a: a[0], parts)))
        return lax.scan(lambda total, part: (jax.tree.map(jnp.add, total, function(part)), None),
                        zeros, parts)[0]

    def gradients(params, batch):
        batch = batch._replace(
            weight=batch.weight / jnp.maximum(axes.total(jnp.sum(batch.weight)), 1))
        networks = jax.tree.leaves(params)[0].shape[0]
        rows = axes.rows(networks, stack)
        if pieces.networks in (None, networks):
            coupling = coupled if task.coupled else uncoupled
            return axes.total(over_slices(
                lambda part: backward(params, rows, part, coupling), batch))

        rows = jnp.arange(networks) if rows is None else rows
        extra = ()
        if task.coupled:  # the outputs of all are needed before any can go backward
            parts = _split(batch, pieces.slices or batch.weight.shape[0])
            extra = lax.map(lambda part: _coupled_derivative(
                task, axes, stack, forward(params, rows, part), part), parts)
            # [parts, K, n, H, W, D] -> [K, N, H, W, D]
            extra = jnp.moveaxis(extra, 0, 1)
            extra = extra.reshape(networks, -1, *extra.shape[3:])

        def piece(p):
            params, rows, extra = p
            if not task.coupled:
                return over_slices(lambda part: backward(params, rows, part, uncoupled), batch)
            return over_slices(
                lambda part: backward(
                    params, rows, part[0],
                    lambda derivative, *_: derivative + jnp.moveaxis(part[1], 1, 0)),
                (batch, jnp.moveaxis(extra, 0, 1)))

        found = lax.map(piece, _split((params, rows, extra), pieces.networks))
        return axes.total(_merge(found))

    return gradients


def _split(tree, size):
    """Leaves ``[n, ...]`` as ``[n / size, size, ...]``."""
    return jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), tree)


def _merge(tree):
    """Leaves ``[n, size, ...]`` as ``[n · size, ...]``."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tree)


def _coupled_derivative(task, axes, stack, predictions, batch):
    """Derivative of the coupled loss by this device's outputs, ``[K, N, H, W, D]``.

    The loss is one of voxels: of each, all networks' outputs are brought to one device, so that
    the devices of a direction axis share the work.
    """
    def loss(predictions, images, weight):
        # An output that is NaN would make the fit, and all networks' gradients, NaN.
        usable = jnp.all(jnp.isfinite(predictions), axis=tuple(range(1, predictions.ndim)))
        return task.coupled(predictions, usable, images, weight)

    if not axes.direction:
        return jax.grad(loss)(predictions, batch.images, batch.weight)
    devices, networks = axes.directions, predictions.shape[0]
    voxels = batch.weight.size
    share = -(-voxels // devices)

    def flat(a, axis=0):
        a = a.reshape(*a.shape[:axis], voxels, a.shape[-1])
        return jnp.pad(a, [(0, 0)] * axis + [(0, share * devices - voxels), (0, 0)])

    exchange = partial(lax.all_to_all, axis_name=axes.direction, tiled=True)
    mine = partial(lax.dynamic_slice_in_dim, start_index=lax.axis_index(axes.direction) * share,
                   slice_size=share)
    everyone = exchange(flat(predictions, 1), split_axis=1, concat_axis=0)
    # Images of the padding are 1: a fit of zeros alone has no derivative.
    padding = jnp.arange(share * devices)[:, None] >= voxels
    image = (1, 1, share)

    def own_share(a, fill):
        return mine(jnp.where(padding, fill, flat(a))).reshape(*image, -1)

    derivative = jax.grad(loss)(
        everyone[:stack].reshape(stack, *image, -1),
        {name: own_share(a, 1) for name, a in batch.images.items()}, own_share(batch.weight, 0))
    derivative = jnp.pad(derivative.reshape(stack, share, -1),
                         [(0, devices * networks - stack), (0, 0), (0, 0)])
    back = exchange(derivative, split_axis=0, concat_axis=1)
    return back[:, :voxels].reshape(predictions.shape)


def make_update(predict, task, optimizer, *, axes=ALONE, pieces=WHOLE, freeze_after=0):
    """``update(state, batch) -> (state, losses [K])`` on a `dwijax.data.slices.Batch`; pure.

    A network whose loss or gradient is not finite is left as it is in that step, and for good
    after ``freeze_after`` such steps in a row (0: never); the others do not notice.

    Args:
      predict, task, axes, pieces: see :func:`make_gradients`.
      optimizer: of one network; vmapped, so that every network has its own state and norm.
    """
    gradients = make_gradients(predict, task, axes=axes, pieces=pieces)

    def update(state, batch):
        losses, found = gradients(state.params, batch)
        updates, opt_state = jax.vmap(optimizer.update)(found, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)

        finite = [jnp.isfinite(losses)]
        finite += [jnp.all(jnp.isfinite(g), axis=tuple(range(1, g.ndim)))
                   for g in jax.tree.leaves(found)]
        good = jnp.all(jnp.stack(finite), axis=0)
        if freeze_after:
            good &= state.health.in_a_row < freeze_after

        def keep(new, old):
            return jnp.where(good.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        params, opt_state = jax.tree.map(
            keep, (params, opt_state), (state.params, state.opt_state))
        health = Health(state.health.skipped + ~good,
                        jnp.where(good, 0, state.health.in_a_row + 1))
        return TrainState(state.step + 1, params, opt_state, health), losses

    return update


def make_step(predict, task, optimizer, *, seed, batch, patch, stride=1, axes=ALONE,
              **options):
    """``step(state, slices) -> (state, losses [K])``; pure, to be jitted or looped over.

    Args:
      predict, task, optimizer, axes, options: see :func:`make_update`.
      seed, batch, patch, stride: of the sampling; every device draws all and takes its part.
    """
    update = make_update(predict, task, optimizer, axes=axes, **options)

    def step(state, slices):
        return update(state, take_batch(slices, seed, state.step, batch=batch, patch=patch,
                                        stride=stride, part=axes.part(), parts=axes.batches))

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
        state, total = lax.fori_loop(0, n, body, (state, jnp.zeros(networks, jnp.float32)))
        return state, total / n

    return dispatch


def make_judge(predict, task, *, axes=ALONE, pieces=WHOLE):
    """``judge(params, totals, batch) -> totals``: adds a batch's errors to ``(sum [K], voxels)``.

    Squared errors of each network over the voxels, by their weight.
    """
    def judge(params, totals, batch):
        x, targets, weight = task.learn(batch)
        networks = totals[0].shape[0]
        rows = axes.rows(networks, len(task.numbers))

        def errors(p):
            params, rows = p
            return jax.vmap(squared_error, in_axes=(0, 0, None))(
                predict(params, x, rows), targets if rows is None else targets[rows], weight)

        if pieces.networks in (None, networks):
            found = errors((params, rows))
        else:
            rows = jnp.arange(networks) if rows is None else rows
            found = _merge(lax.map(errors, _split((params, rows), pieces.networks)))
        found, voxels = axes.total((found, jnp.sum(batch.weight)))
        return totals[0] + found, totals[1] + voxels

    return judge


def make_validation(predict, task, *, batch, axes=ALONE, pieces=WHOLE):
    """``validate(params, slices) -> [K]``: masked squared error of each network; pure.

    Whole slices, ``batch`` at a time; the slices past the last full batch wrap around and count
    with weight 0.
    """
    judge = make_judge(predict, task, axes=axes, pieces=pieces)
    size = batch // axes.batches

    def validate(params, slices):
        count = slices.mask.shape[0]

        def body(i, totals):
            index = i * batch + axes.part() * size + jnp.arange(size)
            inside = (index < count).astype(jnp.float32)[:, None, None, None]
            images, mask, draw = slices.read(index % count)
            return judge(params, totals, Batch(images, mask * inside, draw))

        networks = jax.tree.leaves(params)[0].shape[0]
        zeros = jnp.zeros(networks, jnp.float32), jnp.float32(0)
        total, voxels = lax.fori_loop(0, -(-count // batch), body, zeros)
        return total / jnp.maximum(voxels, 1)

    return validate

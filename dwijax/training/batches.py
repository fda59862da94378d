"""Where the batches of a run come from: slices on the device, or a store that is read ahead.

Both do the same arithmetic on the same batches; compiled apart, they agree to rounding.
"""

import time
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dwijax.data.store import bytes_of
from dwijax.data.stream import TrainingBatches, ValidationBatches, stream
from dwijax.devices import placement as placing
from dwijax.training.step import (
    STATE,
    make_dispatch,
    make_judge,
    make_step,
    make_update,
    make_validation,
)

# Groups of batches on the device that wait for the one being computed.
WAITING = 2

# A dispatch of 60 networks costs a fifth of a small step: batches go to the device in groups, of at
# most so many batches and, beyond the first, bytes.
_GROUP, _GROUP_BYTES = 32, 2**25

# Batches that are read ahead on the host, at least; a whole group where it is larger.
_AHEAD = 4


def lift_dispatch(training):
    """``(state, slices, n) -> (state, mean losses [K])`` on the devices of a `Training`."""
    step = make_step(
        training.predict, training.task, training.optimizer, **training.sampling._asdict(),
        axes=training.placement.axes, pieces=training.plan.pieces,
        freeze_after=training.freeze_after)
    return placing.lift(training.placement, make_dispatch(step),
                        (STATE, "same", "number", (STATE, "stack")), donate=0)


class Resident:
    """All slices lie on the device; the host looks in only between calls."""

    def __init__(self, training, train, validation):
        """Puts ``train`` and ``validation``, `dwijax.data.slices.Slices`, on the devices."""
        place, pieces = training.placement, training.plan.pieces
        self._train, self._validation = (
            placing.spread(place, slices, "same") for slices in (train, validation))
        self._dispatch = lift_dispatch(training)
        batch = _at_once(pieces, training.sampling.batch, place.axes)
        self._validate = placing.lift(
            place, make_validation(training.predict, training.task, batch=batch,
                                   axes=place.axes, pieces=pieces), ("stack", "same", "stack"))

    def compile(self, state):
        """Compiles what :meth:`advance` runs, once for all; returns the compiled program."""
        self._program = self._dispatch.lower(state, self._train, np.int32(1)).compile()
        return self._program

    def advance(self, state, n):
        """``(state, mean losses [K])`` n steps later; the state given is used up."""
        return self._program(state, self._train, np.int32(n))

    def validate(self, params):
        """Masked squared error of each network, ``[K]``."""
        return self._validate(params, self._validation)

    def close(self):
        """Nothing is to be ended."""


class Streamed:
    """Batches are read from a store while the device computes.

    Attributes:
      waited: seconds that were spent waiting for a batch so far.
    """

    def __init__(self, training, train, validation, *, steps):
        """``train`` and ``validation`` are `dwijax.data.store.StoredSlices`."""
        place, pieces, sampling = training.placement, training.plan.pieces, training.sampling
        parts = {"axes": place.axes, "pieces": pieces}
        update = make_update(training.predict, training.task, training.optimizer, **parts,
                             freeze_after=training.freeze_after)
        judge = make_judge(training.predict, training.task, **parts)
        self._placement, self._reader, self._next = place, None, None
        batch, validation_batch = sampling.batch, _at_once(pieces, sampling.batch, place.axes)
        self._training = TrainingBatches(
            train, **sampling._asdict(), steps=steps, positions=placing.positions(place, batch))
        self._validation = ValidationBatches(
            validation, batch=validation_batch,
            positions=placing.positions(place, validation_batch))
        self._train_size = batch, _together(batch, train.channels, training.size)
        self._validation_size = validation_batch, _together(
            validation_batch, validation.channels, validation.size)
        self.waited = 0.0

        # The sums of the batches are taken in the order of slices on the device.
        def add_update(state, total, group, n):
            def body(i, carry):
                state, losses = update(carry[0], _batch(group, i))
                return state, carry[1] + losses

            return lax.fori_loop(0, n, body, (state, total))

        def add_errors(params, totals, group, n):
            return lax.fori_loop(0, n, lambda i, t: judge(params, t, _batch(group, i)), totals)

        def mean_errors(totals):
            return totals[0] / jnp.maximum(totals[1], 1)

        def lift(function, *takes, **options):
            return placing.lift(place, function, takes, **options)

        self._dispatch = lift(add_update, STATE, "stack", "parts", "number", (STATE, "stack"),
                             donate=0)
        sums = ("stack", "same")
        self._judge = lift(add_errors, "stack", sums, "parts", "number", sums)
        self._mean = lift(mean_errors, sums, "stack")

    def compile(self, state):
        """Compiles what :meth:`advance` runs, once for all; returns the compiled program."""
        group = self._read(stream(self._training, ahead=0), 1, *self._train_size)
        self._program = self._dispatch.lower(state, self._zeros(), group, np.int32(1)).compile()
        return self._program

    def advance(self, state, n):
        """``(state, mean losses [K])`` n steps later; the state given is used up."""
        step = int(np.asarray(state.step).reshape(-1)[0])
        if step != self._next:
            self.close()
            self._reader = stream(self._training, step, ahead=max(_AHEAD, self._train_size[1]))
        total, computing = self._zeros(), deque()
        for count in _groups(n, self._train_size[1]):
            # Copied to the device while it computes the group before.
            group = self._read(self._reader, count, *self._train_size)
            state, total = self._program(state, total, group, np.int32(count))
            _wait(computing, total)
        self._next = step + n
        return state, total / n

    def validate(self, params):
        """Masked squared error of each network, ``[K]``."""
        totals, computing = (self._zeros(), self._zero()), deque()
        reader = stream(self._validation, ahead=max(_AHEAD, self._validation_size[1]))
        for count in _groups(len(self._validation), self._validation_size[1]):
            group = self._read(reader, count, *self._validation_size)
            totals = self._judge(params, totals, group, np.int32(count))
            _wait(computing, totals[0])
        reader.close()
        return self._mean(totals)

    def close(self):
        """Ends the reading ahead."""
        if self._reader is not None:
            self._reader.close()
            self._reader = self._next = None

    def _zeros(self):
        return placing.distribute(
            self._placement, jnp.zeros(self._placement.networks, jnp.float32))

    def _zero(self):
        return placing.distribute(self._placement, jnp.float32(0))

    def _read(self, reader, count, size, together):
        """``count`` batches of N = ``size`` as one group: leaves ``[N, together, ...]``."""
        began = time.perf_counter()
        batches = [next(reader) for _ in range(count)]
        self.waited += time.perf_counter() - began
        batches += batches[-1:] * (together - count)  # one shape, one program
        group = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *batches)
        return placing.spread(self._placement, group, "parts", size)


def _together(batch, channels, size):
    """Number of batches of one group."""
    return int(np.clip(_GROUP_BYTES // (batch * bytes_of(channels, size)), 1, _GROUP))


def _groups(batches, together):
    """Sizes of the groups that so many batches make."""
    full, rest = divmod(batches, together)
    return [together] * full + [rest] * (rest > 0)


def _batch(group, i):
    """The i-th batch of a group."""
    return jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, 1, keepdims=False), group)


def _wait(computing, result):
    """Lets the host be ahead of the device by a few groups, not by all."""
    computing.append(result)
    if len(computing) > WAITING:
        computing.popleft().block_until_ready()


def _at_once(pieces, batch, axes):
    """Slices that are validated at once on all devices: whole ones, so rather too few."""
    return axes.batches * (pieces.slices or batch // axes.batches)


def fits(slices, budget):
    """Whether stored slices, next to networks and activations, are best held on the device.

    Args:
      slices: list of `dwijax.data.store.StoredSlices`. budget: bytes of the device.
    """
    return sum(s.nbytes for s in slices) <= budget / 4


def from_store(stored, stream, budget, progress=iter):
    """``(train, validation)`` as they are to be fed: read into memory, or left in the store.

    Args:
      stored: two `dwijax.data.store.StoredSlices`. stream: "auto", "always" or "never".
      budget: bytes of a device. progress: wraps the reading (tqdm).
    """
    if stream == "always" or (stream == "auto" and not fits(stored, budget)):
        return tuple(stored)
    return tuple(slices.load(progress) for slices in stored)

"""Where the batches of a run come from: slices on the device, or a store that is read ahead.

Both do the same arithmetic on the same batches, bit for bit.
"""

import time
from collections import deque

import jax
import jax.numpy as jnp

from dwijax.data.stream import TrainingBatches, ValidationBatches, stream
from dwijax.training.step import make_dispatch, make_judge, make_step, make_update, make_validation

# Batches on the device that wait for the one being computed.
WAITING = 2


class Resident:
    """All slices lie on the device; the host looks in only between calls."""

    def __init__(self, predict, task, optimizer, train, validation, *, seed, batch, patch):
        """Puts ``train`` and ``validation``, `dwijax.data.slices.Slices`, on the device."""
        self._train, self._validation = (
            jax.tree.map(jnp.asarray, slices) for slices in (train, validation))
        self._dispatch = make_dispatch(
            make_step(predict, task, optimizer, seed=seed, batch=batch, patch=patch))
        self._validate = make_validation(predict, task, batch=batch)

    def advance(self, state, n):
        """``(state, mean losses [K])`` n steps later; the state given is used up."""
        return self._dispatch(state, self._train, jnp.int32(n))

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

    def __init__(self, predict, task, optimizer, train, validation, *, seed, batch, patch, steps,
                 ahead=4):
        """``train`` and ``validation`` are `dwijax.data.store.StoredSlices`."""
        update, judge = make_update(predict, task, optimizer), make_judge(predict, task)
        self._zeros = jnp.zeros(len(task.numbers), jnp.float32)
        self._training = TrainingBatches(train, seed=seed, batch=batch, patch=patch, steps=steps)
        self._validation = ValidationBatches(validation, batch=batch)
        self._ahead, self._reader, self._next = ahead, None, None
        self.waited = 0.0

        # Loops, though of one turn, as for slices on the device: XLA compiles the inside of a loop
        # otherwise than a function by itself, and the last bits would differ.
        def add_update(state, total, batch, n):
            def body(_, carry):
                state, losses = update(carry[0], batch)
                return state, carry[1] + losses

            return jax.lax.fori_loop(0, n, body, (state, total))

        def add_errors(params, totals, batch, n):
            return jax.lax.fori_loop(0, n, lambda _, t: judge(params, t, batch), totals)

        self._update = jax.jit(add_update, donate_argnums=0)
        self._judge = jax.jit(add_errors)

    def advance(self, state, n):
        """``(state, mean losses [K])`` n steps later; the state given is used up."""
        step = int(state.step)
        if step != self._next:
            self.close()
            self._reader = stream(self._training, step, ahead=self._ahead)
        total, computing = self._zeros, deque()
        for _ in range(n):
            # Copied to the device while it computes the step before.
            batch = jax.device_put(self._read(self._reader))
            state, total = self._update(state, total, batch, jnp.int32(1))
            computing.append(total)
            if len(computing) > WAITING:
                computing.popleft().block_until_ready()
        self._next = step + n
        return state, total / n

    def validate(self, params):
        """Masked squared error of each network, ``[K]``."""
        totals, computing = (self._zeros, jnp.float32(0)), deque()
        reader = stream(self._validation, ahead=self._ahead)
        for _ in range(len(self._validation)):
            batch = jax.device_put(self._read(reader))
            totals = self._judge(params, totals, batch, jnp.int32(1))
            computing.append(totals[1])
            if len(computing) > WAITING:
                computing.popleft().block_until_ready()
        reader.close()
        return totals[0] / jnp.maximum(totals[1], 1)

    def close(self):
        """Ends the reading ahead."""
        if self._reader is not None:
            self._reader.close()
            self._reader = self._next = None

    def _read(self, reader):
        began = time.perf_counter()
        batch = next(reader)
        self.waited += time.perf_counter() - began
        return batch


def fits(slices, budget):
    """Whether stored slices, next to networks and activations, are best held on the device.

    Args:
      slices: list of `dwijax.data.store.StoredSlices`. budget: bytes of the device.
    """
    return sum(s.nbytes for s in slices) <= budget / 4


def device_bytes():
    """Memory of the first device, or of this machine where that is the same."""
    import psutil

    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_limit", psutil.virtual_memory().available)


def from_store(stored, stream, progress=iter):
    """``(train, validation)`` as they are to be fed: read into memory, or left in the store.

    Args:
      stored: two `dwijax.data.store.StoredSlices`. stream: "auto", "always" or "never".
      progress: wraps the reading (tqdm).
    """
    if stream == "always" or (stream == "auto" and not fits(stored, device_bytes())):
        return tuple(stored)
    return tuple(slices.load(progress) for slices in stored)

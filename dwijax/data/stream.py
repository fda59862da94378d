"""Batches from a slice store, read ahead by Grain: bit for bit those that are gathered on a device.

The batch of a step is one pure function of (seed, step), so a stream can start anywhere.
"""

from functools import partial

import jax
import numpy as np

from dwijax.data.sampling import sample


class TrainingBatches:
    """Random access: item ``step`` is the batch that `dwijax.data.sampling.take_batch` gathers.

    Args:
      slices: :class:`dwijax.data.store.StoredSlices`, opened for this ``patch``.
      seed, batch, patch, stride: of the sampling. steps: number of batches.
      positions: of those places in the batch that this process reads; None: all.
    """

    def __init__(self, slices, *, seed, batch, patch, steps, stride=1, positions=None):
        self._slices, self._patch, self._steps = slices, patch, steps
        self._positions = slice(None) if positions is None else positions
        self._sample = jax.jit(partial(
            sample, seed, batch=batch, patch=patch, stride=stride))

    def __len__(self):
        return self._steps

    def __getitem__(self, step):
        # On the CPU wherever the networks are: whole numbers from the same bits.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            drawn = self._sample(np.int32(step), self._slices.origins)
        index, origins, draw = (np.asarray(a)[self._positions] for a in drawn)
        return self._slices.read(index, origins, self._patch)._replace(draw=draw)


class ValidationBatches:
    """Random access: item ``i`` is the i-th batch of whole slices in their order.

    The last one wraps around, with weight 0.

    Args:
      slices: :class:`dwijax.data.store.StoredSlices`. batch: N. positions: as above.
    """

    def __init__(self, slices, *, batch, positions=None):
        self._slices, self._batch = slices, batch
        self._positions = slice(None) if positions is None else positions

    def __len__(self):
        return -(-self._slices.count // self._batch)

    def __getitem__(self, i):
        index = (i * self._batch + np.arange(self._batch))[self._positions]
        batch = self._slices.read(index % self._slices.count)
        batch.weight[index >= self._slices.count] = 0
        return batch


def stream(batches, first=0, *, ahead=4, threads=2):
    """Iterates over batches from ``first`` on, the next ones being read meanwhile.

    Args:
      batches: one of the above.
      first: index of the first one.
      ahead: number of batches in memory that are read or being read; 0: none ahead of time.
      threads: that assemble batches; TensorStore decompresses with threads of its own.

    Returns:
      Iterator of `dwijax.data.slices.Batch`, NumPy; ``close()`` ends the reading.
    """
    import grain  # 2 s, which only those who stream pay

    options = grain.ReadOptions(num_threads=min(threads, ahead), prefetch_buffer_size=ahead)
    return iter(grain.MapDataset.source(batches)[first:].to_iter_dataset(options))

"""Batches are one pure function of (seed, step)."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dwijax.data.sampling import batch_slices, crop_origins, take_batch
from dwijax.data.slices import Batch, join


def test_every_epoch_sees_every_slice_once():
    for epoch in range(3):
        seen = [batch_slices(0, jnp.int32(epoch * 5 + i), 20, 4) for i in range(5)]
        assert sorted(np.concatenate(seen).tolist()) == list(range(20))
    assert batch_slices(0, jnp.int32(0), 20, 4).tolist() != seen[0].tolist()
    assert batch_slices(1, jnp.int32(0), 20, 4).tolist() != seen[0].tolist()


@settings(max_examples=30, deadline=None)
@given(slices=st.integers(1, 9), batch=st.integers(1, 12), step=st.integers(0, 1000))
def test_any_batch_size(slices, batch, step):
    index = np.asarray(batch_slices(3, jnp.int32(step), slices, batch))
    assert index.shape == (batch,) and index.min() >= 0 and index.max() < slices


def test_crops_are_windows_of_their_slice():
    rng = np.random.default_rng(0)
    dwi = rng.normal(size=(5, 12, 10, 3)).astype(np.float32)
    mask = np.zeros((5, 12, 10, 1), np.float32)
    mask[:, 3:9, 4:8] = 1
    mask[2] = 0  # a slice without brain is left out
    slices = join([Batch({"b0": dwi[..., :1], "dwi": dwi}, mask)], multiple=1, patch=4)
    assert slices.images["b0"].shape[0] == 4
    for step in range(20):
        images = take_batch(slices, 0, jnp.int32(step), batch=2, patch=4).images
        index = batch_slices(0, jnp.int32(step), 4, 2)
        bounds = slices.origins[np.asarray(index)]
        origins = np.asarray(crop_origins(0, jnp.int32(step), bounds[:, 0], bounds[:, 1]))
        assert (origins >= 0).all() and (origins + 4 <= [12, 10]).all()
        for crop, i, (row, column) in zip(images["dwi"], index, origins, strict=True):
            np.testing.assert_array_equal(
                crop, slices.images["dwi"][i, row:row + 4, column:column + 4])

"""Overlapping patches."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwijax.inference.tiling import tile_origins, tiled


@given(patch=st.integers(1, 30), stride=st.integers(1, 30), more=st.integers(0, 60))
def test_patches_cover_every_pixel_and_nothing_else(patch, stride, more):
    length = patch + more
    if stride > patch:
        with pytest.raises(ValueError, match="cannot cover"):
            tile_origins(length, patch, stride)
        return
    covered = np.zeros(length, int)
    for origin in tile_origins(length, patch, stride):
        assert origin >= 0 and origin + patch <= length
        covered[origin:origin + patch] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize("shape", [(9, 13), (4, 4)])
def test_overlaps_are_averaged(shape):
    """A network that answers with the position in its patch, against a loop over the patches."""
    ramp = jnp.arange(16.0).reshape(4, 4)

    def predict(params, x):
        return params * jnp.stack([x + ramp[..., None], 2 * x])

    x = np.random.default_rng(0).normal(size=(2, *shape, 1)).astype(np.float32)
    total, count = np.zeros((2, *x.shape)), np.zeros((*shape, 1))
    for row in tile_origins(shape[0], 4, 3):
        for column in tile_origins(shape[1], 4, 3):
            part = slice(row, row + 4), slice(column, column + 4)
            total[:, :, *part] += predict(2.0, x[:, *part])
            count[*part] += 1
    np.testing.assert_allclose(tiled(predict, 4, 3)(2.0, jnp.asarray(x)), total / count, rtol=1e-5)

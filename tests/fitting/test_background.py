"""The kind of noise, by backgrounds whose number of channels is known."""

import numpy as np
import pytest

from dwijax.fitting.background import channels_of

SHAPE = (42, 40, 24)
PLACE = np.moveaxis(np.indices(SHAPE), 0, -1) - (np.array(SHAPE) - 1) / 2
MASK = np.linalg.norm(PLACE / [13, 14, 8], axis=-1) < 1


def magnitudes(channels):
    """Six volumes with a bright head, a scalp around it and a ghost beside it."""
    noise = np.random.default_rng(0).standard_normal((2 * channels, *SHAPE, 6))
    noise[0] += np.where(MASK, 20, 0)[..., None]
    noise[0] += np.where(np.abs(np.linalg.norm(PLACE / [17, 18, 11], axis=-1) - 1) < 0.05, 9,
                         0)[..., None]
    noise[0, :6] += 3
    return np.sqrt((noise**2).sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_are_told_by_the_background(channels):
    volumes = 30 * magnitudes(channels)
    assert channels_of(volumes, MASK) == pytest.approx(channels, rel=0.1)
    assert channels_of(np.rint(volumes), MASK) == pytest.approx(channels, rel=0.1)
    volumes[:, :4] = 0  # as registration leaves an edge
    assert channels_of(volumes, MASK) == pytest.approx(channels, rel=0.1)


@pytest.mark.parametrize("background", [0, 7, np.nan, np.inf])
def test_an_empty_background_tells_nothing(background):
    volumes = np.where(MASK[..., None], magnitudes(1), np.float32(background))
    assert channels_of(volumes, MASK) is None


def test_a_head_that_fills_the_image_leaves_no_background():
    volumes = magnitudes(1)
    assert channels_of(volumes, np.ones(SHAPE, bool)) is None
    assert channels_of(volumes[:2, :2], MASK[:2, :2]) is None

"""Shifts between volumes that are known, found again in what harmonics leave."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from dwijax.data.phantom.noise import moved, rician
from dwijax.fitting.noise import noise_in_space
from dwijax.gradients import direction_set

SHAPE, Q, SIGMA = (44, 46, 42), 40, 0.04
BVECS = direction_set(Q)


@pytest.fixture(scope="module")
def head():
    """A ball of smooth tissue with tensors that differ from place to place: ``(dwi [q, X, Y, Z],
    mask)``."""
    rng = np.random.default_rng(0)
    place = np.moveaxis(np.indices(SHAPE), 0, -1) - (np.array(SHAPE) - 1) / 2

    def smooth(sd):
        field = gaussian_filter(rng.standard_normal(SHAPE), 2.0)
        return sd * field / field.std()

    along = 0.3 * np.stack([smooth(1.0) for _ in range(3)], axis=-1)
    adc = 0.6 + (along @ BVECS.T) ** 2
    inside = np.linalg.norm(place, axis=-1) < 18
    s0 = gaussian_filter(inside.astype(float), 1.0) * np.exp(smooth(0.25))
    dwi = s0[..., None] * np.exp(-adc)
    return np.moveaxis(dwi, -1, 0).astype(np.float32), inside


def found(dwi, mask, seed, shared=0.0):
    noisy = rician(dwi, SIGMA, np.random.default_rng(seed), (shared,) * 3)
    return noise_in_space(np.moveaxis(noisy, 0, -1)[mask], BVECS, mask).motion


@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("sd", [(0.0, 0.0, 0.0), (0.05, 0.05, 0.05), (0.15, 0.15, 0.15),
                                (0.3, 0.3, 0.3), (0.05, 0.3, 0.0)])
def test_shifts_are_told_along_each_axis(head, sd, shared):
    dwi, mask = head[0].copy(), head[1]
    moved(dwi, np.random.default_rng(1), np.array(sd), 0.0, np.ones(3))
    draws = np.random.default_rng(1).standard_normal((Q, 2, 3))[:, 0]  # shifts, then angles
    np.testing.assert_allclose(found(dwi, mask, 2, shared), np.array(sd) * draws.std(axis=0),
                               rtol=0.25, atol=0.015)


def test_true_shifts_of_a_smooth_head_are_told(head):
    """By splines, not to first order: central differences see slopes a little too small."""
    dwi, mask = head
    shifts = 0.15 * np.random.default_rng(3).standard_normal((Q, 3))
    away = np.stack([shift(volume, -u, mode="nearest") for volume, u in
                     zip(dwi, shifts, strict=True)])
    np.testing.assert_allclose(found(np.maximum(away, 0), mask, 4), shifts.std(axis=0), rtol=0.25)


def test_where_nothing_tells_motion_there_is_none(head):
    dwi, mask = np.moveaxis(head[0], 0, -1), head[1]
    six = noise_in_space(dwi[mask][:, :6], BVECS[:6], mask)
    np.testing.assert_array_equal(six.motion, 0)
    sheet = mask & (np.arange(SHAPE[2]) // 2 == SHAPE[2] // 4)  # two slices: no neighbours
    np.testing.assert_array_equal(noise_in_space(dwi[sheet], BVECS, sheet).motion, 0)
    np.testing.assert_array_equal(noise_in_space(np.ones((mask.sum(), Q), np.float32), BVECS,
                                                 mask).motion, 0)

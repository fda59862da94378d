"""Estimators of σ on signals whose noise is known."""

import numpy as np
import pytest

from dwijax.fitting.noise import harmonics_sigma, patches_residual, repeats_sigma, robust_sd
from dwijax.gradients import direction_set
from dwijax.gradients.harmonics import sh_basis

SIGMA = 0.05


@pytest.fixture
def noise():
    return SIGMA * np.random.default_rng(0).standard_normal((6000, 20))


def test_a_robust_sd_withstands_outliers(noise):
    assert robust_sd(noise) == pytest.approx(SIGMA, rel=0.01)
    noise[:, 0] = 10
    assert robust_sd(noise) == pytest.approx(SIGMA, rel=0.1)


@pytest.mark.parametrize("repeats", [2, 3, 20])
def test_repeats_tell_the_noise_whatever_the_signal(noise, repeats):
    signal = np.linspace(0.5, 3, len(noise))[:, None]
    assert repeats_sigma(signal + noise[:, :repeats]) == pytest.approx(SIGMA, rel=0.03)
    assert np.isnan(repeats_sigma(noise[:, :1]))


def test_what_harmonics_leave_is_noise(noise):
    bvecs = direction_set(20)
    basis = sh_basis(bvecs, 4)[0]
    smooth = np.random.default_rng(1).standard_normal((len(noise), basis.shape[1])) @ basis.T
    assert harmonics_sigma(smooth + noise, bvecs) == pytest.approx(SIGMA, rel=0.03)
    assert np.isnan(harmonics_sigma(noise[:, :6], bvecs[:6]))  # six directions, 15 harmonics


@pytest.mark.parametrize("shared", [0.0, 0.4])
def test_six_directions_of_like_neighbours_tell_the_noise(shared):
    """Where harmonics leave nothing; whether or not neighbours share noise."""
    rng = np.random.default_rng(2)
    mask = np.zeros((26, 26, 26), bool)
    mask[1:-1, 1:-1, 1:-1] = True
    tissue = np.indices(mask.shape)[:2].sum(axis=0) // 9
    clean = rng.uniform(0.2, 1.0, (6, 6))[tissue]
    noise = rng.standard_normal((*mask.shape, 6))
    noise = (noise + shared * np.roll(noise, 1, axis=0)) / np.hypot(1, shared)
    level = np.where(np.arange(26) < 13, 1.0, 2.0)[:, None, None, None]
    residual, sigma = patches_residual((clean + SIGMA * noise * level)[mask], mask)
    assert 1.1 * SIGMA < sigma < 1.9 * SIGMA  # the median of both halves
    residual, sigma = patches_residual((clean + SIGMA * noise)[mask], mask)
    assert sigma == pytest.approx(SIGMA, rel=0.15)
    inner = (residual != 0).any(axis=1)
    assert robust_sd(residual[inner]) == pytest.approx(SIGMA, rel=0.2)


def test_patches_of_too_few_volumes_or_out_of_the_mask_tell_nothing(noise):
    board = np.indices((20, 20, 30)).sum(axis=0) % 2 == 0
    for volumes, mask in ((5, np.ones((20, 20, 15), bool)), (6, board)):
        residual, sigma = patches_residual(noise[:, :volumes], mask)
        assert np.isnan(sigma) and not residual.any()

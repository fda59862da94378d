"""Estimators of σ on signals whose noise is known."""

import numpy as np
import pytest

from dwijax.fitting.noise import harmonics_sigma, repeats_sigma, robust_sd
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

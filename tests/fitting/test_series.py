"""Brightness of volumes, drift and odd slices of series whose faults are known."""

import numpy as np
import pytest

from dwijax.fitting.series import examine, slice_means
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set

SLICES = np.full(10, 500)


def slices_of(gtab, seed=0):
    """Means of 10 slices: quadratic forms of the direction, 1 % noise."""
    rng = np.random.default_rng(seed)
    forms = 0.2 * rng.normal(size=(10, 3, 3))
    means = 300 + 100 * np.einsum("mi,zij,mj->mz", gtab.bvecs, forms, gtab.bvecs)
    means[gtab.b0s_mask] = 1000
    return means * (1 + 0.01 * rng.normal(size=means.shape))


SERIES = GradientTable(np.r_[np.zeros(3), np.full(30, 1000.0), np.full(20, 2000.0)],
                       np.concatenate([np.zeros((3, 3)), direction_set(30), direction_set(20)]))


def test_a_calm_series_has_nothing_odd():
    found = examine(slices_of(SERIES), SLICES, SERIES)
    assert found.odd == [] and abs(found.drift) < 0.01
    np.testing.assert_allclose(found.gains, 1, atol=0.02)


def test_dropouts_bright_volumes_and_drift_are_found():
    means = slices_of(SERIES) * np.linspace(1, 1.08, len(SERIES))[:, None]
    means[20, 4] *= 0.6
    means[1, 7] *= 1.4
    means[40] *= 1.3
    found = examine(means, SLICES, SERIES)
    assert sorted((m, z) for m, z, _ in found.odd) == [(1, 7), (20, 4)]
    np.testing.assert_allclose(sorted(c for *_, c in found.odd), [-0.4, 0.4], atol=0.05)
    # Within a shell only: between shells nothing tells brightness from diffusion.
    assert found.gains[40] == pytest.approx(1.3, abs=0.05)
    assert found.drift > 0.02


def test_slices_without_samples_are_passed_over():
    means = slices_of(SERIES)
    means[:, 0] = np.nan
    means[5:9, 1] = np.nan
    found = examine(means, np.r_[0, np.full(9, 500)], SERIES)
    assert found.odd == [] and np.isfinite(found.gains).all()


@pytest.mark.parametrize("q", [6, 12, 30])
def test_gains_of_a_few_percent_are_not_suspect(q):
    rng = np.random.default_rng(q)
    bvecs = direction_set(q)
    gtab = GradientTable(np.r_[0.0, 0.0, np.full(q, 1000.0)], np.r_[np.zeros((2, 3)), bvecs])
    form = 1 + 0.1 * np.einsum("mi,ij,mj->m", bvecs, np.diag([1, 0, -1]), bvecs)
    means = np.r_[1000, 1000, 400 * form][:, None] * np.exp(0.03 * rng.normal(size=(q + 2, 1)))
    assert examine(means * np.exp(0.01 * rng.normal(size=(q + 2, 10))), SLICES,
                   gtab).odd_volumes == []
    means[4] *= 0.6
    (m, change), = examine(means * np.ones(10), SLICES, gtab).odd_volumes
    assert m == 4 and change == pytest.approx(-0.4, abs=0.12)


def test_means_of_slices_are_over_samples_above_0():
    slices = np.repeat([1, 2], [4, 2])
    means, counts = slice_means(
        [np.array([1.0, 2.0, 3.0, 0.0, 5.0, 7.0]), np.array([1.0, 0, 0, 0, 5.0, 7.0]),
         np.zeros(6)], slices)
    np.testing.assert_array_equal(counts, [0, 4, 2])
    nan = np.nan
    np.testing.assert_array_equal(means, [[nan, 2, 6], [nan, nan, 6], [nan, 0, 0]])

"""A series acquired twice: what its judge is made of."""

import numpy as np
import pytest

from benchmarks.rescan import expected_magnitude, predicted
from dwijax.evaluation.common.slabs import slab_interval
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set


def test_expected_magnitude_is_the_mean_of_many():
    rng = np.random.default_rng(0)
    signal = np.array([0.0, 0.05, 0.2, 1.0])
    noise = 0.1 * rng.standard_normal((2, 400_000, 1))
    found = np.hypot(signal + noise[0], noise[1]).mean(axis=0)
    np.testing.assert_allclose(expected_magnitude(signal, 0.1), found, rtol=2e-3)


def test_a_tensor_tells_the_volumes_that_it_was_made_of():
    rng = np.random.default_rng(1)
    tensor = rng.normal(0, 0.2, (5, 6)) + [1, 0, 1, 0, 0, 1]  # xx, xy, yy, xz, yz, zz
    matrix = tensor[:, [[0, 1, 3], [1, 2, 4], [3, 4, 5]]]
    bvecs = np.concatenate([np.zeros((1, 3)), direction_set(9)])
    gtab = GradientTable(np.r_[0.0, np.full(9, 1000.0)], bvecs)
    signal = 0.8 * np.exp(-np.einsum("mi,vij,mj->vm", bvecs, matrix, bvecs))
    few = gtab[:4]
    np.testing.assert_allclose(predicted(tensor, signal[:, :4], few, gtab[4:]), signal[:, 4:],
                               rtol=1e-5)


@pytest.mark.parametrize("shift, sure", [(0.5, True), (0.0, False)])
def test_interval_over_slabs(shift, sure):
    rng = np.random.default_rng(2)
    slabs = np.repeat(np.arange(3, 15), 100)
    squares, others = 1 + rng.normal(0, 0.1, (2, 1200)) + rng.normal(0, 0.02, 12).repeat(100)
    found, low, high = slab_interval(squares + shift, others, slabs)
    assert found == pytest.approx(np.sqrt((squares + shift).mean()) - np.sqrt(others.mean()))
    assert low < found < high and (low > 0) == sure

"""SuperDTI's statistics, by hand and by textbook."""


import numpy as np
import pytest
from scipy import stats

from dwijax.evaluation.maps.equivalence import (
    agreement,
    anova,
    false_discovery,
    intraclass_correlation,
)


def test_equations_4_5_and_6_by_hand():
    rng = np.random.default_rng(0)
    y = rng.normal(0.3, 0.02, 10)
    x, z = y + rng.normal(0.005, 0.01, 10), y + rng.normal(0.03, 0.01, 10)
    a = agreement(x, y)
    dx, dy = x - x.mean(), y - y.mean()
    r = (dx * dy).sum() / (np.sqrt((dx**2).sum()) * np.sqrt((dy**2).sum()))
    pooled = np.sqrt((x.var(ddof=1) + y.var(ddof=1)) / 2)
    t = (x.mean() - y.mean()) / (pooled * np.sqrt(2 / 10))
    groups, grand = np.stack([x, z, y]), np.mean([x, z, y])
    ssr = 10 * ((groups.mean(1) - grand) ** 2).sum()
    sse = ((groups - groups.mean(1, keepdims=True)) ** 2).sum()
    f = (ssr / 2) / (sse / 27)
    np.testing.assert_allclose((a.r, a.t), (r, t))
    assert a.t_p == pytest.approx(2 * stats.t.sf(abs(t), 18))
    np.testing.assert_allclose(anova(x, z, y), (f, stats.f.sf(f, 2, 27), 2, 27))
    # Fisher's interval of r.
    half = 1.959964 / np.sqrt(7)
    np.testing.assert_allclose((a.r_low, a.r_high), np.tanh(np.arctanh(r) + half * np.r_[-1, 1]),
                               rtol=1e-6)


@pytest.mark.parametrize("shift, equivalent", [(1.02, True), (1.10, False)])
def test_equivalence_is_not_the_absence_of_a_difference(shift, equivalent):
    rng = np.random.default_rng(1)
    y = rng.normal(0.3, 0.05, 10)
    a = agreement(shift * y + rng.normal(0, 0.002, 10), y)
    assert (a.tost_p < 0.05) == equivalent
    assert a.paired_p < 0.05 < a.t_p  # both differ, and the paper's test sees neither


def test_limits_of_agreement():
    x, y = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.5, 2.0, 3.0, 8.5])
    a = agreement(x, y)
    d = x - y
    assert a.limits_high - a.limits_low == pytest.approx(2 * 1.959964 * d.std(ddof=1))
    assert a.limits_high + a.limits_low == pytest.approx(2 * d.mean())


def test_intraclass_correlation_of_shrout_and_fleiss():
    """Their table 2 (1979): ICC(2,1) of six targets and four judges is 0.29."""
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert intraclass_correlation(table) == pytest.approx(0.29, abs=0.005)


def test_many_regions_are_corrected():
    p = np.array([0.001, 0.02, np.nan, 0.04])
    harmonic = 1 + 1 / 2 + 1 / 3
    np.testing.assert_allclose(false_discovery(p)[[0, 1, 3]],
                               harmonic * np.array([0.003, 0.03, 0.04]))
    assert np.isnan(false_discovery(p)[2])


@pytest.mark.parametrize("x, y", [([0.3], [0.3]), ([0.3, 0.2, 0.4], [0.3, 0.2, 0.4])])
def test_nothing_is_claimed_where_nothing_can_be(x, y):
    assert np.isnan(agreement(x, y).t_p)

"""Intervals and paired tests, against scipy and by how often they cover."""

import numpy as np
import pytest
from scipy import stats

from dwijax.evaluation.common import statistics


def test_the_interval_is_scipys():
    values = [0.3, 0.1, 0.25, 0.4, 0.2]
    e = statistics.estimate(values)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(e, (5, np.mean(values), np.std(values, ddof=1), low, high))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1.0, 0.3, (2000, 6))
    inside = [e.low < 1.0 < e.high for e in map(statistics.estimate, draws)]
    assert abs(np.mean(inside) - 0.95) < 0.015


def test_the_bootstrap_of_six_covers_as_often_as_its_docstring_says():
    draws = np.random.default_rng(1).normal(1.0, 0.3, (400, 6))
    found = [statistics.bootstrap(values, draws=500) for values in draws]
    assert abs(np.mean([e.low < 1.0 < e.high for e in found]) - 0.87) < 0.04


def test_paired_differences_are_scipys():
    a, b = np.array([1.0, 1.2, 0.9, 1.1]), np.array([1.3, 1.4, 1.25, 1.2])
    difference, percent = statistics.paired(a, b)
    interval = stats.ttest_rel(a, b).confidence_interval()
    np.testing.assert_allclose((difference.low, difference.high), interval)
    assert percent.mean == pytest.approx(np.mean(100 * (a / b - 1)))
    assert difference.excludes_zero


@pytest.mark.parametrize("values, between", [([0.3], True), ([0.1, 0.2, 0.3], False)])
def test_one_person_has_no_interval(values, between):
    e = statistics.estimate(values, between)
    assert e.mean == pytest.approx(np.mean(values))
    assert np.isnan([e.sd, e.low, e.high]).all() and not e.excludes_zero


def test_the_bootstrap_is_scipys():
    values = np.random.default_rng(0).normal(0.9, 0.1, 12)
    e = statistics.bootstrap(values)
    low, high = stats.bootstrap((values,), np.mean, method="percentile",
                                rng=1).confidence_interval
    assert e.mean == pytest.approx(values.mean())
    np.testing.assert_allclose((e.low, e.high), (low, high), atol=0.004)
    assert np.isnan(statistics.bootstrap(values, between_subjects=False).low)


def test_paired_tests_are_scipys():
    a, b = np.array([1.0, 1.2, 0.9, 1.1, 1.4]), np.array([1.3, 1.4, 1.25, 1.2, 1.39])
    np.testing.assert_allclose(statistics.p_values(a, b),
                               (stats.ttest_rel(a, b).pvalue, stats.wilcoxon(a, b).pvalue))
    assert np.isnan(statistics.p_values(a, a)).all()
    assert np.isnan(statistics.p_values([1.0], [2.0])).all()

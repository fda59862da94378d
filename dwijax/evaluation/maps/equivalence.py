"""Do two methods measure the same? Li et al.'s statistics, and those that answer the question.

A t-test that finds no difference does not show that there is none (Altman & Bland 1995): beside the
paper's three tests (eqs. 4 to 6) stand paired tests, equivalence, limits of agreement and ICC.
All take one value per subject and method.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MARGIN = 0.05  # of the reference's mean: what Li et al. call the reproducibility of DTI
CLOSE = 100 * MARGIN  # percent: an error that is smaller is none to them


class Agreement(NamedTuple):
    """One method against a reference over n subjects; NaN where n is too small.

    Attributes:
      n: subjects.
      r, r_low, r_high: Pearson's (eq. 4) with its 95 % interval.
      t, t_p: pooled two-sample t (eq. 5), 2n - 2 degrees of freedom, and its p.
      difference, low, high: mean paired difference and its 95 % interval.
      paired_p: of the paired t-test. wilcoxon_p: of the signed-rank test.
      tost_p: of the two one-sided tests for a difference within ``MARGIN``: small is equivalent.
      limits_low, limits_high: 95 % limits of agreement (Bland & Altman 1986).
      icc: intraclass correlation for absolute agreement, ICC(A,1) (McGraw & Wong 1996).
    """

    n: int
    r: float
    r_low: float
    r_high: float
    t: float
    t_p: float
    difference: float
    low: float
    high: float
    paired_p: float
    wilcoxon_p: float
    tost_p: float
    limits_low: float
    limits_high: float
    icc: float


class Anova(NamedTuple):
    """One-way analysis of variance: F, its p, degrees of freedom."""

    f: float
    p: float
    between: int
    within: int


def agreement(values: Sequence[float], reference: Sequence[float]) -> Agreement:
    """`Agreement` of ``values [n]`` with ``reference [n]``, the same subjects in the same order."""
    from scipy import stats

    x, y = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    n, d = len(x), x - y
    # Identical or constant values: scipy warns of what is plain, so they come first.
    if n < 3 or np.ptp(d) < 1e-12 * np.abs(y).max() or not np.ptp(x) or not np.ptp(y):
        return Agreement(n, *[np.nan] * 5, float(d.mean()) if n else np.nan, *[np.nan] * 8)
    pearson = stats.pearsonr(x, y)
    # Fisher's interval needs four.
    r_interval = pearson.confidence_interval() if n > 3 else (np.nan, np.nan)
    pooled, paired = stats.ttest_ind(x, y), stats.ttest_rel(x, y)
    margin = MARGIN * y.mean()
    tost = max(stats.ttest_1samp(d, -margin, alternative="greater").pvalue,
               stats.ttest_1samp(d, margin, alternative="less").pvalue)
    interval = paired.confidence_interval()
    half = 1.959964 * d.std(ddof=1)
    return Agreement(
        n, pearson.statistic, *r_interval, pooled.statistic, pooled.pvalue, d.mean(),
        *interval, paired.pvalue, stats.wilcoxon(d).pvalue, tost, d.mean() - half,
        d.mean() + half, intraclass_correlation(np.stack([x, y], axis=1)))


def anova(*groups: Sequence[float]) -> Anova:
    """`Anova` (eq. 6).

    With three methods and ten subjects each F(2, 27); as printed in the paper, k and N of eq. 6
    are interchanged.

    Args:
      *groups: values ``[n]`` of each method.
    """
    from scipy import stats

    between, within = len(groups) - 1, sum(map(len, groups)) - len(groups)
    if min(map(len, groups)) < 2 or not any(np.ptp(g) for g in groups):
        return Anova(np.nan, np.nan, between, within)
    result = stats.f_oneway(*groups)
    return Anova(float(result.statistic), float(result.pvalue), between, within)


def intraclass_correlation(table: np.ndarray) -> float:
    """ICC(A,1): two-way, absolute agreement, single measurement (McGraw & Wong 1996, Table 4).

    Args:
      table: ``[n, k]``, subjects by methods.
    """
    table = np.asarray(table, np.float64)
    n, k = table.shape
    rows, columns, grand = table.mean(1), table.mean(0), table.mean()
    ms_rows = k * np.sum((rows - grand) ** 2) / (n - 1)
    ms_columns = n * np.sum((columns - grand) ** 2) / (k - 1)
    residual = table - rows[:, None] - columns[None] + grand
    ms_error = np.sum(residual**2) / ((n - 1) * (k - 1))
    return float((ms_rows - ms_error) / (
        ms_rows + (k - 1) * ms_error + k / n * (ms_columns - ms_error)))


def false_discovery(p: np.ndarray) -> np.ndarray:
    """p-values of many regions, corrected together (Benjamini & Yekutieli: regions depend on each
    other); NaN stays NaN."""
    from scipy import stats

    p = np.asarray(p, np.float64)
    corrected, finite = np.full(p.shape, np.nan), np.isfinite(p)
    if finite.any():
        corrected[finite] = stats.false_discovery_control(p[finite], method="by")
    return corrected

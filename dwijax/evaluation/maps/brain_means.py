"""Brain means of every method and subject against those of the fit of all directions."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common.results import ALL, Results
from dwijax.evaluation.common.tables import DASH, Table
from dwijax.evaluation.maps.equivalence import MARGIN, Agreement, Anova, agreement, anova
from dwijax.evaluation.maps.methods import FIT, SMOOTHED, method_of, named
from dwijax.evaluation.maps.protocol import PEAKS


class Compared(NamedTuple):
    """The brain means of a method beside the reference's; the analysis of variance is that over a
    network, the fit of the same directions and the reference."""

    quantity: str
    method: str
    agreement: Agreement
    anova: Anova


def compared(results: Results, group: str) -> Iterator[Compared]:
    """Every method of a cohort."""
    for quantity in PEAKS:
        def means(method, quantity=quantity):
            return results.values(group, f"{quantity} mean", "", "brain", method)

        reference = means(ALL)
        for method in results.distinct("method", cohort=group, quantity=f"{quantity} mean"):
            kind, q = method_of(method)
            if kind in (SMOOTHED, ALL):
                continue
            found, fit, three = means(method), means(named(FIT, q)), Anova(np.nan, np.nan, 0, 0)
            both = [list(found.values()), [reference[s] for s in found]]
            if kind != FIT and fit:
                three = anova(both[0], list(fit.values()), both[1])
            yield Compared(quantity, method, agreement(*both), three)


def agreement_table(results: Results, group: str, label: Callable[[str], str]) -> Table:
    """Li et al., Table I. ``label``: method to its name in tables."""
    rows, n = [], 0
    for quantity, method, a, three in compared(results, group):
        n = a.n
        rows.append([
            f"{quantity}, {label(method)}", _several("{} [{}, {}]", a.r, a.r_low, a.r_high),
            _number(a.t), _number(a.t_p), _number(three.f, 2), _number(three.p),
            _several("{} [{}, {}]", a.difference, a.low, a.high), _number(a.paired_p),
            _number(a.tost_p), _several("{} to {}", a.limits_low, a.limits_high), _number(a.icc)])
    columns = ["brain mean by", "Pearson r [95 %]", "t", "p", "ANOVA F", "p",
               "difference [95 %]", "paired p", "TOST p", "limits of agreement", "ICC"]
    notes = [f"subject means against the fit of all, n = {n}; t pooled, {2 * n - 2} degrees of "
             f"freedom; F(2, {3 * n - 3}) over networks, fit of the same and reference; TOST: "
             f"p of a difference beyond {100 * MARGIN:g} % of the reference's mean"]
    return Table("Agreement of brain means (Li et al., Table I, and what it leaves out)",
                 columns, rows, notes)


def agreement_rows(results: Results, group: str) -> Iterator[tuple]:
    """Rows ``(quantity, method, *Agreement, *Anova)`` for a CSV file."""
    for quantity, method, a, three in compared(results, group):
        yield (quantity, method, *map(_plain, a), *map(_plain, three))


def _number(value, digits=3):
    return DASH if value != value else f"{value:.{digits}f}" if abs(value) >= 1e-3 or \
        value == 0 else f"{value:.0e}"


def _several(text, *values):
    """The first alone where there is no interval."""
    if np.isfinite(values).all():
        return text.format(*(_number(v, 4) for v in values))
    return _number(values[0], 4)


def _plain(value):
    return int(value) if isinstance(value, (int, np.integer)) else float(value)

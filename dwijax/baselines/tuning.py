"""All baselines, learnt from training subjects and tuned on validation subjects."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dwijax.baselines.denoising import (
    GAUSSIAN,
    MARCHENKO_PASTUR,
    NON_LOCAL_MEANS,
    PATCH2SELF,
    denoised,
)
from dwijax.baselines.interface import Case, Predictor
from dwijax.baselines.linear import (
    ORDERS,
    spherical_harmonics,
    tune_harmonics,
    tune_process,
)
from dwijax.baselines.logarithm import LogHarmonicsGrid, tensor
from dwijax.baselines.moments import add, moments, sample
from dwijax.baselines.regression import Regression


class Chosen(NamedTuple):
    """Which baselines: `Denoiser`; spherical harmonics of every order, or of the best alone; with
    the others, or nothing but these and the tensor."""

    denoisers: tuple
    every_order: bool
    others: bool = True


# What comparisons of runs need; seconds for each subject; minutes.
SETS = {"fewest": Chosen((), False, False),
        "quick": Chosen((GAUSSIAN,), False),
        "all": Chosen((GAUSSIAN, NON_LOCAL_MEANS, MARCHENKO_PASTUR, PATCH2SELF), True)}


class Tuned(NamedTuple):
    """Baselines, and the name of that of the spherical harmonics which validates best."""

    baselines: list[Predictor]
    sh: str


def tune(training: Iterable[Case], validation: Iterable[Case], *, axis: int,
         chosen: Chosen = SETS["quick"], own: Iterable[Case] = ()) -> Tuned:
    """Baselines with the least squared error against the measured DWIs of validation subjects.

    Args:
      training: iterable of `Case` that regressions are learnt from; may be empty, then there are
        none. validation: iterable of `Case`. Each is gone through once, so that one subject at a
        time is in memory.
      axis: of the slices.
      chosen: `Chosen`.
      own: of the judged scan itself (`dwijax.baselines.own_scan.folds`), which all but regressions
        are then tuned on instead: these need examples of their very directions.

    Raises:
      ValueError: there is nothing to tune on.
    """
    regressions = [Regression(side, axis) for side in (1, 3)] if chosen.others else []
    learnt = 0
    for case in training:
        for regression in regressions:
            regression.learn(case)
        learnt += bool(regressions)
    regressions = regressions if learnt else []

    raw, logarithm = [], LogHarmonicsGrid()
    after = {(d, strength): [] for d in chosen.denoisers for strength in d.strengths}

    def count(case):
        _count(raw, case.acquired, case)
        if chosen.others:
            logarithm.add(case)
        for (denoiser, strength), found in after.items():
            _count(found, denoiser.apply(case.acquired, strength), case)

    own = list(own)
    for case in own:
        count(case)
    for case in validation:
        if not own:
            count(case)
        for regression in regressions:
            regression.validate(case)
    if not raw:
        raise ValueError("tuning needs at least one validation subject, or the scan itself")

    by_order = [tune_harmonics(raw, (order,)) for order in ORDERS]
    sh = min(by_order, key=lambda pair: pair[0])[1]
    harmonics = [found for _, found in by_order] if chosen.every_order else [sh]
    baselines = [tensor(), *harmonics]
    if chosen.others:
        baselines += [logarithm.best(), tune_process(raw)[1]]
    baselines += [regression.best() for regression in regressions]
    for denoiser in chosen.denoisers:
        tuned = [(*tuned_by(found), strength) for tuned_by in (tune_harmonics, tune_process)
                 for (other, strength), found in after.items() if other is denoiser]
        if tuned:
            _, then, strength = min(tuned, key=lambda t: t[0])
            baselines.append(denoised(denoiser, strength, then))
    return Tuned(baselines, sh.name)


def _count(found, acquired, case):
    chosen, dwi = sample(case.judged), ~acquired.gtab.b0s_mask
    add(found, moments(acquired.signal[np.ix_(chosen, dwi)], case.measured[chosen],
                       acquired.gtab.bvecs[dwi], case.gtab.bvecs))


def untuned() -> Tuned:
    """As `tune`, with the weight of Descoteaux et al. 2007 where there is nothing to tune on."""
    baselines = [tensor(), *(spherical_harmonics(order, 0.006) for order in ORDERS)]
    baselines = [b._replace(label=f"{b.label}, not tuned") if b.name != "tensor" else b
                 for b in baselines]
    return Tuned(baselines, "sh4")

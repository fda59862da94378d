"""The protocol of He et al. 2020 on one subject, and what it leaves out.

Signal domain: each synthetic DWI against the measured one, which has noise of its own, and against
the noise-free one where there is a truth. Tensor domain: FA and MD of the fit of acquired and
synthetic volumes together, against the fit of all acquired (it shares their noise) and of the
noise-free signal.

He et al. compare three FA maps: of the inputs and two b0s ("32 GTFA"), of these and the last 32
measured targets ("64 GTFA"), and of these and the last 32 synthetic ones. As all three share the
inputs' noise, what counts is

    R = RMSE(FA with synthetic, 64 GTFA) / RMSE(32 GTFA, 64 GTFA)

Tensor interpolation has R = 1 by the first step of the tensor fit, which is what is used here: it
adds points on the surface of its own fit. (Reweighted fits move by up to some percent of R.) With
fewer than 32 targets or two b0s, all there are take their place.
"""

from typing import NamedTuple

import numpy as np

from dwijax.evaluation import metrics
from dwijax.gradients import GradientTable
from dwijax.voxelwise import fit_maps

LAST = 32
B0S = 2

# Methods that are no synthesis.
INPUTS, MORE, ALL, PERFECT = "inputs", "more", "all", "noise-free"
NETWORKS = "networks"

# The FA maps of He et al. that others are compared with.
WITH_TARGETS, INPUTS_ALONE = "He et al.: with targets", "He et al.: inputs alone"


class Row(NamedTuple):
    """One number of one subject."""

    quantity: str
    against: str
    region: str
    method: str
    value: float


class Split(NamedTuple):
    """Positions in the shell of the inputs ``[q]`` and targets ``[K]``, and the table of the K
    directions that the networks stand for."""

    inputs: np.ndarray
    targets: np.ndarray
    gtab: GradientTable

    @property
    def last(self):
        """Positions among the K targets of those that He et al. take for FA."""
        return np.arange(len(self.targets))[-LAST:]


class Judged(NamedTuple):
    """A subject's numbers, its maps by method and its synthetic DWIs in the voxels shown."""

    rows: list[Row]
    maps: dict
    shown: dict


def judge(scan, split, networks, interpolators, shown):
    """All numbers of one subject.

    Args:
      scan: `dwijax.evaluation.scan.Scan`.
      split: `Split`.
      networks: their DWIs, float32 ``[V, K]``, in units of the subject's scale.
      interpolators: list of `dwijax.baselines.Interpolator`.
      shown: bool ``[V]``, voxels whose synthetic DWIs are handed back.

    Returns:
      `Judged`.
    """
    n, table = scan.b0s, scan.acquired.gtab
    inputs = scan.acquired.take(np.r_[:n, n + split.inputs])
    few = inputs.take(np.r_[:min(n, B0S), n:n + len(split.inputs)])
    targets, own = n + split.targets, table[n + split.targets]
    measured = scan.acquired.signal[:, targets]
    clean = None if scan.clean is None else scan.clean[:, targets]
    last = split.last

    rows, maps, kept = [], {}, {}
    maps[INPUTS] = fit_maps([inputs.signal], inputs.gtab)
    if len(last) < len(targets):
        maps[MORE] = fit_maps([inputs.signal, measured[:, last]], _joined(inputs.gtab, own[last]))
    maps[ALL] = scan.references["all acquired"]
    fa32 = fit_maps([few.signal], few.gtab, first_step=True).fa
    fa64 = fit_maps([few.signal, measured[:, last]], _joined(few.gtab, own[last]),
                    first_step=True).fa
    rows += _shared_noise(scan, INPUTS, fa32, fa32, fa64)

    def predictions():
        yield NETWORKS, networks, networks, split.gtab
        for baseline in interpolators:
            prediction = baseline.predict(inputs, own)
            # R compares fits of the same acquired volumes: two b0s for all.
            from_few = baseline.check(few, own) if baseline.check else prediction
            yield baseline.name, prediction, from_few, own
        if clean is not None:
            yield PERFECT, clean, clean, own

    for name, prediction, from_few, gtab in predictions():
        if name != PERFECT:
            rows += _signal(scan, name, prediction, measured, clean)
        maps[name] = fit_maps([inputs.signal, prediction], _joined(inputs.gtab, gtab))
        fa = fit_maps([few.signal, from_few[:, last]], _joined(few.gtab, gtab[last]),
                      first_step=True).fa
        rows += _shared_noise(scan, name, fa, fa32, fa64)
        kept[name] = prediction[shown]
    for against, reference in scan.references.items():
        for name, found in maps.items():
            if found is not reference:
                rows += _maps(scan, name, found, against, reference)
    return Judged(rows, maps, kept)


def _signal(scan, method, prediction, measured, clean):
    """Errors of the DWIs, RMSE over voxels and directions, in units of the scale."""
    references = {"measured": measured} | ({} if clean is None else {"noise-free": clean})
    sigma = scan.sigma if scan.sigma > 0 else np.nan
    for against, reference in references.items():
        squared = np.mean((prediction - reference) ** 2, axis=1)
        for name, region in scan.regions.items():
            error = metrics.rms(squared[region])
            yield Row("DWI RMSE", against, name, method, error)
            if against == "measured":
                excess = metrics.excess(error, sigma)
                yield Row("DWI RMSE/sigma", against, name, method, error / sigma)
                yield Row("DWI excess", against, name, method, excess)
                yield Row("DWI excess/sigma", against, name, method, excess / sigma)


def _maps(scan, method, found, against, reference):
    for name, region in scan.regions.items():
        for quantity in ("FA", "MD"):
            values, expected = (getattr(m, quantity.lower()) for m in (found, reference))
            yield Row(f"{quantity} RMSE", against, name, method,
                      metrics.rmse(values, expected, region))
            yield Row(f"{quantity} bias", against, name, method,
                      metrics.bias(values, expected, region))


def _shared_noise(scan, method, fa, fa32, fa64):
    for name, region in scan.regions.items():
        error = metrics.rmse(fa, fa64, region)
        alone = metrics.rmse(fa32, fa64, region)
        yield Row("FA RMSE", WITH_TARGETS, name, method, error)
        if method != INPUTS:
            yield Row("FA RMSE", INPUTS_ALONE, name, method,
                      metrics.rmse(fa, fa32, region))
        yield Row("R", WITH_TARGETS, name, method, error / alone if alone > 0 else np.nan)


def _joined(a, b):
    return GradientTable(np.concatenate([a.bvals, b.bvals]), np.concatenate([a.bvecs, b.bvecs]))

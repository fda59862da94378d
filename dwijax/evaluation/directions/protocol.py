"""The protocol of He et al. 2020 on one subject, and what it leaves out.

Signal domain: each synthetic DWI against the measured one, which has noise of its own, and against
the noise-free one where there is a truth. Tensor domain: maps of the fit of acquired and
synthetic volumes together, against the fit of all acquired (it shares their noise), of acquired
volumes in neither set, and of the noise-free signal.

He et al. compare three FA maps: of the inputs and two b0s ("32 GTFA"), of these and the last 32
measured targets ("64 GTFA"), and of these and the last 32 synthetic ones. As all three share the
inputs' noise, what counts is

    R = RMSE(FA with synthetic, 64 GTFA) / RMSE(32 GTFA, 64 GTFA)

Tensor interpolation has R = 1 by the first step of the tensor fit, which is what is used here: it
adds points on the surface of its own fit. (Reweighted fits move by up to some percent of R.) With
fewer than 32 targets or two b0s, all there are take their place. The independent reference is the
fit of the other targets and the other b0s, by the same step, judged on the same maps.
"""

import time
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from dwijax.baselines import Acquired, Predictor
from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Row
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.directions import he2020, spectra
from dwijax.evaluation.directions.rows import (
    INDEPENDENT,
    INPUTS,
    MORE,
    NETWORKS,
    PERFECT,
    SIMULATED,
    TRUE_MAP,
    FullMaps,
    fa_rows,
    full_maps,
    map_rows,
    shared_noise_rows,
    signal_rows,
)
from dwijax.evaluation.directions.spectra import Spectrum
from dwijax.fitting.voxels import fit_maps, tensor_signal
from dwijax.gradients import GradientTable
from dwijax.process.threads import prefetch
from dwijax.volumes import filled_slices

LAST = 32
B0S = 2
_SIMULATED_VOXELS = 10_000


class Split(NamedTuple):
    """Positions in the shell of the inputs ``[q]`` and targets ``[K]``, and the table of the K
    directions that the networks stand for."""

    inputs: np.ndarray
    targets: np.ndarray
    gtab: GradientTable

    @property
    def last(self) -> np.ndarray:
        """Positions among the K targets of those that He et al. take for FA."""
        return np.arange(len(self.targets))[-LAST:]

    @property
    def others(self) -> np.ndarray:
        """Positions among the K targets of those that they do not."""
        return np.arange(len(self.targets))[:-LAST]


@dataclass(frozen=True)
class Judged:
    """All that is found of a subject.

    Attributes:
      rows: list of `Row`.
      maps: method to `FullMaps`. references: name to `FullMaps`.
      shown: method to its DWIs ``[v, K]`` in the voxels shown.
      everywhere: ``NETWORKS`` to their DWIs ``[V, K]``.
      slices: list of `he2020.SliceRow`. gtfa: maps of He et al. by their names, `FullMaps`.
      directions: method to its RMSE against the measured DWI of each direction ``[K]``, brain.
      squares: method to its squared error against the measured DWIs, mean over these, ``[V]``.
      spectra: method to `Spectrum`.
    """

    rows: list[Row] = field(default_factory=list)
    maps: dict[str, FullMaps] = field(default_factory=dict)
    references: dict[str, FullMaps] = field(default_factory=dict)
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    everywhere: dict[str, np.ndarray] = field(default_factory=dict)
    slices: list[he2020.SliceRow] = field(default_factory=list)
    gtfa: dict[str, FullMaps] = field(default_factory=dict)
    directions: dict[str, np.ndarray] = field(default_factory=dict)
    squares: dict[str, np.ndarray] = field(default_factory=dict)
    spectra: dict[str, Spectrum] = field(default_factory=dict)

    def add(self, other: "Judged"):
        """Adds what another method gave."""
        for mine, more in zip(vars(self).values(), vars(other).values(), strict=True):
            (mine.extend if isinstance(mine, list) else mine.update)(more)


class _Prediction(NamedTuple):
    """DWIs ``[V, K]`` by a method, for the directions of ``gtab``; ``from_few``: the same from
    no more b0s than He et al.'s fits have; ``denoised``: inputs, where the method denoises."""

    method: str
    dwi: np.ndarray
    gtab: GradientTable
    from_few: np.ndarray
    denoised: Acquired | None = None


def judge(scan: JudgedScan, split: Split, predictors: list[Predictor], shown: np.ndarray,
          axis: int = 2) -> Judged:
    """All numbers of one subject.

    Args:
      predictors: networks and baselines alike; none sees more of the scan than b0s and inputs.
      shown: bool ``[V]``, voxels whose synthetic DWIs are handed back.
      axis: of the slices.
    """
    table = scan.acquired.gtab
    inputs = scan.acquired.inputs(split.inputs)
    from_inputs = fit_maps([inputs.signal], inputs.gtab)
    scan = scan.judged_where(from_inputs.determined)
    few = inputs.take(np.r_[inputs.gtab.b0s[:B0S], inputs.gtab.dwis])
    targets = table.dwis[split.targets]
    own, measured = table[targets], scan.acquired.signal[:, targets]
    clean = None if scan.clean is None else scan.clean[:, targets]
    last = split.last

    def with_last(prediction, gtab, first_step=False):
        return fit_maps([few.signal, prediction[:, last]], _joined(few.gtab, gtab[last]),
                        first_step=first_step)

    fa32 = fit_maps([few.signal], few.gtab, first_step=True).fa
    fa64 = with_last(measured, own, first_step=True).fa
    independent = _independent_fa(scan, split)
    gtfa = {"32 GTFA": full_maps(fit_maps([few.signal], few.gtab)),
            "64 GTFA": full_maps(with_last(measured, own))}
    paper = he2020.Paper(scan, axis, measured, inputs, gtfa)
    out = Judged(references={k: full_maps(m) for k, m in scan.references.items()},
                 slices=paper.inputs_rows(), gtfa=gtfa)
    likeness = _Likeness(scan, measured if clean is None else clean, out.references, axis)

    out.maps[INPUTS] = full_maps(from_inputs)
    if len(split.others):
        out.maps[MORE] = full_maps(
            fit_maps([inputs.signal, measured[:, last]], _joined(inputs.gtab, own[last])))
    out.maps[ALL] = out.references[ALL_ACQUIRED]
    out.rows.extend(shared_noise_rows(scan, INPUTS, fa32, fa32, fa64))
    out.spectra["measured"] = likeness.spectrum(measured)
    if independent is not None:
        out.rows.extend(fa_rows(scan, INPUTS, fa32, INDEPENDENT, independent))
        out.rows.extend(fa_rows(scan, MORE, fa64, INDEPENDENT, independent))
    if clean is not None:
        true = out.references[TRUTH].maps.fa
        out.rows.extend(shared_noise_rows(scan, TRUE_MAP, true, fa32, fa64))
    else:
        out.rows.extend(_simulated_limit(scan, few, own[last]))

    if (subject := scan.acquired.subject) is not None:
        volume = subject.dwi[..., targets] / np.float32(subject.scale)
        out.rows.append(_dots(scan, "measured", volume, axis))

    def predictions():
        for predictor in predictors:
            began = time.perf_counter()
            given = predictor.denoise(inputs) if predictor.denoise else inputs
            volume = predictor.predict_volume and predictor.predict_volume(given, own)
            dwi = predictor.predict(given, own) if volume is None else volume[given.mask]
            out.rows.append(Row("seconds", "subject", "brain", predictor.name,
                                time.perf_counter() - began))
            if volume is not None:
                out.rows.append(_dots(scan, predictor.name, volume, axis))
            # R compares fits of the same acquired volumes: two b0s for all.
            first_step = predictor.predict_first_step
            yield _Prediction(predictor.name, dwi, predictor.gtab or own,
                              first_step(few, own) if first_step else dwi,
                              given if predictor.denoise else None)
        if clean is not None:
            yield _Prediction(PERFECT, clean, own, clean)

    def score(p):
        one = Judged()
        one.spectra[p.method] = likeness.spectrum(p.dwi)
        one.rows.extend(likeness.signal_rows(p.method, p.dwi, one.spectra[p.method]))
        if p.denoised is not None:
            one.maps[alone(p.method)] = full_maps(fit_maps([p.denoised.signal], p.denoised.gtab))
        if p.method != PERFECT:
            one.rows.extend(signal_rows(scan, p.method, p.dwi, measured, clean))
            squares = np.square(p.dwi - measured)
            one.directions[p.method] = np.sqrt(np.mean(squares[scan.regions["brain"]], axis=0,
                                                       dtype=np.float64))
            one.squares[p.method] = squares.mean(axis=1)
        one.maps[p.method] = full_maps(
            fit_maps([inputs.signal, p.dwi], _joined(inputs.gtab, p.gtab)))
        fa = with_last(p.from_few, p.gtab, first_step=True).fa
        one.rows.extend(shared_noise_rows(scan, p.method, fa, fa32, fa64))
        if independent is not None:
            one.rows.extend(fa_rows(scan, p.method, fa, INDEPENDENT, independent))
        if p.method in he2020.METHODS:
            one.gtfa[p.method] = full_maps(with_last(p.dwi, p.gtab))
            one.slices.extend(paper.rows(p.method, p.dwi, one.gtfa[p.method].maps.fa))
        one.shown[p.method] = p.dwi[shown]
        if p.method == NETWORKS:
            one.everywhere[p.method] = p.dwi
        return one

    for one in prefetch(score, predictions(), workers=2):
        out.add(one)
    for against, reference in out.references.items():
        for name, found in out.maps.items():
            if found is not reference:
                out.rows.extend(map_rows(scan, name, found, against, reference))
    for name, found in out.maps.items():
        out.rows.extend(likeness.map_rows(name, found))
    return out


def alone(name: str) -> str:
    """What the fit of denoised inputs without synthetic volumes is called."""
    return f"{name}, inputs alone"


def _dots(scan, method, volume, axis):
    """`Row` of the share of values of ``volume [X, Y, Z, K]`` beyond 4 σ outside the brain, in the
    slices that hold some of it."""
    mask = scan.acquired.mask
    at = [1, 1, 1]
    at[axis] = -1
    outside = ~mask & filled_slices(mask, axis).reshape(at)
    return Row("dots outside the brain, %", "4 σ", "background", method,
               spectra.dots(volume[outside], 4 * scan.sigma))


class _Likeness:
    """Likeness of DWIs and FA to the best reference there is: SSIM, PSNR, power spectra."""

    def __init__(self, scan, reference, references, axis):
        self._scan, self._axis = scan, axis
        self._against = "measured" if scan.clean is None else TRUTH
        self._maps_against = ALL_ACQUIRED if scan.clean is None else TRUTH
        self._shown = spectra.directions_shown(reference.shape[1])
        self._reference = reference[:, self._shown]
        mask = scan.acquired.mask
        self._dwi = metrics.Similarity(self._reference, mask, axis, float(self._reference.max()))
        self._best = references[self._maps_against]
        self._fa = metrics.Similarity(self._best.maps.fa, mask, axis, 1.0)
        self._fine = self.spectrum(reference).fine
        if scan.clean is None:  # measured images hold white noise too
            self._fine = max(self._fine - scan.sigma**2, 1e-12)

    def spectrum(self, dwi):
        return spectra.spectrum(dwi[:, self._shown], self._scan.acquired.mask, self._axis)

    def signal_rows(self, method, prediction, spectrum):
        brain = self._scan.regions["brain"]
        values = prediction[:, self._shown]
        yield from spectra.spectrum_rows(method, spectrum, self._fine, self._against)
        if method != PERFECT:
            error = metrics.rmse(values, self._reference, brain)
            yield Row("DWI PSNR", self._against, "brain", method,
                      metrics.psnr(error, np.max(self._reference[brain])))
            yield Row("DWI SSIM", self._against, "brain", method,
                      metrics.mean(self._dwi(values)[brain]))

    def map_rows(self, method, found):
        if found is not self._best:
            brain, best = self._scan.regions["brain"], self._best.maps.fa
            yield Row("FA SSIM", self._maps_against, "brain", method,
                      metrics.mean(self._fa(found.maps.fa)[brain]))
            yield Row("FA PSNR", self._maps_against, "brain", method,
                      metrics.psnr(metrics.rmse(found.maps.fa, best, brain), np.max(best[brain])))


def _independent_fa(scan, split):
    """FA of the volumes that none of He et al.'s three maps holds; None without such."""
    table = scan.acquired.gtab
    if len(table.b0s) <= B0S or len(split.others) < 6:
        return None
    others = scan.acquired.take(
        np.r_[table.b0s[B0S:], table.dwis[split.targets[split.others]]])
    return fit_maps([others.signal], others.gtab, first_step=True).fa


def _simulated_limit(scan, few, last):
    """R of perfect synthesis, simulated on the tensors of a scan without a truth, at its σ."""
    every = -(-len(few.signal) // _SIMULATED_VOXELS)
    maps = scan.references[ALL_ACQUIRED]
    maps = type(maps)(*(m[::every] for m in maps))
    rng = np.random.default_rng(0)

    def scanned(clean):
        noise = rng.standard_normal((2, *clean.shape), dtype=np.float32) * scan.sigma
        return np.hypot(clean + noise[0], noise[1]).astype(np.float32)

    clean = tensor_signal(maps, last).astype(np.float32)
    acquired = scanned(tensor_signal(maps, few.gtab))
    both = _joined(few.gtab, last)
    fa32 = fit_maps([acquired], few.gtab, first_step=True).fa
    fa64, fa = (fit_maps([acquired, more], both, first_step=True).fa
                for more in (scanned(clean), clean))
    part = scan._replace(regions={k: r[::every] for k, r in scan.regions.items()})
    return [row for row in shared_noise_rows(part, SIMULATED, fa, fa32, fa64)
            if row.quantity == "R"]


def _joined(a, b):
    return replace(a, bvals=np.concatenate([a.bvals, b.bvals]),
                   bvecs=np.concatenate([a.bvecs, b.bvecs]))

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
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.rows import (
    ALL,
    INDEPENDENT,
    INPUTS,
    MORE,
    NETWORKS,
    PERFECT,
    SIMULATED,
    TRUE_MAP,
    FullMaps,
    Row,
    fa_rows,
    map_rows,
    shared_noise_rows,
    signal_rows,
)
from dwijax.evaluation.directions import he2020, spectra
from dwijax.fitting.voxels import along_and_across, fit_maps, tensor_signal
from dwijax.gradients import GradientTable
from dwijax.process.threads import ahead

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
    def last(self):
        """Positions among the K targets of those that He et al. take for FA."""
        return np.arange(len(self.targets))[-LAST:]

    @property
    def others(self):
        """Positions among the K targets of those that they do not."""
        return np.arange(len(self.targets))[:-LAST]


class Judged(NamedTuple):
    """What is known of a subject after it was judged.

    Attributes:
      rows: list of `Row`.
      maps: method to `FullMaps`. references: name to `FullMaps`.
      shown: method to its DWIs ``[v, K]`` in the voxels shown.
      slices: list of `he2020.SliceRow`. gtfa: maps of He et al. by their names, `FullMaps`.
      directions: method to its RMSE against the measured DWI of each direction ``[K]``, brain.
      squares: method to its squared error against the measured DWIs, mean over these, ``[V]``.
      spectra: method to `Spectrum`.
    """

    rows: list
    maps: dict
    references: dict
    shown: dict
    slices: list
    gtfa: dict
    directions: dict
    squares: dict
    spectra: dict


def judge(scan, split, networks, interpolators, shown, axis=2):
    """All numbers of one subject.

    Args:
      scan: `dwijax.evaluation.common.cases.Scan`.
      split: `Split`.
      networks: their DWIs, float32 ``[V, K]``, in units of the subject's scale.
      interpolators: list of `dwijax.baselines.Interpolator`.
      shown: bool ``[V]``, voxels whose synthetic DWIs are handed back.
      axis: of the slices.

    Returns:
      `Judged`.
    """
    n, table = scan.b0s, scan.acquired.gtab
    inputs = scan.acquired.take(np.r_[:n, n + split.inputs])
    from_inputs = fit_maps([inputs.signal], inputs.gtab)
    scan = scan.judged_where(from_inputs.determined)
    few = inputs.take(np.r_[:min(n, B0S), n:n + len(split.inputs)])
    targets, own = n + split.targets, table[n + split.targets]
    measured = scan.acquired.signal[:, targets]
    clean = None if scan.clean is None else scan.clean[:, targets]
    last = split.last

    def with_last(prediction, gtab, first_step=False):
        return fit_maps([few.signal, prediction[:, last]], _joined(few.gtab, gtab[last]),
                        first_step=first_step)

    fa32 = fit_maps([few.signal], few.gtab, first_step=True).fa
    fa64 = with_last(measured, own, first_step=True).fa
    apart = _independent_fa(scan, split)
    gtfa = {"32 GTFA": full_maps(fit_maps([few.signal], few.gtab)),
            "64 GTFA": full_maps(with_last(measured, own))}
    paper = he2020.Paper(scan, axis, measured, inputs, gtfa)
    out = Judged([], {}, {k: full_maps(m) for k, m in scan.references.items()}, {},
                 paper.inputs_rows(), gtfa, {}, {}, {})
    likeness = _Likeness(scan, measured if clean is None else clean, out.references, axis)

    out.maps[INPUTS] = full_maps(from_inputs)
    if len(split.others):
        out.maps[MORE] = full_maps(
            fit_maps([inputs.signal, measured[:, last]], _joined(inputs.gtab, own[last])))
    out.maps[ALL] = out.references["all acquired"]
    out.rows.extend(shared_noise_rows(scan, INPUTS, fa32, fa32, fa64))
    out.spectra["measured"] = likeness.spectrum(measured)
    if apart is not None:
        out.rows.extend(fa_rows(scan, INPUTS, fa32, INDEPENDENT, apart))
        out.rows.extend(fa_rows(scan, MORE, fa64, INDEPENDENT, apart))
    if clean is not None:
        true = out.references["noise-free"].maps.fa
        out.rows.extend(shared_noise_rows(scan, TRUE_MAP, true, fa32, fa64))
    else:
        out.rows.extend(_simulated_limit(scan, few, own[last]))

    def predictions():
        yield NETWORKS, networks, networks, split.gtab
        for baseline in interpolators:
            began = time.perf_counter()
            given = baseline.denoise(inputs) if baseline.denoise else inputs
            prediction = baseline.predict(given, own)
            out.rows.append(Row("seconds", "subject", "brain", baseline.name,
                                time.perf_counter() - began))
            if baseline.denoise:
                out.maps[alone(baseline.name)] = full_maps(fit_maps([given.signal], given.gtab))
            # R compares fits of the same acquired volumes: two b0s for all.
            from_few = baseline.check(few, own) if baseline.check else prediction
            yield baseline.name, prediction, from_few, own
        if clean is not None:
            yield PERFECT, clean, clean, own

    def score(item):
        name, prediction, from_few, gtab = item
        one = Judged([], {}, {}, {}, [], {}, {}, {}, {})
        one.spectra[name] = likeness.spectrum(prediction)
        one.rows.extend(likeness.signal_rows(name, prediction, one.spectra[name]))
        if name != PERFECT:
            one.rows.extend(signal_rows(scan, name, prediction, measured, clean))
            squares = np.square(prediction - measured)
            one.directions[name] = np.sqrt(np.mean(squares[scan.regions["brain"]], axis=0,
                                                   dtype=np.float64))
            one.squares[name] = squares.mean(axis=1)
        one.maps[name] = full_maps(
            fit_maps([inputs.signal, prediction], _joined(inputs.gtab, gtab)))
        fa = with_last(from_few, gtab, first_step=True).fa
        one.rows.extend(shared_noise_rows(scan, name, fa, fa32, fa64))
        if apart is not None:
            one.rows.extend(fa_rows(scan, name, fa, INDEPENDENT, apart))
        if name in (NETWORKS, PERFECT):
            one.gtfa[name] = full_maps(with_last(prediction, gtab))
            one.slices.extend(paper.rows(name, prediction, one.gtfa[name].maps.fa))
        one.shown[name] = prediction[shown]
        return one

    for one in ahead(score, predictions(), workers=2):
        for together, part in zip(out, one, strict=True):
            (together.extend if isinstance(together, list) else together.update)(part)
    for against, reference in out.references.items():
        for name, found in out.maps.items():
            if found is not reference:
                out.rows.extend(map_rows(scan, name, found, against, reference))
    for name, found in out.maps.items():
        out.rows.extend(likeness.map_rows(name, found))
    return out


def alone(name):
    """What the fit of denoised inputs without synthetic volumes is called."""
    return f"{name}, inputs alone"


def full_maps(maps):
    """`FullMaps` of `Maps`."""
    return FullMaps(maps, *along_and_across(maps.tensor))


class _Likeness:
    """Likeness of DWIs and FA to the best reference there is: SSIM, PSNR, power spectra."""

    def __init__(self, scan, reference, references, axis):
        self._scan, self._axis = scan, axis
        self._against = "measured" if scan.clean is None else "noise-free"
        self._maps_against = "all acquired" if scan.clean is None else "noise-free"
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
                      metrics.psnr(error, self._reference[brain]))
            yield Row("DWI SSIM", self._against, "brain", method,
                      metrics.mean(self._dwi(values)[brain]))

    def map_rows(self, method, found):
        if found is not self._best:
            brain, best = self._scan.regions["brain"], self._best.maps.fa
            yield Row("FA SSIM", self._maps_against, "brain", method,
                      metrics.mean(self._fa(found.maps.fa)[brain]))
            yield Row("FA PSNR", self._maps_against, "brain", method,
                      metrics.psnr(metrics.rmse(found.maps.fa, best, brain), best[brain]))


def _independent_fa(scan, split):
    """FA of the volumes that none of He et al.'s three maps holds; None without such."""
    n = scan.b0s
    if n <= B0S or len(split.others) < 6:
        return None
    apart = scan.acquired.take(np.r_[B0S:n, n + split.targets[split.others]])
    return fit_maps([apart.signal], apart.gtab, first_step=True).fa


def _simulated_limit(scan, few, last):
    """R of perfect synthesis, simulated on the tensors of a scan without a truth, at its σ."""
    every = -(-len(few.signal) // _SIMULATED_VOXELS)
    maps = scan.references["all acquired"]
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

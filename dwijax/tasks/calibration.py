"""Synthetic DWIs scaled to the anisotropy that a subject's own acquired directions show.

Networks learn how anisotropic tissue is where they were trained, and predict it for other subjects
too. In one voxel the acquired directions are too noisy to contradict; over many alike voxels they
are not: the second moment of a fitted tensor is that of the true one and the trace of the fit's
covariance.

Letters, of deviatoric tensors (less their MD) in a group of voxels of like FA, E their mean there:
D true; A fitted to the acquired DWIs, N to the synthetic ones; n the trace of A's covariance;
s the share of the acquired directions in all.

    E|D|² = E|A|² - n                                                                            (1)
    E<D, A> = E|D|²,   E<D, N> = E<A, N> - o n                                                   (2)
    w = argmin E|(1 - w) N + w A - D|² = E<D - N, A - N> / E|A - N|²                             (3)

A fit of acquired and synthetic DWIs is about (1 - s) N + s A. Training subjects tell o (N holds
some of A's noise), w0 = w, m = E|(1 - s) N + s A|² / E|D|² and
e = (E|(1 - s) N + s A|² - E|D|²) / n. In another subject the tensor becomes a N + b A:

    | group                           | b                             | E|a N + b A|²             |
    | ------------------------------- | ----------------------------- | ------------------------- |
    | < 100 voxels, or nothing learnt | s                             | as it is: a = 1 - s       |
    | w <= w0 (as noisy, or more)     | s                             | of the last two rows      |
    | w > w0 (less noise)             | s + (w - w0)/2 <= (1 + s)/2   | of the last two rows      |
    | e <= 0                          |                               | m E|D|²                   |
    | e > 0                           |                               | min(m E|D|², E|D|² + e n) |

b is never below s, for then synthetic DWIs would be given the negative of the acquired ones' noise.
A subject like those of training is left as it is.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from dwijax import dti
from dwijax.fitting.voxels import in_chunks
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.schema import Such

# Middles of the groups, in FA; a last group is fluid, whatever its FA.
_FA = np.array([.03, .05, .07, .09, .115, .145, .18, .225, .275, .35, .45, .55, .7])
_GROUPS = len(_FA) + 1
_FLUID = 1.5  # µm²/ms, MD
# FA is smoothed (SD, voxels), or groups would sort voxels by their noise.
_SMOOTHING = 0.5
_FEWEST = 100  # voxels in a group; of fewer the moments say little
_NOISIEST = 10  # medians; noisier voxels (dropouts, air) would decide for all the others
_LEAST = 0.1  # of E|A|², that E|D|² is taken for at least: it is the difference of two like numbers
_PROBES = 30
LEAST_INPUTS = 8  # with a b0, two more than a tensor and ln S0 have unknowns

_TWICE = np.array([1, 2, 1, 2, 2, 1], np.float32)  # how often an element stands in its matrix
_DEVIATION = np.eye(6, dtype=np.float32) - np.outer([1, 0, 1, 0, 0, 1], [1, 0, 1, 0, 0, 1]) / 3


class Calibration(NamedTuple):
    """What is learnt, for each of G groups of voxels: lists of floats, None where nothing is.

    Attributes:
      moment: m. excess: e. overlap: o. weight: w0; letters as above.
    """

    moment: list
    excess: list
    overlap: list
    weight: list


# Nothing is learnt: E|a N + s A|² = E|D|².
_HELD = Calibration([1.0] * _GROUPS, [0.0] * _GROUPS, [0.0] * _GROUPS, [np.inf] * _GROUPS)

# Of the dict that `from_json` takes (`dwijax.schema`), with the step whose networks it is of.
SPEC = {"step": int, **dict.fromkeys(Calibration._fields, Such(
    [(None, float)], lambda values: len(values) == _GROUPS, f"a list of {_GROUPS}"))}


class Moments(NamedTuple):
    """Sums over the voxels of each group, ``[G]``, of products of deviatoric tensors."""

    count: np.ndarray
    networks: np.ndarray  # <N, N>
    both: np.ndarray  # <N, A>
    acquired: np.ndarray  # <A, A>
    noise: np.ndarray  # trace of A's covariance
    independent: np.ndarray  # <N, T>, T of measured targets; only to learn from


def learn(moments, share):
    """The calibration by subjects with measured targets.

    Args:
      moments: sum of `Moments` over them. share: s, of the acquired directions in all.

    Returns:
      `Calibration`; None in groups of fewer than 100 voxels, or of nothing but noise.
    """
    m = _means(moments)
    true, all_of_it = m.acquired - m.noise, _squared(m, 1 - share, share)
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap = (m.both - m.independent) / m.noise
        learnt = (all_of_it / true, (all_of_it - true) / m.noise, overlap, _best(m, overlap))
    told = (moments.count >= _FEWEST) & (true > 0) & np.isfinite(learnt).all(axis=0)
    return Calibration(*(np.where(told, x, None).tolist() for x in learnt))


def from_json(learnt):
    """`Calibration` from its dict.

    Raises:
      KeyError, TypeError, ValueError: it is none.
    """
    calibration = Calibration(*(learnt[name] for name in Calibration._fields))
    values = np.asarray(calibration, float)
    if values.shape != (len(Calibration._fields), _GROUPS) or np.isinf(values).any():
        raise ValueError("not a calibration")
    return calibration


def is_empty(calibration):
    """Whether nothing is learnt of any group."""
    return all(value is None for value in calibration.moment)


def coefficients(calibration, moments, share):
    """``(a, b)``, each ``[G]``, of a subject; ``(1 - s, s)`` where it or the training knew little.

    Args:
      calibration: `Calibration`. moments: `Moments` of the subject. share: s.
    """
    m = _means(moments)
    moment, excess, overlap, weight = (np.asarray(x, float) for x in calibration)
    true = np.maximum(m.acquired - m.noise, _LEAST * m.acquired)
    with np.errstate(invalid="ignore", divide="ignore"):
        more = np.clip((_best(m, overlap) - weight) / 2, 0, (1 - share) / 2)
        b = share + more
        aim = np.where(excess > 0, np.minimum(moment * true, true + excess * m.noise),
                       moment * true)
        # The larger root of E|a N + b A|² = aim.
        middle = b * m.both
        under = middle**2 - m.networks * (b**2 * m.acquired - aim)
        a = np.clip((np.sqrt(under.clip(0)) - middle) / m.networks, 0, 1.5 * (1 - share))
    told = (moments.count >= _FEWEST) & np.isfinite(a) & np.isfinite(b)
    return np.where(told, a, 1 - share), np.where(told, b, share)


def rescale(calibration, b0, acquired, synthetic, mask, b0s, tables):
    """Synthetic DWIs scaled to the anisotropy of the acquired ones.

    Args: as of :func:`change`, whose share is that of ``acquired`` in both.

    Returns:
      float32 ``[V, K]``.
    """
    share = acquired.shape[1] / (acquired.shape[1] + synthetic.shape[1])
    found = change(calibration, b0, acquired, synthetic, mask, b0s, tables, share)
    return scaled(synthetic, found, tables[1])


def scaled(dwi, change, gtab):
    """DWIs ``[V, K]`` of a table whose tensors are changed by ``[V, 6]`` of :func:`change`."""
    rows = np.asarray(dti.design_matrix(gtab.bvals, gtab.bvecs))[:, :6]
    return dwi * np.exp((change @ rows.T).clip(-1, 1))


def change(calibration, b0, acquired, synthetic, mask, b0s, tables, share):
    """What is added to the tensors of synthetic DWIs.

    Args:
      calibration: `Calibration`.
      b0: mean, float32 ``[V]``. acquired: ``[V, q]``. synthetic: ``[V, K]``; in one unit, of any
        scale. mask: bool ``[X, Y, Z]`` with V voxels.
      b0s: how many volumes are behind ``b0``.
      tables: of the acquired and of the synthetic DWIs, `dwijax.gradients.GradientTable` of q and
        K directions, along the same axes.
      share: s, of the acquired directions in all that will be fitted.

    Returns:
      float32 ``[V, 6]``.
    """
    networks, own, noise, group = _voxels(b0, acquired, synthetic, mask, b0s, tables)
    found = coefficients(calibration, _moments(group, networks, own, noise, networks), share)
    return _change(found, networks, own, noise, group, share)


def held(b0, acquired, synthetic, mask, b0s, tables, share, sigma):
    """The same where nothing has been learnt, but the noise is known: E|a N + s A|² = E|D|².

    What the acquired directions show is a difference of like numbers where noise is strong. So a
    goes only so far from 1 - s as their reliability, E|D|²/E|A|².

    Args:
      sigma: σ of the noise, ``[V]``, in the unit of ``acquired``. Others as of :func:`change`.
    """
    networks, own, noise, group = _voxels(b0, acquired, synthetic, mask, b0s, tables, sigma)
    moments = _moments(group, networks, own, noise, networks)
    a, b = coefficients(_HELD, moments, share)
    m = _means(moments)
    reliable = np.clip(1 - m.noise / np.maximum(m.acquired, np.finfo(np.float32).tiny), 0, 1)
    a = 1 - share + reliable * (a - (1 - share))
    return _change((a, b), networks, own, noise, group, share)


def _change(found, networks, own, noise, group, share):
    a, b = (_between(group, x) for x in found)
    a, b = np.where(noise == 0, 1 - share, a), np.where(noise == 0, share, b)
    more = ((a - (1 - share))[:, None] * networks + (b - share)[:, None] * own) / (1 - share)
    return more.astype(np.float32)


def probes(b):
    """Table of well-placed directions, at which the tensor of what can predict any is found."""
    return GradientTable(np.full(_PROBES, b), direction_set(_PROBES))


def moments_of(b0, acquired, synthetic, targets, mask, judged, b0s, tables):
    """What `learn` learns from, of one subject.

    Args:
      targets: measured, ``[V, K]``, of the synthetic DWIs' directions.
      judged: bool ``[V]``, the voxels that count.
      b0, acquired, synthetic, mask, b0s, tables: as :func:`rescale`.

    Returns:
      `Moments`.
    """
    networks, own, noise, (fa, fluid) = _voxels(b0, acquired, synthetic, mask, b0s, tables)
    measured, _, _, there = _tensors(b0, targets, b0s, tables, 1)
    return _moments((fa[judged], fluid[judged]), *(
        x[judged] for x in (networks, own, np.where(there, noise, 0), measured)))


def _voxels(b0, acquired, synthetic, mask, b0s, tables, sigma=None):
    """``N [V, 6]``, ``A [V, 6]``, noise ``[V]`` of A, and ``(FA, fluid) [V]`` to group by.

    The noise is 0 in voxels of which either has no tensor.
    """
    own, noise, _, known = _tensors(b0, acquired, b0s, tables, 0, sigma)
    networks, _, md, theirs = _tensors(b0, synthetic, b0s, tables, 1, sigma)
    known = known & theirs
    noise = np.where(known, noise, 0)
    squared = (networks**2) @ _TWICE
    fa = np.sqrt(1.5 * squared / np.maximum(squared + 3 * md**2, np.finfo(np.float32).tiny))
    def blurred(values):
        volume = np.zeros(mask.shape, np.float32)
        volume[mask] = np.where(known, values, 0)
        return gaussian_filter(volume, _SMOOTHING)[mask]

    inside = np.maximum(blurred(np.ones(len(fa))), 1e-6)

    def smooth(values):
        return blurred(values) / inside

    return networks, own, noise, (smooth(fa), smooth(md) >= _FLUID)


def _tensors(b0, dwi, b0s, tables, which, sigma=None):
    """Deviatoric tensors ``[V, 6]`` of weighted fits, traces of their covariance (by σ ``[V]`` or
    by what the fit leaves), MD and whether there is a tensor ``[V]``."""
    gtab = tables[which]
    design = np.asarray(dti.design_with_b0(gtab.bvals, gtab.bvecs))
    weights = np.r_[b0s, np.ones(len(gtab))]
    # One program for both tables: a sample of 0 does not count, nor its row.
    width = 1 + max(map(len, tables))
    design = np.pad(design, [(0, width - len(design)), (0, 0)]).astype(np.float32)
    weights = np.pad(weights, (0, width - len(weights))).astype(np.float32)
    fit = partial(_fit, design, weights)
    if sigma is None:
        return in_chunks(fit, [b0[:, None], dwi], width)
    return in_chunks(lambda x: fit(x[:, 1:], x[:, 0]), [sigma[:, None], b0[:, None], dwi],
                     1 + width)


@jax.jit
def _fit(design, weights, signal, sigma=None):
    fit = dti.fit_tensor(signal, design, weights=weights)
    covariance = dti.fit_statistics(signal, design, fit, weights=weights, sigma=sigma).covariance
    spread = jnp.einsum("i,ij,vjk,ik->v", _TWICE, _DEVIATION, covariance, _DEVIATION)
    return fit.tensor @ _DEVIATION.T, spread, dti.mean_diffusivity(fit.tensor), fit.determined


def _moments(group, networks, own, noise, independent):
    fa, fluid = group
    which = np.where(fluid, len(_FA), np.digitize(fa, (_FA[1:] + _FA[:-1]) / 2))
    known = noise > 0  # neither without a tensor (0) nor without degrees of freedom (NaN)
    usual = known & (noise <= _NOISIEST * np.median(noise[known])) if known.any() else known

    def total(values):
        return np.bincount(which, np.where(usual, values, 0), minlength=_GROUPS)

    return Moments(total(np.ones(len(fa))), *(
        total((x * y) @ _TWICE) for x, y in ((networks, networks), (networks, own), (own, own))),
        total(noise), total((networks * independent) @ _TWICE))


def _means(moments):
    return moments._replace(**{name: getattr(moments, name) / np.maximum(moments.count, 1)
                               for name in Moments._fields[1:]})


def _squared(m, a, b):
    """``E|a N + b A|²``."""
    return a**2 * m.networks + 2 * a * b * m.both + b**2 * m.acquired


def _best(m, overlap):
    """The weight w of equation 3."""
    away = m.networks - m.both  # E<N, N - A>
    true = m.acquired - m.noise  # E<D, A>
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = (true - (m.both - overlap * m.noise) + away) / (away + m.acquired - m.both)
    return np.clip(weight, -1, 2)  # further out where N is nearly A, and means nothing there


def _between(group, values):
    """A group's value for each voxel, between middles of groups by interpolation."""
    fa, fluid = group
    return np.where(fluid, values[-1], np.interp(fa, _FA, values[:-1]))

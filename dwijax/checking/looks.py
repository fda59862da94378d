"""Does each volume look like what its b-value says?

A volume is compared, in logarithms, with the median image of every shell, with the b0s, and with
the apparent diffusivity that these make. A factor of the whole volume drops out: a dark DWI is
still a DWI, and a map of diffusivity is one in any unit.
"""

from typing import NamedTuple

import numpy as np

from dwijax.fitting.noise import robust_sd

B0, DWI, MEAN, DIFFUSIVITY, OTHER = (
    "a b0", "a DWI", "the mean of DWIs", "a map of diffusivity", "neither a DWI nor a b0")
STRANGERS = (MEAN, DIFFUSIVITY, OTHER)  # that no row of a table describes

LEAST_OF_SHELL = 3  # volumes whose median is an image of their shell
# Measured on scans of four vendors (b = 1000 to 2000) and on simulated ones. On the way from a
# DWI's contrast to a b0's, DWIs are at -0.17 to 0.14, b0s at 0.89 to 1.02; DWIs of another shell
# are at 0.66 to 1.1 of the way there. Distances from the image of their shell over the usual one:
# DWIs 0.8 to 1.3. Brightness of b0s over DWIs: e^0.74 and more.
_AS_MUCH = (0.7, 1.3)  # of the way to a b0, of its brightness, of a map's contrast
_HALF_WAY, _TO_SHELL = 0.5, 0.35
_LEAST_FOR_A_MEAN, _LEAST_FOR_OTHER = 6, 10  # DWIs of a shell
_OTHER_FARTHER, _AS_ALIKE = 1.6, 0.5  # the second a correlation with some DWI
_DIFFUSIVITY_NEARER = 0.6
_DWI_NO_FARTHER = 1.25
_BRIGHTER, _BRIGHTER_B0 = 0.2, 0.35  # logarithms
_LEAST_B = 500.0  # s/mm²; below it a b0 and a DWI may be alike


class Misfit(NamedTuple):
    """A volume that does not look like what its label says.

    Attributes:
      volume: counted from 0. labelled: nominal b, s/mm². seen: in words, such as `B0`.
    """

    volume: int
    labelled: int
    seen: str


def compare_looks(signal, labels, shells):
    """Compares volumes with their labels.

    Args:
      signal: ``[V, M]``, all volumes in some voxels of the brain.
      labels: int ``[M]``, nominal b, 0 for b0s.
      shells: dict, indices of volumes by nominal b; of at least `LEAST_OF_SHELL` volumes each.

    Returns:
      (misfits, classes): list of `Misfit` by volume; int ``[M]``, the nominal b that each volume's
      looks deserve, for strangers that of their label or the nearest shell.
    """
    logs = _logarithms(signal)
    seen_in = {b: _against_shell(logs, index) for b, index in shells.items()}
    b0 = _image_of_b0(logs, labels, shells, seen_in)
    as_b0 = None if b0 is None else _against_b0(logs, b0, shells, seen_in)
    towards = {(b, other): _way(logs, seen_in[b].image, seen_in[other].image)
               for b in shells for other in shells if b != other}
    misfits, classes = [], np.array(labels)
    for m, label in enumerate(labels):
        near = min(shells, key=lambda b: seen_in[b].far[m])
        own = label if label in shells else near
        # By brightness, as contrast varies little from shell to shell.
        level = min(shells, key=lambda b: abs(seen_in[b].brighter[m]))
        seen = None
        if np.ptp(logs[:, m]) > 0:  # an empty volume looks like nothing; it is as dark as can be
            seen = _seen(m, label, near, seen_in[near], seen_in[own], own, as_b0)
            if (seen is None and label in shells and level != label
                    and towards[own, level][m] > _TO_SHELL
                    and _of_another_shell(m, seen_in[own], seen_in[level])):
                seen = f"b={level}"
        if seen is not None:
            misfits.append(Misfit(m, int(label), seen))
            if seen == B0:
                classes[m] = 0
            elif not label or seen == f"b={level}":
                classes[m] = level
    return misfits, classes


class _AgainstShell(NamedTuple):
    """Volumes ``[M]`` against the median image ``[V]`` of a shell's volumes ``index``.

    ``far`` from it and ``brighter`` than it (logarithm), see `_compare`; ``alike``, correlation
    with the DWI that is most like it; ``to_mean``, far from the mean; of the shell's own: ``usual``
    distance, ``spread`` of brightness, ``noise``.
    """

    index: np.ndarray
    image: np.ndarray
    far: np.ndarray
    brighter: np.ndarray
    alike: np.ndarray
    to_mean: np.ndarray
    usual: float
    spread: float
    noise: float


def _against_shell(logs, index):
    image = np.median(logs[:, index], axis=1)
    far, brighter = _compare(logs, image)
    # Of a mean only the noise of its members is left; the nearest two DWIs differ by theirs.
    mean = np.log(np.maximum(np.exp(logs[:, index]).mean(axis=1), 1e-30))
    alike, noise = _resemblance(logs, index)
    # Where all fibres run alike, brightness depends on the direction as much as on b, and a DWI
    # along them may be all noise.
    spread = robust_sd(brighter[index])
    return _AgainstShell(index, image, far, brighter, alike, _compare(logs, mean)[0],
                         np.median(far[index]), spread, noise)


class _AgainstB0(NamedTuple):
    """Volumes ``[M]`` against the b0s and the map of diffusivity that these make.

    ``far``, ``brighter`` and ``alike`` as above; by shell the ``way`` from its image to the b0s
    and their ``gap`` in brightness; of the map: ``far_from_map``, ``like_map``, ``contrast``.
    """

    far: np.ndarray
    brighter: np.ndarray
    alike: np.ndarray
    way: dict
    gap: dict
    far_from_map: np.ndarray
    like_map: np.ndarray
    contrast: np.ndarray


def _against_b0(logs, b0, shells, seen_in):
    largest = max(shells, key=lambda b: len(shells[b]))
    diffusivity = np.log(np.maximum(b0 - seen_in[largest].image, 0.05))
    return _AgainstB0(
        *_compare(logs, b0), _correlation(logs, b0),
        {b: _way(logs, seen_in[b].image, b0) for b in shells},
        {b: np.median(b0 - seen_in[b].image) for b in shells},
        _compare(logs, diffusivity)[0], _correlation(logs, diffusivity),
        _way(logs, np.zeros_like(diffusivity), diffusivity))


def _seen(m, label, b, near, own, own_b, b0):
    """What volume m looks like where that is not what its label says, or None.

    Args:
      m, label: the volume and its nominal b. b, near: the shell whose image is nearest. own,
        own_b: its own, or the nearest. b0: `_AgainstB0` or None.
    """
    least, most = _AS_MUCH
    if b0 is not None:
        gain = near.brighter[m] if label else b0.brighter[m]
        if (b0.far_from_map[m] < _DIFFUSIVITY_NEARER * min(near.far[m], b0.far[m])
                and b0.like_map[m] > 0.8 and least < b0.contrast[m] < most
                and abs(gain) > max(5 * near.spread, _BRIGHTER)):
            return DIFFUSIVITY
    told = label or b >= _LEAST_B
    if (told and len(near.index) >= _LEAST_FOR_A_MEAN and abs(near.brighter[m]) < _BRIGHTER
            and min(near.to_mean[m], near.far[m]) < near.noise / 2):
        return MEAN
    if b0 is None:  # a single volume labelled b0: is it one of the DWIs?
        like_dwi = (-_BRIGHTER < near.brighter[m] < _BRIGHTER / 2
                    and near.far[m] < _DWI_NO_FARTHER * near.usual)
        return DWI if not label and told and like_dwi else None
    common = np.quantile(own.alike[own.index], 0.2)
    if (len(own.index) >= _LEAST_FOR_OTHER and common > _AS_ALIKE
            and max(b0.alike[m], own.alike[m]) < _AS_ALIKE * common
            and min(own.far[m], b0.far[m]) > _OTHER_FARTHER * own.usual
            and not -max(5 * own.spread, 0.3) < own.brighter[m] < max(3 * own.spread, 0.15)):
        return OTHER
    way, bright = b0.way[own_b][m], own.brighter[m] / b0.gap[own_b]
    if not label and way < _HALF_WAY and bright < _HALF_WAY and own.far[m] < b0.far[m]:
        return DWI
    if label and least < way < most and least < bright < most and b0.far[m] < own.far[m]:
        return B0
    return None


def _of_another_shell(m, own, other):
    """Whether the brightness of volume m is that of another shell than its own."""
    return (len(own.index) >= _LEAST_FOR_OTHER and other.far[m] < 1.05 * own.far[m]
            and abs(own.brighter[m]) > max(6 * own.spread, _BRIGHTER / 2)
            and abs(other.brighter[m]) < 0.25 * abs(own.brighter[m]))


def _resemblance(logs, index):
    """The largest correlation of each volume with another that is a DWI of a shell, ``[M]``; the
    noise: a tenth of these DWIs are nearer than √2 of it to the one that they are most alike."""
    x = logs - logs.mean(axis=0)
    x = x / np.maximum(np.linalg.norm(x, axis=0), 1e-30)
    pairs = x.T @ x[:, index]
    pairs[index, np.arange(len(index))] = -1
    nearest = index[pairs[index].argmax(axis=1)]
    apart = logs[:, index] - logs[:, nearest]
    apart = np.clip(apart - np.median(apart, axis=0), -1, 1)
    return pairs.max(axis=1), np.quantile((apart * apart).mean(axis=0), 0.1) ** 0.5 / np.sqrt(2)


def _image_of_b0(logs, labels, shells, seen_in):
    """Logarithm of what a b0 looks like, ``[V]``, or None where no volume is like one."""
    largest = seen_in[max(shells, key=lambda b: len(shells[b]))]
    own = [seen_in.get(b, largest) for b in labels]
    bright, away = (np.array([getattr(shell, name)[m] for m, shell in enumerate(own)])
                    for name in ("brighter", "far"))
    for candidates in ((labels == 0) & (bright > _BRIGHTER_B0),
                       (labels > 0) & (bright > _BRIGHTER_B0) & (away > 1.15 * largest.usual)):
        index = np.flatnonzero(candidates)
        if index.size:
            apart = np.array([_compare(logs[:, index], logs[:, m])[0] for m in index])
            medoid = np.median(apart, axis=1).argmin()
            agreed = apart[medoid] < 0.5 * largest.usual
            agreed[medoid] = True
            return np.median(logs[:, index[agreed]], axis=1)
    return None


def _logarithms(signal):
    """ln of the signal, ``[V, M]``, no less than 1 % of the volume's median."""
    scale = np.median(signal, axis=0)
    scale = np.where(scale > 0, scale, np.maximum(np.abs(signal).max(axis=0), 1e-30))
    return np.log(np.maximum(signal / scale, 0.01)) + np.log(scale)


def _compare(logs, image):
    """How far volumes are from an image, whatever their gains, ``[M]``, and how much brighter they
    are, ``[M]``, in logarithms: a standard deviation in which no voxel counts more than a factor
    of e."""
    away = logs - image[:, None]
    brighter = np.median(away, axis=0)
    away = np.clip(away - brighter, -1, 1)
    return np.sqrt((away * away).mean(axis=0)), brighter


def _way(logs, image, other):
    """How far on the way from an image to another volumes are, ``[M]``, by their contrast alone: 0
    at the one, 1 at the other."""
    contrast = other - image
    contrast = np.clip(contrast - np.median(contrast), -1.5, 1.5)
    contrast -= contrast.mean()
    away = logs - image[:, None]
    away = np.clip(away - np.median(away, axis=0), -1.5, 1.5)
    return contrast @ away / max(contrast @ contrast, 1e-30)


def _correlation(logs, image):
    """With an image, ``[M]``; 0 for a volume without contrast."""
    x, y = logs - logs.mean(axis=0), image - image.mean()
    norms = np.linalg.norm(x, axis=0) * np.linalg.norm(y)
    return y @ x / np.maximum(norms, 1e-30)

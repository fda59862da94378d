"""Does each volume look like what its b-value says?

A volume is compared, in logarithms, with the median image of every shell, with the b0s, and with
the apparent diffusivity that these make. A factor of the whole volume drops out: a dark DWI is
still a DWI, and a map of diffusivity is one in any unit.
"""

from typing import NamedTuple

import numpy as np

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


def look(signal, labels, shells):
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
    images = {b: np.median(logs[:, index], axis=1) for b, index in shells.items()}
    largest = max(shells, key=lambda b: len(shells[b]))
    far, brighter, mean = {}, {}, {}
    for b, image in images.items():
        far[b], brighter[b] = _compare(logs, image)
        # Of a mean only the noise of its members is left; the nearest two DWIs differ by theirs.
        mean[b] = _compare(logs, np.log(np.maximum(np.exp(logs[:, shells[b]]).mean(axis=1),
                                                   1e-30)))[0]
    usual = {b: np.median(far[b][index]) for b, index in shells.items()}
    # Where all fibres run alike, brightness depends on the direction as much as on b, and a DWI
    # along them may be all noise.
    spread = {b: 1.4826 * np.median(np.abs(brighter[b][index])) for b, index in shells.items()}
    alike, noise = {}, {}
    for b, index in shells.items():
        alike[b], noise[b] = _resemblance(logs, index)
    b0 = _image_of_b0(logs, labels, shells, far, brighter, usual, largest)
    if b0 is not None:
        adc = np.log(np.maximum(b0 - images[largest], 0.05))
        to_b0, below_b0 = _compare(logs, b0)
        to_adc, like_adc = _compare(logs, adc)[0], _correlation(logs, adc)
        contrast_of_adc = _way(logs, np.zeros_like(adc), adc)
        like_b0 = _correlation(logs, b0)
        towards_b0 = {b: _way(logs, image, b0) for b, image in images.items()}
        gap = {b: np.median(b0 - image) for b, image in images.items()}
    towards = {(b, other): _way(logs, images[b], images[other])
               for b in shells for other in shells if b != other}

    def seen_as(m, label, near, own):
        if np.ptp(logs[:, m]) == 0:
            return None  # an empty volume looks like nothing; it is as dark as can be
        least, most = _AS_MUCH
        if b0 is not None:
            off = brighter[near][m] if label else below_b0[m]
            if (to_adc[m] < _DIFFUSIVITY_NEARER * min(far[near][m], to_b0[m])
                    and like_adc[m] > 0.8 and least < contrast_of_adc[m] < most
                    and abs(off) > max(5 * spread[near], _BRIGHTER)):
                return DIFFUSIVITY
        told = label or near >= _LEAST_B
        if (told and len(shells[near]) >= _LEAST_FOR_A_MEAN and abs(brighter[near][m]) < _BRIGHTER
                and min(mean[near][m], far[near][m]) < noise[near] / 2):
            return MEAN
        if b0 is None:  # a single volume labelled b0: is it one of the DWIs?
            like_dwi = (-_BRIGHTER < brighter[near][m] < _BRIGHTER / 2
                        and far[near][m] < _DWI_NO_FARTHER * usual[near])
            return DWI if not label and told and like_dwi else None
        members = shells[own]
        common = np.quantile(alike[own][members], 0.2)
        if (len(members) >= _LEAST_FOR_OTHER and common > _AS_ALIKE
                and max(like_b0[m], alike[own][m]) < _AS_ALIKE * common
                and min(far[own][m], to_b0[m]) > _OTHER_FARTHER * usual[own]
                and not -max(5 * spread[own], 0.3) < brighter[own][m]
                < max(3 * spread[own], 0.15)):
            return OTHER
        way, bright = towards_b0[own][m], brighter[own][m] / gap[own]
        if not label and way < _HALF_WAY and bright < _HALF_WAY and far[own][m] < to_b0[m]:
            return DWI
        if label and least < way < most and least < bright < most and to_b0[m] < far[own][m]:
            return B0
        return None

    misfits, classes = [], np.array(labels)
    for m, label in enumerate(labels):
        near = min(shells, key=lambda b: far[b][m])
        own = label if label in shells else near
        seen = seen_as(m, label, near, own)
        level = min(shells, key=lambda b: abs(brighter[b][m]))
        if (seen is None and label in shells and len(shells[label]) >= _LEAST_FOR_OTHER
                and level != label and far[level][m] < 1.05 * far[own][m]
                and towards[own, level][m] > _TO_SHELL
                and abs(brighter[own][m]) > max(6 * spread[own], _BRIGHTER / 2)
                and abs(brighter[level][m]) < 0.25 * abs(brighter[own][m])):
            seen = f"b={level}"
        if seen is not None:
            misfits.append(Misfit(m, int(label), seen))
            if seen == B0:
                classes[m] = 0
            elif not label or seen == f"b={level}":
                classes[m] = level
    return misfits, classes


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


def _image_of_b0(logs, labels, shells, far, brighter, usual, largest):
    """Logarithm of what a b0 looks like, ``[V]``, or None where no volume is like one."""
    own = [b if b in shells else largest for b in labels]
    bright, away = (np.array([table[b][m] for m, b in enumerate(own)])
                    for table in (brighter, far))
    for candidates in ((labels == 0) & (bright > _BRIGHTER_B0),
                       (labels > 0) & (bright > _BRIGHTER_B0) & (away > 1.15 * usual[largest])):
        index = np.flatnonzero(candidates)
        if index.size:
            apart = np.array([_compare(logs[:, index], logs[:, m])[0] for m in index])
            medoid = np.median(apart, axis=1).argmin()
            agreed = apart[medoid] < 0.5 * usual[largest]
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

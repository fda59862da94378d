"""Simulated heads in memory: scanned by a table, brought to more directions by a network, FA.

No network has learnt from them: the one that comes with the package knows subjects 0 to 4 of both
generators with seed 0, these have another seed.
"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation

from dwijax.baselines import Acquired, Predictor, acquired
from dwijax.data.phantom import SimulatedSubject
from dwijax.data.phantom.regions import CALLOSUM, DEEP_WHITE, LOBES, NAMES, TISSUES
from dwijax.data.subject import Subject
from dwijax.enhancing.mixing import longer
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable

SEED, SNR = 1, 20.0
WHITE_REGIONS = (*CALLOSUM, *(f"{name}_{side}" for name in (*LOBES, *DEEP_WHITE)
                              for side in ("left", "right")))
_GAP, _RING = 1, 3  # voxels from a lesion to the white matter around it, and to that one's end


def subject_of(head: SimulatedSubject, dwi: np.ndarray, gtab: GradientTable) -> Subject:
    """Volumes ``[X, Y, Z, M]`` of a head, b0s first, as a scan."""
    return _scaled(Subject("head", dwi, gtab, head.mask, head.affine, "LAS", None,
                           np.arange(len(gtab)), None, np.nan))


def part_of(subject: Subject, volumes: np.ndarray) -> Subject:
    """Some volumes of a scan, in units of their own b0."""
    return _scaled(replace(subject, dwi=subject.dwi[..., volumes], gtab=subject.gtab[volumes],
                           volumes=subject.volumes[volumes]))


def _scaled(subject):
    b0 = subject.dwi[..., subject.gtab.b0s].mean(axis=-1)
    return replace(subject, b0=b0, scale=float(np.float32(np.median(b0[subject.mask]))))


def fa_of(parts: list[np.ndarray], gtab: GradientTable) -> np.ndarray:
    """FA by the fit that is the default of `dwijax fit`, float32 ``[V]``; NaN without a tensor."""
    maps = fit_maps(parts, gtab)
    return np.where(maps.determined, maps.fa, np.float32(np.nan))


def both_fa(given: Acquired, wanted: GradientTable, network: Predictor) -> list[np.ndarray]:
    """FA ``[V]`` of what was acquired, and of this and the directions that a network adds."""
    plain = fa_of([given.signal], given.gtab)
    if not len(wanted):
        return [plain, plain]
    made = network.predict(given, wanted)
    return [plain, fa_of([given.signal, made], longer(given.gtab, wanted))]


def both_fa_of(subject: Subject, wanted: GradientTable, network: Predictor) -> list[np.ndarray]:
    """The same of all volumes of a scan."""
    return both_fa(acquired(subject), wanted, network)


def lesion_and_ring(head: SimulatedSubject) -> tuple[np.ndarray, np.ndarray]:
    """Bool ``[V]``: white matter in lesions, and around them, with a gap for partial volume."""
    white = head.tissue == TISSUES.index("white")
    ring = grown(head.lesion, _RING) & ~grown(head.lesion, _GAP)
    return (head.lesion & white)[head.mask], (ring & white)[head.mask]


def regions_of(head: SimulatedSubject, without: np.ndarray) -> np.ndarray:
    """`WHITE_REGIONS` without some voxels ``[X, Y, Z]``, bool ``[R, V]``."""
    numbers = [NAMES.index(name) + 1 for name in WHITE_REGIONS]
    labels = np.where(without, 0, head.labels)[head.mask]
    return np.stack([labels == number for number in numbers])


def grown(region: np.ndarray, voxels: int) -> np.ndarray:
    """A region ``[X, Y, Z]`` and all within some steps to a face's neighbour."""
    return binary_dilation(region, iterations=voxels) if region.any() else region


def mean_in(values: np.ndarray, region: np.ndarray) -> float:
    """Mean of ``[V]`` over a region's voxels that have a tensor; NaN where there are none."""
    inside = values[region]
    inside = inside[np.isfinite(inside)]
    return float(inside.mean(dtype=np.float64)) if inside.size else np.nan


def interval(statistic, count: int, draws: int = 2000) -> np.ndarray:
    """Ends of the interval of 95 % of a statistic where ``count`` units are drawn anew.

    Args:
      statistic: of positions ``[count]``, which may repeat: a number or an array. NaN where they
        tell nothing: such draws do not count.

    Returns:
      ``[2, ...]`` of its shape.
    """
    rng = np.random.default_rng(0)
    found = [statistic(rng.integers(count, size=count)) for _ in range(draws)]
    return np.nanpercentile(found, [2.5, 97.5], axis=0)

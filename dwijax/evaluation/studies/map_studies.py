"""Three studies beside the maps: tracts (Li et al., Fig. 6), lesions (Fig. 8), noise (Fig. 9)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dwijax.data.cohort import central_slices
from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.regions import LESION
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH, Row
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.maps.methods import FIT, NOISY, method_of, named, of_paper
from dwijax.evaluation.maps.protocol import Contender, all_maps, fit_of, from_fit
from dwijax.evaluation.maps.rois import Roi
from dwijax.evaluation.studies import added_noise, lesions
from dwijax.evaluation.studies import tractography as tracts
from dwijax.fitting.voxels import fit_maps
from dwijax.inference.network_maps import NetworkMaps
from dwijax.tasks.map_regression import LEAST
from dwijax.volumes import filled_slices

# Numbers of directions that the paper's figures have, where a report has more than these.
LESIONS_Q, NOISE_Q = (6, 8, 10), (6, 18)
NOISE_SLICES = 8  # twelve noisy copies of them through every network
COUNTS = (18, 36)  # directions of fits that added noise is studied for, beside q and all


def of_counts(contenders: list[Contender], counts: tuple[int, ...],
              kinds: tuple[str, ...] = ("",)) -> list[Contender]:
    """Those with so many directions, six and more, of these kinds; where there are none, all."""
    able = [c for c in contenders if c.q >= LEAST and c.kind in kinds]
    return [c for c in able if c.q in counts] or able


def track_maps(scan: JudgedScan, rois: list[Roi],
               maps: dict[str, NetworkMaps]) -> dict[str, dict[str, list[np.ndarray]]]:
    """Bundles of every method that has FA and V1, of the reference and of the truth.

    Returns:
      ``{method: {bundle: streamlines}}``, mm.
    """
    found = of_paper(maps)
    if TRUTH in scan.references:
        found[TRUTH] = from_fit(scan.references[TRUTH])
    masks = {roi.name: scan.volume(roi.voxels) for roi in rois}
    return {method: tracts.bundles(scan.volume(m.fa), scan.volume(m.v1), scan.affine, masks)
            for method, m in found.items() if m.fa is not None and m.v1 is not None}


def compare_tracts(scan: JudgedScan, tracked: dict[str, dict[str, list]]) -> Iterator[Row]:
    """Rows of overlap (Dice of the voxels visited) and distance to the reference and the truth."""
    shape = scan.acquired.mask.shape
    visits = {m: {b: tracts.visit_map(lines, scan.affine, shape) for b, lines in of.items()}
              for m, of in tracked.items()}
    for against in (TRUTH, ALL):
        if against not in tracked:
            continue
        for method, found in tracked.items():
            if method in (against, TRUTH):
                continue
            for bundle, lines in found.items():
                yield Row("tract Dice", against, bundle, method, tracts.dice(
                    visits[method][bundle], visits[against][bundle]))
                yield Row("tract distance", against, bundle, method,
                          tracts.distance(lines, tracked[against][bundle]))


def _measured(acquired, signal):
    """`Acquired` and its subject with other signals, in units of the scale: of the brain
    ``[V, M]`` or everywhere ``[X, Y, Z, M]``."""
    subject = acquired.subject
    scale = np.float32(subject.scale)
    if signal.ndim == 4:
        dwi, signal = signal * scale, signal[subject.mask]
    else:
        dwi = subject.dwi.copy()
        dwi[subject.mask] = signal * scale
    b0 = dwi[..., :len(acquired.gtab.b0s)].mean(axis=-1)
    return acquired._replace(signal=signal, subject=replace(subject, dwi=dwi, b0=b0))


def judge_lesions(contenders: list[Contender], scan: JudgedScan,
                  rng: np.random.Generator) -> Iterator[Row]:
    """Rows of contrast, error inside and detection of lesions put into a simulated subject.

    Balls of `lesions.RADII` voxels where white matter is widest, with fresh noise of the subject's
    level; radii that the volume cannot hold are left out. Contrasts stand beside those of the
    noise-free lesion. ``scan`` needs its ``clean`` signal.
    """
    contenders = of_counts(contenders, LESIONS_Q)
    if not contenders:
        return
    white = scan.volume(scan.regions["WM"])
    clean = scan.volume(scan.clean)
    for radius in lesions.RADII:
        if 2 * radius + 1 > min(white.shape):
            continue
        share = lesions.sphere(white.shape, lesions.seat(white, radius), radius)
        share *= scan.volume(scan.regions["brain"])
        lesion = (share > 0.5) & white
        if not lesion.any():
            continue
        background = lesions.ring(share > 0.5, white)
        for kind in lesions.KINDS:
            free = lesions.insert(clean, scan.acquired.gtab, share, kind)[scan.acquired.mask]
            acquired = _measured(scan.acquired, added_noise.add(free, scan.sigma, rng))
            maps = all_maps(contenders, acquired)
            maps[TRUTH] = from_fit(fit_maps([free], acquired.gtab))
            yield from _lesion_rows(scan, maps, TRUTH, kind.name, f"radius {radius}", lesion,
                                    background)


def judge_measured_lesion(contenders: list[Contender], scan: JudgedScan,
                          maps: dict[str, NetworkMaps]) -> Iterator[Row]:
    """The same of the lesion that a subject brings along, by its maps; the truth, or the fit of
    all, is what the others are compared with. Background is white matter."""
    if LESION not in scan.regions:
        return
    shown = {c.q for c in of_counts(contenders, LESIONS_Q)}
    maps = {m: found for m, found in maps.items() if method_of(m).q in (None, *shown)}
    if TRUTH in scan.references:
        maps[TRUTH] = from_fit(scan.references[TRUTH])
    lesion = scan.volume(scan.regions[LESION])
    background = lesions.ring(lesion, scan.volume(scan.regions["WM"]), f"lesion of {scan.name}")
    yield from _lesion_rows(scan, maps, TRUTH if TRUTH in maps else ALL, "its own", "mask", lesion,
                            background)


def _lesion_rows(scan, maps, best, kind, region, lesion, background):
    for quantity in ("fa", "md"):
        truth = scan.volume(getattr(maps[best], quantity))
        expected = lesions.contrast(truth, lesion, background)
        for method, found in maps.items():
            values = getattr(found, quantity)
            if values is None:
                continue
            values, name = scan.volume(values), f"lesion {quantity.upper()}"
            yield Row(f"{name} contrast", kind, region, method,
                      lesions.contrast(values, lesion, background))
            yield Row(f"{name} RMSE", kind, region, method, metrics.rmse(values, truth, lesion))
            yield Row(f"{name} Dice", kind, region, method,
                      lesions.detected(values, lesion, background, expected))


def _central(scan, axis):
    """The scan without its voxels outside the central `NOISE_SLICES`."""
    subject = scan.acquired.subject
    slices = central_slices(np.flatnonzero(filled_slices(subject.mask, axis)), NOISE_SLICES)
    mask = np.zeros_like(subject.mask)
    np.moveaxis(mask, axis, 0)[slices] = np.moveaxis(subject.mask, axis, 0)[slices]
    kept = mask[subject.mask]
    acquired = scan.acquired._replace(signal=scan.acquired.signal[kept], mask=mask,
                                      subject=replace(subject, mask=mask))
    references = {name: type(maps)(*(m[kept] for m in maps))
                  for name, maps in scan.references.items()}
    regions = {name: region[kept] for name, region in scan.regions.items()}
    return scan._replace(acquired=acquired, references=references, regions=regions)


def judge_noise(contenders: list[Contender], scan: JudgedScan,
                rng: np.random.Generator) -> Iterator[Row]:
    """Rows of the error of FA to the truth (the fit of all without added noise where there is
    none) in the central slices, with noise added before the magnitude is taken and after."""
    contenders = of_counts(contenders, NOISE_Q, ("", NOISY))
    if not contenders:
        return
    scan = _central(scan, contenders[0].run.config.data.axis)
    reference = scan.references.get(TRUTH, scan.references[ALL_ACQUIRED])
    brain, subject = scan.regions["brain"], scan.acquired.subject
    signal, dwis = subject.dwi / np.float32(subject.scale), scan.acquired.gtab.dwis
    for before in (True, False):
        against = "before the magnitude" if before else "after the magnitude"
        for level in added_noise.LEVELS:
            sigma = added_noise.sigma_of(level, scan.acquired.signal[:, dwis])
            acquired = _measured(scan.acquired, added_noise.add(
                signal, sigma, rng, before_magnitude=before))
            maps = all_maps(contenders, acquired)
            for count in COUNTS:
                if min(c.q for c in contenders) < count < len(dwis):
                    maps.setdefault(named(FIT, count), fit_of(acquired.inputs(np.arange(count))))
            for method, found in maps.items():
                if found.fa is not None:
                    yield Row("noise FA RMSE", against, f"{level} dB", method,
                              metrics.rmse(found.fa, reference.fa, brain))

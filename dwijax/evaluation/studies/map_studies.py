"""Three studies beside the maps: tracts (Li et al., Fig. 6), lesions (Fig. 8), noise (Fig. 9)."""

from dataclasses import replace

import numpy as np

from dwijax.data.cohort import central_slices
from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.regions import LESION
from dwijax.evaluation.directions.protocol import ALL, Row
from dwijax.evaluation.maps.protocol import (
    FIT,
    NOISY,
    all_maps,
    fit_of,
    from_fit,
    named,
    split_name,
)
from dwijax.evaluation.studies import added_noise, lesions
from dwijax.evaluation.studies import tractography as tracts
from dwijax.fitting.voxels import fit_maps
from dwijax.inference.network_maps import DIRECT, TENSOR
from dwijax.tasks.map_regression import LEAST

TRUTH = "noise-free"
# Numbers of directions that the paper's figures have, where a report has more than these.
MAPS_Q, LESIONS_Q, NOISE_Q = (6, 18, 36), (6, 8, 10), (6, 18)
NOISE_SLICES = 8  # twelve noisy copies of them through every network
COUNTS = (18, 36)  # directions of fits that added noise is studied for, beside q and all


def of_counts(contenders, counts, kinds=("",)):
    """Those with so many directions, six and more, of these kinds; where there are none, all."""
    able = [c for c in contenders if c.q >= LEAST and c.kind in kinds]
    return [c for c in able if c.q in counts] or able


def of_paper(maps):
    """Maps without the smoothed fits, noise-trained networks and numbers of directions that the
    paper's figures do not have, where there are those that it has."""
    counts = {q for _, q in map(split_name, maps)}
    kept = counts & {*MAPS_Q} or counts
    return {m: f for m, f in maps.items() if split_name(m)[0] in (FIT, DIRECT, TENSOR, ALL)
            and split_name(m)[1] in (None, *kept)}


def track_maps(scan, rois, maps):
    """Bundles of every method that has FA and V1, of the reference and of the truth.

    Args:
      scan: `dwijax.evaluation.common.cases.Scan`. rois: list of `dwijax.evaluation.maps.rois.Roi`.
      maps: method to `NetworkMaps`.

    Returns:
      ``{method: {bundle: streamlines}}``, mm.
    """
    found = of_paper(maps)
    if TRUTH in scan.references:
        found[TRUTH] = from_fit(scan.references[TRUTH])
    masks = {roi.name: scan.volume(roi.voxels) for roi in rois}
    return {method: tracts.bundles(scan.volume(m.fa), scan.volume(m.v1), scan.affine, masks)
            for method, m in found.items() if m.fa is not None and m.v1 is not None}


def compare_tracts(scan, tracked):
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


def _measured(scan, subject, signal):
    """Scan and subject with other signals: of the brain ``[V, M]`` or everywhere ``[X, Y, Z, M]``,
    in units of the scale."""
    scale = np.float32(subject.scale)
    if signal.ndim == 4:
        dwi, signal = signal * scale, signal[subject.mask]
    else:
        dwi = subject.dwi.copy()
        dwi[subject.mask] = signal * scale
    other = replace(subject, dwi=dwi, b0=dwi[..., :scan.b0s].mean(axis=-1))
    return scan.acquired._replace(signal=signal), other


def judge_lesions(contenders, scan, subject, rng):
    """Rows of contrast, error inside and detection of lesions put into a simulated subject.

    Balls of `lesions.RADII` voxels where white matter is widest, with fresh noise of the subject's
    level; radii that the volume cannot hold are left out. Contrasts stand beside those of the
    noise-free lesion.

    Args:
      contenders: list of `Contender`. scan: `Scan` with its ``clean`` signal.
      subject: `Subject`. rng: `numpy.random.Generator`.
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
            acquired, other = _measured(scan, subject, added_noise.add(free, scan.sigma, rng))
            maps = all_maps(contenders, acquired, other, scan.b0s)
            maps[TRUTH] = from_fit(fit_maps([free], acquired.gtab))
            yield from _lesion_rows(scan, maps, TRUTH, kind.name, f"radius {radius}", lesion,
                                    background)


def judge_measured_lesion(contenders, scan, maps):
    """The same of the lesion that a subject brings along, by its maps; the truth, or the fit of
    all, is what the others are compared with. Background is white matter."""
    if LESION not in scan.regions:
        return
    shown = {c.q for c in of_counts(contenders, LESIONS_Q)}
    maps = {m: found for m, found in maps.items() if split_name(m)[1] in (None, *shown)}
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


def _central(scan, subject, axis):
    """Both without their voxels outside the central `NOISE_SLICES`."""
    others = tuple(i for i in range(3) if i != axis)
    slices = central_slices(np.flatnonzero(subject.mask.any(axis=others)), NOISE_SLICES)
    mask = np.zeros_like(subject.mask)
    np.moveaxis(mask, axis, 0)[slices] = np.moveaxis(subject.mask, axis, 0)[slices]
    kept = mask[subject.mask]
    acquired = scan.acquired._replace(signal=scan.acquired.signal[kept], mask=mask)
    references = {name: type(maps)(*(m[kept] for m in maps))
                  for name, maps in scan.references.items()}
    regions = {name: region[kept] for name, region in scan.regions.items()}
    return (scan._replace(acquired=acquired, references=references, regions=regions),
            replace(subject, mask=mask))


def judge_noise(contenders, scan, subject, rng):
    """Rows of the error of FA to the truth (the fit of all without added noise where there is
    none) in the central slices, with noise added before the magnitude is taken and after.

    Args:
      contenders, scan, subject, rng: as `judge_lesions`.
    """
    contenders = of_counts(contenders, NOISE_Q, ("", NOISY))
    if not contenders:
        return
    scan, subject = _central(scan, subject, contenders[0].run.config.data.axis)
    reference = scan.references.get(TRUTH, scan.references["all acquired"])
    brain = scan.regions["brain"]
    signal = subject.dwi / np.float32(subject.scale)
    for before in (True, False):
        against = "before the magnitude" if before else "after the magnitude"
        for level in added_noise.LEVELS:
            sigma = added_noise.sigma_of(level, scan.acquired.signal[:, scan.b0s:])
            acquired, other = _measured(scan, subject, added_noise.add(
                signal, sigma, rng, before_magnitude=before))
            maps = all_maps(contenders, acquired, other, scan.b0s)
            for count in COUNTS:
                if min(c.q for c in contenders) < count < len(acquired.gtab) - scan.b0s:
                    maps.setdefault(named(FIT, count), fit_of(
                        acquired, np.arange(count), scan.b0s))
            for method, found in maps.items():
                if found.fa is not None:
                    yield Row("noise FA RMSE", against, f"{level} dB", method,
                              metrics.rmse(found.fa, reference.fa, brain))

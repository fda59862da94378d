"""Three studies beside the maps: tracts (Li et al., Fig. 6), lesions (Fig. 8), noise (Fig. 9)."""

from dataclasses import replace

import jax
import numpy as np

from dwijax.evaluation import added_noise, lesions, metrics
from dwijax.evaluation import tractography as tracts
from dwijax.evaluation.direction_synthesis import ALL, Row
from dwijax.evaluation.map_regression import FIT, SMOOTHED, fit_of, from_fit, named
from dwijax.network_maps import DIRECT, TENSOR, network_maps
from dwijax.tiling import tiled
from dwijax.training.map_regression import LEAST
from dwijax.voxelwise import fit_maps

TRUTH = "noise-free"
COUNTS = (18, 36)  # directions of fits that added noise is studied for, beside q and all


def track_maps(scan, rois, maps):
    """Bundles of every method that has FA and V1, of the reference and of the truth.

    Args:
      scan: `dwijax.evaluation.scan.Scan`. rois: list of `dwijax.evaluation.rois.Roi`.
      maps: method to `NetworkMaps`.

    Returns:
      ``{method: {bundle: streamlines}}``, mm.
    """
    found = dict(maps)
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
    """Scan and subject with other signals ``[V, M]``, in units of the scale."""
    dwi = np.zeros_like(subject.dwi)
    dwi[subject.mask] = signal * np.float32(subject.scale)
    other = replace(subject, dwi=dwi, b0=dwi[..., :scan.b0s].mean(axis=-1))
    return scan.acquired._replace(signal=signal), other


def _methods(run, acquired, subject, b0s, fwhm):
    """``{method: NetworkMaps}`` of a run's networks, the fits beside them and that of all."""
    q = len(run.inputs)
    networks = network_maps(run, subject)
    return {named(FIT, q): fit_of(acquired, run.inputs, b0s),
            named(SMOOTHED, q): fit_of(acquired, run.inputs, b0s, fwhm),
            **{named(m, q): networks[m] for m in (DIRECT, TENSOR) if m in networks},
            ALL: fit_of(acquired, np.arange(len(run.gtab)), b0s)}


def judge_tiling(run, scan, subject):
    """Rows of the error of FA and MD of whole slices and of averaged patches through the same
    networks, to the truth (the fit of all where there is none)."""
    patch, stride = run.config.patch, run.config.stride
    plane = np.delete(scan.acquired.mask.shape, run.config.data.axis)
    if not 0 < patch <= plane.min() or stride > patch:
        return
    reference = scan.references.get(TRUTH, scan.references["all acquired"])
    by_patches = run._replace(predict=jax.jit(tiled(run.predict, patch, stride)))
    for way, through in (("whole slices", run), (f"patches of {patch} every {stride}", by_patches)):
        for method, found in network_maps(through, subject).items():
            for quantity in ("fa", "md"):
                if getattr(found, quantity) is not None:
                    yield Row(f"tiling {quantity.upper()} RMSE", way, "brain",
                              named(method, len(run.inputs)),
                              metrics.rmse(getattr(found, quantity), getattr(reference, quantity),
                                           scan.regions["brain"]))


def judge_lesions(run, scan, subject, fwhm, rng):
    """Rows of contrast, error inside and detection of lesions put into a simulated subject.

    Balls of `lesions.RADII` voxels where white matter is widest, with fresh noise of the subject's
    level; radii that the volume cannot hold are left out. Contrasts stand beside those of the
    noise-free lesion.

    Args:
      run: `dwijax.inference.Run`. scan: `Scan` with its ``clean`` signal. subject: `Subject`.
      fwhm: mm of the smoothed fit. rng: `numpy.random.Generator`.
    """
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
            truth = from_fit(fit_maps([free], acquired.gtab))
            methods = _methods(run, acquired, other, scan.b0s, fwhm) | {TRUTH: truth}
            for quantity in ("fa", "md"):
                yield from _lesion_rows(scan, methods, quantity, kind.name, radius, lesion,
                                        background)


def _lesion_rows(scan, methods, quantity, kind, radius, lesion, background):
    truth = scan.volume(getattr(methods[TRUTH], quantity))
    expected = lesions.contrast(truth, lesion, background)
    for method, found in methods.items():
        values = getattr(found, quantity)
        if values is None:
            continue
        values, name = scan.volume(values), f"lesion {quantity.upper()}"
        region = f"radius {radius}"
        yield Row(f"{name} contrast", kind, region, method,
                  lesions.contrast(values, lesion, background))
        yield Row(f"{name} RMSE", kind, region, method, metrics.rmse(values, truth, lesion))
        yield Row(f"{name} Dice", kind, region, method,
                  lesions.detected(values, lesion, background, expected))


def judge_noise(run, scan, subject, fwhm, rng):
    """Rows of the error of FA to the truth (the fit of all without added noise where there is
    none), with noise added before the magnitude is taken and after.

    Args:
      run, scan, subject, fwhm, rng: as `judge_lesions`.
    """
    if len(run.inputs) < LEAST:
        return
    reference = scan.references.get(TRUTH, scan.references["all acquired"])
    brain = scan.regions["brain"]
    for before in (True, False):
        against = "before the magnitude" if before else "after the magnitude"
        for level in added_noise.LEVELS:
            sigma = added_noise.sigma_of(level, scan.acquired.signal[:, scan.b0s:])
            acquired, other = _measured(scan, subject, added_noise.add(
                scan.acquired.signal, sigma, rng, before_magnitude=before))
            methods = _methods(run, acquired, other, scan.b0s, fwhm)
            for count in COUNTS:
                if len(run.inputs) < count < len(run.gtab):
                    methods[named(FIT, count)] = fit_of(acquired, np.arange(count), scan.b0s)
            for method, found in methods.items():
                if found.fa is not None:
                    yield Row("noise FA RMSE", against, f"{level} dB", method,
                              metrics.rmse(found.fa, reference.fa, brain))

"""What kind of scans a run was trained on, in a few numbers, and how far others are from it."""

import numpy as np

from dwijax.fitting.noise import harmonics_sigma, patches_residual, repeats_sigma
from dwijax.volumes import voxel_size

PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Beyond the training subjects' range by this share of the value, a scan is outside.
MARGIN = {"b": 0.1, "voxel size": 0.2, "SNR": 0.3, "b0": 0.15, "mean DWI": 0.15}


def of_subject(subject, inputs):
    """:func:`summary_of` of a `dwijax.data.subject.Subject`; ``inputs [q]`` are positions in its
    shell."""
    brain = subject.dwi[subject.mask] / np.float32(subject.scale)
    gtab, dwis = subject.gtab, subject.gtab.dwis[inputs]
    return summary_of(brain[:, gtab.b0s], brain[:, dwis], gtab.bvals[dwis], gtab.bvecs[dwis],
                      subject.mask, voxel_size(subject.affine))


def summary_of(b0s, dwi, bvals, bvecs, mask, size):
    """Numbers of one subject, from what networks see of it.

    Args:
      b0s: ``[V, n]``, b0 volumes in the brain, in units of the subject's scale.
      dwi: ``[V, q]``, the input DWIs, in the same.
      bvals: of the DWIs, s/mm². bvecs: ``[q, 3]``. mask: bool ``[X, Y, Z]``.
      size: of a voxel, mm, three values.

    Returns:
      dict of lists of floats: ``b``; ``voxel size``, ascending; ``SNR``, median b0 over σ (empty
      where nothing tells σ); quantiles at :data:`PROBABILITIES` of ``b0`` and ``mean DWI``.
    """
    b0 = b0s.mean(axis=1)
    sigma = noise_level(b0s, dwi, bvecs, mask)
    return {
        "b": [float(np.median(bvals))],
        "voxel size": sorted(round(float(s), 4) for s in size),
        "SNR": [float(np.median(b0) / sigma)] if sigma else [],
        "b0": np.quantile(b0, PROBABILITIES).tolist(),
        "mean DWI": np.quantile(dwi.mean(axis=1), PROBABILITIES).tolist(),
    }


def noise_level(b0s, dwi, bvecs, mask):
    """σ, the smaller of two estimates that err upwards; None where neither can be made.

    Repeated b0s take drift, motion and pulsation for noise; what even spherical harmonics leave of
    the DWIs takes finer structure of the signal for it. Where they leave nothing, as of six
    directions, what is left of patches of neighbours stands in for it.

    Args:
      b0s: ``[V, n]``. dwi: ``[V, q]``. bvecs: ``[q, 3]``. mask: bool ``[X, Y, Z]``.

    Returns:
      float in the unit of the signal, or None.
    """
    by_dwi = harmonics_sigma(dwi, bvecs, 4 if len(bvecs) >= 20 else 2)
    if np.isnan(by_dwi):
        _, by_dwi = patches_residual(dwi, mask)
    found = repeats_sigma(b0s), by_dwi
    return min((sigma for sigma in found if np.isfinite(sigma)), default=None)


def join(subjects):
    """The domain of a run: the range of its training subjects.

    Args:
      subjects: list of :func:`summary_of`.

    Returns:
      dict, JSON-able: by name, ``least`` and ``most``, lists element by element; ``probabilities``
      of the quantiles; number of ``subjects``.
    """
    names = ("b", "voxel size", "SNR", "b0", "mean DWI")
    out = {"subjects": len(subjects), "probabilities": list(PROBABILITIES)}
    for name in names:
        values = np.array([s[name] for s in subjects if s[name]])
        if len(values):
            out[name] = {"least": values.min(axis=0).tolist(), "most": values.max(axis=0).tolist()}
    return out


def of_drawn_scans(subjects, *, b, snr):
    """The domain of a run whose training scans are drawn of simulated ``subjects`` (`join`).

    Args:
      b, snr: least and most, s/mm² and median b0 over σ.
    """
    drawn = {name: {"least": [float(least)], "most": [float(most)]}
             for name, (least, most) in (("b", b), ("SNR", snr))}
    # The mean DWI goes with b.
    return {name: value for name, value in subjects.items() if name != "mean DWI"} | drawn


def compare(scan, domain):
    """Rows ``(name, scan's values, least, most, inside)`` for every quantity that both have.

    Args:
      scan: of :func:`summary_of`. domain: of :func:`join`.
    """
    rows = []
    for name, margin in MARGIN.items():
        if name not in domain or not scan[name]:
            continue
        values, least, most = (np.asarray(x) for x in (
            scan[name], domain[name]["least"], domain[name]["most"]))
        room = margin * np.maximum(np.abs(least), np.abs(most))
        inside = bool(((values >= least - room) & (values <= most + room)).all())
        rows.append((name, values, least, most, inside))
    return rows


def in_words(values, least, most):
    """What :func:`compare` found of one quantity: ``30.1; trained on 22.1 to 22.4``."""
    known = _listed(least)
    if not np.allclose(least, most, rtol=5e-3):
        known += f" to {_listed(most)}"
    return f"{_listed(values)}; trained on {known}"


def _listed(values):
    return " ".join(f"{v:.0f}" if v >= 1000 else f"{v:.3g}" for v in values)

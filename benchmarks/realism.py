"""Is the phantom like life?  The same numbers from real scans and from subjects made to match.

    python benchmarks/realism.py SCANS OUT
    python benchmarks/realism.py --quick                      # seconds, by a scan made for it

SCANS holds plain-files folders.  For every scan, one subject of each generator is simulated with
the scan's own gradient table, voxel size and SNR, so that noise weighs equally on both sides, and
one like the scan (``dwijax simulate --like --texture``); a row of numbers is printed and written to
OUT/realism.csv and OUT/realism.md.
"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import make_settings, simulate_subject
from dwijax.data.phantom.like import LikeSettings, fit_scan, simulate_like
from dwijax.data.scan import open_scan
from dwijax.data.subject import Subject, subject_of
from dwijax.fitting.background import channels_of
from dwijax.fitting.noise import (
    harmonics_residual,
    harmonics_sigma,
    neighbours_correlation,
    noise_in_space,
    repeats_sigma,
)
from dwijax.fitting.voxels import fit_maps, tensor_signal
from dwijax.gradients import GradientTable, shells
from dwijax.gradients.harmonics import sh_basis
from dwijax.volumes import into_volume, voxel_size

FIELD_OF_VIEW = (140.0, 170.0, 60.0)  # mm, of the matching phantoms
BANDS = ((20.0, np.inf), (10.0, 20.0), (0.0, 10.0))  # mm, wavelengths in the image plane


def describe(dwi: np.ndarray, gtab: GradientTable, mask: np.ndarray, size: np.ndarray,
             sigma: float) -> dict[str, float]:
    """Numbers that tell real scans from smooth phantoms.

    Args:
      dwi: float32 [X, Y, Z, M], b0 volumes and one shell, slices along the last axis.
      gtab: GradientTable of the M volumes.
      mask: bool [X, Y, Z].
      size: of a voxel, mm, three values.
      sigma: noise SD, in the intensities of ``dwi``.

    Returns:
      Numbers by name.
    """
    maps = fit_maps([dwi[mask]], gtab)
    mask = into_volume(maps.determined, mask)
    maps = type(maps)(*(values[maps.determined] for values in maps))
    fa, md, fitted = maps.fa, maps.md, tensor_signal(maps, gtab)
    volume = into_volume(fa, mask)
    b0 = dwi[..., gtab.b0s_mask].mean(-1)
    weighted = ~gtab.b0s_mask
    white = (fa > 0.35) & (md < 1.0)
    residual = (dwi[mask] - fitted)[:, weighted][white]
    freedom = len(gtab) / (len(gtab) - 7) if len(gtab) > 7 else np.nan
    row = {
        "FA mean": fa.mean(),
        "FA 10%": np.percentile(fa, 10),
        "FA 50%": np.percentile(fa, 50),
        "FA 90%": np.percentile(fa, 90),
        "FA > 0.6": (fa > 0.6).mean(),
        "MD 25%": np.percentile(md, 25),
        "MD 50%": np.percentile(md, 50),
        "MD 75%": np.percentile(md, 75),
        "MD > 1.5": (md > 1.5).mean(),
        "b0 CSF/WM": np.percentile(b0[mask], 99) / np.median(b0[mask][white]),
        "b0 GM/WM": np.median(b0[mask][(fa < 0.2) & (md < 1.0)]) / np.median(b0[mask][white]),
        "residual/sigma": np.sqrt((residual**2).mean() * freedom) / sigma,
        "SH4/SH2": _harmonic_ratio(dwi[mask][white], gtab),
    }
    weighted_index = np.flatnonzero(weighted)
    bvecs = gtab.bvecs[weighted]
    found = noise_in_space(dwi[mask][:, weighted], bvecs, mask)
    left, _ = harmonics_residual(dwi[mask][:, weighted], bvecs, 4 if len(bvecs) >= 20 else 2)
    channels = channels_of(dwi[..., weighted_index[:6]], mask)
    for name, values in (("noise shared", found.correlation),
                         ("noise shared at 2", neighbours_correlation(left, mask, 2)),
                         ("motion, voxels,", found.motion)):
        row |= {f"{name} {axis}": value for axis, value in zip("xyz", values, strict=True)}
    row["channels"] = np.nan if channels is None else channels
    row |= {f"noise/median {q}%": np.percentile(found.relative, q) for q in (5, 95)}
    row |= {"gain SD": found.gain} | _histogram(dwi[mask], fitted, weighted, sigma)
    images = {
        "b0": b0,
        "FA": volume,
        "DWI": dwi[..., weighted_index[0]],
        "mean DWI": dwi[..., weighted].mean(-1),
    }
    for name, image in images.items():
        for (low, high), share in zip(BANDS, _spectrum(image, mask, size), strict=True):
            label = f"> {low:g}" if np.isinf(high) else f"{low:g}-{high:g}"
            row[f"{name} {label} mm"] = share
    return {name: float(value) for name, value in row.items()}


class Noise(NamedTuple):
    """σ, and from it the SNR of white matter; NaN where nothing tells it."""

    sigma: float
    snr: float


def noise_level(subject: Subject) -> Noise:
    """From repeated b0s, or from what spherical harmonics of order 4 leave over."""
    maps = fit_maps([subject.dwi[subject.mask]], subject.gtab)
    white = (maps.fa > 0.35) & (maps.md < 1.0) & maps.determined
    voxels, gtab = subject.dwi[subject.mask][white], subject.gtab
    sigma = repeats_sigma(voxels[:, gtab.b0s]) if len(gtab.b0s) > 1 else \
        harmonics_sigma(voxels[:, gtab.dwis], gtab.bvecs[gtab.dwis])
    return Noise(sigma, float(np.median(subject.b0[subject.mask][white]) / sigma))


class Described(NamedTuple):
    """Numbers of a scan or of a phantom made to match it; ``source``: which."""

    scan: str
    source: str
    numbers: dict[str, float]


def realism_table(root: Path, generators: tuple[str, ...] = ("default", "shifted"),
                  seed: int = 0,
                  field_of_view: tuple[float, ...] = FIELD_OF_VIEW) -> list[Described]:
    """Every scan under ``root``, a subject like it, and its phantoms."""
    rows = []
    for files in find_subjects(root, "plain"):
        scan = open_scan(files)
        subject = subject_of(scan, shells(scan.gtab.bvals, scan.gtab.b0_threshold)[-1][0])
        size = voxel_size(subject.affine)
        sigma, snr = noise_level(subject)
        rows.append(Described(subject.name, "scan", {"SNR": snr, **describe(
            subject.dwi, subject.gtab, subject.mask, size, sigma)}))
        alike = simulate_like(fit_scan(subject), LikeSettings(seed, "", 0.0, texture=True), 0)
        rows.append(Described(subject.name, "like", {"SNR": alike.snr, **describe(
            alike.dwi, alike.gtab, alike.mask, size, float(np.median(alike.sigma)))}))
        shape = tuple(round(f / s) for f, s in zip(field_of_view, size, strict=True))
        for generator in generators:
            settings = make_settings(seed=seed, generator=generator, snr=snr, shape=shape,
                                     voxel_size=size, gtab=subject.gtab)
            phantom = simulate_subject(settings, 0)
            rows.append(Described(subject.name, generator, {"SNR": snr, **describe(
                phantom.dwi, phantom.gtab, phantom.mask, size, phantom.sigma.mean())}))
    return rows


def write_table(rows: list[Described], out: Path) -> str:
    """Writes rows of :func:`realism_table` as CSV and, turned on its side, as Markdown."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    names = list(rows[0].numbers)
    with open(out / "realism.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scan", "source", *names])
        writer.writerows([scan, source, *(f"{numbers[n]:.4g}" for n in names)]
                         for scan, source, numbers in rows)
    lines = ["| | " + " | ".join(f"{row.scan} {row.source}" for row in rows) + " |",
             "|---|" + "---|" * len(rows)]
    lines += [f"| {n} | " + " | ".join(f"{row.numbers[n]:.3g}" for row in rows) + " |"
              for n in names]
    text = "\n".join(lines) + "\n"
    (out / "realism.md").write_text(text, encoding="utf-8")
    return text


def _histogram(voxels, fitted, weighted, sigma):
    """Of residuals over σ, whose share beyond 2 and 3 is 4.6 % and 0.27 % of normal ones; and the
    largest over the median SD of a volume's."""
    residual = (voxels - fitted)[:, weighted] / sigma
    by_volume = residual.std(axis=0)
    return {"residuals beyond 2": (np.abs(residual) > 2).mean(),
            "residuals beyond 3": (np.abs(residual) > 3).mean(),
            "worst volume": by_volume.max() / np.median(by_volume)}


def _harmonic_ratio(voxels, gtab):
    """Power of spherical-harmonic order 4 over order 2, mean over voxels [V, M]."""
    weighted = ~gtab.b0s_mask
    basis, orders = sh_basis(gtab.bvecs[weighted], 4)
    if len(basis) < basis.shape[1]:
        return np.nan
    signal = voxels[:, weighted] / voxels[:, ~weighted].mean(1, keepdims=True)
    power = np.linalg.lstsq(basis, signal.T, rcond=None)[0] ** 2
    return power[orders == 4].sum() / power[orders == 2].sum()


def _spectrum(image, mask, size):
    """Share of an image's variance inside the mask in each of BANDS, over axial slices."""
    filled = mask.sum((0, 1))
    total = np.zeros(len(BANDS))
    for k in np.flatnonzero(filled > 0.6 * filled.max()):
        inside = mask[..., k]
        values = np.where(inside, image[..., k], 0)
        # Contrast, not brightness; cut where a few bright voxels would rule.
        mean = values[inside].mean()
        values = np.where(inside, np.clip(values / mean, 0, 3) - 1, 0)
        power = np.abs(np.fft.fft2(values)) ** 2
        kx, ky = (np.fft.fftfreq(n, d) for n, d in zip(values.shape, size, strict=False))
        wavelength = 1 / np.maximum(np.hypot(kx[:, None], ky[None]), 1e-6)
        power[0, 0] = 0
        total += [power[(wavelength >= low) & (wavelength < high)].sum() for low, high in BANDS]
    return total / total.sum()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", type=Path, nargs="?", help="folder of plain-files scans")
    parser.add_argument("out", type=Path, nargs="?", help="folder for realism.csv and realism.md")
    parser.add_argument("--quick", action="store_true", help="everything at its smallest")
    args = parser.parse_args()
    if args.quick:
        import smallest

        with tempfile.TemporaryDirectory() as folder:
            table = realism_table(smallest.scans(folder), field_of_view=(96.0, 120.0, 36.0))
            print(write_table(table, Path(folder)))
    elif args.out is None:
        parser.error("which SCANS and which OUT? Or --quick")
    else:
        print(write_table(realism_table(args.scans), args.out))


if __name__ == "__main__":
    main()

"""The pages that ``dwijax predict`` writes beside its outputs."""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from dwijax.data import domain
from dwijax.data.subject import Subject
from dwijax.fitting import fit_scan
from dwijax.fitting.naming import file_names
from dwijax.gradients import GradientTable, compare, fsl_to_world
from dwijax.report_html import page
from dwijax.volumes import canonical, into_volume, read_image, read_volumes, voxel_size

LEAVE_OUT = ("Leave the synthetic volumes out of eddy correction, denoising, kurtosis and "
             "deconvolution: they bring no information of their own.")
_MAPS = {"fa": ("FA", 1.0), "md": ("MD, mm²/s", 0.003),
         "fa_std": ("SD of FA over networks that differ by their seed", 0.1)}


def suspect(subject: Subject, about: dict) -> list[str]:
    """Lines about what a scan is unlike the run's training subjects in; none where it is not.

    Args:
      subject: as it was measured. about: ``config.json`` of the run.
    """
    if not about.get("domain"):
        return []
    numbers = domain.of_subject(subject, np.arange(len(subject.gtab.dwis)))
    return [f"outside of what the run was trained on: {name} "
            f"{domain.in_words(values, least, most)}" for name, values, least, most, inside
            in domain.compare(numbers, about["domain"]) if not inside]


def fa_of_both(folder: Path, naming: str, series: nib.Nifti1Image, gtab: GradientTable,
               mask: np.ndarray, measured: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """FA ``[X, Y, Z]`` and colour FA ``[X, Y, Z, 3]`` on canonical axes, by what was fitted.

    Args:
      folder: with the maps of all volumes, named by ``naming``.
      series: image of these. gtab: its table. mask: bool, as stored.
      measured: positions of the measured volumes, which are fitted here.
    """
    def read(folder, naming):
        paths = file_names(naming, ("fa", "color_fa"), series.get_filename())
        return tuple(canonical(read_volumes(read_image(folder / path)), series.affine)[0]
                     for path in paths.values())

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        alone = Path(scratch) / "measured"
        fit_scan(series, gtab, mask, alone, maps=("fa", "color_fa"), volumes=measured)
        return {"measured and synthetic": read(folder, naming),
                "measured alone": read(alone, "dwijax")}


def write(path: Path, title: str, subject: Subject, synthetic: np.ndarray, gtab: GradientTable,
          maps: dict[str, tuple[np.ndarray, np.ndarray]], warnings: list[str], notes: list[str], *,
          axis: int, provenance: list[tuple[str, str]]) -> None:
    """Writes the page: what to know, slices of DWIs and of maps.

    Args:
      path: file. title: of the page.
      subject: as it was measured. synthetic: ``[X, Y, Z, K]`` on its axes. gtab: their table.
      maps: of `fa_of_both`.
      warnings, notes: lines. axis: of the slices. provenance: rows.
    """
    slices = page.Slices(subject.mask, voxel_size(subject.affine), axis)
    scale, own = np.float32(subject.scale), subject.gtab.dwis
    world = fsl_to_world(subject.affine)
    rows, shown = [], []
    for label, k in page.nearest_axes(gtab.bvecs @ world.T).items():
        bvecs = subject.gtab.bvecs[own]
        angles = compare(bvecs, np.broadcast_to(gtab.bvecs[k], bvecs.shape))
        nearest = own[int(angles.argmin())]
        rows.append((label, k, int(subject.volumes[nearest]), angles.min()))
        shown.append((subject.dwi[..., nearest] / scale, synthetic[..., k] / scale))
    high = float(np.percentile([s[subject.mask] for pair in shown for s in pair], 99.7))
    wide = float(np.percentile([np.abs(b - a)[subject.mask] for a, b in shown], 99.5))
    layers = []
    for (label, k, volume, angle), (measured, made) in zip(rows, shown, strict=True):
        how = ("direction", f"{label}: synthetic no. {k + 1}, {angle:.0f}° from measured volume "
                            f"{volume}")
        layers += [
            slices.gray("measured", measured, 0, high, "measured DWI / median b0", *how),
            slices.gray("synthetic", made, 0, high, "synthetic DWI / median b0", *how),
            slices.signed("difference", made - measured, wide, "synthetic − nearest measured, "
                          "/ median b0: noise, and another direction", *how)]
    for name, (fa, colour) in maps.items():
        layers += [slices.gray("FA", fa, 0, 1, f"FA, fit of {name}", "fit of", name),
                   slices.rgb("colour FA", colour, page.COLOUR, "fit of", name)]
    lines = [*(f"**suspect:** {line}" for line in warnings), LEAVE_OUT, *notes]
    page.write(path, title, warnings=lines, provenance=provenance,
               viewers=[slices.viewer(f"{len(own)} measured and {synthetic.shape[-1]} synthetic "
                                      "directions", layers)])


def write_maps(path: Path, title: str, subject: Subject, maps: dict[str, np.ndarray],
               warnings: list[str], *, axis: int, provenance: list[tuple[str, str]],
               notes: list[str] = ()) -> None:
    """Writes the page of maps that networks made.

    Args:
      path, title, subject, warnings, axis, provenance: as of `write`.
      maps: ``fa``, ``md`` (mm²/s), ``color_fa`` ... by name, ``[V]`` or ``[V, D]`` of the mask.
      notes: lines.
    """
    slices = page.Slices(subject.mask, voxel_size(subject.affine), axis)

    measured = subject.dwi[..., subject.gtab.dwis].mean(axis=-1) / np.float32(subject.scale)
    high = float(np.percentile(measured[subject.mask], 99.7))
    layers = [slices.gray("measured", measured, 0, high, "mean of the DWIs / median b0")]
    maps = {name: into_volume(values, subject.mask) for name, values in maps.items()}
    for name, (label, high) in _MAPS.items():
        if name in maps:
            layers.append(slices.gray(name.replace("_", " ").upper(), maps[name], 0, high, label))
    if "color_fa" in maps:
        layers.append(slices.rgb("colour FA", maps["color_fa"], page.COLOUR))
    lines = [*(f"**suspect:** {line}" for line in warnings),
             "Estimated by networks, not fitted: small structures and lesions unlike the training "
             "data may be missed.", *notes]
    page.write(path, title, warnings=lines, provenance=provenance,
               viewers=[slices.viewer("Maps by networks", layers)])


def title_of(dwi: Path) -> str:
    """The scan's file and its folder."""
    return "/".join(Path(dwi).absolute().parts[-2:])

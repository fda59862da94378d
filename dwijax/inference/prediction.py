"""One scan from files to a longer scan: measured volumes, synthetic ones behind them, maps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from dwijax.data.files import SubjectFiles
from dwijax.data.scan import Scan
from dwijax.data.subject import Subject
from dwijax.errors import collecting
from dwijax.fitting import bids, fit_scan, in_words
from dwijax.fitting.maps import DEFAULT_MAPS
from dwijax.fitting.naming import file_names, series_files
from dwijax.gradients import GradientTable, write_gradients
from dwijax.inference import synthesise
from dwijax.inference.preparing import prepare
from dwijax.output import delivered, refuse_to_overwrite, refuse_unwritable
from dwijax.report_html import page, prediction_page
from dwijax.tasks.calibration import is_empty
from dwijax.volumes import read_dwi, save_like, uncanonical_bvecs

# Of the fit's facts, those that ``dwi.json`` tells too.
_FIT = ("condition_number", "voxels", "voxels_without_tensor", "voxels_with_samples_left_out",
        "voxels_with_negative_eigenvalue")


@collecting()
def predict_scan(files: SubjectFiles, place: Path, out: Path, *, resample=False, scale_b=False,
                 table=None, add=None, naming="dwijax", force=False, quiet=False) -> dict:
    """Writes the longer series with its table and JSON, the tensor maps of all volumes, a page.

    Args:
      files: of the scan.
      place: folder of a trained run, or file of ``dwijax export``.
      out: folder; nothing appears in it before everything is done.
      resample, scale_b, table, add: as `dwijax.inference.preparing.prepare`.
      naming: of the files, one of `dwijax.fitting.NAMINGS`.
      force: replace files that are there.
      quiet: no progress bars.

    Returns:
      dict: ``measured`` and ``synthetic`` volumes, ``files`` by kind, ``suspect`` and ``notes``,
      lines that the user has to know.

    Raises:
      InputError: as `prepare`; outputs that are there already, or cannot be written.
    """
    refuse_unwritable(out)
    names = series_files(naming, files.dwi)
    if not force:
        maps = file_names(naming, DEFAULT_MAPS, names["dwi"])
        refuse_to_overwrite(out / name for name in (*names.values(), *maps.values()))
    scan, subject, adapted, run, suspect = prepare(
        files, place, resample=resample, scale_b=scale_b, table=table, add=add)
    notes, calibration = list(adapted.notes), run.calibration
    if calibration and adapted.resampled:
        calibration = None
        notes.append("the synthetic volumes are not held to the scan's own anisotropy "
                     "(config.calibrate): the noise of interpolated volumes is not known")
    made = adapted.back(synthesise(run._replace(calibration=calibration), adapted.subject,
                                   quiet=quiet))
    first = scan.image.shape[3]
    sidecar = {
        "synthetic_volumes": list(range(first, first + len(adapted.gtab))),
        "run": str(Path(place).resolve()),
        "networks": [int(k) for k in run.targets],
        "calibrated": calibration is not None and not is_empty(calibration),
        **adapted.facts,
        "notes": notes,
        "suspect": suspect,
        "versions": run.about["versions"],
        "note": "bvecs of synthetic volumes are the directions that their networks stand for",
    }
    with delivered(out, force=force, keep=(bids.DESCRIPTION,)) as folder:
        longer = write_longer(folder, names, naming, scan, subject, made, adapted.gtab)
        notes.append(longer.note)
        sidecar["fit"] = longer.facts
        write_sidecar(folder / names["json"], naming, files, sidecar)
        maps = prediction_page.fa_of_both(folder, naming, longer.series, longer.gtab,
                                          subject.stored(subject.mask), np.sort(subject.volumes))
        prediction_page.write(
            folder / names["page"], prediction_page.title_of(files.dwi), subject, made,
            adapted.gtab, maps, suspect, notes, axis=run.config.data.axis,
            provenance=page.provenance(
                run.about, [files.dwi, files.bval, files.bvec, files.mask, page.run_file(place)]))
    return {"measured": first, "synthetic": len(adapted.gtab), "files": names, "suspect": suspect,
            "notes": notes}


class Longer(NamedTuple):
    """What `write_longer` has written.

    Attributes:
      series: nibabel image of measured and synthetic volumes. gtab: `GradientTable` of them.
      facts: of the fit, for JSON. note: the same in a line.
    """

    series: nib.Nifti1Image
    gtab: GradientTable
    facts: dict
    note: str


def write_longer(folder: Path, names: dict, naming: str, scan: Scan, subject: Subject,
                 made: np.ndarray, gtab: GradientTable,
                 grad_dev: np.ndarray | None = None) -> Longer:
    """Writes a series with synthetic volumes behind the measured ones, its table, and the maps of
    one shell of both.

    Args:
      folder: to write in. names: of `dwijax.fitting.naming.series_files`. naming: of the maps.
      scan: all that was measured. subject: the shell of it that is fitted, with its b0s.
      made: synthetic volumes ``[X, Y, Z, K]`` on the subject's axes. gtab: their table, along
        these. grad_dev: ``[X, Y, Z, 9]`` as stored, or None.
    """
    measured = scan.read()
    both = replace(
        scan.gtab, bvals=np.concatenate([scan.gtab.bvals, gtab.bvals]),
        bvecs=np.concatenate(
            [scan.gtab.bvecs, uncanonical_bvecs(gtab.bvecs, subject.orientation)]))
    for name in names.values():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    save_like(folder / names["dwi"], np.concatenate([measured, subject.stored(made)], axis=-1),
              scan.image)
    write_gradients(both, folder / names["bval"], folder / names["bvec"])
    # The tensor is that of one shell: b0s, the measured directions, the synthetic ones.
    volumes = np.sort(np.concatenate([subject.volumes, np.arange(
        measured.shape[3], measured.shape[3] + len(gtab))]))
    series = read_dwi(folder / names["dwi"])
    fit = fit_scan(series, both, subject.stored(subject.mask), folder, maps=DEFAULT_MAPS,
                   naming=naming, volumes=volumes, grad_dev=grad_dev)
    note = f"maps of {fit['voxels']} voxels from {len(volumes)} volumes: {in_words(fit)}"
    return Longer(series, both, {name: fit[name] for name in _FIT}, note)


def write_sidecar(path: Path, naming: str, files: SubjectFiles, sidecar: dict):
    """Writes the JSON of a series."""
    if naming == "bids":
        sidecar = bids.series_fields(files.dwi, sidecar)
    path.write_text(json.dumps(sidecar, indent=1) + "\n")

"""One scan from files to a longer scan: measured volumes, synthetic ones behind them, maps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from dwijax.data.files import SubjectFiles
from dwijax.errors import collecting
from dwijax.fitting import bids, fit_scan, in_words
from dwijax.fitting.maps import DEFAULT_MAPS
from dwijax.fitting.naming import file_names, series_files
from dwijax.gradients import write_gradients
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
    synthetic = subject.stored(made)

    measured = scan.read()
    both = replace(
        scan.gtab, bvals=np.concatenate([scan.gtab.bvals, adapted.gtab.bvals]),
        bvecs=np.concatenate(
            [scan.gtab.bvecs, uncanonical_bvecs(adapted.gtab.bvecs, subject.orientation)]))
    first = measured.shape[3]
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
        for name in names.values():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_like(folder / names["dwi"], np.concatenate([measured, synthetic], axis=-1),
                  scan.image)
        write_gradients(both, folder / names["bval"], folder / names["bvec"])
        del measured, synthetic
        # The tensor is that of the run's shell: b0s, the measured directions, the synthetic ones.
        volumes = np.sort(np.concatenate([subject.volumes, sidecar["synthetic_volumes"]]))
        series, mask_stored = read_dwi(folder / names["dwi"]), subject.stored(subject.mask)
        fit = fit_scan(series, both, mask_stored, folder, maps=DEFAULT_MAPS, naming=naming,
                       volumes=volumes)
        notes.append(f"maps of {fit['voxels']} voxels from {len(volumes)} volumes: "
                     f"{in_words(fit)}")
        sidecar["fit"] = {name: fit[name] for name in _FIT}
        if naming == "bids":
            sidecar = bids.series_fields(files.dwi, sidecar)
        (folder / names["json"]).write_text(json.dumps(sidecar, indent=1) + "\n")
        maps = prediction_page.fa_of_both(folder, naming, series, both, mask_stored,
                                          np.sort(subject.volumes))
        prediction_page.write(
            folder / names["page"], prediction_page.title_of(files.dwi), subject, made,
            adapted.gtab, maps, suspect, notes, axis=run.config.data.axis,
            provenance=page.provenance(
                run.about, [files.dwi, files.bval, files.bvec, files.mask, page.run_file(place)]))
    return {"measured": first, "synthetic": len(adapted.gtab), "files": names, "suspect": suspect,
            "notes": notes}

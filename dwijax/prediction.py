"""One scan from files to a longer scan: measured volumes, synthetic ones behind them, maps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from dwijax import page, prediction_page
from dwijax.adaptation import about_table, adapt, choose_shell
from dwijax.calibration import known
from dwijax.data.layouts import SubjectFiles
from dwijax.data.subject import load_subject, read_scan_gradients
from dwijax.data.volumes import (
    orientation_notes,
    read_dwi,
    read_volumes,
    save_like,
    uncanonical_bvecs,
)
from dwijax.errors import InputError, collecting
from dwijax.fitting import bids, fit_scan, in_words
from dwijax.fitting.maps import DEFAULT_MAPS
from dwijax.fitting.naming import file_names, series_files
from dwijax.gradients import write_gradients
from dwijax.inference import load_run, synthesise
from dwijax.output import delivered, refuse_to_overwrite, refuse_unwritable

# Of the fit's facts, those that ``dwi.json`` tells too.
_FIT = ("condition_number", "voxels", "voxels_without_tensor", "voxels_with_samples_left_out",
        "voxels_with_negative_eigenvalue")


@collecting()
def predict_scan(dwi, bvals, bvecs, mask, workdir, out, *, resample=False, scale_b=False,
                 b0_threshold=None, naming="dwijax", force=False, quiet=False):
    """Writes the longer series with its table and JSON, the tensor maps of all volumes, a page.

    Args:
      dwi, bvals, bvecs: files of the scan. mask: file, or None to make one from the b0s.
      workdir: of a trained run; nothing but this folder is read.
      out: folder; nothing appears in it before everything is done.
      resample: interpolate the run's input directions where the scan has not measured them.
      scale_b: scale the nearest shell to the run's b-value where it is another one.
      b0_threshold: s/mm², as `dwijax.gradients.read_gradients`.
      naming: of the files, one of `dwijax.fitting.NAMINGS`.
      force: replace files that are there.
      quiet: no progress bars.

    Returns:
      dict: ``measured`` and ``synthetic`` volumes, ``files`` by kind, ``suspect`` and ``notes``,
      lines that the user has to know.

    Raises:
      InputError: files that do not fit, or a table or b-value that is not the run's; outputs that
        are there already.
    """
    out = Path(out)
    refuse_unwritable(out)
    names = series_files(naming, dwi)
    if not force:
        maps = file_names(naming, DEFAULT_MAPS, names["dwi"])
        refuse_to_overwrite(out / name for name in (*names.values(), *maps.values()))
    image = read_dwi(dwi)
    table = read_scan_gradients(bvals, bvecs, image, b0_threshold)
    trained = load_run(workdir)
    if resample and trained.config.data.get("denoise"):
        raise InputError(
            "--resample", found=f"{workdir}: networks that see inputs after MP-PCA",
            expected="volumes as they were measured, whose noise is their own",
            remedy="take a run without --config.data.denoise")
    shell = choose_shell(table, float(np.median(trained.gtab.bvals)), where=bvals)
    files = SubjectFiles("scan", Path(dwi), Path(bvals), Path(bvecs), mask and Path(mask),
                         b0_threshold=b0_threshold)
    subject = load_subject(files, shell=shell)
    adapted = adapt(subject, trained.gtab, trained.inputs, trained.targets, may_resample=resample,
                    may_scale=scale_b, where=bvecs, where_b=bvals)
    adapted = adapted._replace(notes=[*about_table(table), *adapted.notes])
    q = np.arange(len(trained.inputs))  # where adapt has put them
    notes, calibration = list(adapted.notes), trained.calibration
    if calibration and adapted.resampled:
        calibration = None
        notes.append("the synthetic volumes are not held to the scan's own anisotropy "
                     "(config.calibrate): the noise of interpolated volumes is not known")
    made = adapted.back(synthesise(trained._replace(inputs=q, calibration=calibration),
                                   adapted.subject, quiet=quiet))
    synthetic = subject.stored(made)
    suspect = orientation_notes(image) + prediction_page.suspect(subject, trained.about)

    measured = read_volumes(image)
    both = replace(
        table, bvals=np.concatenate([table.bvals, adapted.gtab.bvals]),
        bvecs=np.concatenate(
            [table.bvecs, uncanonical_bvecs(adapted.gtab.bvecs, subject.orientation)]))
    first = measured.shape[3]
    sidecar = {
        "synthetic_volumes": list(range(first, first + len(adapted.gtab))),
        "run": str(Path(workdir).resolve()),
        "networks": [int(k) for k in trained.targets],
        "calibrated": calibration is not None and known(calibration),
        **adapted.facts,
        "notes": notes,
        "suspect": suspect,
        "versions": trained.about["versions"],
        "note": "bvecs of synthetic volumes are the directions that their networks stand for",
    }
    with delivered(out, force=force, keep=(bids.DESCRIPTION,)) as folder:
        for name in names.values():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save_like(folder / names["dwi"], np.concatenate([measured, synthetic], axis=-1), image)
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
            sidecar = bids.series_fields(dwi, sidecar)
        (folder / names["json"]).write_text(json.dumps(sidecar, indent=1) + "\n")
        maps = prediction_page.fitted(
            series, both, mask_stored, {prediction_page.SYNTHETIC: volumes,
                                 prediction_page.MEASURED: np.sort(subject.volumes)},
            naming, {prediction_page.SYNTHETIC: folder})
        prediction_page.write(
            folder / names["page"], prediction_page.title_of(dwi), subject, made, adapted, maps,
            suspect, notes, axis=trained.config.data.axis,
            provenance=page.provenance(trained.about, [dwi, bvals, bvecs, mask,
                                                       page.run_file(workdir)]))
    return {"measured": first, "synthetic": len(adapted.gtab), "files": names, "suspect": suspect,
            "notes": notes}

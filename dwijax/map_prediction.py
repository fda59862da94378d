"""One short scan from files to the maps of a SuperDTI run."""

import json
from pathlib import Path

import numpy as np

from dwijax import page, prediction_page
from dwijax.adaptation import about_table, adapt, choose_shell
from dwijax.data.layouts import SubjectFiles
from dwijax.data.subject import load_subject, read_scan_gradients
from dwijax.data.volumes import orientation_notes, read_dwi, save_like
from dwijax.dti.elements import FSL_ORDER, MM2_PER_S, congruence, to_order
from dwijax.errors import collecting
from dwijax.fitting import bids, frames
from dwijax.gradients import fsl_to_world
from dwijax.network_maps import DIRECT, TENSOR, network_maps
from dwijax.output import delivered, refuse_to_overwrite, refuse_unwritable


@collecting()
def predict_maps(trained, dwi, bvals, bvecs, mask, out, *, resample=False, scale_b=False,
                 b0_threshold=None, naming="dwijax", force=False, quiet=False):
    """Writes ``fa``, ``md`` (mm²/s), ``v1`` (RAS+), ``color_fa``, with a tensor network ``tensor``
    (mm²/s, RAS+), with several seeds ``fa_std``, as ``.nii.gz``, ``maps.json`` and a page.

    Where a run has both, a map comes from its tensor network: its FA, MD and V1 belong together.

    Args:
      trained: `dwijax.inference.Run`.
      dwi, bvals, bvecs: files of the scan. mask: file, or None to make one from the b0s.
      out: folder; nothing appears in it before everything is done.
      resample, scale_b, b0_threshold: as `dwijax.prediction.predict_scan`.
      naming: of the files, ``dwijax`` or ``bids``. force: replace files that are there.
      quiet: no progress bars.

    Returns:
      dict: ``maps``, their names, ``page``, ``suspect`` and ``notes``, lines that the user has to
      know.

    Raises:
      InputError: files that do not fit, or a table or b-value that is not the run's.
    """
    out, sidecar, html = Path(out), "maps.json", "report.html"
    if naming == "bids":
        sidecar = bids.sidecar_name(dwi, bids.NETWORKS)
        html = bids.page_name(dwi, bids.NETWORKS)
    refuse_unwritable(out)
    if not force:
        refuse_to_overwrite([out / sidecar, out / html])
    image = read_dwi(dwi)
    table = read_scan_gradients(bvals, bvecs, image, b0_threshold)
    b = float(np.median(trained.gtab.bvals))
    shell = choose_shell(table, b, where=bvals)
    files = SubjectFiles("scan", Path(dwi), Path(bvals), Path(bvecs), mask and Path(mask),
                         b0_threshold=b0_threshold)
    subject = load_subject(files, shell=shell)
    adapted = adapt(subject, trained.gtab, trained.inputs, np.array([], int),
                    may_resample=resample, may_scale=scale_b, where=bvecs,
                    where_b=bvals)
    adapted = adapted._replace(notes=[*about_table(table), *adapted.notes])
    q = np.arange(len(trained.inputs))  # where adapt has put them
    methods = network_maps(trained, adapted.subject, q, quiet=quiet)
    # Networks take their inputs for the run's b: what decays as at b' looks like b' / b times D.
    stretch = b / adapted.facts["b"]["scan"] if not adapted.facts["b"]["scaled"] else 1.0
    # The last one wins.
    found, sources = {}, {}
    for method in (DIRECT, TENSOR):
        for name, values in (methods[method]._asdict() if method in methods else {}).items():
            if values is not None:
                found[name], sources[name] = values, method
    world = fsl_to_world(subject.affine) @ adapted.rotation
    ready = {name: found[name] for name in ("fa", "fa_std") if name in found}
    if "md" in found:
        ready["md"] = found["md"] * (stretch * MM2_PER_S)
    if "tensor" in found:
        ready["tensor"] = np.asarray(congruence(found["tensor"] * np.float32(stretch * MM2_PER_S),
                                                world.astype(np.float32)))
    if "v1" in found:
        ready["v1"] = found["v1"] @ world.T
    if {"fa", "v1"} <= set(found):
        ready["color_fa"] = np.abs(ready["v1"]) * found["fa"][:, None]
    elif "colour" in found:
        ready["color_fa"] = found["colour"]
    files = {name: bids.map_name(dwi, name, bids.NETWORKS) if naming == "bids"
             else f"{name}.nii.gz" for name in ready}
    suspect = orientation_notes(image) + prediction_page.suspect(subject, trained.about)
    about = {
        "frame": frames.IN_WORDS[frames.SCANNER],
        "files": files,
        "maps": {name: sources.get(name, sources.get("v1", sources.get("colour")))
                 for name in ready},
        **adapted.facts,
        "notes": adapted.notes,
        "suspect": suspect,
        "versions": trained.about["versions"],
    }
    with delivered(out, force=force, keep=(bids.DESCRIPTION,)) as folder:
        for name, values in ready.items():
            path = folder / files[name]
            if naming == "bids" and name == "tensor":
                values = to_order(values, FSL_ORDER)
            path.parent.mkdir(parents=True, exist_ok=True)
            volume = np.zeros((*subject.mask.shape, *values.shape[1:]), np.float32)
            volume[subject.mask] = values
            save_like(path, subject.stored(volume), image)
        if naming == "bids":
            (folder / bids.DESCRIPTION).write_text(json.dumps(bids.description(), indent=1) + "\n")
            about = bids.network_sidecar(list(ready), about)
        (folder / sidecar).write_text(json.dumps(about, indent=1) + "\n")
        prediction_page.write_maps(
            folder / html, prediction_page.title_of(dwi), subject, ready, suspect,
            axis=trained.config.data.axis, notes=adapted.notes,
            provenance=page.provenance(trained.about, [dwi, bvals, bvecs, mask]))
    return {"maps": sorted(ready), "page": html, "suspect": suspect, "notes": adapted.notes}

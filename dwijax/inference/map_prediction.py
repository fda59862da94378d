"""One short scan from files to the maps of a SuperDTI run."""

import json
from pathlib import Path

import numpy as np

from dwijax.data.files import SubjectFiles
from dwijax.dti.elements import FSL_ORDER, MM2_PER_S, congruence, to_order
from dwijax.errors import collecting
from dwijax.fitting import bids, frames
from dwijax.gradients import fsl_to_world
from dwijax.inference.network_maps import DIRECT, TENSOR, network_maps
from dwijax.inference.preparing import prepare
from dwijax.output import delivered, refuse_to_overwrite, refuse_unwritable
from dwijax.report_html import page, prediction_page
from dwijax.volumes import into_volume, save_like


@collecting()
def predict_maps(files: SubjectFiles, place: Path, out: Path, *, resample=False, scale_b=False,
                 table=None, add=None, naming="dwijax", force=False, quiet=False) -> dict:
    """Writes ``fa``, ``md`` (mm²/s), ``v1`` (RAS+), ``color_fa``, with a tensor network ``tensor``
    (mm²/s, RAS+), with several seeds ``fa_std``, as ``.nii.gz``, ``maps.json`` and a page.

    Where a run has both, a map comes from its tensor network: its FA, MD and V1 belong together.

    Args:
      files, place, out, resample, scale_b, table, add, force, quiet: as
        `dwijax.inference.prediction.predict_scan`.
      naming: of the files, ``dwijax`` or ``bids``.

    Returns:
      dict: ``maps``, their names, ``page``, ``suspect`` and ``notes``, lines that the user has to
      know.

    Raises:
      InputError: as `predict_scan`.
    """
    sidecar, html = "maps.json", "report.html"
    if naming == "bids":
        sidecar = bids.sidecar_name(files.dwi, bids.NETWORKS)
        html = bids.page_name(files.dwi, bids.NETWORKS)
    refuse_unwritable(out)
    if not force:
        refuse_to_overwrite([out / sidecar, out / html])
    scan, subject, adapted, run, suspect = prepare(
        files, place, resample=resample, scale_b=scale_b, table=table, add=add)
    methods = network_maps(run, adapted.subject, run.inputs, quiet=quiet)
    # Networks take their inputs for the run's b: what decays as at b' looks like b' / b times D.
    b = adapted.facts["b"]
    stretch = b["run"] / b["scan"] if not b["scaled"] else 1.0
    maps, sources = _maps(methods, stretch * MM2_PER_S,
                          fsl_to_world(subject.affine) @ adapted.rotation)
    names = {name: bids.map_name(files.dwi, name, bids.NETWORKS) if naming == "bids"
             else f"{name}.nii.gz" for name in maps}
    about = {
        "frame": frames.IN_WORDS[frames.SCANNER],
        "files": names,
        "maps": sources,
        **adapted.facts,
        "notes": adapted.notes,
        "suspect": suspect,
        "versions": run.about["versions"],
    }
    with delivered(out, force=force, keep=(bids.DESCRIPTION,)) as folder:
        for name, values in maps.items():
            path = folder / names[name]
            if naming == "bids" and name == "tensor":
                values = to_order(values, FSL_ORDER)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_like(path, subject.stored(into_volume(values, subject.mask)), scan.image)
        if naming == "bids":
            (folder / bids.DESCRIPTION).write_text(json.dumps(bids.description(), indent=1) + "\n")
            about = bids.network_sidecar(list(maps), about)
        (folder / sidecar).write_text(json.dumps(about, indent=1) + "\n")
        prediction_page.write_maps(
            folder / html, prediction_page.title_of(files.dwi), subject, maps, suspect,
            axis=run.config.data.axis, notes=adapted.notes,
            provenance=page.provenance(
                run.about, [files.dwi, files.bval, files.bvec, files.mask]))
    return {"maps": sorted(maps), "page": html, "suspect": suspect, "notes": adapted.notes}


def _maps(methods, unit, to_world):
    """``{name: [V] or [V, D]}`` to be written, and ``{name: which networks made it}``.

    Args:
      methods: of `network_maps`. unit: that of its diffusivities in mm²/s.
      to_world: ``[3, 3]``, from its axes to RAS+.
    """
    found, sources = {}, {}
    for method in (DIRECT, TENSOR):  # the last one wins
        for name, values in (methods[method]._asdict() if method in methods else {}).items():
            if values is not None:
                found[name], sources[name] = values, method
    maps = {name: found[name] for name in ("fa", "fa_std") if name in found}
    if "md" in found:
        maps["md"] = found["md"] * unit
    if "tensor" in found:
        maps["tensor"] = np.asarray(congruence(found["tensor"] * np.float32(unit),
                                               to_world.astype(np.float32)))
    if "v1" in found:
        maps["v1"] = found["v1"] @ to_world.T
    if {"fa", "v1"} <= set(found):
        maps["color_fa"] = np.abs(maps["v1"]) * found["fa"][:, None]
    return maps, {name: sources.get(name, sources.get("v1")) for name in maps}

"""One short scan from files to the maps of a SuperDTI run."""

import json
from pathlib import Path

import numpy as np

from dwijax import page, prediction_page
from dwijax.data.layouts import SubjectFiles
from dwijax.data.subject import load_subject
from dwijax.data.tables import TOLERANCE
from dwijax.data.volumes import save_like
from dwijax.directions import match
from dwijax.dti.elements import FSL_ORDER, MM2_PER_S, congruence, to_order
from dwijax.errors import InputError
from dwijax.fitting import bids
from dwijax.gradients import fsl_to_world
from dwijax.network_maps import DIRECT, TENSOR, network_maps
from dwijax.output import delivered, refuse_to_overwrite


def predict_maps(trained, dwi, bvals, bvecs, mask, out, *, naming="dwijax", force=False,
                 quiet=False):
    """Writes ``fa``, ``md`` (mm²/s), ``v1`` (RAS+), ``color_fa``, with a tensor network ``tensor``
    (mm²/s, RAS+), with several seeds ``fa_std``, as ``.nii.gz``, ``maps.json`` and a page.

    Where a run has both, a map comes from its tensor network: its FA, MD and V1 belong together.

    Args:
      trained: `dwijax.inference.Run`.
      dwi, bvals, bvecs: files of the scan, which has the run's input directions in any order.
      mask: file, or None to make one from the b0s.
      out: folder; nothing appears in it before everything is done.
      naming: of the files, ``dwijax`` or ``bids``. force: replace files that are there.
      quiet: no progress bars.

    Returns:
      dict: ``maps``, their names, and ``largest_angle`` in degrees.

    Raises:
      InputError: files that do not fit, or a table without the run's inputs.
    """
    out, sidecar, html = Path(out), "maps.json", "report.html"
    if naming == "bids":
        sidecar = bids.sidecar_name(dwi, bids.NETWORKS)
        html = bids.page_name(dwi, bids.NETWORKS)
    if not force:
        refuse_to_overwrite([out / sidecar, out / html])
    files = SubjectFiles("scan", Path(dwi), Path(bvals), Path(bvecs), mask and Path(mask))
    q = len(trained.inputs)
    subject = load_subject(files, shell=trained.config.data.shell, min_directions=q)
    own = subject.gtab.bvecs[~subject.gtab.b0s_mask]
    chosen, angles = match(trained.gtab.bvecs[trained.inputs], own)
    if angles.max() > TOLERANCE:
        raise InputError(
            bvecs, found=f"no direction within {TOLERANCE:.0f}° of {(angles > TOLERANCE).sum()} of "
                         f"the run's {q} inputs (the nearest of one is {angles.max():.0f}° away)",
            expected="the run's input directions, in any order",
            remedy="train networks for this table, or give a scan with the run's directions")
    methods = network_maps(trained, subject, chosen, quiet=quiet)
    # The last one wins.
    found, sources = {}, {}
    for method in (DIRECT, TENSOR):
        for name, values in (methods[method]._asdict() if method in methods else {}).items():
            if values is not None:
                found[name], sources[name] = values, method
    image, world = subject.image, fsl_to_world(subject.affine)
    ready = {name: found[name] for name in ("fa", "fa_std") if name in found}
    if "md" in found:
        ready["md"] = found["md"] * MM2_PER_S
    if "tensor" in found:
        ready["tensor"] = np.asarray(congruence(found["tensor"] * np.float32(MM2_PER_S),
                                                world.astype(np.float32)))
    if "v1" in found:
        ready["v1"] = found["v1"] @ world.T
    if {"fa", "v1"} <= set(found):
        ready["color_fa"] = np.abs(ready["v1"]) * found["fa"][:, None]
    elif "colour" in found:
        ready["color_fa"] = found["colour"]
    about = {
        "maps": {name: sources.get(name, sources.get("v1", sources.get("colour")))
                 for name in ready},
        "input_volumes": [int(v) for v in
                          subject.volumes[~subject.gtab.b0s_mask][chosen]],
        "input_angles_degrees": [round(float(a), 3) for a in angles],
        "versions": trained.about["versions"],
    }
    suspect = prediction_page.suspect(subject, trained.about)
    with delivered(out, force=force, keep=(bids.DESCRIPTION,)) as folder:
        for name, values in ready.items():
            path = folder / f"{name}.nii.gz"
            if naming == "bids":
                path = folder / bids.map_name(dwi, name, bids.NETWORKS)
                values = to_order(values, FSL_ORDER) if name == "tensor" else values
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
            axis=trained.config.data.axis,
            provenance=page.provenance(trained.about, [dwi, bvals, bvecs, mask]))
    return {"maps": sorted(ready), "page": html, "suspect": suspect,
            "largest_angle": float(angles.max())}

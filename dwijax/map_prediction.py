"""One short scan from files to the maps of a SuperDTI run."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from dwijax.data.layouts import SubjectFiles
from dwijax.data.subject import load_subject
from dwijax.data.tables import TOLERANCE
from dwijax.data.volumes import save_like
from dwijax.directions import match
from dwijax.dti.elements import MM2_PER_S, congruence
from dwijax.errors import InputError
from dwijax.gradients import fsl_to_world
from dwijax.network_maps import DIRECT, TENSOR, network_maps


def predict_maps(trained, dwi, bvals, bvecs, mask, out, *, quiet=False):
    """Writes ``fa``, ``md`` (mm²/s), ``v1`` (RAS+), ``color_fa``, with a tensor network ``tensor``
    (mm²/s, RAS+), with several seeds ``fa_std``, as ``.nii.gz``, and ``maps.json``.

    Where a run has both, a map comes from its tensor network: its FA, MD and V1 belong together.

    Args:
      trained: `dwijax.inference.Run`.
      dwi, bvals, bvecs: files of the scan, which has the run's input directions in any order.
      mask: file, or None to make one from the b0s.
      out: folder; nothing appears in it before everything is done.
      quiet: no progress bars.

    Returns:
      dict: ``maps``, their names, and ``largest_angle`` in degrees.

    Raises:
      InputError: files that do not fit, or a table without the run's inputs.
    """
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
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        folder = Path(folder)
        for name, values in ready.items():
            volume = np.zeros((*subject.mask.shape, *values.shape[1:]), np.float32)
            volume[subject.mask] = values
            save_like(folder / f"{name}.nii.gz", subject.stored(volume), image)
        (folder / "maps.json").write_text(json.dumps(about, indent=1) + "\n")
        out.mkdir(exist_ok=True)
        for path in sorted(folder.iterdir()):
            shutil.move(path, out / path.name)
    return {"maps": sorted(ready), "largest_angle": float(angles.max())}

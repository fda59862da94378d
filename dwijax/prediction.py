"""One scan from files to a longer scan: measured volumes, synthetic ones behind them, maps."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from dwijax.data.layouts import SubjectFiles
from dwijax.data.subject import load_subject
from dwijax.data.volumes import (
    read_dwi,
    read_volumes,
    save_like,
    uncanonical_bvecs,
)
from dwijax.directions import compare
from dwijax.errors import InputError
from dwijax.fitting import fit_scan
from dwijax.fitting.maps import DEFAULT_MAPS
from dwijax.gradients import GradientTable, read_gradients, write_gradients
from dwijax.inference import load_run, synthesise

# A direction further than this from the one a network was trained on is another direction.
TABLE_TOLERANCE = 5.0


def predict_scan(dwi, bvals, bvecs, mask, workdir, out, *, quiet=False):
    """Writes ``dwi.nii.gz``, ``.bval``, ``.bvec``, ``.json`` and the tensor maps of all volumes.

    Args:
      dwi, bvals, bvecs: files of the scan. mask: file, or None to make one from the b0s.
      workdir: of a trained run; nothing but this folder is read.
      out: folder; nothing appears in it before everything is done.
      quiet: no progress bars.

    Returns:
      dict: ``measured`` and ``synthetic`` volumes, ``largest_angle`` in degrees.

    Raises:
      InputError: files that do not fit, or a table that is not the run's.
    """
    trained = load_run(workdir)
    files = SubjectFiles("scan", Path(dwi), Path(bvals), Path(bvecs), mask and Path(mask))
    q = len(trained.inputs)
    subject = load_subject(files, shell=trained.config.data.shell, min_directions=q)
    angles = check_table(subject, trained, bvecs)
    synthetic = subject.stored(synthesise(trained, subject, quiet=quiet))

    image = read_dwi(dwi)
    measured = read_volumes(image)
    table = read_gradients(bvals, bvecs)
    added = trained.gtab[trained.targets]
    both = GradientTable(
        np.concatenate([table.bvals, added.bvals]),
        np.concatenate([table.bvecs, uncanonical_bvecs(added.bvecs, subject.orientation)]))
    first = measured.shape[3]
    sidecar = {
        "synthetic_volumes": list(range(first, first + len(added))),
        "run": str(Path(workdir).resolve()),
        "networks": [int(k) for k in trained.targets],
        "input_volumes": [int(v) for v in subject.volumes[~subject.gtab.b0s_mask][:q]],
        "input_angles_degrees": [round(float(a), 3) for a in angles],
        "versions": trained.about["versions"],
        "note": "bvecs of synthetic volumes are the directions that their networks stand for",
    }
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        folder = Path(folder)
        save_like(folder / "dwi.nii.gz", np.concatenate([measured, synthetic], axis=-1), image)
        write_gradients(both, folder / "dwi.bval", folder / "dwi.bvec")
        (folder / "dwi.json").write_text(json.dumps(sidecar, indent=1) + "\n")
        del measured, synthetic
        # The tensor is that of the run's shell: b0s, the measured directions, the synthetic ones.
        volumes = np.sort(np.concatenate([subject.volumes, sidecar["synthetic_volumes"]]))
        fit_scan(read_dwi(folder / "dwi.nii.gz"), both, subject.stored(subject.mask), folder,
                 maps=DEFAULT_MAPS, volumes=volumes)
        out.mkdir(exist_ok=True)
        for path in sorted(folder.iterdir()):
            shutil.move(path, out / path.name)
    return {"measured": first, "synthetic": len(added), "largest_angle": float(angles.max())}


def check_table(subject, trained, bvecs):
    """Angles between the scan's first q directions and the run's inputs, degrees ``[q]``.

    Raises:
      InputError: naming the directions that are further than :data:`TABLE_TOLERANCE` away.
    """
    own = subject.gtab.bvecs[~subject.gtab.b0s_mask][: len(trained.inputs)]
    angles = compare(own, trained.gtab.bvecs[trained.inputs])
    far = np.flatnonzero(angles > TABLE_TOLERANCE)
    if far.size:
        shown = ", ".join(f"{i} ({angles[i]:.0f}°)" for i in far[:8])
        raise InputError(
            bvecs, found=f"{far.size} of the first {len(own)} directions are not the run's: {shown}"
                         + (", …" if far.size > 8 else ""),
            expected=f"the run's input directions, within {TABLE_TOLERANCE:.0f}°, in its order",
            remedy="train networks for this table, or give a scan with the run's table")
    return angles

"""One scan from files to a longer scan: measured volumes, synthetic ones behind them, maps."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from dwijax.adaptation import adapt, choose_shell
from dwijax.data.layouts import SubjectFiles
from dwijax.data.subject import load_subject, read_scan_gradients
from dwijax.data.volumes import (
    read_dwi,
    read_volumes,
    save_like,
    uncanonical_bvecs,
)
from dwijax.fitting import fit_scan
from dwijax.fitting.maps import DEFAULT_MAPS
from dwijax.gradients import GradientTable, write_gradients
from dwijax.inference import load_run, synthesise


def predict_scan(dwi, bvals, bvecs, mask, workdir, out, *, resample=False, scale_b=False,
                 quiet=False):
    """Writes ``dwi.nii.gz``, ``.bval``, ``.bvec``, ``.json`` and the tensor maps of all volumes.

    Args:
      dwi, bvals, bvecs: files of the scan. mask: file, or None to make one from the b0s.
      workdir: of a trained run; nothing but this folder is read.
      out: folder; nothing appears in it before everything is done.
      resample: interpolate the run's input directions where the scan has not measured them.
      scale_b: scale the nearest shell to the run's b-value where it is another one.
      quiet: no progress bars.

    Returns:
      dict: ``measured`` and ``synthetic`` volumes, ``notes``, lines that the user has to know.

    Raises:
      InputError: files that do not fit, or a table or b-value that is not the run's.
    """
    trained = load_run(workdir)
    image = read_dwi(dwi)
    table = read_scan_gradients(bvals, bvecs, image)
    shell = choose_shell(table, float(np.median(trained.gtab.bvals)), scale=scale_b, where=bvals)
    files = SubjectFiles("scan", Path(dwi), Path(bvals), Path(bvecs), mask and Path(mask))
    subject = load_subject(files, shell=shell)
    adapted = adapt(subject, trained.gtab, trained.inputs, trained.targets, may_resample=resample,
                    where=bvecs)
    q = np.arange(len(trained.inputs))  # where adapt has put them
    synthetic = synthesise(trained._replace(inputs=q), adapted.subject, quiet=quiet)
    synthetic = subject.stored(adapted.back(synthetic))

    measured = read_volumes(image)
    both = GradientTable(
        np.concatenate([table.bvals, adapted.gtab.bvals]),
        np.concatenate([table.bvecs, uncanonical_bvecs(adapted.gtab.bvecs, subject.orientation)]))
    first = measured.shape[3]
    sidecar = {
        "synthetic_volumes": list(range(first, first + len(adapted.gtab))),
        "run": str(Path(workdir).resolve()),
        "networks": [int(k) for k in trained.targets],
        **adapted.facts,
        "notes": adapted.notes,
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
    return {"measured": first, "synthetic": len(adapted.gtab), "notes": adapted.notes}

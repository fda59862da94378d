"""A scan from files to what a run's networks take."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.data.files import SubjectFiles
from dwijax.data.scan import Scan, open_scan
from dwijax.data.subject import Subject, subject_of
from dwijax.errors import InputError
from dwijax.inference.adaptation import Adapted, about_table, adapt, choose_shell
from dwijax.inference.volumes import Run, load_run
from dwijax.report_html import prediction_page


class Prepared(NamedTuple):
    """A scan and the run that it goes through.

    Attributes:
      scan: as opened. subject: its shell that is nearest to the run's, as measured.
      adapted: the same with the run's input directions, in its order, at its b; with the notes
        about the scan's table before its own.
      run: `Run`, whose ``inputs`` are the positions in ``adapted.subject``.
      suspect: lines about the header, and what the run was not trained on.
    """

    scan: Scan
    subject: Subject
    adapted: Adapted
    run: Run
    suspect: list[str]


def prepare(files: SubjectFiles, place: Path, *, resample: bool, scale_b: bool) -> Prepared:
    """Opens a scan and a run and brings the scan's directions and b-value to the run's.

    Args:
      files: of the scan. place: folder of the run, or file of ``dwijax export``.
      resample: interpolate the run's input directions where the scan has not measured them.
      scale_b: scale the nearest shell to the run's b-value where it is another one.

    Raises:
      InputError: files that do not fit, or a table or b-value that is not the run's.
    """
    scan, run = open_scan(files), load_run(place)
    if resample and run.config.data.denoise:
        raise InputError(
            "--resample", found=f"{place}: networks that see inputs after MP-PCA",
            expected="volumes as they were measured, whose noise is their own",
            remedy="take a run without --config.data.denoise")
    shell = choose_shell(scan.gtab, float(np.median(run.gtab.bvals)), where=files.bval)
    subject = subject_of(scan, shell)
    maps = run.config.task == "map_regression"  # whose targets are no directions
    adapted = adapt(subject, run.gtab, run.inputs, np.array([], int) if maps else run.targets,
                    may_resample=resample, may_scale=scale_b, where=files.bvec,
                    where_b=files.bval)
    adapted = adapted._replace(notes=[*about_table(scan.gtab), *adapted.notes])
    return Prepared(scan, subject, adapted, run._replace(inputs=np.arange(len(run.inputs))),
                    scan.header_notes + prediction_page.suspect(subject, run.about))

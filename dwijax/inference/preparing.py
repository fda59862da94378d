"""A scan from files to what a run's networks take."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.data.files import SubjectFiles
from dwijax.data.scan import Scan, open_scan
from dwijax.data.subject import Subject, subject_of
from dwijax.errors import InputError
from dwijax.gradients import read_prefix
from dwijax.inference.adaptation import Adapted, about_table, adapt, choose_shell
from dwijax.inference.held_back import held_back
from dwijax.inference.volumes import Run, for_table, load_run
from dwijax.inference.wanted import extend
from dwijax.report_html import prediction_page
from dwijax.volumes import canonical_bvecs


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


def prepare(files: SubjectFiles, place: Path, *, resample: bool, scale_b: bool,
            table: Path | None = None, add: int | None = None) -> Prepared:
    """Opens a scan and a run and brings the scan's directions and b-value to the run's.

    Args:
      files: of the scan. place: folder of the run, or file of ``dwijax export``.
      resample: interpolate the run's input directions where the scan has not measured them.
      scale_b: scale the nearest shell to the run's b-value where it is another one.
      table: prefix of ``.bval`` and ``.bvec`` with the directions wanted, of the scan's image, and
        add: number of directions wanted, of a run for any table (`dwijax.inference.wanted`).

    Raises:
      InputError: files that do not fit, or a table or b-value that is not the run's.
    """
    scan, run = open_scan(files), load_run(place)
    if run.config.task == "any_table":
        return _extended(scan, run, table, add)
    if table is not None or add is not None:
        raise InputError("--table" if table is not None else "--add",
                         found=f"{place}: networks that stand for directions of their own",
                         expected="a run for any table", remedy="leave it out")
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


def _extended(scan, run, table, add):
    """`Prepared` by a network for any table: nothing of the scan is changed."""
    files = scan.files
    subject = subject_of(scan, choose_shell(scan.gtab, float(np.median(run.gtab.bvals)),
                                            where=files.bval))
    wanted, where = None, None
    if table is not None:
        wanted, where = read_prefix(table, files.b0_threshold)
        wanted = dataclasses.replace(
            wanted, bvecs=canonical_bvecs(wanted.bvecs, subject.orientation))
    adapted = extend(subject, table=wanted, add=add, where=files.bvec, where_table=where)
    adapted = adapted._replace(notes=[*about_table(scan.gtab), *adapted.notes])
    outside = prediction_page.suspect(subject, run.about)
    if outside:
        found = held_back(run, subject)
        outside.append(str(found) if found else "too few directions to hold some back: nothing "
                       "tells how good the networks are here")
    own = subject.gtab[subject.gtab.dwis]
    return Prepared(scan, subject, adapted, for_table(run, own, adapted.gtab),
                    scan.header_notes + outside)

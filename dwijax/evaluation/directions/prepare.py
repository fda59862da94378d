"""What is judged: a run and its test subjects, checked for leakage, beside tuned baselines."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dwijax import baselines
from dwijax.baselines import Case, Predictor, acquired
from dwijax.baselines.networks import networks
from dwijax.baselines.own_scan import folds
from dwijax.data.cohort import Member
from dwijax.errors import InputError
from dwijax.evaluation.common.groups import TUNING_SUBJECTS, Group, check_leakage, groups_of
from dwijax.evaluation.common.scans import read_in_order, usable
from dwijax.evaluation.directions.protocol import Split
from dwijax.evaluation.directions.rows import NETWORKS
from dwijax.inference import Run, load_run
from dwijax.process.threads import prefetch
from dwijax.training.reading import read_cohort

TRAINING_SUBJECTS = 12  # that regressions learn from, at most


class Prepared(NamedTuple):
    """What is judged, and on whom.

    Attributes:
      workdir: of the run. run: `dwijax.inference.Run`. split: `Split`.
      groups: of test subjects.
      predictors: the networks, then the baselines.
      sh: name of the spherical harmonics that others are compared with.
      baseline_set: of `dwijax.baselines.SETS`. tuned_on: what baselines are, in words; "" where
        there was nothing.
      within_subject: all numbers come from one subject.
    """

    workdir: Path
    run: Run
    split: Split
    groups: list[Group]
    predictors: list[Predictor]
    sh: str
    baseline_set: str
    tuned_on: str
    within_subject: bool


def prepare(workdir: str | Path, baseline_set: str, quiet: bool) -> Prepared:
    """Arguments and errors: of `dwijax.evaluation.directions.evaluate.evaluate`."""
    run = load_run(workdir)
    cohort = usable(run, read_cohort(run.config, run.about, judging=True))
    if not cohort.test:
        raise InputError(Path(workdir) / "config.json", found="no test subjects",
                         expected="at least one", remedy="train with another split")
    groups = groups_of(run, cohort)
    check_leakage(run, cohort, groups, workdir)
    split = Split(run.inputs, run.targets, run.gtab[run.targets])
    chosen = baselines.SETS[baseline_set]
    training = cohort.train[:TRAINING_SUBJECTS] if chosen.others else []
    tuning = cohort.validation[:TUNING_SUBJECTS]
    own = []
    if cohort.within_subject:  # of one scan: what is best there, by what was acquired of it
        scan = read_in_order(cohort.test[0].files, run.gtab, run.config.data.shell).subject
        own = folds(acquired(scan).inputs(split.inputs))
    if tuning or own:
        with tqdm(total=len(training) + len(tuning), desc="tuning baselines", unit="subject",
                  disable=quiet or None, leave=False) as progress:
            tuned = baselines.tune(*(_cases(run, split, members, progress)
                                     for members in (training, tuning)),
                                   axis=run.config.data.axis, chosen=chosen, own=own)
    else:
        tuned = baselines.untuned()
    return Prepared(Path(workdir), run, split, groups, [networks(run, NETWORKS), *tuned.baselines],
                    tuned.sh, baseline_set, _in_words(own, len(tuning)), cohort.within_subject)


def _in_words(own, subjects):
    if own:
        return ("tuned on the scan itself, its inputs left out in turn; regressions on the "
                "measured DWIs of its validation slices")
    return f"tuned on the measured DWIs of {subjects} validation subjects" if subjects else ""


def _cases(run, split, members, progress) -> Iterator[Case]:
    for case in prefetch(lambda member: read_case(member, run, split), members):
        yield case
        progress.update()


def read_case(member: Member, run: Run, split: Split) -> Case:
    """Reads a subject to learn from or to tune on: its measured targets, never a truth.

    Raises:
      As `dwijax.evaluation.common.scans.read_scan`.
    """
    subject = read_in_order(member.files, run.gtab, run.config.data.shell).subject
    given = acquired(subject)
    targets, judged = subject.gtab.dwis[split.targets], np.ones(len(given.signal), bool)
    if member.slices is not None:
        judged = np.isin(np.nonzero(subject.mask)[run.config.data.axis], member.slices)
    return Case(given.inputs(split.inputs), subject.gtab[targets], given.signal[:, targets], judged)

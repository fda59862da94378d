"""A run's calibration (`dwijax.tasks.calibration`), learnt from its validation subjects."""

import jax
import numpy as np
from tqdm import tqdm

from dwijax.data.subject import load_subject
from dwijax.errors import InputError, warn
from dwijax.gradients.matching import in_order_of
from dwijax.inference import load_run, only_inputs, synthesise
from dwijax.runs import checkpoint
from dwijax.runs import folders as runs
from dwijax.tasks.calibration import Moments, learn, moments_of
from dwijax.training.reading import read_cohort


def calibrate(workdir, *, quiet=False):
    """The last phase of training: learns the calibration that a run's config asks for.

    Learnt where it is not there yet, is damaged or not of the newest checkpoint, and written to
    ``calibration.json``, from where `load_run` takes it. Several processes all learn it, and the
    first one writes.

    Args:
      workdir: the run's folder. It is learnt from subjects for validation; where there are none,
        from those for training.
      quiet: no progress bar.

    Raises:
      InputError: the run or its subjects cannot be used.
    """
    if not runs.read(workdir)[0].calibrate:
        return
    first = jax.process_index() == 0
    step = checkpoint.newest(workdir)
    try:
        if step is not None and runs.calibration_of(workdir, step):
            return
    except InputError as error:
        if first:
            warn(f"{error.where}: {error.found}; learnt again")
    trained = load_run(workdir, calibrated=False)
    cohort = read_cohort(trained.config, trained.about, say=lambda line: None)
    share = len(trained.inputs) / (len(trained.inputs) + len(trained.targets))
    found = [_moments(trained, member) for member in tqdm(
        cohort.validation or cohort.train, desc="calibrating", unit="subject",
        disable=quiet or not first or None, leave=False)]
    learnt = learn(Moments(*map(sum, zip(*found, strict=True))), share)
    if first:
        runs.write_calibration(workdir, learnt._asdict() | {"step": step})


def _moments(trained, member):
    data = trained.config.data
    subject = in_order_of(load_subject(member.files, shell=data.shell), trained.gtab,
                          where=member.files.bvec, name="the run")
    brain, b0s = subject.mask, len(subject.gtab.b0s)
    judged = np.ones(np.count_nonzero(brain), bool)
    if member.slices is not None:
        judged = np.isin(np.nonzero(brain)[data.axis], member.slices)
    synthetic = synthesise(trained, only_inputs(trained, subject))[brain]
    dwi = subject.dwi[brain]
    return moments_of(
        subject.b0[brain], dwi[:, b0s + trained.inputs], synthetic, dwi[:, b0s + trained.targets],
        brain, judged, b0s, (trained.gtab[trained.inputs], trained.gtab[trained.targets]))

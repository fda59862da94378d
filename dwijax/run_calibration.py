"""A run's calibration (`dwijax.calibration`), learnt from its validation subjects."""

import numpy as np
from tqdm import tqdm

from dwijax.calibration import Moments, learn, moments_of
from dwijax.data.subject import load_subject
from dwijax.data.tables import in_order_of
from dwijax.inference import only_inputs, synthesise
from dwijax.training import checkpoint
from dwijax.training import run as runs


def calibrated(trained, workdir, cohort, *, quiet=False):
    """A run with the calibration that its config asks for (``calibrate``).

    Learnt where it is not there yet, or not of the newest checkpoint, and written into
    ``config.json``, from where `load_run` takes it.

    Args:
      trained: from `load_run`.
      workdir: its folder.
      cohort: its subjects. It is learnt from those for validation; where there are none, from those
        for training.
      quiet: no progress bar.

    Returns:
      `dwijax.inference.Run`.

    Raises:
      InputError: these subjects cannot be used.
    """
    if not trained.config.get("calibrate"):
        return trained
    step = checkpoint.steps(workdir)[-1]
    if runs.calibration_of(workdir, step):
        return trained
    share = len(trained.inputs) / (len(trained.inputs) + len(trained.targets))
    members = cohort.validation or cohort.train
    found = [_moments(trained, member) for member in tqdm(
        members, desc="calibrating", unit="subject", disable=quiet or None, leave=False)]
    calibration = learn(Moments(*map(sum, zip(*found, strict=True))), share)
    about = trained.about | {"calibration": calibration._asdict() | {"step": step}}
    runs.write(workdir, about)
    return trained._replace(calibration=calibration, about=about)


def _moments(trained, member):
    data = trained.config.data
    subject = in_order_of(load_subject(member.files, shell=data.shell), trained.gtab,
                          where=member.files.bvec, name="the run")
    brain, b0s = subject.mask, int(subject.gtab.b0s_mask.sum())
    judged = np.ones(np.count_nonzero(brain), bool)
    if member.slices is not None:
        judged = np.isin(np.nonzero(brain)[data.axis], member.slices)
    raw = trained._replace(calibration=None)
    synthetic = synthesise(raw, only_inputs(raw, subject))[brain]
    dwi = subject.dwi[brain]
    return moments_of(
        subject.b0[brain], dwi[:, b0s + trained.inputs], synthetic, dwi[:, b0s + trained.targets],
        brain, judged, b0s, (trained.gtab[trained.inputs], trained.gtab[trained.targets]))

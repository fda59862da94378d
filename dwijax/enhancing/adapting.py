"""A network for any table that goes on learning on subjects made like one scan."""

from pathlib import Path

import numpy as np

from dwijax import config as settings
from dwijax.data.phantom import acquisition, like
from dwijax.data.phantom.store import write_subject
from dwijax.data.subject import Subject
from dwijax.inference import Run, load_run
from dwijax.training.loop import train

SUBJECTS = 3  # the last one validates
STEPS_PER_SECOND = 5  # of two cores, the making of the subjects and compiling included
_DIRECTIONS = 60  # of the subjects: harmonics of order 6, and some to spare
_RATE = 3e-3  # a seventh of what the network began with
_SLICES = 0.15 * 2**30  # bytes of slices that are learnt from


def adapt(run: Run, subject: Subject, fit: like.Fit, folder: Path, *, steps: int, seed: int = 0,
          progress: bool = False) -> Run:
    """The run after some steps on subjects made like a scan.

    They are deformed heads of the fit, scanned anew in every step, as those that the run has learnt
    from; of the scan nothing goes in but ``fit``. Narrower tables, b and SNR, near to the scan's,
    were no better on directions held back.

    Args:
      run: for any table. subject: that ``fit`` is of. fit: of `dwijax.data.phantom.like.fit_scan`.
      folder: empty, for files that are needed meanwhile. steps: of the training. seed: of the
        subjects. progress: whether to show bars.
    """
    table = acquisition(_DIRECTIONS, (1000.0,), 1)
    rows = tuple((float(b), *map(float, g)) for b, g in zip(table.bvals, table.bvecs, strict=True))
    changes = like.LikeSettings(seed, like.identity(subject), fit.b, table=rows)
    for index in range(SUBJECTS):
        write_subject(folder / "subjects" / f"like-{index:03d}",
                      like.simulate_like(fit, changes, index))
    config = _config(run.config, folder / "subjects", fit, steps)
    train(config, folder / "run", start=run.params, quiet=not progress, say=_silent)
    return load_run(folder / "run")


def _silent(*line, **how):
    """A run within a command has nothing to tell: what it does is one stage of it."""


def _config(config, root, fit, steps):
    config = settings.from_json(settings.to_dict(config))
    most, least = (sorted(fit.mask.shape)[i] for i in (-1, -2))
    one = 4 * (most + 8) * (least + 8) * 120  # bytes of a slice and its truth
    count = int(np.clip(_SLICES // one, 16, 240))
    config.data.layout, config.data.root = "hcp", str(root)
    config.data.split, config.data.slices = (0.7, 0.3, 0.0), (count, 8)
    config.steps = config.validate_every = config.checkpoint_every = config.log_every = steps
    config.optimizer.learning_rate = _RATE
    return config

"""A trained run as one more `Predictor`, beside the baselines that it has to beat."""

import numpy as np

from dwijax.baselines.interface import Acquired, Predictor
from dwijax.gradients import GradientTable
from dwijax.inference import Run, synthesise


def networks(run: Run, name: str) -> Predictor:
    """`Predictor` of a run that synthesises directions.

    Its networks stand for the run's own directions: those of a subject may differ by some degrees.
    They see the slices of the scan up to their edges, and nothing of it but b0s and inputs.

    Args:
      run: `dwijax.inference.Run`. name: for files.
    """
    def predict_volume(acquired: Acquired, gtab: GradientTable) -> np.ndarray:
        if len(gtab) != len(run.targets):
            raise ValueError(f"{len(gtab)} directions asked for, {len(run.targets)} learnt")
        subject = acquired.scan()
        return synthesise(run, subject) / np.float32(subject.scale)

    def predict(acquired, gtab):
        return predict_volume(acquired, gtab)[acquired.mask]

    short = "one network" if run.config.model.joint else "networks"
    label = short if run.config.model.joint else f"{len(run.targets)} networks"
    return Predictor(name, short, label, predict, predict_volume=predict_volume,
                     gtab=run.gtab[run.targets])

"""A trained run as one more `Predictor`, beside the baselines that it has to beat."""

import numpy as np

from dwijax.baselines.interface import Acquired, Predictor
from dwijax.gradients import GradientTable
from dwijax.inference import Run, synthesise
from dwijax.inference.volumes import for_table


def networks(run: Run, name: str) -> Predictor:
    """`Predictor` of a run that synthesises directions.

    Networks of directions stand for the run's own: those of a subject may differ by some degrees.
    A network for any table is asked for the subject's. They see the slices of the scan up to their
    edges, and nothing of it but b0s and inputs.

    Args:
      run: `dwijax.inference.Run`. name: for files.
    """
    any_table = run.config.task == "any_table"

    def predict_volume(acquired: Acquired, gtab: GradientTable) -> np.ndarray:
        if any_table:
            subject = acquired.scan()
            asked = for_table(run, subject.gtab[subject.gtab.dwis], gtab)
            return synthesise(asked, subject) / np.float32(subject.scale)
        if len(gtab) != len(run.targets):
            raise ValueError(f"{len(gtab)} directions asked for, {len(run.targets)} learnt")
        subject = acquired.scan()
        return synthesise(run, subject) / np.float32(subject.scale)

    def predict(acquired, gtab):
        return predict_volume(acquired, gtab)[acquired.mask]

    if any_table:
        label = f"{run.config.seeds} networks" if run.config.seeds > 1 else "one network"
        return Predictor(name, "networks", f"{label} for any table", predict,
                         predict_volume=predict_volume)
    short = "one network" if run.config.model.joint else "networks"
    label = short if run.config.model.joint else f"{len(run.targets)} networks"
    return Predictor(name, short, label, predict, predict_volume=predict_volume,
                     gtab=run.gtab[run.targets])

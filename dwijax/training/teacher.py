"""Targets that a run trained before predicts, in place of measured ones.

A network that learns one direction from measured DWIs spends most of its examples on averaging
their noise away. A larger network for all directions together, itself trained on the measured DWIs
of the same subjects, has done so already (distillation: Hinton et al. 2015).
"""

import numpy as np

from dwijax.training import lineage, placement


def teach(place, config, members, slices, gtab, progress=iter):
    """Replaces the targets of training slices by a run's predictions, in place.

    Args:
      place: folder of the run.
      config: of the run that learns. members: its `dwijax.data.cohort.Cohort`.
      slices: its training `dwijax.data.slices.Slices`. gtab: table of their shell.
      progress: wraps what is gone through.

    Raises:
      InputError: as :func:`dwijax.training.lineage.restore`.
    """
    _, _, task, predict, params, _ = lineage.restore("teacher", place, config, members, gtab)
    predict, params = placement.share_slices(predict, params)
    q = config.data.inputs
    for part, found in placement.predict_slices(
            predict, params, lambda part: task.see(slices.b0[part], slices.dwi[part]),
            len(slices.mask), progress=progress):
        found = np.moveaxis(found, 0, -2)
        slices.dwi[part, ..., q:len(gtab)] = np.maximum(found, 0).reshape(*found.shape[:3], -1)

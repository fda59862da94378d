"""A scan as its own validation: its directions left out in turn."""

import numpy as np

from dwijax.baselines.interface import Acquired, Case

FOLDS = 5


def folds(acquired: Acquired, count: int = FOLDS) -> list[Case]:
    """Cases to tune on (`dwijax.baselines.tune`): every part of the DWIs from all the others.

    Parts are interleaved, in acquired order, so that each is spread over sphere and time. What
    is tuned on them knows nothing but what was acquired.

    Args:
      acquired: of one scan. count: parts; as many as there are DWIs where these are fewer.
    """
    dwis = acquired.gtab.dwis
    count, cases = min(count, len(dwis)), []
    for part in range(count):
        held = np.arange(len(dwis)) % count == part
        cases.append(Case(
            acquired.inputs(np.flatnonzero(~held)), acquired.gtab[dwis[held]],
            acquired.signal[:, dwis[held]], np.ones(len(acquired.signal), bool)))
    return cases

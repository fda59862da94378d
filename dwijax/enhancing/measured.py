"""How much of a voxel's FA is measured, and how much is what the network expects."""

from dataclasses import replace

import numpy as np

from dwijax.baselines import Predictor, acquired
from dwijax.data.subject import Subject
from dwijax.enhancing.mixing import longer, predicted
from dwijax.fitting.voxels import Maps, fit_maps
from dwijax.gradients import GradientTable
from dwijax.volumes import into_volume

_SHARE = 0.3  # of the scan's noise is added: enough to be seen, too little to change its level
_WIDTH = 1.5  # SD of the local means, voxels


def measured_share(subject: Subject, sigma: np.ndarray, wanted: GradientTable,
                   predictor: Predictor, plain: Maps, enhanced: Maps, seed: int = 0) -> np.ndarray:
    """Response of enhanced FA to noise over that of plain FA, float32 ``[V]``, 0 to 1.

    A little noise is added to the scan. Where FA of all volumes follows it as that of the acquired
    ones does, it is measured (1); where it stays, it comes from neighbours and from what was learnt
    (0). Local root mean squares.

    Args:
      subject: shell of the scan. sigma: ``[X, Y, Z]``, of its noise, over its scale.
      wanted: table of the added directions. predictor: that fills them in.
      plain, enhanced: `Maps` of the acquired volumes, and of all.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(subject.dwi.shape, np.float32)
    noise *= np.float32(_SHARE * subject.scale) * sigma[..., None].astype(np.float32)
    noisy = acquired(replace(subject, dwi=subject.dwi + noise))
    added = predicted(predictor, noisy, wanted)
    changes = (fit_maps([noisy.signal, added], longer(noisy.gtab, wanted)).fa - enhanced.fa,
               fit_maps([noisy.signal], noisy.gtab).fa - plain.fa)
    own, other = (gaussian_filter(into_volume(change**2, subject.mask), _WIDTH)[subject.mask]
                  for change in changes)
    return np.sqrt(np.clip(own / np.maximum(other, 1e-12), 0, 1)).astype(np.float32)

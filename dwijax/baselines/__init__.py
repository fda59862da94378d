"""What networks have to beat: classical estimates of DWIs that were not acquired.

One interface for all, networks included (`dwijax.baselines.networks`): a `Predictor` is given the
acquired volumes of a subject and asked for other directions. Most look at masked voxels; a spatial
one puts them back into the volume.
"""

from dwijax.baselines.denoising import GAUSSIAN, denoised, smooth
from dwijax.baselines.interface import Acquired, Case, Predictor, acquired
from dwijax.baselines.linear import process, spherical_harmonics
from dwijax.baselines.logarithm import log_harmonics, tensor
from dwijax.baselines.tuning import SETS, Chosen, tune, untuned

__all__ = [
    "GAUSSIAN",
    "SETS",
    "Acquired",
    "Case",
    "Chosen",
    "Predictor",
    "acquired",
    "denoised",
    "log_harmonics",
    "process",
    "smooth",
    "spherical_harmonics",
    "tensor",
    "tune",
    "untuned",
]

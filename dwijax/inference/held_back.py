"""What a network for any table does to directions of the very scan that it is not shown."""

from typing import NamedTuple

import numpy as np

from dwijax.data.harmonic_channels import seen
from dwijax.data.subject import Subject
from dwijax.gradients.harmonics import sh_basis, wiener_sh
from dwijax.inference.volumes import Run, for_table, only_inputs, synthesise
from dwijax.inference.wanted import FEWEST

_PART = 5  # every fifth direction


class HeldBack(NamedTuple):
    """RMSE in the brain over the median b0, noise and all: of the networks, and of the harmonics
    that they start from. ``directions``: how many judged."""

    networks: float
    harmonics: float
    directions: int

    def __str__(self):
        more = 100 * (self.networks / self.harmonics - 1)
        than = f"{abs(more):.1f} % {'more' if more > 0 else 'less'} than by spherical harmonics"
        return (f"{self.directions} direction{'s' * (self.directions > 1)} of this scan held back: "
                f"error {self.networks:.4f} of the median b0, {than}")


def held_back(run: Run, subject: Subject) -> HeldBack | None:
    """`HeldBack` of every fifth direction of a scan, predicted from the others.

    Args:
      run: for any table. subject: one shell, as measured.

    Returns:
      None where fewer than six would be left.
    """
    count = len(subject.gtab.dwis)
    left_out = np.arange(count) % _PART == _PART - 1
    kept = np.flatnonzero(~left_out)
    if len(kept) < FEWEST or not left_out.any():
        return None
    own, mask = subject.gtab[subject.gtab.dwis], subject.mask
    asked = for_table(run, own[kept], own[left_out])
    part = only_inputs(asked._replace(inputs=kept), subject)
    measured = subject.dwi[..., subject.gtab.dwis[left_out]][mask]
    sigma = seen(subject, kept, run.config.data.axis).noise.sigma
    rows = sh_basis(own.bvecs[left_out], 4)[0] @ wiener_sh(own.bvecs[kept], sigma)
    harmonics = part.dwi[..., part.gtab.dwis][mask] @ rows.T.astype(np.float32)
    networks = synthesise(asked, part)[mask]
    return HeldBack(*(float(np.sqrt(np.mean((x - measured) ** 2))) / subject.scale
                      for x in (networks, harmonics)), int(left_out.sum()))

"""Which volumes of a scan a tensor is fitted to, and what b-values that are far apart cost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dwijax.errors import InputError
from dwijax.gradients import GradientTable, select_shell, shells, span
from dwijax.gradients.directions import condition_number

USUAL_B = 1000.0  # s/mm²; of shells, the one nearest to it is advised
# White matter: MD in mm²/s and kurtosis, ln S = -bD + (bD)² K / 6 (Jensen et al. 2005).
_MD, _KURTOSIS = 0.7e-3, 0.9
_LEAST_BIAS = 0.02


def with_shells(gtab: GradientTable, wanted: Sequence[float], where: Path) -> np.ndarray:
    """The b0s and the volumes of some shells.

    Args:
      gtab: `GradientTable`. wanted: b-values, s/mm². where: bval file.

    Returns:
      int64 [n], in acquired order.

    Raises:
      InputError: there is no such shell; names those there are.
    """
    for b in wanted:
        if not gtab.b0_threshold < b < np.inf:
            raise InputError("--shells", found=f"{b:g}", remedy="give another value",
                             expected=f"b-values above {gtab.b0_threshold:g} s/mm²")
    chosen = [select_shell(gtab, b, where=where) for b in wanted]
    return np.unique(np.concatenate([gtab.b0s, *chosen]))


def bias_of_shells(gtab: GradientTable) -> str | None:
    """What a tensor of several b-values comes to, where diffusion has a kurtosis.

    Returns:
      A line, or None where MD is within 2 % of that of the shell nearest to b = 1000.
    """
    sound = [(b, index) for b, index in shells(gtab.bvals, gtab.b0_threshold)
             if b and np.isfinite(condition_number(gtab.bvecs[index]))]
    weighted = gtab.bvals[gtab.dwis]
    if sound:
        b, index = min(sound, key=lambda s: abs(s[0] - USUAL_B))
        one = np.r_[0.0, gtab.bvals[index]]
        than, remedy = f"from b={b} alone", f"; --shells {b} fits that shell"
    else:
        one, than, remedy = np.array([0.0, 100.0]), "at small b", ""
    bias = _apparent(gtab.bvals) / _apparent(one) - 1
    if not len(weighted) or abs(bias) < _LEAST_BIAS:
        return None
    return (f"one tensor of b={span(weighted)}: with the kurtosis of white matter "
            f"({_KURTOSIS:g}) its MD is biased by about {100 * bias:+.0f} % against that {than}"
            f"{remedy}")


def _apparent(bvals):
    """D of a weighted fit of ln S = ln S0 - bD to a signal with kurtosis, mm²/s."""
    x = np.minimum(np.asarray(bvals, np.float64) * _MD, 3 / _KURTOSIS)  # it never rises with b
    log = -x + x * x * _KURTOSIS / 6
    design = np.stack([-np.asarray(bvals, np.float64), np.ones(len(log))], axis=1)
    weights = np.exp(log)[:, None]  # of ln S, for constant noise: S
    scaled = design * [1e-3, 1] * weights
    return float(np.linalg.lstsq(scaled, log * weights[:, 0], rcond=None)[0][0]) * 1e-3

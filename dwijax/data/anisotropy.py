"""FA of a subject by its targets alone: what predictions are held to by the FA loss.

The FA of all that was measured has the inputs' noise in it. So has the FA of inputs and predictions
together, and if the one is held to the other, networks are told to leave that noise there. The FA
of targets and b0s knows nothing of it. It is too large, as noise makes every tensor less round; the
jackknife takes that away.
"""

import numpy as np

from dwijax.fitting.voxels import fit_maps

GROUPS = 4
# Of the directions three quarters must tell a tensor well.
LEAST = 12


def measured_fa(subject, directions, correction=1.0):
    """FA of the b0s and some directions of a shell, less its bias by noise.

    Args:
      subject: a :class:`dwijax.data.subject.Subject`. directions: positions in its shell, at least
        `LEAST`; every fourth of them should still be spread over the sphere.
      correction: how much of the bias is taken away; 0: nothing, 1: all of it.

    Returns:
      float32 ``[X, Y, Z]``, 0 outside the mask, NaN without a tensor. Corrected, it is FA in
      the mean over noise, and like every estimate without bias of a number near 0 it may be below
      0.
    """
    b0s = subject.gtab.b0s
    volumes = subject.gtab.dwis[directions]

    def fa(kept):
        used = np.concatenate([b0s, volumes[kept]])
        maps = fit_maps([subject.dwi[subject.mask][:, used]], subject.gtab[used])
        return np.where(maps.determined, maps.fa, np.float32(np.nan))

    out = np.zeros(subject.mask.shape, np.float32)
    out[subject.mask] = jackknife(fa, len(volumes), correction)
    return out


def jackknife(estimate, count, correction=1.0, groups=GROUPS):
    """An estimate from n samples, less the bias that goes with 1/n (Quenouille 1956).

    Args:
      estimate: of the samples kept, whose positions it is given, int64 ``[n]``.
      count: number of samples. correction: how much of the bias is taken away.
      groups: sets of samples that are left out in turn, each sample in one of them.
    """
    samples = np.arange(count)
    of_all = estimate(samples)
    without = [estimate(samples[samples % groups != group]) for group in range(groups)]
    return of_all - correction * (groups - 1) * (np.mean(without, axis=0) - of_all)

"""Denoisers of the acquired volumes, each to be followed by the tensor fit or by an interpolator.

They see b0s and inputs only: one that saw the targets would leak them.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from dwijax.baselines.interface import Acquired, Predictor
from dwijax.data.mppca import mppca
from dwijax.fitting.noise import residual_sigma
from dwijax.volumes import into_volume

_FWHM = float(np.sqrt(8 * np.log(2)))


class Denoiser(NamedTuple):
    """A way to denoise.

    Attributes:
      name: for files. short: for figures. label: format of a strength, for tables.
      apply: ``(Acquired, strength) -> Acquired``.
      strengths: to choose from.
    """

    name: str
    short: str
    label: str
    apply: Callable[[Acquired, float], Acquired]
    strengths: tuple


def denoised(denoiser: Denoiser, strength: float, then: Predictor) -> Predictor:
    """A `Predictor` after a `Denoiser`."""
    apply = partial(denoiser.apply, strength=strength)
    return then._replace(
        name=denoiser.name, short=f"{denoiser.short}, {then.short}",
        label=f"{denoiser.label.format(strength)}, {then.label}", denoise=apply)


def smooth(acquired: Acquired, strength: float) -> Acquired:
    """`Acquired` with every volume smoothed inside the mask by a Gaussian.

    Smoothing the mask too and dividing by it (normalised convolution, Knutsson and Westin 1993)
    keeps the background out: a constant stays constant up to the border.

    Args:
      acquired: `Acquired`. strength: full width at half maximum, mm.
    """
    from scipy.ndimage import gaussian_filter

    mask = acquired.mask
    blur = partial(gaussian_filter, sigma=strength / _FWHM / np.asarray(acquired.voxel_size, float),
                   mode="constant", truncate=3.0)
    share = blur(mask.astype(np.float32))[mask]
    signal = np.empty_like(acquired.signal)
    for i in range(signal.shape[1]):
        signal[:, i] = blur(into_volume(acquired.signal[:, i], mask))[mask] / share
    return acquired._replace(signal=signal, subject=None)


def non_local_means(acquired: Acquired, strength: float) -> Acquired:
    """Non-local means (Descoteaux et al. 2008, dipy's classic method), volume by volume, in blocks
    of 5 × 5 × 5.

    Without its Rician correction: one on the inputs alone would make them unlike the targets.
    Not dipy 1.12's blockwise method: on a phantom it blurs alike whatever σ it is given, to an
    error of 0.055 where the noise is 0.047 and the classic method leaves 0.037.

    Args:
      acquired: `Acquired`. strength: the noise level that it is given, in multiples of what the
        residuals of the tensor fit say.
    """
    from dipy.denoise.nlmeans import nlmeans

    sigma = strength * residual_sigma(acquired.signal, acquired.gtab)
    if not sigma > 0:  # unknown
        return acquired._replace(subject=None)
    return _replaced(acquired, nlmeans(acquired.volume(), sigma, mask=acquired.mask, rician=False,
                                       method="classic", block_radius=2))


def marchenko_pastur(acquired: Acquired, strength: float) -> Acquired:
    """MP-PCA (Veraart et al. 2016) in patches of 5 × 5 × 5 voxels, one for every voxel as in dipy.

    Args:
      acquired: `Acquired`. strength: unused.
    """
    return _replaced(acquired, mppca(acquired.volume(), acquired.mask, stride=1))


def marchenko_pastur_quick(acquired: Acquired, strength: float) -> Acquired:
    """MP-PCA in an eighth of the patches, which leaves a tenth more noise (`dwijax.data.mppca`).

    Args:
      acquired: `Acquired`. strength: unused.
    """
    return _replaced(acquired, mppca(acquired.volume(), acquired.mask))


def patch2self(acquired: Acquired, strength: float) -> Acquired:
    """Patch2Self (Fadnavis et al. 2020, patch radius 0): each volume regressed on the others.

    b0s on b0s and DWIs on DWIs, over all voxels of the volume, with scikit-learn: dipy 1.12's
    version 1 predicts from volumes that the fit has centred in place (a bias of
    -0.2 S0 on a phantom) and its version 3 gives the volumes beyond a multiple of five those of
    another place.

    Args:
      acquired: `Acquired`. strength: unused.
    """
    from sklearn.linear_model import LinearRegression

    volume = acquired.volume()
    denoised = volume.copy()
    for kind in acquired.gtab.b0s_mask, ~acquired.gtab.b0s_mask:
        for i in np.flatnonzero(kind) if kind.sum() > 1 else ():
            others = volume[..., kind & (np.arange(len(kind)) != i)]
            x = others.reshape(-1, others.shape[-1])
            fit = LinearRegression().fit(x, volume[..., i].ravel())
            denoised[..., i] = fit.predict(x).reshape(volume.shape[:3])
    return _replaced(acquired, denoised)


def _replaced(acquired, volume):
    return acquired._replace(signal=volume[acquired.mask].astype(np.float32), subject=None)


GAUSSIAN = Denoiser("smoothed", "smoothing", "Gaussian {:.1f} mm", smooth,
                    (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0))
NON_LOCAL_MEANS = Denoiser("nlmeans", "NLM", "non-local means {:.2g} σ", non_local_means,
                           (0.4, 0.6, 0.8, 1.0, 1.3, 1.6))
MARCHENKO_PASTUR = Denoiser("mppca", "MP-PCA", "MP-PCA", marchenko_pastur, (0.0,))
MARCHENKO_PASTUR_QUICK = MARCHENKO_PASTUR._replace(apply=marchenko_pastur_quick)
PATCH2SELF = Denoiser("patch2self", "Patch2Self", "Patch2Self", patch2self, (0.0,))

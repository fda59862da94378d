"""Numbers of one subject: errors of DWIs and of maps, region by region."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common import metrics
from dwijax.evaluation.common.results import TRUTH, Row
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.fitting.voxels import Maps, along_and_across
from dwijax.gradients import compare

# Methods, beside the predictors by their names: fits of the inputs, and of as many acquired
# volumes as He et al. compare with; the networks of the run; noise-free DWIs.
INPUTS, MORE, NETWORKS, PERFECT = "inputs", "more", "networks", "noise-free"
# Limits of R: noise-free maps, and noise-free DWIs simulated on a scan without a truth.
TRUE_MAP, SIMULATED = "true map", "simulated"

# What FA maps of acquired volumes are compared with.
WITH_TARGETS, INPUTS_ALONE = "He et al.: with targets", "He et al.: inputs alone"
INDEPENDENT = "independent"


class FullMaps(NamedTuple):
    """`Maps` with ``ad``, ``rd [V]`` in µm²/ms and ``v1 [V, 3]``."""

    maps: Maps
    ad: np.ndarray
    rd: np.ndarray
    v1: np.ndarray

    @property
    def scalars(self) -> dict[str, np.ndarray]:
        """Quantity to map."""
        return {"FA": self.maps.fa, "MD": self.maps.md, "AD": self.ad, "RD": self.rd}


def full_maps(maps: Maps) -> FullMaps:
    """`FullMaps` of `Maps`."""
    return FullMaps(maps, *along_and_across(maps.tensor))


def signal_rows(scan: JudgedScan, method: str, prediction: np.ndarray, measured: np.ndarray,
                clean: np.ndarray | None) -> Iterator[Row]:
    """Errors of DWIs ``[V, K]``, RMSE over voxels and directions, in units of the scale; ``clean``:
    without noise, or None."""
    references = {"measured": measured} | ({} if clean is None else {TRUTH: clean})
    sigma = scan.sigma if scan.sigma > 0 else np.nan
    for against, reference in references.items():
        difference = prediction - reference
        mean, squared = difference.mean(axis=1), np.mean(difference**2, axis=1)
        for name, region in scan.regions.items():
            error = metrics.rms(squared[region])
            yield Row("DWI RMSE", against, name, method, error)
            yield Row("DWI bias", against, name, method, metrics.mean(mean[region]))
            if against == "measured":
                excess = metrics.excess(error, sigma)
                yield Row("DWI RMSE/sigma", against, name, method, error / sigma)
                yield Row("DWI excess", against, name, method, excess)
                yield Row("DWI excess/sigma", against, name, method, excess / sigma)


def map_rows(scan: JudgedScan, method: str, found: FullMaps, against: str,
             reference: FullMaps) -> Iterator[Row]:
    """Errors of FA, MD, AD and RD, the spread of FA's differences, and the angle of V1."""
    anisotropic = reference.maps.fa > 0.2
    for name, region in scan.regions.items():
        for quantity, values in found.scalars.items():
            expected = reference.scalars[quantity]
            yield Row(f"{quantity} RMSE", against, name, method,
                      metrics.rmse(values, expected, region))
            yield Row(f"{quantity} bias", against, name, method,
                      metrics.bias(values, expected, region))
        difference = (found.maps.fa - reference.maps.fa)[region]
        yield Row("FA SD", against, name, method,
                  float(difference.std(dtype=np.float64)) if difference.size else np.nan)
        oriented = region & anisotropic
        yield Row("V1 angle", against, name, method,
                  metrics.mean(compare(found.v1[oriented], reference.v1[oriented])))


def fa_rows(scan: JudgedScan, method: str, fa: np.ndarray, against: str,
            reference: np.ndarray) -> Iterator[Row]:
    """RMSE and bias of FA maps alone."""
    for name, region in scan.regions.items():
        yield Row("FA RMSE", against, name, method, metrics.rmse(fa, reference, region))
        yield Row("FA bias", against, name, method, metrics.bias(fa, reference, region))


def shared_noise_rows(scan: JudgedScan, method: str, fa: np.ndarray, fa32: np.ndarray,
                      fa64: np.ndarray) -> Iterator[Row]:
    """He et al.'s comparison and R; FA maps ``[V]``."""
    for name, region in scan.regions.items():
        error = metrics.rmse(fa, fa64, region)
        alone = metrics.rmse(fa32, fa64, region)
        yield Row("FA RMSE", WITH_TARGETS, name, method, error)
        if method != INPUTS:
            yield Row("FA RMSE", INPUTS_ALONE, name, method, metrics.rmse(fa, fa32, region))
        yield Row("R", WITH_TARGETS, name, method, error / alone if alone > 0 else np.nan)

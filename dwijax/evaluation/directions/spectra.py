"""What the eye calls smooth, and checkerboards: power spectra of DWIs in the plane of the slices.

He et al. see both in their images. Power is per voxel, so that white noise of variance σ² has the
power σ² at every frequency.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax.evaluation.common.figures import pyplot, save
from dwijax.evaluation.common.results import Row
from dwijax.evaluation.directions.rows import NETWORKS, PERFECT
from dwijax.volumes import into_volume

FINE = 4.0  # voxels; shorter wavelengths are fine detail, or noise
DIRECTIONS = 6  # at most, evenly spread over the targets
STYLES = {
    "measured": {"color": "0.5", "linewidth": 1.6},
    PERFECT: {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 1.6},
    NETWORKS: {"color": "#D55E00", "linewidth": 2.2},
}
BINS = np.linspace(0, 0.5, 17)  # cycles per voxel


class Spectrum(NamedTuple):
    """Mean power ``[A, B]`` by frequency along the two axes of a slice, as `numpy.fft.fft2` orders
    it; A and B are even."""

    power: np.ndarray

    @property
    def radius(self):
        """Cycles per voxel, ``[A, B]``."""
        return np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in self.power.shape),
                                     indexing="ij"))

    @property
    def fine(self):
        """Mean power at wavelengths below `FINE`."""
        return float(self.power[self.radius > 1 / FINE].mean())

    @property
    def profile(self):
        """Mean power in the rings of `BINS`; NaN where a small image has no frequency."""
        sums, counts = (np.histogram(self.radius, BINS, weights=w)[0]
                        for w in (self.power, np.ones_like(self.power)))
        return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)

    @property
    def checkerboard(self):
        """Power where a pattern of period two is, over what is near: 1 without such a pattern.

        At the highest frequency of either axis and of both, within one step; near is three to six
        steps away. Upsampling by two leaves its traces there.
        """
        a, b = (n // 2 for n in self.power.shape)
        ratios = []
        for i, j in ((a, 0), (0, b), (a, b)):
            steps = np.maximum(*np.meshgrid(*(
                np.abs((np.arange(n) - at + n // 2) % n - n // 2)
                for n, at in zip(self.power.shape, (i, j), strict=True)), indexing="ij"))
            near = self.power[(steps >= 3) & (steps <= 6)].mean()
            ratios.append(self.power[steps <= 1].mean() / near)
        return float(max(ratios))


def spectrum(values: np.ndarray, mask: np.ndarray, axis: int) -> Spectrum:
    """`Spectrum` of images in a mask.

    Args:
      values: float32 ``[V, n]``, n volumes. mask: bool ``[X, Y, Z]`` with V voxels.
      axis: of the slices; those at least 60 % as full as the fullest are taken.
    """
    inside = np.moveaxis(mask, axis, 0)
    filled = inside.sum(axis=(1, 2))
    chosen = filled >= 0.6 * filled.max()
    inside = inside[chosen][..., None]
    images = np.moveaxis(into_volume(values, mask), axis, 0)[chosen]
    mean = images.sum(axis=(1, 2), keepdims=True) / inside.sum(axis=(1, 2), keepdims=True)
    images = np.where(inside, images - mean, 0)
    ends = [(0, 0), *((0, n % 2) for n in images.shape[1:3]), (0, 0)]
    images = np.pad(images, ends)
    power = np.abs(np.fft.fft2(images, axes=(1, 2))) ** 2 / inside.sum(axis=(1, 2), keepdims=True)
    return Spectrum(power.mean(axis=(0, 3)))


def directions_shown(k: int) -> np.ndarray:
    """Positions of at most `DIRECTIONS` of k targets."""
    return np.unique(np.linspace(0, k - 1, min(k, DIRECTIONS)).round().astype(int))


def spectrum_rows(method: str, found: Spectrum, reference: float, against: str) -> Iterator[Row]:
    """Rows of one method.

    Args:
      found: its `Spectrum`. reference: fine power without noise. against: where that is from.
    """
    yield Row("fine power, %", against, "brain", method, 100 * found.fine / reference)
    yield Row("checkerboard", "itself", "brain", method, found.checkerboard)


def dots(values: np.ndarray, level: float) -> float:
    """Share of values outside the brain above ``level``, in %; NaN of nothing."""
    return 100 * float((values > level).mean()) if values.size else np.nan


class Profiles:
    """Mean power by frequency of each group's subjects, in units of σ²."""

    def __init__(self):
        self._found = defaultdict(lambda: defaultdict(list))  # [group][method]: of subjects

    def add(self, group, scan, judged):
        """Takes one subject's spectra, of `dwijax.evaluation.directions.protocol.Judged`."""
        level = scan.sigma**2 if scan.sigma > 0 else np.nan
        for method, found in judged.spectra.items():
            self._found[group][method].append(found.profile / level)

    def draw(self, path: Path, methods: list[str], labels: dict[str, str], title: str):
        """One panel a group."""
        plt = pyplot()
        count = len(self._found)
        figure, grid = plt.subplots(1, count, figsize=(1 + 5 * count, 4), squeeze=False,
                                    sharey=True, layout="constrained")
        centres = (BINS[1:] + BINS[:-1]) / 2
        for axes, (group, found) in zip(grid[0], self._found.items(), strict=True):
            for i, method in enumerate(m for m in methods if m in found):
                axes.plot(centres, np.mean(found[method], axis=0),
                          label=labels.get(method, method), **STYLES.get(
                              method, {"color": f"C{i}", "linewidth": 1.3}))
            axes.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
            axes.axvline(1 / FINE, color="0.8", linewidth=0.8)
            axes.set(yscale="log", title=group, xlabel="frequency in the slice, cycles per voxel")
            axes.set_xlim(0, 0.5)
            axes.spines[["top", "right"]].set_visible(False)
        grid[0, 0].set_ylabel("power of a DWI / σ²\n(dotted: white noise of σ)")
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False,
                      fontsize=9)
        figure.suptitle(title, fontsize=12, weight="bold")
        save(figure, path)

"""Errors, regions, likeness and power spectra of images with known ones."""

import numpy as np
import pytest

from dwijax.evaluation.common import metrics, regions
from dwijax.evaluation.directions import spectra


def test_errors_of_a_region():
    values, reference = np.array([1.0, 2.0, 9.0]), np.array([2.0, 4.0, 0.0])
    region = np.array([True, True, False])
    assert metrics.rmse(values, reference, region) == pytest.approx(np.sqrt(2.5))
    assert metrics.bias(values, reference, region) == -1.5
    assert metrics.excess(0.05, 0.04) == pytest.approx(0.03)
    assert metrics.excess(0.03, 0.04) == 0
    assert np.isnan(metrics.rmse(values, reference, ~region & region))


def test_tissues_never_overlap_and_fill_the_brain():
    found = regions.from_tissue(np.array([1, 2, 3, 4, 0]))
    names = ("brain", *regions.TISSUES)
    assert [int(found[r].sum()) for r in names] == [5, 1, 2, 1]
    classes = regions.from_fit(np.array([0.6, 0.1, 0.6]), np.array([0.7, 0.8, 2.9]))
    np.testing.assert_array_equal(np.stack([classes[r] for r in names]),
                                  [[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_borders_are_between_tissues():
    rng = np.random.default_rng(0)
    mask = rng.random((6, 7, 5)) < 0.8
    classes = regions.from_tissue(rng.integers(1, 5, int(mask.sum())))
    volume = np.zeros(mask.shape, int)
    volume[mask] = sum((i + 1) * classes[n] for i, n in enumerate(regions.TISSUES))
    expected = np.zeros(mask.shape, bool)
    for at in np.argwhere(mask):
        for step in np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)]):
            to = at + step
            if (to >= 0).all() and (to < mask.shape).all() and volume[tuple(to)]:
                expected[tuple(at)] |= volume[tuple(to)] != volume[tuple(at)]
    np.testing.assert_array_equal(regions.border(classes, mask), expected[mask])


def test_structural_similarity_by_hand():
    """At one voxel, from weights written out; what is outside the mask must not count."""
    rng = np.random.default_rng(0)
    mask = rng.random((14, 13, 3)) < 0.9
    mask[6, 7, 1] = True
    a, b = (rng.random(mask.shape).astype(np.float32) for _ in range(2))
    x, y = np.indices(mask.shape[:2]) - np.array([6, 7])[:, None, None]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.5**2)) * mask[..., 1]
    weights *= (np.abs(x) <= 5) & (np.abs(y) <= 5)
    weights /= weights.sum()
    ma, mb = np.sum(weights * a[..., 1]), np.sum(weights * b[..., 1])
    va, vb = np.sum(weights * a[..., 1] ** 2) - ma**2, np.sum(weights * b[..., 1] ** 2) - mb**2
    cov = np.sum(weights * a[..., 1] * b[..., 1]) - ma * mb
    c1, c2 = 0.02**2, 0.06**2
    expected = ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    found = metrics.Similarity(b[mask], mask, 2, 2.0)
    position = np.flatnonzero((np.argwhere(mask) == (6, 7, 1)).all(axis=1))[0]
    assert found(a[mask])[position] == pytest.approx(expected, abs=1e-5)
    several = found.__class__(np.stack([b[mask]] * 2, axis=1), mask, 2, 2.0)
    both = several(np.stack([a[mask], b[mask]], axis=1))
    assert both[position, 0] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(both[:, 1], 1, atol=1e-5)


def test_peak_signal_to_noise():
    assert metrics.psnr(0.1, 2.0) == pytest.approx(20 * np.log10(20))
    assert metrics.psnr(0.0, 1.0) == np.inf and np.isnan(metrics.psnr(np.nan, 1.0))


def test_normalised_squared_error():
    x, y = np.array([0.5, 0.1]), np.array([0.4, 0.2])
    assert metrics.nmse(x, y) == pytest.approx(100 * 0.02 / 0.20)
    assert np.isnan(metrics.nmse(x, 0 * y))


@pytest.mark.parametrize("axis", range(3))
def test_spectra_tell_noise_smoothness_and_checkerboards(axis):
    rng = np.random.default_rng(axis)
    mask = np.ones((28, 32, 30), bool)
    mask[:2] = False
    noise = 0.3 * rng.standard_normal((int(mask.sum()), 2)).astype(np.float32)
    white = spectra.spectrum(noise, mask, axis)
    assert white.power.mean() == pytest.approx(0.09, rel=0.02)
    assert white.fine == pytest.approx(0.09, rel=0.03)
    # The first ring has little but the mean, which was taken off.
    np.testing.assert_allclose(white.profile[2:], 0.09, rtol=0.15)
    assert white.checkerboard == pytest.approx(1, abs=0.3)
    stripes = (-1.0) ** np.nonzero(mask)[(axis + 1) % 3][:, None]
    assert spectra.spectrum(noise + 0.1 * stripes, mask, axis).checkerboard > 5
    volume = np.zeros((*mask.shape, 2), np.float32)
    volume[mask] = noise
    axes = [i for i in range(3) if i != axis]
    smooth = sum(np.roll(volume, s, a) for a in axes for s in (-1, 0, 1)) / 6
    assert spectra.spectrum(smooth[mask], mask, axis).fine < 0.3 * white.fine


def test_dots_are_counted_outside():
    values = np.zeros((8, 3))
    values[0, 0] = 1.0
    assert spectra.dots(values, 0.5) == pytest.approx(100 / 24)
    assert np.isnan(spectra.dots(values[:0], 0.5))

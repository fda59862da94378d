"""Lesions and added noise, on arrays with known answers."""

import numpy as np
import pytest

from dwijax import dti
from dwijax.errors import InputError
from dwijax.evaluation.studies import added_noise, lesions
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set

GTAB = GradientTable(np.r_[0.0, np.full(20, 1000.0)],
                     np.concatenate([np.zeros((1, 3)), direction_set(20)]))


def test_contrast_and_detection():
    values = np.full((20, 20, 20), 0.4)
    lesion = lesions.sphere(values.shape, (10, 10, 10), 3) > 0.5
    values[lesion] = 0.3
    background = lesions.ring(lesion, np.ones(values.shape, bool))
    assert not (background & lesion).any()
    assert lesions.contrast(values, lesion, background) == pytest.approx(-0.25)
    assert lesions.detected(values, lesion, background, -0.25) == 1
    half = values.copy()
    half[:10][lesion[:10]] = 0.4
    share = lesion[10:].sum() / lesion.sum()
    assert lesions.detected(half, lesion, background, -0.25) == pytest.approx(
        2 * share / (1 + share))


def test_the_ring_keeps_its_distance_and_its_tissue():
    lesion = np.zeros((15, 15, 15), bool)
    lesion[7, 7, 7] = True
    tissue = np.zeros(lesion.shape, bool)
    tissue[8:] = True
    x, y, z = np.nonzero(lesions.ring(lesion, tissue))
    distance = np.sqrt((x - 7) ** 2 + (y - 7) ** 2 + (z - 7) ** 2)
    assert distance.min() == 2 and distance.max() == 4 and x.min() == 8
    with pytest.raises(InputError, match="no lesion voxels"):
        lesions.ring(~tissue & tissue, tissue)
    with pytest.raises(InputError, match="no tissue of its kind"):
        lesions.ring(lesion, ~tissue & tissue)


@pytest.mark.parametrize("radius", lesions.RADII)
def test_balls_have_their_volume_and_sit_in_the_tissue(radius):
    share = lesions.sphere((30, 30, 30), (15, 15, 15), radius)
    assert share.sum() == pytest.approx(4 / 3 * np.pi * (radius + 0.1) ** 3, rel=0.25)
    white = np.zeros((40, 40, 40), bool)
    white[20:, 20:, 20:] = True
    assert (lesions.seat(white, radius) >= 20).all()


def test_lesions_change_diffusion_as_they_should():
    v = np.array([1.0, 0, 0])
    clean = np.exp(-GTAB.bvals / 1000 * (0.4 + 1.1 * (GTAB.bvecs @ v) ** 2))
    clean = np.tile(clean, (1, 1, 2, 1)).astype(np.float32)
    share = np.array([[[0.0, 1.0]]], np.float32)
    design = dti.design_matrix(GTAB.bvals, GTAB.bvecs)
    changes = {}
    for kind in lesions.KINDS:
        signal = lesions.insert(clean, GTAB, share, kind)
        np.testing.assert_array_equal(signal[0, 0, 0], clean[0, 0, 0])
        tensor = dti.fit_tensor(signal, design).tensor[0, 0]
        md, fa = dti.mean_diffusivity(tensor), dti.fractional_anisotropy(tensor)
        changes[kind.name] = float(md[1] / md[0]), float(fa[1] / fa[0])
        assert signal[0, 0, 1, 0] == pytest.approx(kind.b0 * clean[0, 0, 0, 0])
    assert 0.5 < changes["acute"][0] < 0.7 and changes["acute"][1] > 0.7
    assert changes["chronic"][0] > 1.5 and changes["chronic"][1] < 0.4


def test_decibels():
    dwi = np.full((50, 4), 0.5, np.float32)
    assert added_noise.sigma_of(20, dwi) == pytest.approx(0.05)
    assert added_noise.sigma_of(0, dwi) == pytest.approx(0.5)


def test_noise_before_and_after_the_magnitude():
    rng = np.random.default_rng(0)
    signal = np.full(200_000, 0.1, np.float32)
    before = added_noise.add(signal, 0.1, rng)
    after = added_noise.add(signal, 0.1, rng, before_magnitude=False)
    assert np.mean(before**2) == pytest.approx(0.1**2 + 2 * 0.1**2, rel=0.01)  # Rician
    assert before.min() >= 0 and after.min() == 0
    assert np.mean(after == 0) == pytest.approx(0.1587, abs=0.005)  # below one SD

"""Synthetic DWIs held to the anisotropy of the acquired ones."""

import json

import numpy as np
import pytest

from dwijax import dti
from dwijax.fitting.voxels import fit_maps
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.tasks.calibration import (
    Calibration,
    Moments,
    coefficients,
    from_json,
    held,
    is_empty,
    learn,
    moments_of,
    rescale,
    scaled,
)

Q, K, B0S, SHAPE = 30, 60, 6, (24, 24, 14)
MASK = np.ones(SHAPE, bool)
BVECS = direction_set(Q + K)
TABLES = tuple(GradientTable(np.full(len(g), 1000.0), g) for g in (BVECS[:Q], BVECS[Q:]))
MD = 0.8  # µm²/ms
FA = np.broadcast_to(np.linspace(0.06, 0.6, SHAPE[0])[:, None, None], SHAPE)[MASK]
GREY, WHITE = FA < 0.2, FA > 0.4
EVERYWHERE = np.ones(MASK.size, bool)


def subject(seed, noise, anisotropy=1.0, passed=0.0):
    """Cylinders at random angles, of a FA that grows along x, and networks that see them.

    ``anisotropy``: factor that the networks have wrong. ``passed``: part of the acquired DWIs'
    noise, by its tensor, that is in what they say. Units of b0.
    """
    rng = np.random.default_rng(seed)
    tensor = cylinders(rng)
    designs = [np.asarray(dti.design_matrix(t.bvals, t.bvecs))[:, :6] for t in TABLES]
    clean = [np.exp(tensor @ d.T) for d in designs]
    noisy = [np.abs(c + noise * rng.standard_normal(c.shape)).astype(np.float32) for c in clean]
    b0 = 1 + noise / np.sqrt(B0S) * rng.standard_normal(len(tensor))
    own = fit_maps([np.ones((len(b0), 1), np.float32), noisy[0]], joined(TABLES[0])).tensor
    said = MD * ISOTROPIC + anisotropy * deviation(tensor) + passed * (own - tensor)
    arrays = b0.astype(np.float32), noisy[0], np.exp(said @ designs[1].T).astype(np.float32)
    return arrays, noisy[1], tensor


def cylinders(rng):
    axis = rng.standard_normal((MASK.size, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    c = (MD * FA / np.sqrt(3 - 2 * FA**2))[:, None, None]  # eigenvalues MD + 2c, MD - c, MD - c
    outer = 3 * c * axis[:, :, None] * axis[:, None] + (MD - c) * np.eye(3)
    return outer[:, [0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]]


ISOTROPIC = np.array([1, 0, 1, 0, 0, 1])


def deviation(tensor):
    return tensor - tensor @ ISOTROPIC[:, None] / 3 * ISOTROPIC


def joined(*tables, b0s=1):
    bvecs = np.concatenate([np.zeros((b0s, 3)), *(t.bvecs for t in tables)])
    return GradientTable(np.r_[np.zeros(b0s), *(t.bvals for t in tables)], bvecs)


def learnt(subjects):
    moments = [moments_of(*arrays, targets, MASK, EVERYWHERE, B0S, TABLES)
               for arrays, targets, _ in subjects]
    return learn(Moments(*map(sum, zip(*moments, strict=True))), Q / (Q + K))


def fa_of(arrays, synthetic):
    """FA of the tensor fit of everything, the b0 as often as it was measured."""
    b0, acquired, _ = arrays
    return fit_maps([np.repeat(b0[:, None], B0S, axis=1), acquired, synthetic],
                    joined(*TABLES, b0s=B0S)).fa


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.06])
def test_second_moment_of_the_true_tensor_is_found_under_any_noise(noise):
    """By the noise-free tensors."""
    arrays, targets, tensor = subject(0, noise)
    for part in (GREY, WHITE):
        m = moments_of(*arrays, targets, MASK, part, B0S, TABLES)
        true = (deviation(tensor)**2 @ [1, 2, 1, 2, 2, 1])[part].sum()
        assert (m.acquired - m.noise).sum() == pytest.approx(true, rel=0.06)
        if part is GREY:  # what it would be with the noise
            assert m.acquired.sum() > (1 + 200 * noise**2) * true


def test_subjects_like_those_it_was_learnt_from_stay_as_they_are():
    calibration = learnt([subject(seed, 0.04, 1.1, 0.3) for seed in (0, 1)])
    arrays, *_ = subject(2, 0.04, 1.1, 0.3)
    held = rescale(calibration, *arrays, MASK, B0S, TABLES)
    np.testing.assert_allclose(held, arrays[2], rtol=0.02)
    assert held.dtype == np.float32


@pytest.mark.parametrize("wrong", [0.7, 1.4])
def test_tissue_of_another_anisotropy_comes_out_as_it_is(wrong):
    """Networks that know one anisotropy of grey matter see it in another subject too: FA of the fit
    of all volumes is biased, and after calibration by a quarter of that at most."""
    calibration = learnt([subject(seed, 0.04) for seed in (0, 1)])
    arrays, _, tensor = subject(2, 0.04, wrong)
    truth = np.asarray(dti.fractional_anisotropy(tensor.astype(np.float32)))
    usual = subject(3, 0.04)
    expected = (fa_of(usual[0], usual[0][2]) - truth)[GREY].mean()  # by noise, networks right

    def bias(synthetic):
        return abs((fa_of(arrays, synthetic) - truth)[GREY].mean() - expected)

    assert bias(arrays[2]) > 0.02
    assert bias(rescale(calibration, *arrays, MASK, B0S, TABLES)) < bias(arrays[2]) / 4


def test_noise_that_networks_let_through_is_learnt():
    """Networks that say the true tensor and 0.4 of the noise of the acquired one."""
    calibration = learnt([subject(seed, 0.05, passed=0.4) for seed in (0, 1)])
    overlap = np.array(calibration.overlap, float)
    assert np.nanmedian(overlap) == pytest.approx(0.4, abs=0.06)


def test_acquired_directions_count_more_the_less_noise_they_have():
    calibration = learnt([subject(seed, 0.04, 0.9, 0.3) for seed in (0, 1)])
    shares = []
    for noise in (0.06, 0.04, 0.02):
        arrays, targets, *_ = subject(2, noise, 0.9, 0.3)
        moments = moments_of(*arrays, targets, MASK, EVERYWHERE, B0S, TABLES)
        b = coefficients(calibration, moments, Q / (Q + K))[1]
        shares.append(b[moments.count.argmax()])
    assert shares[0] == Q / (Q + K) and shares[1] < shares[2]
    assert shares[1] == pytest.approx(Q / (Q + K), abs=0.03)


def test_neither_units_nor_axes_matter():
    calibration = learnt([subject(0, 0.04)])
    arrays, *_ = subject(1, 0.04, 1.3)
    held = rescale(calibration, *arrays, MASK, B0S, TABLES)
    scaled = rescale(calibration, *(700 * x for x in arrays), MASK, B0S, TABLES)
    np.testing.assert_allclose(scaled, 700 * held, rtol=1e-3)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turned = tuple(GradientTable(t.bvals, t.bvecs @ turn.T) for t in TABLES)
    np.testing.assert_allclose(rescale(calibration, *arrays, MASK, B0S, turned), held, rtol=1e-3)


def test_groups_that_nothing_is_known_of_stay_as_they_are():
    arrays, *_ = subject(1, 0.04, 1.3)
    nothing = Calibration(*[[None] * 14] * 4)
    assert is_empty(nothing)
    np.testing.assert_array_equal(rescale(nothing, *arrays, MASK, B0S, TABLES), arrays[2])
    small = np.zeros(SHAPE, bool)
    small[:4, :4, :4] = True
    few = [x[small[MASK]] for x in arrays]
    calibration = learnt([subject(0, 0.04)])
    np.testing.assert_array_equal(rescale(calibration, *few, small, B0S, TABLES), few[2])


def test_a_few_bad_voxels_decide_nothing_for_the_others():
    """Half of the DWIs of some voxels dropped out; what the others come to stays what it was."""
    calibration = learnt([subject(seed, 0.04, 1.1) for seed in (0, 1)])
    arrays, *_ = subject(2, 0.04, 1.3)
    bad = np.random.default_rng(0).choice(MASK.size, 12, replace=False)
    b0, acquired, synthetic = (x.copy() for x in arrays)
    acquired[bad, ::2] *= 0.05
    acquired[bad[:4]] = 0
    held, disturbed = (rescale(calibration, *x, MASK, B0S, TABLES)
                       for x in (arrays, (b0, acquired, synthetic)))
    others = np.delete(np.arange(MASK.size), bad)
    change = np.sqrt(np.mean((held - arrays[2])[others] ** 2))
    assert np.sqrt(np.mean((held - disturbed)[others] ** 2)) < change / 20
    assert np.isfinite(disturbed).all()


def test_few_targets_do_no_harm():
    """Where fewer targets than a tensor has elements are left, synthetic DWIs stay as they are."""
    arrays, targets, _ = subject(0, 0.04, 1.3)
    tables = TABLES[0], TABLES[1][:4]
    few = (*arrays[:2], arrays[2][:, :4])
    moments = moments_of(*few, targets[:, :4], MASK, EVERYWHERE, B0S, tables)
    calibration = learn(moments, Q / (Q + 4))
    json.dumps(calibration._asdict(), allow_nan=False)
    np.testing.assert_array_equal(rescale(calibration, *few, MASK, B0S, tables), few[2])


def test_a_calibration_survives_its_file():
    calibration = learnt([subject(0, 0.04)])
    again = from_json(json.loads(json.dumps(calibration._asdict(), allow_nan=False)))
    assert again == calibration
    fields = calibration._asdict()
    for wrong in ({}, [1], fields | {"moment": "x"}, fields | {"moment": [1.0] * 13},
                  fields | {"moment": [float("inf")] * 14}, {name: [] for name in fields}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            from_json(wrong)


@pytest.mark.parametrize("wrong", [0.8, 1.2])
def test_known_noise_and_nothing_learnt_bring_the_true_anisotropy(wrong):
    """Where there is little noise all of the way, where there is much as far as it is told."""
    left = []
    for noise in (0.02, 0.1):
        (b0, acquired, synthetic), _, tensor = subject(3, noise, anisotropy=wrong)
        share = Q / (Q + K)
        change = held(b0, acquired, synthetic, MASK, B0S, TABLES, share,
                      np.full(len(b0), noise, np.float32))

        true = np.mean(deviation(tensor)[WHITE] ** 2)
        before, after = (
            np.mean(deviation(fit_maps([b0[:, None], acquired, values], joined(*TABLES)).tensor)[
                WHITE] ** 2) / true - 1
            for values in (synthetic, scaled(synthetic, change, TABLES[1])))
        left.append(abs(after))
        assert abs(after) < abs(before) / 2
    assert left[0] < 0.03


def test_without_noise_to_take_away_nothing_is_invented():
    """Voxels that are isotropic stay so: the acquired directions show nothing but noise."""
    rng, noise = np.random.default_rng(0), 0.05
    b0 = np.ones(MASK.size, np.float32)
    signal = [np.abs(np.exp(-MD) + noise * rng.standard_normal((MASK.size, n))).astype(np.float32)
              for n in (Q, K)]
    flat = np.full((MASK.size, K), np.exp(-MD), np.float32) * (1 + 1e-3 * signal[1])
    change = held(b0, signal[0], flat, MASK, B0S, TABLES, 1 / 3, np.full(len(b0), noise))
    assert np.abs(change).max() < 0.02  # µm²/ms

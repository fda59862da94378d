"""Baselines against signals on which their answers are known."""

from types import SimpleNamespace

import numpy as np
import pytest
from dipy.core.geometry import cart2sphere
from dipy.reconst.shm import real_sh_descoteaux

from dwijax import baselines, dti
from dwijax.baselines import denoising, linear, moments, networks, regression
from dwijax.data.subject import Subject
from dwijax.fitting import voxels
from dwijax.fitting.noise import residual_sigma
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.gradients.harmonics import gaussian_process

DIRECTIONS = direction_set(24)
Q = 16
TABLE = GradientTable(np.r_[5.0, 5.0, np.full(24, 1000.0)],
                      np.concatenate([DIRECTIONS[:2], DIRECTIONS]))
GIVEN, WANTED = np.arange(2 + Q), np.arange(2 + Q, 26)
MASK = np.zeros((9, 8, 6), bool)
MASK[1:8, 1:7, 1:5] = True
MASK[1, 1] = False
VOXELS = int(MASK.sum())


def acquired(signal):
    """The given volumes of a signal ``[V, 26]``."""
    return baselines.Acquired(signal.astype(np.float32), TABLE, MASK, np.full(3, 2.0)).take(GIVEN)


def band_limited(order, seed=0):
    """``[V, 26]``, DWIs of even spherical harmonics up to ``order``, b0 = 1."""
    _, theta, phi = cart2sphere(*DIRECTIONS.T)
    basis = real_sh_descoteaux(order, theta, phi, full_basis=False, legacy=False)[0]
    coefficients = 0.05 * np.random.default_rng(seed).standard_normal((VOXELS, basis.shape[1]))
    coefficients[:, 0] += 1.5
    return np.concatenate([np.ones((VOXELS, 2)), coefficients @ basis.T], axis=1)


def tensor_signals(seed=0):
    """``[V, 26]`` of random positive tensors."""
    factors = np.random.default_rng(seed).normal(size=(VOXELS, 3, 3)) * 0.4
    d = factors @ factors.transpose(0, 2, 1) + 0.3 * np.eye(3)
    design = np.asarray(dti.design_matrix(TABLE.bvals, TABLE.bvecs))
    return np.exp(d[:, [0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]] @ design[:, :6].T)


def case(signal, judged=None):
    return baselines.Case(acquired(signal), TABLE[WANTED], signal[:, WANTED].astype(np.float32),
                          np.ones(VOXELS, bool) if judged is None else judged)


@pytest.mark.parametrize("order", [2, 4])
def test_spherical_harmonics_are_exact_on_a_band_limited_signal(order):
    signal = band_limited(order)
    found = baselines.spherical_harmonics(order, 0.0).predict(acquired(signal), TABLE[WANTED])
    np.testing.assert_allclose(found, signal[:, WANTED], atol=1e-5)


def test_tensor_interpolation_is_exact_on_tensors():
    signal = tensor_signals()
    found = baselines.tensor().predict(acquired(signal), TABLE[WANTED])
    np.testing.assert_allclose(found, signal[:, WANTED], rtol=1e-4)


def test_predictions_are_in_the_units_of_what_was_acquired():
    signal = tensor_signals()
    sh = baselines.spherical_harmonics(2, 0.01)
    for baseline in (baselines.tensor(), sh, baselines.log_harmonics(2, 0.01),
                     baselines.process("spherical", 1.5, 0.1),
                     baselines.denoised(baselines.GAUSSIAN, 3.0, sh)):
        prepare = baseline.denoise or (lambda a: a)
        once, scaled = (baseline.predict(prepare(acquired(s)), TABLE[WANTED])
                        for s in (signal, 500 * signal))
        np.testing.assert_allclose(scaled, 500 * once, rtol=2e-4)


def test_smoothing_leaves_constants_alone_up_to_the_border():
    signal = np.tile(np.linspace(0.2, 1.0, 26), (VOXELS, 1))
    np.testing.assert_allclose(baselines.smooth(acquired(signal), 5.0).signal,
                               acquired(signal).signal, rtol=1e-5)


def test_smoothing_is_in_millimetres():
    point = np.zeros(MASK.shape, np.float32)
    point[4, 4, 3] = 1
    signal = np.tile(point[MASK][:, None], (1, 26))
    volume = np.zeros(MASK.shape)
    flat = acquired(signal)._replace(voxel_size=np.array([2.0, 2.0, 8.0]))
    volume[MASK] = baselines.smooth(flat, 2.0 * 2.3548).signal[:, 0]
    # σ is one voxel in the plane and a quarter of one across it.
    assert volume[5, 4, 3] / volume[4, 4, 3] == pytest.approx(np.exp(-0.5), rel=0.02)
    assert volume[4, 4, 2] / volume[4, 4, 3] < 1e-3


def test_harmonics_of_the_logarithm_are_exact_on_tensors():
    signal = tensor_signals()
    found = baselines.log_harmonics(2, 1e-9).predict(acquired(signal), TABLE[WANTED])
    assert (signal > 0.02).all()  # what is taken of smaller ones is another number
    np.testing.assert_allclose(found, signal[:, WANTED], rtol=2e-3)


def test_gaussian_process_is_kriging_with_an_unknown_mean():
    """The limit of a process whose constant mean has a very wide prior."""
    given, wanted = DIRECTIONS[:Q], DIRECTIONS[Q:]
    theta = np.arccos(np.clip(np.abs(DIRECTIONS @ given.T), 0, 1))
    for name, cover in (("exponential", np.exp(-theta / 0.8)),
                        ("spherical", np.where(theta < 0.8, 1 - 1.5 * theta / 0.8
                                               + 0.5 * (theta / 0.8) ** 3, 0))):
        wide = 1e6
        expected = (cover[Q:] + wide) @ np.linalg.inv(cover[:Q] + wide + 0.2 * np.eye(Q))
        found = gaussian_process(given, wanted, covariance=name, angle=0.8, noise=0.2)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        itself = gaussian_process(given, given, covariance=name, angle=0.8, noise=0.0)
        np.testing.assert_allclose(itself, np.eye(Q), atol=1e-10)


def test_moments_hold_the_squared_error():
    rng = np.random.default_rng(0)
    x, y, matrix = (rng.standard_normal(s) for s in ((50, 4), (50, 3), (3, 4)))
    found = moments.moments(x, y, None, None)
    assert found.squared_error(matrix) == pytest.approx(np.sum((x @ matrix.T - y) ** 2))


def test_neighbours_are_those_in_the_slice():
    signal = np.random.default_rng(0).random((VOXELS, 26)).astype(np.float32)
    given = acquired(signal)
    for axis in range(3):
        found = regression.features(given, 3, axis)
        volume = np.zeros((*MASK.shape, 1 + Q), np.float32)
        volume[MASK] = np.concatenate([signal[:, :2].mean(axis=1, keepdims=True),
                                       signal[:, 2:2 + Q]], axis=1)
        for v in (0, VOXELS // 2, VOXELS - 1):
            at = np.argwhere(MASK)[v]
            low, high = at - 1, at + 2
            low[axis], high[axis] = at[axis], at[axis] + 1
            patch = volume[tuple(map(slice, low, high))]
            np.testing.assert_array_equal(found[v], patch.ravel())


@pytest.mark.parametrize("side", [1, 3])
def test_regression_learns_a_linear_rule(side):
    rng = np.random.default_rng(side)
    rule = rng.standard_normal((8, side**2 * (1 + Q)))

    def subject():
        signal = rng.random((VOXELS, 26)).astype(np.float32)
        given = acquired(signal)
        targets = regression.features(given, side, 2) @ rule.T
        return baselines.Case(given, TABLE[WANTED], targets, np.ones(VOXELS, bool))

    found = regression.Regression(side, 2)
    for _ in range(4):
        found.learn(subject())
    found.validate(subject())
    test = subject()
    predicted = found.best(weights=(1e-9, 1.0)).predict(test.acquired, test.gtab)
    np.testing.assert_allclose(predicted, test.measured, rtol=0.02, atol=0.02)


def test_tuning_finds_the_best_point_of_the_grid():
    rng = np.random.default_rng(1)
    cases = [case(band_limited(4, seed) + 0.1 * rng.standard_normal((VOXELS, 26)))
             for seed in (1, 2)]
    found = []
    for c in cases:
        dwis = c.acquired.take(np.flatnonzero(~c.acquired.gtab.b0s_mask))
        moments.add(found, moments.moments(dwis.signal, c.measured, dwis.gtab.bvecs, c.gtab.bvecs))
    assert len(found) == 1  # one table: counted together

    def error(baseline):
        return sum(np.sum((baseline.predict(c.acquired, c.gtab) - c.measured) ** 2)
                   for c in cases)

    weights = (1e-3, 1e-2, 1e-1)
    grid = [baselines.spherical_harmonics(o, w) for o in (2, 4) for w in weights]
    assert linear.tune_harmonics(found, (2, 4), weights)[1].label == min(grid, key=error).label
    grid = [baselines.process(c, 1.0, n) for c in ("spherical", "exponential")
            for n in (0.01, 0.3, 3.0)]
    _, tuned = linear.tune_process(found, (1.0,), (0.01, 0.3, 3.0))
    assert tuned.label == min(grid, key=error).label


def test_tuning_smooths_where_neighbours_are_alike():
    rng = np.random.default_rng(2)
    alike = np.tile(band_limited(2)[:1], (VOXELS, 1)) + 0.1 * rng.standard_normal((VOXELS, 26))
    different = band_limited(2) * rng.uniform(0.3, 1, (VOXELS, 1))
    for signal, width in ((alike, 5.0), (different, 1.0)):
        found, sh = baselines.tune([case(signal)], [case(signal)], axis=2)
        assert found[-1].label.startswith(f"Gaussian {width} mm")
        assert [b.name for b in found] == ["tensor", sh, "log_sh", "gp", "ridge1", "ridge3",
                                           "smoothed"]
        assert sh in ("sh2", "sh4", "sh6")


def test_tuning_looks_at_judged_voxels_only():
    signal = band_limited(2) + 0.05 * np.random.default_rng(3).standard_normal((VOXELS, 26))
    judged = np.arange(VOXELS) % 2 == 0
    spoiled = signal.copy()
    spoiled[~judged] = 7 * np.random.default_rng(4).random((np.sum(~judged), 26))
    chosen = baselines.Chosen((), every_order=True)
    found = [baselines.tune([], [case(s, judged)], axis=2, chosen=chosen)[0]
             for s in (signal, spoiled)]
    assert [b.name for b in found[0]] == ["tensor", "sh2", "sh4", "sh6", "log_sh", "gp"]
    assert [b.label for b in found[0]] == [b.label for b in found[1]]


def test_tuning_needs_a_subject():
    with pytest.raises(ValueError, match="validation"):
        baselines.tune([], [], axis=2)


@pytest.fixture(scope="module")
def noisy():
    """Two tissues of few tensors each, in a volume with air around the brain; SNR 10."""
    rng = np.random.default_rng(5)
    table = GradientTable(np.r_[np.full(3, 5.0), np.full(30, 1000.0)],
                          np.concatenate([direction_set(3), direction_set(30)]))
    mask = np.zeros((16, 14, 10), bool)
    mask[2:14, 2:12, 2:8] = True
    factors = rng.normal(size=(2, 3, 3)) * 0.5
    d = factors @ factors.transpose(0, 2, 1) + 0.3 * np.eye(3)
    design = np.asarray(dti.design_matrix(table.bvals, table.bvecs))
    profiles = np.exp(d[:, [0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]] @ design[:, :6].T)
    volume = np.zeros((*mask.shape, 33))
    volume[mask] = profiles[(np.nonzero(mask)[0] > 7).astype(int)]
    noise = 0.1 * rng.standard_normal((2, *volume.shape))
    measured = np.hypot(volume + noise[0], noise[1]).astype(np.float32)
    subject = Subject("sub", 700 * measured, table, mask, np.diag([-2.0, 2, 2, 1]), "LAS", None,
                      np.arange(33), 700 * measured[..., :3].mean(axis=-1), 700.0)
    return baselines.acquired(subject), volume[mask]


@pytest.mark.parametrize("denoiser", baselines.SETS["all"].denoisers, ids=lambda d: d.name)
def test_denoisers_denoise(noisy, denoiser):
    given, clean = noisy
    before = np.sqrt(np.mean((given.signal - clean) ** 2))
    errors = [np.sqrt(np.mean((denoiser.apply(given, s).signal - clean) ** 2))
              for s in denoiser.strengths]
    assert min(errors) < 0.8 * before
    then = baselines.denoised(denoiser, denoiser.strengths[0], baselines.tensor())
    assert then.name == denoiser.name and denoiser.short in then.label + then.short


def test_the_volume_is_put_together_again(noisy):
    given, _ = noisy
    few = given.take(np.array([0, 4, 7])).take(np.array([0, 2]))
    whole = given.subject.dwi[..., [0, 7]]
    np.testing.assert_allclose(few.volume(), whole / 700, rtol=1e-6)
    np.testing.assert_array_equal(few.volume()[given.mask], few.signal)
    np.testing.assert_array_equal(few.scan().dwi, whole)
    np.testing.assert_array_equal(few.scan().volumes, [0, 7])
    assert len(few.scan().gtab) == 2
    assert not given._replace(subject=None).volume()[~given.mask].any()


def test_inputs_are_the_b0s_and_these_directions(noisy):
    given, _ = noisy
    few = given.inputs(np.array([5, 1]))
    np.testing.assert_array_equal(few.signal, given.signal[:, [0, 1, 2, 8, 4]])
    np.testing.assert_array_equal(few.gtab.bvecs[few.gtab.dwis], given.gtab.bvecs[[8, 4]])


def test_the_noise_level_of_residuals(noisy):
    given, _ = noisy
    assert residual_sigma(given.signal, given.gtab) == pytest.approx(0.1, rel=0.1)
    assert denoising.non_local_means(given, 1.0).signal.std() < given.signal.std()
    # Told of a tenth of the noise, it changes little; dipy 1.12's blockwise method blurs as ever.
    assert np.std(denoising.non_local_means(given, 0.1).signal - given.signal) < 0.02


def test_chunks_do_not_show():
    signal = np.tile(tensor_signals(), (60, 1)).astype(np.float32)
    assert len(signal) > 4096 and len(signal) % 4096
    maps = voxels.fit_maps([signal[:, :5], signal[:, 5:]], TABLE)
    np.testing.assert_allclose(voxels.tensor_signal(maps, TABLE), signal, rtol=1e-3)
    for values in maps:
        copies = values.reshape(60, VOXELS, -1)
        np.testing.assert_allclose(copies, copies[:1].repeat(60, axis=0), rtol=1e-5, atol=1e-6)


def test_a_run_is_one_more_predictor(noisy, monkeypatch):
    """It sees b0s and inputs in the scan's own unit and speaks for its own directions."""
    given, _ = noisy
    table = GradientTable(np.full(30, 1000.0), direction_set(30))
    run = SimpleNamespace(targets=np.arange(10, 30), gtab=table,
                          config=SimpleNamespace(
                              task="direction_synthesis", model=SimpleNamespace(joint=False)))
    seen = []

    def synthesise(run, subject):
        seen.append(subject)
        return 2 * subject.dwi[..., 3:4] * np.ones(20, np.float32)

    monkeypatch.setattr(networks, "synthesise", synthesise)
    predictor = networks.networks(run, "networks")
    inputs, wanted = given.inputs(np.arange(10)), given.gtab[given.gtab.dwis[10:]]
    found = predictor.predict(inputs, wanted)
    np.testing.assert_allclose(found, 2 * inputs.signal[:, 3:4] * np.ones(20), rtol=1e-6)
    whole = predictor.predict_volume(inputs, wanted)
    assert whole.shape == (*given.mask.shape, 20) and whole[~given.mask].any()
    assert seen[0].dwi.shape[-1] == 13 and list(seen[0].volumes) == list(range(13))
    np.testing.assert_array_equal(predictor.gtab.bvecs, table.bvecs[10:])
    assert predictor.label == "20 networks"
    with pytest.raises(ValueError, match="20 learnt"):
        predictor.predict(inputs, wanted[:5])

"""Baselines against signals on which their answers are known."""

import numpy as np
import pytest
from dipy.core.geometry import cart2sphere
from dipy.reconst.shm import real_sh_descoteaux

from dwijax import baselines, dti, voxelwise
from dwijax.directions import direction_set
from dwijax.gradients import GradientTable

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
    for baseline in (baselines.tensor(), baselines.spherical_harmonics(4, 0.01),
                     baselines.smoothed(3.0, baselines.spherical_harmonics(2, 0.01))):
        once, scaled = (baseline.predict(acquired(s), TABLE[WANTED])
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


def test_tuning_finds_the_best_point_of_the_grid():
    rng = np.random.default_rng(1)
    cases = [case(band_limited(4, seed) + 0.1 * rng.standard_normal((VOXELS, 26)))
             for seed in (1, 2)]

    def error(baseline):
        return sum(np.sum((baseline.predict(c.acquired, c.gtab) - c.measured) ** 2)
                   for c in cases)

    grid = [baselines.spherical_harmonics(order, weight)
            for order in (2, 4) for weight in (1e-3, 1e-2, 1e-1)]
    tuned, _ = baselines.tune(iter(cases), widths=(2.0,), orders=(2, 4),
                              weights=(1e-3, 1e-2, 1e-1))
    assert tuned.label == min(grid, key=error).label


def test_tuning_smooths_where_neighbours_are_alike():
    rng = np.random.default_rng(2)
    alike = np.tile(band_limited(2)[:1], (VOXELS, 1)) + 0.1 * rng.standard_normal((VOXELS, 26))
    different = band_limited(2) * rng.uniform(0.3, 1, (VOXELS, 1))
    for signal, width in ((alike, 6.0), (different, 1.0)):
        _, found = baselines.tune([case(signal)], widths=(1.0, 3.0, 6.0))
        assert found.label.startswith(f"Gaussian {width} mm")


def test_tuning_looks_at_judged_voxels_only():
    signal = band_limited(2) + 0.05 * np.random.default_rng(3).standard_normal((VOXELS, 26))
    judged = np.arange(VOXELS) % 2 == 0
    spoiled = signal.copy()
    spoiled[~judged] = 7 * np.random.default_rng(4).random((np.sum(~judged), 26))
    labels = [baselines.tune([case(s, judged)], widths=(2.0,))[0].label
              for s in (signal, spoiled)]
    assert labels[0] == labels[1]


def test_tuning_needs_a_subject():
    with pytest.raises(ValueError, match="validation"):
        baselines.tune([])


def test_chunks_do_not_show():
    signal = np.tile(tensor_signals(), (60, 1)).astype(np.float32)
    assert len(signal) > 4096 and len(signal) % 4096
    maps = voxelwise.fit_maps([signal[:, :5], signal[:, 5:]], TABLE)
    np.testing.assert_allclose(voxelwise.tensor_signal(maps, TABLE), signal, rtol=1e-3)
    for values in maps:
        copies = values.reshape(60, VOXELS, -1)
        np.testing.assert_array_equal(copies, copies[:1].repeat(60, axis=0))

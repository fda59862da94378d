"""A scan made to look like a run's: reordered, turned, resampled, scaled in b."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dwijax import dti
from dwijax.data.subject import Subject
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import compare, direction_set
from dwijax.gradients.resampling import plan_resampling, resample
from dwijax.inference.adaptation import adapt, choose_shell, scale_b

Q, K = 12, 8
RUN = GradientTable(np.full(Q + K, 1000.0), direction_set(Q + K))
INPUTS, TARGETS = np.arange(Q), np.arange(Q, Q + K)
TENSOR = np.array([1.4, 0.2, 0.6, 0.1, -0.1, 0.5])  # µm²/ms


def subject(bvecs, b=1000.0):
    """One tensor everywhere, S0 = 800, two b0s first; volumes as stored in reverse."""
    gtab = GradientTable(np.r_[0, 0, np.full(len(bvecs), b)],
                         np.concatenate([np.zeros((2, 3)), bvecs]))
    design = np.asarray(dti.design_matrix(gtab.bvals, gtab.bvecs))
    signal = 800 * np.exp(design[:, :6] @ TENSOR)
    dwi = np.tile(signal.astype(np.float32), (3, 4, 2, 1))
    return Subject("s", dwi, gtab, np.ones((3, 4, 2), bool), np.eye(4), "LAS", None,
                   np.arange(len(gtab))[::-1] + 5, dwi[..., 0], 800.0)


def expected(b, bvecs):
    design = np.asarray(dti.design_matrix(np.full(len(bvecs), b), bvecs))
    return 800 * np.exp(design[:, :6] @ TENSOR)


def test_the_runs_own_directions_are_used_as_they_are():
    scan = subject(RUN.bvecs)
    adapted = adapt(scan, RUN, INPUTS, TARGETS)
    assert adapted.subject is scan and adapted.facts["directions"] == "same order"
    np.testing.assert_allclose(adapted.gtab.bvecs, RUN.bvecs[TARGETS], atol=1e-12)
    np.testing.assert_allclose(adapted.gtab.bvals, 1000)
    assert adapted.back(scan.dwi) is scan.dwi
    assert adapted.facts["input_volumes"] == scan.volumes[2:2 + Q].tolist()
    # Every target is measured in this scan, which is said.
    assert adapted.facts["nearest_measured_degrees"] == [0.0] * K
    assert any("within 5°" in note for note in adapted.notes)


def test_a_subset_in_another_order_is_picked():
    order = np.random.default_rng(0).permutation(Q)
    own = np.concatenate([direction_set(5, seed=8), -RUN.bvecs[order]])
    scan = subject(own)
    adapted = adapt(scan, RUN, INPUTS, TARGETS)
    assert adapted.facts["directions"] == "picked and put in order"
    assert adapted.facts["input_volumes"] == scan.volumes[2 + 5 + np.argsort(order)].tolist()
    np.testing.assert_allclose(adapted.subject.dwi[0, 0, 0, 2:],
                               expected(1000.0, RUN.bvecs[INPUTS]), rtol=1e-5)
    assert sum("another order" in note for note in adapted.notes) == 1
    np.testing.assert_array_equal(adapted.subject.dwi[..., :2], scan.dwi[..., :2])


@pytest.mark.parametrize("degrees, told", [(4.0, False), (12.0, True)])
def test_synthetic_directions_turn_with_the_table(degrees, told):
    rotation = Rotation.from_rotvec(np.radians([0, degrees, 0])).as_matrix()
    adapted = adapt(subject(RUN.bvecs[INPUTS] @ rotation.T), RUN, INPUTS, TARGETS)
    np.testing.assert_allclose(adapted.gtab.bvecs, RUN.bvecs[TARGETS] @ rotation.T, atol=1e-9)
    assert adapted.facts["turned_degrees"] == pytest.approx(degrees, abs=1e-3)
    assert max(adapted.facts["input_angles_degrees"]) <= degrees + 1e-3
    assert any("as a whole" in note for note in adapted.notes) == told


def test_another_table_needs_to_be_asked_for():
    scan = subject(direction_set(20, seed=3))
    with pytest.raises(InputError, match=r"a.bvec: .*°.*--resample"):
        adapt(scan, RUN, INPUTS, TARGETS, where="a.bvec")
    adapted = adapt(scan, RUN, INPUTS, TARGETS, may_resample=True)
    np.testing.assert_allclose(adapted.subject.dwi[0, 0, 0, 2:],
                               expected(1000.0, RUN.bvecs[INPUTS]), rtol=0.03)
    found = adapted.facts["resampling"]
    angles = compare(*np.broadcast_arrays(RUN.bvecs[INPUTS][:, None], scan.gtab.bvecs[2:][None]))
    np.testing.assert_allclose(found["extrapolation_degrees"], angles.min(axis=1), atol=1e-3)
    assert adapted.facts["directions"] == "resampled"
    assert len(adapted.facts["input_volumes"]) == 20
    assert any("interpolated" in note for note in adapted.notes)
    np.testing.assert_allclose(adapted.gtab.bvecs, RUN.bvecs[TARGETS])


def test_nothing_is_resampled_to_more_than_was_measured():
    with pytest.raises(InputError, match=f"{Q - 1} directions.*at least the {Q}.*more directions"):
        adapt(subject(direction_set(Q - 1)), RUN, INPUTS, TARGETS, may_resample=True)


def test_noise_gain_and_distance():
    own, wanted = direction_set(20, seed=3), direction_set(6, seed=4)
    plan = plan_resampling(own, wanted)
    noisy = (100 + np.random.default_rng(1).normal(size=(40_000, 20))).astype(np.float32)
    found = resample(noisy, 200.0, plan)
    np.testing.assert_allclose(found.mean(axis=0), 100, atol=0.05)
    np.testing.assert_allclose(found.std(axis=0), plan.gain, rtol=0.03)
    clustered = own * [1, 1, 0.05]  # nearly in a plane
    clustered /= np.linalg.norm(clustered, axis=1, keepdims=True)
    worse = plan_resampling(clustered, wanted)
    assert worse.extrapolation.max() > 2 * plan.extrapolation.max()
    assert worse.gain.max() > 2 * plan.gain.max()


def test_resampling_follows_tensors_in_any_number_of_blocks():
    own, wanted = direction_set(20, seed=3), direction_set(6, seed=4)
    plan = plan_resampling(own, wanted)
    one = np.tile(expected(1000.0, own).astype(np.float32), (3, 1))
    np.testing.assert_allclose(resample(one, 800.0, plan),
                               np.tile(expected(1000.0, wanted), (3, 1)), rtol=0.03)
    many = np.random.default_rng(2).uniform(50, 100, (70, 50, 20, 20)).astype(np.float32)
    found = resample(many, 200.0, plan)
    np.testing.assert_allclose(found[69, 49], resample(many[69, 49], 200.0, plan), rtol=1e-5)
    assert (found <= 1.5 * many.max(axis=-1, keepdims=True)).all()


def test_b_is_scaled_there_and_back_exactly_on_one_exponential():
    scan = subject(RUN.bvecs[INPUTS], b=2000.0)
    adapted = adapt(scan, RUN, INPUTS, TARGETS)
    np.testing.assert_allclose(adapted.subject.dwi[0, 0, 0, 2:],
                               expected(1000.0, RUN.bvecs[INPUTS]), rtol=1e-5)
    np.testing.assert_allclose(adapted.gtab.bvals, 2000)
    synthetic = np.tile(expected(1000.0, RUN.bvecs[TARGETS]).astype(np.float32), (3, 4, 2, 1))
    np.testing.assert_allclose(adapted.back(synthetic)[1, 1, 1],
                               expected(2000.0, RUN.bvecs[TARGETS]), rtol=1e-5)
    assert any("mono-exponentially" in note for note in adapted.notes)
    assert adapted.facts["b"]["scaled"] and "exp" not in adapted.facts["b"]["assumption"]


def test_a_nearby_b_is_used_and_said():
    adapted = adapt(subject(RUN.bvecs[INPUTS], b=1050.0), RUN, INPUTS, TARGETS)
    assert not adapted.facts["b"]["scaled"]
    np.testing.assert_allclose(adapted.gtab.bvals, 1050)
    assert any("b=1050 is used as the run's b=1000" in note for note in adapted.notes)


def test_scaling_b_leaves_what_has_no_b0_alone():
    dwi = np.array([[[[5.0, 0.0]], [[3.0, 7.0]]]], np.float32)
    b0 = np.array([[[0.0], [10.0]]], np.float32)
    scaled = scale_b(dwi, b0, [2.0, 0.5])
    np.testing.assert_allclose(scaled[0, 0, 0], [5, 0])
    np.testing.assert_allclose(scaled[0, 1, 0], [10 * 0.3**2, 10 * 0.7**0.5], rtol=1e-6)


def test_the_nearest_shell_is_chosen():
    b = np.r_[0, np.full(6, 700.0), np.full(6, 995.0), np.full(6, 2000.0)]
    gtab = GradientTable(b, np.concatenate([np.zeros((1, 3)), *[direction_set(6)] * 3]))
    assert choose_shell(gtab, 1000, where="b") == 995
    assert choose_shell(gtab, 1600, where="b") == 2000
    with pytest.raises(InputError, match="no diffusion-weighted"):
        choose_shell(gtab[:1], 1000, where="b")


def test_all_that_is_lacking_is_told_at_once():
    other = subject(direction_set(20, seed=3), b=1500.0)
    with pytest.raises(InputError, match=r"^a.bval and a.bvec: found b=1500.*°.*b=1000.*"
                                         r"give --scale-b --resample"):
        adapt(other, RUN, INPUTS, TARGETS, may_scale=False, where="a.bvec", where_b="a.bval")
    with pytest.raises(InputError, match=r"^a.bval: found b=1500.*give --scale-b \("):
        adapt(other, RUN, INPUTS, TARGETS, may_scale=False, may_resample=True, where_b="a.bval")

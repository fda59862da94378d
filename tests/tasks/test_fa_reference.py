"""What the FA loss holds predictions to: FA of the targets alone, without what noise adds to it."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.phantom import get_config
from dwijax import config as settings
from dwijax.data.anisotropy import jackknife, measured_fa
from dwijax.data.channels import DenoisedDirections
from dwijax.data.cohort import Member, load_slices
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import simulate
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.tasks.direction_synthesis import direction_synthesis

Q, N, B0S = 6, 66, 6


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20))
def test_the_jackknife_makes_a_variance_unbiased(values):
    """The textbook's case, exact: division by n - 1 instead of n. A mean stays what it is."""
    values = np.array(values)
    found = jackknife(lambda kept: values[kept].var(), len(values), groups=len(values))
    assert found == pytest.approx(values.var(ddof=1), abs=1e-9)
    pairs = np.repeat(values, 4)
    assert jackknife(lambda kept: pairs[kept].mean(), len(pairs)) == pytest.approx(
        values.mean(), abs=1e-9)


def scanned(fa, sigma, seed=0, voxels=4000):
    """A subject that is one cigar-shaped tensor of this FA and MD 0.8 µm²/ms, and noise."""
    r = fa / np.sqrt(3 - 2 * fa**2)  # evals (1 + 2 r, 1 - r, 1 - r) · MD
    tensor = 0.8 * np.diag([1 + 2 * r, 1 - r, 1 - r])
    bvecs = direction_set(N)
    clean = np.r_[np.ones(B0S), np.exp(-np.einsum("mi,ij,mj->m", bvecs, tensor, bvecs))]
    rng = np.random.default_rng(seed)
    dwi = np.hypot(clean + sigma * rng.normal(size=(voxels, len(clean))),
                   sigma * rng.normal(size=(voxels, len(clean))))
    gtab = GradientTable(np.r_[np.zeros(B0S), np.full(N, 1000.0)],
                         np.r_[np.zeros((B0S, 3)), bvecs])
    return SimpleNamespace(dwi=dwi.astype(np.float32).reshape(voxels, 1, 1, -1), gtab=gtab,
                           mask=np.ones((voxels, 1, 1), bool))


def test_without_a_b0_there_is_no_fa_to_reach():
    subject = scanned(0.4, 0.02, voxels=6)
    subject.dwi[:2, ..., :B0S] = 0
    found = measured_fa(subject, slice(Q, None))
    assert np.isnan(found[:2]).all() and np.isfinite(found[2:]).all()


@pytest.mark.parametrize("fa", [0.15, 0.4, 0.7])
def test_fa_without_the_bias_of_noise(fa):
    subject = scanned(fa, 0.05)
    bias, half, whole = (measured_fa(subject, slice(Q, None), correction).mean() - fa
                         for correction in (1.0, 0.5, 0.0))
    assert abs(bias) < 0.002
    assert half == pytest.approx((bias + whole) / 2, abs=1e-6)
    if fa == 0.15:  # where noise adds most
        assert whole > 0.01


def test_it_knows_nothing_of_the_inputs():
    subject = scanned(0.4, 0.05, voxels=50)
    inputs = (np.arange(B0S + N) >= B0S) & (np.arange(B0S + N) < B0S + Q)
    other = SimpleNamespace(**vars(subject) | {"dwi": np.where(inputs, 9e3, subject.dwi)})
    np.testing.assert_array_equal(*(measured_fa(s, slice(Q, None)) for s in (subject, other)))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom")
    simulate(root, subjects=1, seed=3, workers=1, progress=False, shape=(16, 20, 4),
             voxel_size=6.0, n_directions=18, b0s=B0S)
    return [Member(files, None) for files in find_subjects(root, "phantom")]


def test_the_loss_is_held_to_the_measured_fa_which_no_network_sees(cohort):
    """FA as measured, also where targets are denoised."""
    options = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0}
    inputs, targets = np.arange(Q), np.arange(Q, 18)

    def build(gtab, b0s, **how):
        return direction_synthesis(gtab, b0s, inputs, targets, neighbours=1, denoised=True, **how)

    plain, tables, _, b0s = load_slices(cohort, lambda *a: build(*a).channels, **options)
    assert "fa" not in plain.images
    task = build(tables[0], b0s, fa_weight=1.0, fa_correction=1.0)
    slices = load_slices(cohort, lambda *_: task.channels | {
        "targets": DenoisedDirections(targets)}, **options)[0]
    subject = load_subject(cohort[0].files)
    filled = np.flatnonzero(subject.mask.any((0, 1)))
    fa = np.moveaxis(measured_fa(subject, targets)[:, :, filled], 2, 0)
    np.testing.assert_array_equal(slices.images["fa"][..., 0], fa)
    assert np.ptp(slices.images["targets"] - plain.images["targets"]) > 0.01

    x = task.see(slices.images)
    assert x.shape[-1] == task.in_channels
    np.testing.assert_array_equal(x, task.see(plain.images))

    k = len(targets)
    predictions = jnp.moveaxis(jnp.asarray(slices.images["targets"]), -1, 0)[..., None]
    coupled = jax.jit(partial(task.coupled, predictions, jnp.ones(k, bool)))
    weight = slices.mask / slices.mask.sum()
    reached = coupled(slices.images, weight) / k
    assert 0 < reached < 0.01
    # (d - 1)² = d² - 2 d + 1, d being small in the mean.
    off = slices.images | {"fa": slices.images["fa"] + 1}
    assert coupled(off, weight) / k - reached == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("field, value", [("data.layout", "store"),
                                          ("loss.fa_reference", "truth")])
def test_what_does_not_go_with_the_fa_of_targets(field, value):
    config = get_config("fa_targets")
    settings.check(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match="fa_reference"):
        settings.check(config)


def test_too_few_targets_for_a_tensor():
    config = get_config("fa_targets")
    config.data.inputs = 8
    with pytest.raises(InputError, match="targets, of which there are 10"):
        settings.build_task(config, GradientTable(np.full(18, 1000.0), direction_set(18)), B0S)
    config.loss.fa_reference = "all"
    settings.build_task(config, GradientTable(np.full(18, 1000.0), direction_set(18)), B0S)

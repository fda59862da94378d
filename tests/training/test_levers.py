"""What can be changed about a direction stack: each does what it says, in numbers."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dipy.core.sphere import Sphere
from dipy.reconst.shm import sf_to_sh

from configs.base import base
from configs.phantom import get_config
from dwijax import config as settings
from dwijax.data import cohort as cohorts
from dwijax.data.cohort import Member, load_slices
from dwijax.data.layouts import find_subjects
from dwijax.data.mppca import mppca
from dwijax.data.phantom import simulate
from dwijax.data.slices import surroundings
from dwijax.data.subject import load_subject
from dwijax.data.whitening import whitening
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.inference import Run, outputs, synthesise
from dwijax.tasks import losses
from dwijax.tasks.direction_synthesis import direction_synthesis, joined

Q, N = 7, 12
GTAB = GradientTable(np.full(N, 1000.0), direction_set(N))
build = partial(direction_synthesis, GTAB, 2, np.arange(Q), np.arange(Q, N))


def config_of(fields):
    config = base()
    config.update_from_flattened_dict(fields)
    return config


def images(channels=N, seed=0, anisotropy=0.7):
    """Signals of random tensors, then noise for what neighbouring slices there are."""
    rng = np.random.default_rng(seed)
    root = rng.normal(0, anisotropy, (2, 4, 6, 3, 3))
    tensor = root @ np.swapaxes(root, -1, -2) + 0.3 * np.eye(3)
    dwi = np.exp(-np.einsum("mi,...ij,mj->...m", GTAB.bvecs, tensor, GTAB.bvecs))
    more = rng.uniform(0.2, 0.5, (2, 4, 6, channels - N))
    return (jnp.ones((2, 4, 6, 1)),
            jnp.asarray(np.concatenate([dwi, more], axis=-1), jnp.float32))


def test_joint_is_the_stack_in_one():
    """Targets, references and both losses of one network with K outputs, against K networks."""
    stack = build(fa_weight=2.0)
    joint = joined(stack)
    b0, dwi = images()
    x, weight = stack.see(b0, dwi), jnp.full((2, 4, 6, 1), 1 / 48)
    np.testing.assert_array_equal(joint.targets(b0, dwi)[0], dwi[..., Q:])
    one = jax.vmap(joint.reference, (0, None))(joint.reference_weights, x)
    many = jax.vmap(stack.reference, (0, None))(stack.reference_weights, x)
    assert one.shape == (1, 2, 4, 6, N - Q)
    np.testing.assert_allclose(one[0], jnp.moveaxis(many[..., 0], 0, -1), atol=1e-6)

    error = jax.vmap(losses.squared_error, (0, 0, None))
    own = error(many, stack.targets(b0, dwi), weight)
    np.testing.assert_allclose(error(one, joint.targets(b0, dwi), weight)[0], own.mean(), rtol=1e-5)
    coupled = jax.jit(joint.coupled)
    together = coupled(one, jnp.ones(1, bool), b0, dwi, weight)
    apart = jax.jit(stack.coupled)(many, jnp.ones(N - Q, bool), b0, dwi, weight)
    np.testing.assert_allclose(together, apart / (N - Q), rtol=1e-4)
    assert np.isfinite(coupled(one * jnp.nan, jnp.zeros(1, bool), b0, dwi, weight))


def test_joint_has_as_many_parameters_as_the_stack():
    counts = []
    for variant, networks, channels in (("random_start", 60, 1), ("joint", 1, 60)):
        task = SimpleNamespace(in_channels=31, out_channels=channels)
        network = settings.build_network(get_config(variant), task)
        shapes = jax.eval_shape(network.init, jax.random.key(0))
        counts.append(networks * sum(int(np.prod(a.shape)) for a in jax.tree.leaves(shapes)))
    assert counts[1] == pytest.approx(counts[0], rel=0.05)


def test_without_b0():
    """The same reference, one channel less; what needs the b0 is refused.

    ln S of a tensor is of order 2: without a penalty its expansion is the signal itself."""
    b0, dwi = images(anisotropy=0.35)
    blind, seeing = (build(b0_input=seen, sh_weight=0.0) for seen in (False, True))
    x = blind.see(b0, dwi)
    np.testing.assert_array_equal(x, dwi[..., :Q])
    assert blind.in_channels == Q
    found = [jax.vmap(task.reference, (0, None))(task.reference_weights, seen)
             for task, seen in ((blind, x), (seeing, seeing.see(b0, dwi)))]
    np.testing.assert_allclose(*found, rtol=1e-5)
    np.testing.assert_allclose(found[0][..., 0], jnp.moveaxis(dwi[..., Q:], -1, 0), atol=1e-5)
    for options in ({"residual": "tensor"}, {"neighbours": 1}):
        with pytest.raises(ValueError, match="b0"):
            build(b0_input=False, **options)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two tiny phantoms."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate(folder, subjects=2, seed=5, workers=1, progress=False, shape=(16, 20, 6),
             voxel_size=6.0, n_directions=N, b0s=2)
    return [Member(files, None) for files in find_subjects(folder, "phantom")]


@pytest.mark.parametrize("count", [1, 2])
def test_neighbouring_slices_in_training_and_prediction(cohort, count):
    """Channel by channel against the volume; networks see the same in both."""
    options = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0}
    slices, tables, _, _ = load_slices(cohort, neighbours=count, seen=np.arange(Q), **options)
    alone = load_slices(cohort, **options)[0]
    task = direction_synthesis(tables[0], 2, np.arange(Q), np.arange(Q, N), neighbours=count)
    assert slices.dwi.shape[-1] == N + 2 * count * (1 + Q)
    np.testing.assert_array_equal(slices.dwi[..., :N], alone.dwi)

    subject = load_subject(cohort[0].files)
    first, last = np.flatnonzero(subject.mask.any((0, 1)))[[0, -1]]
    volume = np.concatenate([subject.b0[..., None], subject.dwi[..., 2:2 + Q]], -1) / subject.scale
    for position in range(first, last + 1):
        beside = [volume[:, :, np.clip(position + d, first, last)]
                  for d in range(-count, count + 1) if d]
        np.testing.assert_allclose(slices.dwi[position - first][..., N:],
                                   np.concatenate(beside, -1), rtol=1e-6)

    seen = []
    config = config_of({"data.neighbours": count, "data.neighbours_order": 0})
    run = Run(config, tables[0], np.arange(Q), np.arange(Q, N), task, None,
              lambda params, x: seen.append(x) or np.zeros((N - Q, *x.shape[:3], 1)), {})
    outputs(run, subject)
    x = np.concatenate(seen)[:last - first + 1]
    assert x.shape[-1] == task.in_channels
    np.testing.assert_allclose(
        x, task.see(slices.b0, slices.dwi)[:len(x)], rtol=1e-6)


def test_neighbouring_slices_as_spherical_harmonics(cohort):
    """b0 and dipy's own least-squares harmonics of the slices beside; the same in prediction, in
    which denoised inputs still come last, and for a scan whose table is turned as a whole."""
    options = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0, "seen": np.arange(Q)}
    which = {"neighbours": 1, "neighbours_order": 2}
    slices, tables, _, _ = load_slices(cohort, **which, denoise=True, **options)
    task = direction_synthesis(
        tables[0], 2, np.arange(Q), np.arange(Q, N), **which, denoised=True)
    assert slices.dwi.shape[-1] == N + 2 * (1 + 6) + 1 + Q

    subject = load_subject(cohort[0].files)
    filled = np.flatnonzero(subject.mask.any((0, 1)))
    scaled = subject.dwi / np.float32(subject.scale)
    bvecs = subject.gtab.bvecs[2:2 + Q]
    harmonics = sf_to_sh(scaled[..., 2:2 + Q], Sphere(xyz=bvecs), sh_order_max=2,
                         basis_type="descoteaux07", legacy=False)
    for position, offset, at in ((1, -1, 0), (1, 1, 7), (0, -1, 0)):
        beside = filled[max(position + offset, 0)]
        found = slices.dwi[position, ..., N + at:N + at + 7]
        np.testing.assert_allclose(found[..., 0], subject.b0[:, :, beside] / subject.scale,
                                   rtol=1e-5)
        np.testing.assert_allclose(found[..., 1:], harmonics[:, :, beside], rtol=1e-4, atol=1e-4)

    config = config_of({"data.neighbours": 1, "data.denoise": True})
    seen = []
    run = Run(config, tables[0], np.arange(Q), np.arange(Q, N), task, None,
              lambda params, x: seen.append(x) or np.zeros((N - Q, *x.shape[:3], 1)), {})
    turned = GradientTable(subject.gtab.bvals, np.roll(subject.gtab.bvecs, 1, axis=1))
    outputs(run, replace(subject, gtab=turned,
                         dwi=np.where(np.arange(2 + N) < 2 + Q, subject.dwi, 9e9)))
    x = np.concatenate(seen)[: len(filled)]
    assert x.shape[-1] == task.in_channels == task.measured + 1 + Q
    np.testing.assert_allclose(
        x, task.see(slices.b0, slices.dwi)[: len(filled)], rtol=1e-5, atol=1e-6)


def test_beyond_the_slices_that_count_nothing_is_seen():
    """A slab's neighbours are of the slab: what lies beyond may be for the test."""
    b0 = np.arange(1.0, 7)[None, None] * np.ones((2, 2, 1))
    subject = SimpleNamespace(b0=b0, dwi=b0[..., None], mask=np.ones(b0.shape, bool), scale=1.0,
                              gtab=GradientTable(np.array([1000.0]), np.eye(3)[:1]))
    found = surroundings(subject, [2, 3, 4], 2)[:, 0, 0, ::2]
    np.testing.assert_array_equal(found, [[3, 3, 4, 5], [3, 3, 5, 5], [3, 4, 5, 5]])


def test_inputs_without_noise_are_seen_too(cohort):
    """The same channels in training and in prediction: MP-PCA of b0s and inputs, never of targets;
    the reference is made of them."""
    options = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0, "seen": np.arange(Q)}
    slices, tables, _, _ = load_slices(cohort, neighbours=1, denoise=True, **options)
    subject = load_subject(cohort[0].files)
    filled = np.flatnonzero(subject.mask.any((0, 1)))
    found = mppca(subject.dwi[..., : 2 + Q], subject.mask) / np.float32(subject.scale)
    channels = np.concatenate([found[..., :2].mean(-1, keepdims=True), found[..., 2:]], -1)
    channels = np.moveaxis(channels[:, :, filled], 2, 0)
    np.testing.assert_allclose(
        slices.dwi[: len(filled), ..., N + 2 * (1 + Q):], channels, rtol=1e-5, atol=1e-6)

    config = config_of({"data.neighbours": 1, "data.neighbours_order": 0,
                        "data.denoise": True})
    task = direction_synthesis(
        tables[0], 2, np.arange(Q), np.arange(Q, N), neighbours=1, denoised=True)
    seen = []
    run = Run(config, tables[0], np.arange(Q), np.arange(Q, N), task, None,
              lambda params, x: seen.append(x) or np.zeros((N - Q, *x.shape[:3], 1)), {})
    blind = replace(subject, dwi=np.where(np.arange(2 + N) < 2 + Q, subject.dwi, 9e9))
    outputs(run, blind)
    x = np.concatenate(seen)[: len(filled)]
    assert x.shape[-1] == task.in_channels == task.measured + 1 + Q
    np.testing.assert_allclose(x, task.see(slices.b0, slices.dwi)[: len(filled)], rtol=1e-6)
    alone = direction_synthesis(tables[0], 2, np.arange(Q), np.arange(Q, N))
    np.testing.assert_allclose(*(
        jax.vmap(of.reference, (0, None))(of.reference_weights, jnp.asarray(part))
        for of, part in ((task, x), (alone, x[..., -1 - Q:]))))


def test_whitening_does_not_blow_up_what_denoising_left():
    """Channels of three signals in eight, with noise; and without, but for a ten thousandth."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(4, 16, 16, 3)) @ rng.normal(size=(3, 8))
    noisy = signal + 0.1 * rng.normal(size=signal.shape)
    clean = signal + 1e-4 * rng.normal(size=signal.shape)
    mask = np.ones((4, 16, 16, 1))
    gain = [np.linalg.norm(whitening(x.astype(np.float32), mask, measured).matrix, 2)
            for x, measured in ((noisy, None), (np.concatenate([noisy, clean], -1), 8),
                                (np.concatenate([noisy, clean], -1), None))]
    np.testing.assert_allclose(gain[:2], 1 / 0.1, rtol=0.2)
    assert gain[2] > 10 * gain[0]


def test_clean_targets(cohort):
    options = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0}
    noisy = load_slices(cohort, **options)[0]
    clean = load_slices(cohort, clean=slice(Q, None), **options)[0]
    np.testing.assert_array_equal(clean.dwi[..., :Q], noisy.dwi[..., :Q])
    np.testing.assert_array_equal(clean.b0, noisy.b0)
    difference = (noisy.dwi - clean.dwi)[..., Q:][clean.mask[..., 0] > 0]
    assert 0.02 < difference.std() < 0.08 and abs(difference.mean()) < 0.01  # SNR 20
    config = get_config("clean_targets")
    config.data.layout = "hcp"
    with pytest.raises(InputError, match="clean_targets"):
        settings.check(config)


def test_denoised_targets_are_nearer_the_truth_and_know_nothing_of_the_inputs(cohort):
    options = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0}
    noisy, clean, denoised = (load_slices(cohort, **options, **how)[0] for how in (
        {}, {"clean": slice(Q, None)}, {"denoised": slice(Q, None)}))
    np.testing.assert_array_equal(denoised.dwi[..., :Q], noisy.dwi[..., :Q])
    np.testing.assert_array_equal(denoised.b0, noisy.b0)
    brain = noisy.mask[..., 0] > 0
    left, before = (np.std((s.dwi - clean.dwi)[..., Q:][brain]) for s in (denoised, noisy))
    assert left < 0.9 * before  # of five volumes, three or four are signal

    subject = load_subject(cohort[0].files, shell=1000)
    targets = np.arange(len(subject.gtab)) >= subject.gtab.b0s_mask.sum() + Q
    other = replace(subject, dwi=subject.dwi * np.where(targets, np.float32(1), np.float32(0.5)))
    found, same = (cohorts._denoised(s, slice(Q, None)).dwi for s in (subject, other))
    np.testing.assert_array_equal(found[..., targets], same[..., targets])
    np.testing.assert_array_equal(same[..., ~targets], other.dwi[..., ~targets])


@pytest.mark.parametrize("field, value", [
    ("data.layout", "store"), ("data.clean_targets", True),
    ("data.within_subject", True)])
def test_what_does_not_go_with_denoised_targets(field, value):
    config = get_config("denoise_targets")
    settings.check(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match="denoise_targets"):
        settings.check(config)


def test_a_joint_network_synthesises_every_direction(cohort):
    subject = load_subject(cohort[0].files)
    gtab = subject.gtab[~subject.gtab.b0s_mask]
    stack = direction_synthesis(gtab, 2, np.arange(Q), np.arange(Q, N))
    config = config_of({"model.levels": 2})
    found = []
    for task in (stack, joined(stack)):
        predict = jax.jit(lambda _, x, task=task: jax.vmap(task.reference, (0, None))(
            task.reference_weights, x))
        found.append(synthesise(
            Run(config, gtab, np.arange(Q), np.arange(Q, N), task, None, predict, {}), subject))
    assert found[0].shape == (*subject.mask.shape, N - Q)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


@pytest.mark.parametrize("field, value", [
    ("data.neighbours", 1), ("data.denoise", True), ("data.subjects", 3)])
def test_a_store_cannot_tell(field, value):
    config = get_config()
    config.update_from_flattened_dict(
        {"data.layout": "store", "data.neighbours": 0, field: value})
    with pytest.raises(InputError, match=field.partition(".")[2]):
        settings.check(config)

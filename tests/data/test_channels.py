"""What a slice holds, by name: each channel against the volume, the same wherever it is used."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import nibabel as nib
import numpy as np
import pytest
from dipy.core.sphere import Sphere
from dipy.reconst.shm import sf_to_sh

from configs.base import base
from dwijax.data.anisotropy import measured_fa
from dwijax.data.channels import (
    B0,
    Beside,
    Denoised,
    DenoisedDirections,
    Directions,
    MeasuredFA,
    NoiseFreeDirections,
    Where,
    harmonics,
)
from dwijax.data.cohort import Member, load_slices
from dwijax.data.layouts import find_subjects
from dwijax.data.mppca import mppca
from dwijax.data.phantom import simulate
from dwijax.data.slices import cut
from dwijax.data.subject import load_subject
from dwijax.gradients import GradientTable
from dwijax.inference import Run, outputs
from dwijax.models.stack import functional, network_keys
from dwijax.models.unet import UNet
from dwijax.tasks.direction_synthesis import direction_synthesis
from dwijax.tasks.map_regression import map_regression
from dwijax.tasks.task import predictor
from dwijax.training import optimizers
from dwijax.training.step import init_state, make_step

Q, N, B0S = 7, 19, 2
INPUTS, TARGETS = np.arange(Q), np.arange(Q, N)
OPTIONS = {"shell": 1000, "axis": 2, "multiple": 2, "patch": 0}
build = partial(direction_synthesis, inputs=INPUTS, targets=TARGETS)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two tiny phantoms."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate(folder, subjects=2, seed=5, workers=1, progress=False, shape=(16, 20, 6),
             voxel_size=6.0, n_directions=N, b0s=B0S)
    return [Member(files, None) for files in find_subjects(folder, "phantom")]


@pytest.fixture(scope="module")
def subject(cohort):
    return load_subject(cohort[0].files, shell=1000)


@pytest.fixture(scope="module")
def where(cohort, subject):
    """All slices with brain."""
    return Where(np.flatnonzero(subject.mask.any((0, 1))), truth=cohort[0].files.truth)


def shell(subject):
    return subject.gtab[~subject.gtab.b0s_mask]


def along_z(images):
    """Slices ``[S, H, W, n]`` as part of their volume, ``[X, Y, S, n]``."""
    return np.moveaxis(images, 0, 2)


def other(subject, seed=1):
    """The subject with its shell in another order, and where in it each direction then stands."""
    order = np.random.default_rng(seed).permutation(N)
    volumes = np.r_[np.arange(B0S), B0S + order]
    return replace(subject, dwi=subject.dwi[..., volumes], gtab=subject.gtab[volumes],
                   volumes=subject.volumes[volumes]), np.argsort(order)


def all_kinds(subject):
    project = harmonics(shell(subject).bvecs[INPUTS], 2)
    return {"b0": B0(), "inputs": Directions(INPUTS), "beside": Beside(INPUTS, 2),
            "harmonics beside": Beside(INPUTS, 1, project), "denoised": Denoised(INPUTS),
            "noise-free": NoiseFreeDirections(TARGETS),
            "denoised targets": DenoisedDirections(TARGETS), "fa": MeasuredFA(TARGETS, 1.0)}


def test_each_channel_has_as_many_images_as_it_says(subject, where):
    counts = {"b0": 1, "inputs": Q, "beside": 4 * (1 + Q), "harmonics beside": 2 * (1 + 6),
              "denoised": 1 + Q, "noise-free": N - Q, "denoised targets": N - Q, "fa": 1}
    for name, channel in all_kinds(subject).items():
        images = channel(subject, where._replace(size=(18, 24)))
        assert channel.count == counts[name] and images.dtype == np.float32, name
        assert images.shape == (len(where.positions), 18, 24, channel.count), name
        alone = channel(subject, where)
        np.testing.assert_array_equal(images[:, 1:17, 2:22], alone, name)
        assert np.abs(images).sum(dtype=float) == np.abs(alone).sum(dtype=float) > 0, name


def test_channels_find_their_directions_wherever_they_stand(subject, where):
    """What networks see: the same images of a scan whose shell is in another order."""
    shuffled, positions = other(subject)
    assert not np.array_equal(positions[INPUTS], INPUTS)
    for name in ("b0", "inputs", "beside", "harmonics beside", "denoised"):
        channel = all_kinds(subject)[name]
        moved = channel.at(positions[INPUTS])
        assert moved.count == channel.count
        np.testing.assert_array_equal(moved(shuffled, where), channel(subject, where), name)
        assert name == "b0" or np.any(channel(shuffled, where) != channel(subject, where))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_b0_and_directions_as_they_were_measured(subject, axis):
    """Of any slices, in any order, along any axis, in units of the scale."""
    where = Where(np.array([3, 1, 4]), axis)
    volume = np.moveaxis(subject.dwi / np.float32(subject.scale), axis, 0)[where.positions]
    np.testing.assert_allclose(
        B0()(subject, where)[..., 0], volume[..., :B0S].mean(-1), rtol=1e-6)
    chosen = np.array([5, 0, 11])
    np.testing.assert_array_equal(Directions(chosen)(subject, where), volume[..., B0S + chosen])


def test_measured_fa_is_that_of_the_targets_in_no_unit(subject, where):
    found = MeasuredFA(TARGETS, 0.5)(subject, where)[..., 0]
    expected = measured_fa(subject, TARGETS, 0.5)[..., where.positions]
    np.testing.assert_array_equal(np.moveaxis(found, 0, 2), expected)
    assert 0.1 < np.nanmean(found[found != 0]) < 0.8


@pytest.mark.parametrize("count", [1, 2])
def test_slices_beside(subject, where, count):
    """Channel by channel against the volume."""
    found = Beside(INPUTS, count)(subject, where)
    first, last = where.positions[[0, -1]]
    volume = np.concatenate(
        [subject.b0[..., None], subject.dwi[..., B0S:B0S + Q]], -1) / subject.scale
    for position in range(first, last + 1):
        beside = [volume[:, :, np.clip(position + d, first, last)]
                  for d in range(-count, count + 1) if d]
        np.testing.assert_allclose(found[position - first], np.concatenate(beside, -1), rtol=1e-6)


def test_slices_beside_as_spherical_harmonics(subject, where):
    """b0 and dipy's own least-squares harmonics of the slices beside."""
    bvecs = subject.gtab.bvecs[B0S:B0S + Q]
    images = Beside(INPUTS, 1, harmonics(bvecs, 2))(subject, where)
    expected = sf_to_sh((subject.dwi / np.float32(subject.scale))[..., B0S:B0S + Q],
                        Sphere(xyz=bvecs), sh_order_max=2, basis_type="descoteaux07",
                        legacy=False)
    for position, offset, at in ((1, -1, 0), (1, 1, 7), (0, -1, 0)):
        beside = where.positions[max(position + offset, 0)]
        found = images[position, ..., at:at + 7]
        np.testing.assert_allclose(found[..., 0], subject.b0[:, :, beside] / subject.scale,
                                   rtol=1e-5)
        np.testing.assert_allclose(found[..., 1:], expected[:, :, beside], rtol=1e-4, atol=1e-4)
    assert harmonics(bvecs, 0) is None


def test_beyond_the_slices_that_count_nothing_is_seen():
    """A slab's neighbours are of the slab: what lies beyond may be for the test."""
    b0 = np.arange(1.0, 7)[None, None] * np.ones((2, 2, 1))
    scan = SimpleNamespace(b0=b0, dwi=b0[..., None], mask=np.ones(b0.shape, bool), scale=1.0,
                           gtab=GradientTable(np.array([1000.0]), np.eye(3)[:1]))
    found = Beside(np.arange(1), 2)(scan, Where(np.array([2, 3, 4])))[:, 0, 0, ::2]
    np.testing.assert_array_equal(found, [[3, 3, 4, 5], [3, 3, 5, 5], [3, 4, 5, 5]])


def test_denoised_is_mppca_of_b0s_and_inputs(subject, where):
    """The whole scan's, never of targets."""
    found = mppca(subject.dwi[..., :B0S + Q], subject.mask) / np.float32(subject.scale)
    expected = np.concatenate([found[..., :B0S].mean(-1, keepdims=True), found[..., B0S:]], -1)
    images = Denoised(INPUTS)(subject, where)
    np.testing.assert_allclose(
        along_z(images), expected[:, :, where.positions], rtol=1e-5, atol=1e-6)
    blind = replace(subject, dwi=np.where(np.arange(B0S + N) < B0S + Q, subject.dwi, 9e9))
    np.testing.assert_array_equal(Denoised(INPUTS)(blind, where), images)


def test_noise_free_targets_are_the_truth(cohort, subject, where):
    clean = NoiseFreeDirections(TARGETS)(subject, where)
    truth = nib.load(cohort[0].files.truth / "dwi.nii.gz").get_fdata(dtype=np.float32)
    found = np.zeros((*subject.mask.shape, N - Q), np.float32)
    found[:, :, where.positions] = along_z(clean) * np.float32(subject.scale)
    inside = subject.stored(subject.mask)
    np.testing.assert_allclose(
        subject.stored(found)[inside], truth[..., B0S + Q:][inside], rtol=1e-5)
    noise = (Directions(TARGETS)(subject, where) - clean)[cut(subject.mask, where.positions)[
        ..., 0] > 0]
    assert 0.02 < noise.std() < 0.08 and abs(noise.mean()) < 0.01  # SNR 20


def test_denoised_targets_are_nearer_the_truth_and_know_nothing_of_the_inputs(subject, where):
    noisy, clean, denoised = (kind(TARGETS)(subject, where) for kind in (
        Directions, NoiseFreeDirections, DenoisedDirections))
    brain = cut(subject.mask, where.positions)[..., 0] > 0
    left, before = (np.std((images - clean)[brain]) for images in (denoised, noisy))
    assert left < 0.9 * before
    inputs = np.arange(B0S + N) < B0S + Q
    halved = replace(subject, dwi=subject.dwi * np.where(inputs, np.float32(0.5), np.float32(1)))
    np.testing.assert_array_equal(DenoisedDirections(TARGETS)(halved, where), denoised)


TASKS = {
    "b0 and inputs": {},
    "inputs": {"b0_input": False},
    "slices beside": {"neighbours": 2},
    "harmonics beside": {"neighbours": 1, "neighbours_order": 2},
    "denoised": {"denoised": True},
    "all": {"neighbours": 1, "neighbours_order": 2, "denoised": True, "fa_weight": 1.0,
            "fa_correction": 1.0},
}


@pytest.mark.parametrize("what", TASKS)
def test_networks_see_the_same_in_training_and_prediction(cohort, subject, what):
    """In prediction also where the shell is in another order, its table turned as a whole, and
    nothing but b0s and inputs known."""
    slices, tables, _, b0s = load_slices(
        cohort, lambda *table: build(*table, **TASKS[what]).channels, **OPTIONS)
    task = build(tables[0], b0s, **TASKS[what])
    expected = task.see(slices.images)
    seen = []
    run = Run(base(), tables[0], INPUTS, TARGETS, task, None,
              lambda params, x: seen.append(x) or np.zeros((N - Q, *x.shape[:3], 1)), {})
    blind = replace(
        subject, dwi=np.where(np.arange(B0S + N) < B0S + Q, subject.dwi, 9e9),
        gtab=replace(subject.gtab, bvecs=np.roll(subject.gtab.bvecs, 1, axis=1)))
    shuffled, positions = other(blind)
    filled = int(subject.mask.any((0, 1)).sum())
    for scan, directions in ((blind, None), (shuffled, positions[INPUTS])):
        seen.clear()
        outputs(run, scan, directions)
        x = np.concatenate(seen)[:filled]
        assert x.shape[-1] == task.in_channels
        np.testing.assert_array_equal(x, expected[:filled])
    noisy = task.noisy()
    assert len(noisy) == task.in_channels
    assert (~noisy).sum() == (1 + Q) * ("denoised" in TASKS[what])
    assert noisy.all() or not noisy[-1 - Q:].any()


def test_the_residual_baseline_is_that_of_the_denoised_inputs(cohort):
    slices, tables, _, b0s = load_slices(
        cohort, lambda *table: build(*table, neighbours=1, denoised=True).channels, **OPTIONS)
    task = build(tables[0], b0s, neighbours=1, denoised=True)
    plain = build(tables[0], b0s)
    clean = slices.images["denoised"]
    found, expected = (
        jax.vmap(of.baseline, (0, None))(of.baseline_weights, images) for of, images in (
            (task, slices.images), (plain, {"b0": clean[..., :1], "inputs": clean[..., 1:]})))
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("declare", [
    partial(build), partial(build, **TASKS["all"]), partial(build, b0_input=False, fa_weight=1.0),
    partial(map_regression, inputs=INPUTS, targets=("fa",)),
    partial(map_regression, inputs=INPUTS, targets=("fa",), b0_input=False)])
def test_slices_hold_what_the_task_declares_and_nothing_else(cohort, declare):
    slices, tables, _, b0s = load_slices(
        cohort, lambda *table: declare(*table).channels, **OPTIONS)
    task = declare(tables[0], b0s)
    assert slices.images.keys() == task.channels.keys()
    for name, image in slices.images.items():
        assert image.shape == (*slices.mask.shape[:3], task.channels[name].count), name
    parts = task.split(task.see(slices.images))
    assert list(parts) == list(task.inputs)
    for name, image in parts.items():
        np.testing.assert_array_equal(image, slices.images[name])


class Height:
    """A channel of one's own: how high in the head a slice is."""

    count = 1

    def at(self, positions):
        return self

    def __call__(self, subject, where):
        height = where.positions / subject.mask.shape[where.axis]
        return np.ones_like(B0()(subject, where)) * height[:, None, None, None].astype(np.float32)


def test_a_new_channel_is_a_small_function(cohort, subject):
    """Added to a task's inputs it is read, seen, trained with and predicted with."""
    def declare(gtab, b0s):
        task = build(gtab, b0s)
        return task._replace(inputs=task.inputs | {"height": Height()})

    slices, tables, _, b0s = load_slices(
        cohort, lambda *table: declare(*table).channels, **OPTIONS)
    task = declare(tables[0], b0s)
    assert task.in_channels == 1 + Q + 1
    filled = np.flatnonzero(subject.mask.any((0, 1)))
    np.testing.assert_allclose(slices.images["height"][:len(filled), 0, 0, 0], filled / 6)

    network = functional(lambda rngs: UNet(
        task.in_channels, 1, width=4, levels=1, convolutions=1, activation="silu", rngs=rngs))
    optimizer = optimizers.build("sgd", learning_rate=0.1, steps=10)
    predict = predictor(task, network, 0.1)
    state = init_state(network, optimizer, network_keys(jax.random.key(0), task.numbers))
    step = jax.jit(make_step(predict, task, optimizer, seed=0, batch=4, patch=0))
    after, losses = step(state, jax.tree.map(jnp.asarray, slices))
    assert np.isfinite(losses).all()
    moved = [np.abs(new - old)[..., -1, :].max(axis=(1, 2, 3)) for new, old in zip(
        *map(jax.tree.leaves, (after.params, state.params)), strict=True)
        if new.ndim == 5 and new.shape[-2] == task.in_channels]
    assert len(moved) == 1 and (moved[0] > 0).all()  # every network learns from it

    seen = []

    def watched(params, x):
        seen.append(x)
        return predict(params, x)

    run = Run(base(), tables[0], INPUTS, TARGETS, task, after.params, watched, {})
    assert np.isfinite(outputs(run, subject)).all()
    np.testing.assert_array_equal(
        np.concatenate(seen)[:len(filled)], task.see(slices.images)[:len(filled)])

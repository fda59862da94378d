"""A volume through a stack, slice by slice, and back in its place."""

import nibabel as nib
import numpy as np
import pytest

from configs.base import base
from dwijax.data.layouts import find_subjects
from dwijax.data.subject import Subject, load_subject
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.inference import Run, synthesise
from dwijax.tasks.direction_synthesis import direction_synthesis
from tests.data.datasets import write_scan
from tests.volumes.images import ORIENTATIONS


def config_of(fields):
    config = base()
    config.update_from_flattened_dict(fields)
    return config


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_return_to_their_voxels(axis):
    """Odd sizes, any axis: networks that return their residual baseline give its volume."""
    rng = np.random.default_rng(0)
    shape, gtab = (7, 9, 11), GradientTable(np.full(8, 1000.0), direction_set(8))
    table = GradientTable(np.r_[0.0, 0.0, gtab.bvals], np.r_[np.zeros((2, 3)), gtab.bvecs])
    dwi = rng.uniform(50, 100, (*shape, 10)).astype(np.float32)
    mask = np.zeros(shape, bool)
    mask[1:6, 2:7, 3:9] = True
    subject = Subject("s", dwi, table, mask, np.eye(4), "LAS", None, np.arange(10),
                      dwi[..., :2].mean(-1), 80.0)
    config = config_of({"data.axis": axis, "model.levels": 3})
    task = direction_synthesis(gtab, 2, np.arange(5), np.arange(5, 8), residual="mean")

    def predict(params, x):
        assert x.shape[1] % 4 == 0 and x.shape[2] % 4 == 0
        return np.stack([np.asarray(task.baseline(w, task.split(x)))
                         for w in task.baseline_weights])

    run = Run(config, gtab, np.arange(5), np.arange(5, 8), task, None, predict, {})
    out = synthesise(run, subject)
    expected = np.repeat(dwi[..., 2:7].mean(-1, keepdims=True), 3, axis=-1)
    others = tuple(i for i in range(3) if i != axis)
    expected[~np.broadcast_to(mask.any(axis=others, keepdims=True), shape)] = 0
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_no_synthetic_voxel_is_negative_or_above_what_was_seen_of_it():
    """Whatever networks say of a voxel, its signal stays within physics; a volume that they have
    not seen, however bright, does not widen it."""
    rng = np.random.default_rng(0)
    gtab = GradientTable(np.full(8, 1000.0), direction_set(8))
    table = GradientTable(np.r_[0.0, 0.0, gtab.bvals], np.r_[np.zeros((2, 3)), gtab.bvecs])
    dwi = rng.uniform(50, 100, (4, 6, 3, 10)).astype(np.float32)
    dwi[..., 7:] = 1e4
    subject = Subject("s", dwi, table, np.ones((4, 6, 3), bool), np.eye(4), "LAS", None,
                      np.arange(10), dwi[..., :2].mean(-1), 80.0)
    task = direction_synthesis(gtab, 2, np.arange(5), np.arange(5, 8), residual="mean")
    said = rng.normal(0, 1e3, (3, 4, 6, 3)).astype(np.float32)  # networks, slices' axes, slices
    said[:, 0] = 0.5

    def predict(params, x):
        return np.moveaxis(said, 3, 1)[..., None]

    config = config_of({"model.levels": 1})
    out = synthesise(Run(config, gtab, np.arange(5), np.arange(5, 8), task, None, predict, {}),
                     subject)
    np.testing.assert_array_equal(out[0], np.full((6, 3, 3), 40.0))
    most = np.broadcast_to(dwi[..., :7].max(-1)[..., None], out.shape)
    said = np.moveaxis(said, 0, 3)
    np.testing.assert_array_equal(out[said < 0], 0)
    np.testing.assert_array_equal(out[said > 2], most[said > 2])


def test_storage_order_changes_no_synthetic_voxel(tmp_path):
    """All 48 ways to store the axes give the same synthetic volumes in the same places."""
    reduced = []
    for number, codes in enumerate(ORIENTATIONS):
        folder = write_scan(tmp_path / str(number), codes)
        subject = load_subject(find_subjects(folder, "plain")[0], shell=1000)
        gtab = subject.gtab[~subject.gtab.b0s_mask]
        task = direction_synthesis(gtab, 2, np.arange(4), np.arange(4, 6), residual="mean")

        def predict(params, x):  # uneven in every axis, so that a flip would show
            slope = np.linspace(0.5, 1, x.shape[1])[:, None] + np.linspace(0, 1, x.shape[2]) ** 2
            return np.stack([(k + 1) * slope[None, ..., None] * x[..., 1:2] for k in range(2)])

        config = config_of({"model.levels": 2})
        run = Run(config, gtab, np.arange(4), np.arange(4, 6), task, None, predict, {})
        stored = nib.Nifti1Image(subject.stored(synthesise(run, subject)), subject.image.affine)
        change = nib.orientations.ornt_transform(
            nib.io_orientation(stored.affine), nib.orientations.axcodes2ornt("RAS"))
        reduced.append(stored.as_reoriented(change))
    for image in reduced[1:]:
        np.testing.assert_array_equal(image.get_fdata(), reduced[0].get_fdata())
        np.testing.assert_allclose(image.affine, reduced[0].affine, atol=1e-5)
    assert len(reduced) == 48 and np.ptp(reduced[0].get_fdata()) > 0

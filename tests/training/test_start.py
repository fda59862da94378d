"""Networks that start from those of another run."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from configs.phantom import get_config
from dwijax.data.cohort import Cohort
from dwijax.errors import InputError
from dwijax.inference import load_run
from dwijax.training import settings
from dwijax.training.start import begin
from tests.tiny_run import GTAB, write_tiny_run


def beginning(place, **fields):
    """``(config, whatever `begin` returns)`` of a stack of two on the subjects of a tiny run."""
    config = get_config("smoke")
    config.data.inputs = 6
    config.update_from_flattened_dict(fields)
    cohort = Cohort(*([SimpleNamespace(files=SimpleNamespace(name=name))]
                      for name in ("Ann", "Bob", "Eve")), within_subject=False,
                    origin="/secret/place")
    task = settings.build_task(config, GTAB, 2)
    keys = settings.build_keys(config, task)
    network = settings.build_network(config, task)
    return config, task, begin(place, config, cohort, GTAB, network, keys)


@pytest.mark.parametrize("joint", [True, False], ids=["joint", "stack"])
def test_a_stack_begins_where_the_other_run_ended(tmp_path, joint):
    run = load_run(write_tiny_run(tmp_path, joint=joint))
    config, task, (params, whitening, source) = beginning(tmp_path)
    x = np.random.default_rng(0).uniform(0.2, 1, (3, 8, 8, task.in_channels)).astype(np.float32)
    with jax.numpy_dtype_promotion("strict"):
        predictions = settings.build_predictor(config, task, whitening)(params, x)
    expected = np.asarray(run.predict(run.params, x))
    if joint:
        expected = np.moveaxis(expected[0], -1, 0)[..., None]
    assert np.ptp(predictions[0] - predictions[1]) > 0.1
    np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-5)
    assert source == run.about["normalisation"]["whitening_from"]


@pytest.mark.parametrize("fields, said", [
    ({"model.width": 8}, "model.width 4, not 8"), ({"data.denoise": True}, "data.denoise False"),
    ({"model.residual": "mean"}, "model.residual sh, not mean"), ({"data.b0": False}, "data.b0"),
    ({"model.joint": True}, "other shapes")])
def test_what_networks_cannot_start_from(tmp_path, fields, said):
    write_tiny_run(tmp_path)
    with pytest.raises(InputError, match=said):
        beginning(tmp_path, **fields)


def test_networks_do_not_start_from_what_has_seen_test_subjects(tmp_path):
    place = write_tiny_run(tmp_path)
    text = (place / "config.json").read_text()
    (place / "config.json").write_text(text.replace('"train": ["Ann"]', '"train": ["Eve"]'))
    with pytest.raises(InputError, match="more than one part"):
        beginning(place)

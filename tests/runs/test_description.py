"""A run's description with any field replaced or left out: usable, or one line naming the field."""

import contextlib
import copy
import functools
import json
import math

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import he2020, phantom, superdti
from dwijax import config as settings
from dwijax.checking.scan import TrainedOn, against_run
from dwijax.data import domain, leakage
from dwijax.errors import InputError
from dwijax.report_html import page
from dwijax.runs import checkpoint, export, folders, model_card, restore
from tests.tiny_run import GTAB

MISSING = object()
VALUES = {"null": None, "text": "x", "mapping": {}, "list": [], "NaN": math.nan, "2^63": 2**63,
          "-1": -1, "nothing": MISSING}
NUMBERS = {"b": [1000.0], "voxel size": [2.0, 2.0, 2.0], "SNR": [20.0], "b0": [0.5, 1, 1, 1, 2],
           "mean DWI": [0.1, 0.2, 0.4, 0.5, 0.6]}


@pytest.fixture(scope="module")
def about(tiny_run):
    """As train.py leaves it, with all that may be in it."""
    found = json.loads((tiny_run / "config.json").read_text())
    found["domain"] = domain.join([NUMBERS, NUMBERS])
    found["calibration"] = {"step": 20, **{name: [1.0, None, *[0.5] * 12] for name in (
        "moment", "excess", "overlap", "weight")}}
    found["subjects"]["made_like"] = ["1234"]
    found["scans"] = {
        "chosen": {"train": [[[0, 1], 2]], "validation": [[None, None]], "test": [[None, 3]]},
        "files": {"Ann": {"dwi": {"sha256": "12ab", "stat": "34cd"}}}}
    found["training"], found["card"] = {"steps": 20, "loss": 0.5, "validation_loss": 1.0}, "# card"
    return found


def nodes(value, path=()):
    """Every place in a description; of a list its first entry stands for the others."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, below in value.items():
            yield from nodes(below, (*path, key))
    elif isinstance(value, list) and value:
        yield from nodes(value[0], (*path, 0))


def replaced(about, path, value):
    changed = copy.deepcopy(about)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


REST = {"domain": {}, "versions": {}, "subjects": {
    "train": ["a"], "validation": [], "test": [], "within_subject": False, "origin": ""}}


@functools.cache
def built(parts):
    """What networks are made of, as JSON, by which most descriptions are alike."""
    about = json.loads(parts)
    config, gtab, statistics, _ = folders.parse(about, "config.json")
    task, predict, like = restore.rebuild("config.json", config, gtab, statistics, about)
    side = settings.multiple_of(config)
    x = jax.ShapeDtypeStruct((1, side, side, task.in_channels), "float32")
    return jax.eval_shape(predict, like, x)


def use(about):
    """All that predict, check, eval and export do with a description beside arrays."""
    config, gtab, _, about = folders.parse(about, "config.json")
    parts = ("config", "seed", "normalisation", "table")
    built(json.dumps({name: about[name] for name in parts} | REST))
    with contextlib.suppress(InputError):  # whitening of others than the subjects that train
        leakage.check_statistics(about, "config.json", settings.input_positions(config, gtab))
    against_run(NUMBERS, GTAB,
                TrainedOn("run", gtab, settings.input_positions(config, gtab), about))
    page.provenance(about, [])
    model_card.markdown(export.anonymous(about) | {"training": about.get("training", {})}, [])


@pytest.mark.parametrize("value", VALUES)
def test_any_field_is_usable_or_named(about, value):
    """Each of some 170 places in turn, fields and what holds them."""
    accepted = []
    for path in nodes(about):
        changed = replaced(about, path, VALUES[value])
        try:
            folders.parse(changed, "config.json")
        except InputError as error:
            told = str(error)
            assert "\n" not in told and told.startswith("config.json, field "), told
            named = [str(key) for key in path if isinstance(key, str)]
            assert any(name in told for name in named[-2:]), (path, told)
        else:
            accepted.append(path)
            use(changed)
    assert len(accepted) < 60, accepted


def test_the_whole_is_usable(about):
    use(about)
    for root in (None, [], "x", 3, math.nan, {}):
        with pytest.raises(InputError, match=r"config\.json"):
            folders.parse(root, "config.json")


@pytest.mark.parametrize(("path", "value", "told"), [
    (("config", "model", "width"), "4", 'field config.model.width: found "4"; expected a whole'),
    (("config", "model", "widht"), 4, 'field config.model: found an unknown field "widht"'),
    (("config", "data", "inputs"), 7, "field table.inputs: found 6; expected 7"),
    (("config", "data", "b0"), 0, "field config.data.b0: found 0; expected true or false"),
    (("config", "patch"), 31, "field config.patch: found 31; expected 0 or a multiple of 2"),
    (("config", "data", "split"), [1, 1, 1], "field config.data.split: found [1, 1, 1]"),
    (("versions",), 3, "field versions: found 3; expected a mapping"),
    (("domain", "b", "least"), [1, 2], "field domain.b.least: found [1, 2]; expected a list of 1"),
    (("table", "bvecs"), [[1.0, 0, 0]], "field table.bvecs"),
    (("table", "bvecs"), [[9.0, 0, 0]] * 8, "field table.bvecs.0: found [9.0, 0, 0]; expected a u"),
    (("normalisation", "whitening", "matrix"), [[1.0]], "field normalisation.whitening.matrix"),
    (("calibration", "moment"), [1.0], "field calibration.moment: found [1.0]; expected a list"),
])
def test_what_is_told(about, path, value, told):
    with pytest.raises(InputError) as caught:
        use(replaced(about, path, value))
    assert told in str(caught.value)


@pytest.mark.parametrize("module", [phantom, he2020, superdti])
def test_every_field_of_every_config_is_known(module):
    for variant in module.VARIANTS:
        settings.check(module.get_config(variant))


def test_flags_are_named_as_they_are_given():
    config = phantom.get_config()
    config.model.residual = "shh"
    with pytest.raises(InputError, match=r'^--config\.model\.residual: found "shh"; expected one'):
        settings.check(config)
    del config.model["residual"]
    with pytest.raises(InputError, match=r"^--config\.model\.residual: found nothing"):
        settings.check(config)
    with pytest.raises(InputError, match="--config: found an unknown field"):
        settings.check(ConfigDict(phantom.get_config().to_dict() | {"more": 1}))
    config = phantom.get_config()
    del config.phantom["shape"]
    with pytest.raises(InputError, match=r"--config\.phantom\.shape"):
        settings.check(config)


@pytest.mark.parametrize("b0, neighbours, order, denoise, channels", [
    (True, 0, 0, False, 7), (False, 0, 0, False, 6), (True, 2, 0, False, 5 * 7),
    (True, 0, 0, True, 2 * 7), (True, 1, 2, True, 2 * 7 + 2 * 7)])
def test_a_whitening_of_other_channels_than_the_config_says_is_refused(
        about, b0, neighbours, order, denoise, channels):
    """Six inputs; harmonics of order 2 are six, too."""
    changed = copy.deepcopy(about)
    changed["config"]["data"] |= {"b0": b0, "neighbours": neighbours, "neighbours_order": order,
                                  "denoise": denoise}

    def load(size):
        changed["normalisation"]["whitening"] = {
            "mean": [0.0] * size, "matrix": np.eye(size).tolist()}
        config, gtab, statistics, _ = folders.parse(changed, "config.json")
        return restore.rebuild("config.json", config, gtab, statistics, changed)[0]

    assert load(channels).in_channels == channels
    for other in (channels - 1, channels + 1):
        with pytest.raises(InputError, match=f"found {other} channels; expected {channels}, "):
            load(other)


def test_networks_of_another_width_are_refused(about, tiny_run):
    other = replaced(about, ("config", "model", "width"), 6)
    config, gtab, statistics, _ = folders.parse(other, "config.json")
    _, _, like = restore.rebuild("config.json", config, gtab, statistics, other)
    with pytest.raises(InputError, match="of shape"):
        checkpoint.restore(tiny_run, {"params": like})

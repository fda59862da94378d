"""A run of two networks on six directions, as train.py leaves it, without training."""

import jax
import jax.numpy as jnp
import numpy as np

from configs.phantom import get_config
from dwijax import config as settings
from dwijax.data import domain
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import direction_set
from dwijax.runs import checkpoint, folders

SPREAD = {"subjects": 1, "median_angle": 0.0, "largest_angle": 0.0, "worst_subject": "Ann",
          "largest_turn": 0.0}
GTAB = GradientTable(np.full(8, 1000.0), direction_set(8))


def described(config=None):
    """A description as train.py writes it; of the tiny run's config where none is given."""
    if config is None:
        config = get_config("smoke")
        config.data.layout, config.data.root, config.data.inputs = "plain", "/secret/place", 6
        config.calibrate = False
    trained_on = {}
    if config.task == "any_table":
        trained_on = domain.of_drawn_scans({}, b=config.scans.b, snr=config.scans.snr)
    return folders.describe(
        settings.to_dict(config), GTAB, np.arange(config.data.inputs), 2, SPREAD, {"Ann": 900.0},
        None, trained_on, {"train": ["Ann"], "validation": ["Bob"], "test": ["Eve"],
                   "within_subject": False, "origin": "/secret/place"})


def write_tiny_run(workdir, denoise=False, config=None):
    """Writes config, a checkpoint with random parameters, a log and a report."""
    config = config or get_config("smoke")
    config.data.layout, config.data.root, config.data.inputs = "plain", "/secret/place", 6
    config.data.denoise, config.calibrate = denoise, False
    task = settings.build_task(config, GTAB, 2)
    network = settings.build_network(config, task)
    like = jax.eval_shape(jax.vmap(network.init), settings.build_keys(config, task))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32), like)
    about = described(config)
    if config.model.whiten:
        size = task.in_channels
        about["normalisation"]["whitening"] = {
            "mean": np.zeros(size).tolist(), "matrix": np.eye(size).tolist()}
    folders.write(workdir, about)
    with checkpoint.saving(workdir, about, keep=1) as save:
        save(20, {"params": params})
    (workdir / "metrics.jsonl").write_text(
        '{"step": 10, "validation_loss": 0.25}\n{"step": 20, "loss": 0.5, "validation_loss": 1}\n')
    (workdir / "tables").mkdir()
    (workdir / "tables" / "report.md").write_text(
        "# Evaluation\n- /runs/two\n\n## test (1 subject), /secret/place\n- FA 7 % better\n| x |\n")
    return workdir

"""A run of two networks on six directions, as train.py leaves it, without training."""

import jax
import numpy as np

from configs.phantom import get_config
from dwijax.directions import direction_set
from dwijax.gradients import GradientTable
from dwijax.training import checkpoint, run, settings
from dwijax.training.step import init_state

GTAB = GradientTable(np.full(8, 1000.0), direction_set(8))


def write_tiny_run(workdir):
    """Writes config, a checkpoint with random parameters, a log and a report."""
    config = get_config("smoke")
    config.data.layout, config.data.root, config.data.inputs = "plain", "/secret/place", 6
    task = settings.build_task(config, GTAB, 2)
    network, optimizer = settings.build_network(config, task), settings.build_optimizer(config)
    state = init_state(network, optimizer, settings.build_keys(config, task))
    rng = np.random.default_rng(0)
    state = state._replace(step=state.step + 20, params=jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), state.params))
    about = run.describe(
        settings.to_dict(config), GTAB, 2, {"Ann": 900.0}, None,
        {"train": ["Ann"], "validation": ["Bob"], "test": ["Eve"], "within_subject": False,
         "origin": "/secret/place"})
    about["normalisation"]["whitening"] = {
        "mean": np.zeros(7).tolist(), "matrix": np.eye(7).tolist()}
    run.write(workdir, about)
    checkpoint.save(workdir, 20, state, about)
    (workdir / "metrics.jsonl").write_text(
        '{"step": 10, "validation_loss": 0.25}\n{"step": 20, "loss": 0.5, "validation_loss": 1}\n')
    (workdir / "tables").mkdir()
    (workdir / "tables" / "report.md").write_text(
        "# Evaluation\n- /runs/two\n\n## test (1 subject), /secret/place\n- FA 7 % better\n| x |\n")
    return workdir

"""One network for any gradient table: what comes with the package.

    python train.py --config=configs/any_table.py                     # on simulated subjects
    python train.py --config=configs/any_table.py:smoke               # seconds: does it run?
    python train.py --config=configs/any_table.py --config.seeds=3    # three networks at once

It learns from the noise-free truth of subjects that ``dwijax simulate`` has made, drawn or like
scans (``--config.data.layout=hcp --config.data.root=FOLDER``); tables, b and noise are drawn anew
in every step.
"""

from configs.base import expanded

DEFAULT = {
    "task": "any_table", "data.all_axes": True, "data.slices": (360, 40), "model.width": 48,
    "model.first_kernel": 1, "model.expansion": 3, "model.whiten": False, "model.output_scale": 0.3,
    "optimizer.name": "muon", "optimizer.learning_rate": 2e-2, "optimizer.weight_decay": 0.1,
    "optimizer.clip": 0.05, "steps": 36000, "log_every": 100, "validate_every": 2000,
    "checkpoint_every": 2000,
}

VARIANTS = {
    "": DEFAULT,
    "smoke": DEFAULT | {
        "phantom.subjects": (2, 1, 1), "phantom.shifted_subjects": 1,
        "phantom.shape": (40, 48, 6), "model.width": 4, "steps": 20, "checkpoint_every": 10,
        "validate_every": 10,
    },
}


def get_config(variant=""):
    """``variant``: a name in `VARIANTS`; default: what ships."""
    return expanded(VARIANTS, variant)

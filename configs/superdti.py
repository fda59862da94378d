"""SuperDTI (Li et al.): maps of the tensor from a few directions.

    python train.py --config=configs/superdti.py                       # FA, MD, V1 from 6
    python train.py --config=configs/superdti.py:q3                    # MD from 3
    python train.py --config=configs/superdti.py:smoke                 # seconds: does it run?
    python train.py --config=configs/superdti.py:paper --config.data.root=/data/hcp
    python eval.py --workdir=runs/superdti

The whole report, on simulated subjects (one stack for all targets of one q):

    for v in q3 q6 q8 q10 q18 q36 q6_noise q18_noise q6_ensemble clinical
    do python train.py --config=configs/superdti.py:$v --noevaluate || break; done
    python eval.py --out=runs/superdti --compare runs/superdti-*

That is 32 networks in ten stacks: 39 minutes of training on two cores with other work beside it,
and an evaluation of 19 (docs/results/maps.md has what comes out).

``paper`` has the paper's values, each marked ``[stated]`` or ``[chosen]``. Every field can be
overridden from the command line (``--config.data.inputs=18``).
"""

from configs.base import expanded

MAPS = ("fa", "md", "tensor")

DEFAULT = {
    "task": "map_regression",
    "data.inputs": 6,
    "data.choose": "optimal",           # first; optimal: the q that determine a tensor best
    "phantom.subjects": (12, 2, 10), "phantom.shifted_subjects": 10,
    "model.name": "superdti",
    "model.width": 24,                  # filters of every layer (64 in the paper)
    "model.residual": "fit",            # none; projection (of the input); fit (of the q directions)
    "optimizer.learning_rate": 2e-3, "optimizer.clip": 1.0,
    "batch": 24,                        # patches in a batch
    "patch": 21,                        # side, the receptive field of a network
    "stride": 7,                        # between patches
    "steps": 800, "validate_every": 200, "checkpoint_every": 200,
}

FIELDS = {
    "": {},
    # Everything at its smallest: a test of the road, not of the method.
    "smoke": {
        "phantom.subjects": (2, 1, 2), "phantom.shifted_subjects": 1,
        "phantom.shape": (40, 48, 6), "phantom.directions": 36, "model.width": 4, "batch": 8,
        "steps": 20, "checkpoint_every": 10, "validate_every": 10,
    },
    # Numbers of directions. Three give MD alone: they do not determine a tensor. Eight and ten are
    # the paper's for lesions.
    "q3": {"data.inputs": 3, "targets": ("md",)},
    "q6": {"targets": ("fa", "md", "signed", "dyadic", "tensor")},
    "q8": {"data.inputs": 8, "targets": MAPS},
    "q10": {"data.inputs": 10, "targets": MAPS},
    "q18": {"data.inputs": 18},
    "q36": {"data.inputs": 36},
    # Networks that learn from noisier DWIs than they will see.
    "q6_noise": {"targets": ("fa", "tensor"), "data.added_noise": 0.3},
    "q18_noise": {"data.inputs": 18, "targets": ("fa", "tensor"), "data.added_noise": 0.3},
    # Five networks of one map: their spread is written as fa_std.nii.gz.
    "q6_ensemble": {"targets": ("tensor",), "seeds": 5},
    # What a hospital has time for: 30 directions twice and one b0; the fit of the 60 is the truth.
    "clinical": {"phantom.directions": 30, "phantom.averages": 2, "phantom.b0s": 1,
                 "data.choose": "first", "targets": MAPS},
    # The residual baseline, and whether networks see the b0.
    "residual_none": {"model.residual": "none", "model.zero_output": False,
                      "model.output_scale": 1.0},
    "residual_projection": {"model.residual": "projection", "model.zero_output": False,
                            "model.output_scale": 1.0},
    "without_b0": {"data.b0": False, "model.residual": "none", "model.zero_output": False,
                   "model.output_scale": 1.0},
    # One network for all maps, through a positive definite tensor.
    "tensor": {"targets": ("tensor",)},
    # To the letter, on HCP data.
    "paper": {
        "data.layout": "hcp",            # [stated]
        "data.root": "data/hcp",
        "data.split": (0.78, 0.02, 0.2),  # [stated] 40 of 50 train, 10 for the test
        "data.choose": "first",          # [stated] "the first M"
        "data.b0": False,                # [stated] n_0 = q
        "targets": ("fa", "md", "signed"),  # [stated]
        "model.width": 64,               # [stated]
        "model.residual": "projection",  # [stated] a residual; [chosen] how
        "model.zero_output": False, "model.output_scale": 1.0, "model.whiten": False,
        "patch": 21,                     # [stated] overlapping
        "stride": 7,                     # [chosen]
        "batch": 128, "steps": 100_000,  # [chosen]
        "optimizer.learning_rate": 1e-4,  # [chosen]
        "log_every": 100, "validate_every": 5000, "checkpoint_every": 5000,
    },
}

VARIANTS = {name: DEFAULT | fields for name, fields in FIELDS.items()}


def get_config(variant=""):
    return expanded(VARIANTS, variant)

"""60 direction networks on simulated subjects: the default, minutes on two CPU cores.

    python train.py                                    # this file
    python train.py --config=configs/phantom.py:smoke  # seconds, to see that everything runs
    python train.py --config.model.width=16            # any field of base.py, from the command line

``ABLATIONS`` changes one thing at a time.
"""

from configs.base import expanded

# A joint network first; the 60 start from it.
DEFAULT = {
    "data.neighbours": 1, "phantom.lesions": True, "model.first_kernel": 1, "model.expansion": 2,
    "optimizer.learning_rate": 1e-4,  # small, as they start from what the joint one knows
    "trunk.steps": 2000, "steps": 20, "log_every": 10, "validate_every": 20,
    "checkpoint_every": 20, "calibrate": True,
}

# Networks that start at random, each by itself from measured DWIs.
RANDOM_START = {
    "phantom.lesions": True, "optimizer.learning_rate": 7e-3, "steps": 300, "log_every": 20,
    "validate_every": 150, "checkpoint_every": 100,
}

# What each of these changes is changed in such networks, which owe nothing to a joint one.
ABLATIONS = {
    "random_start": {},
    # One network for all directions, with as many parameters as the 60 have together (0.96 and
    # 0.95 million).
    "joint": {"model.joint": True, "model.width": 144, "optimizer.learning_rate": 2e-3},
    # FA of the fit as an auxiliary loss.
    "fa_loss": {"loss.fa_weight": 0.1},
    "fa_targets": {"loss.fa_weight": 0.1, "loss.fa_reference": "targets"},
    # The residual baseline.
    "residual_none": {"model.residual": "none"},
    "residual_mean": {"model.residual": "mean"},
    "residual_tensor": {"model.residual": "tensor"},
    # 1×1 layers within voxels: the first one, and a hidden layer after every 3×3 convolution.
    "pointwise": {"model.first_kernel": 1, "model.expansion": 2},
    # What networks see: two slices more, no b0.
    "neighbours": {"data.neighbours": 1, "data.neighbours_order": 0},
    "neighbours_sh": {"data.neighbours": 1},  # these by spherical harmonics of order 2
    "without_b0": {"data.b0": False},
    "denoise": {"data.denoise": True},
    # What they learn from: noise-free DWIs, which only a simulation has.
    "clean_targets": {"data.clean_targets": True},
    # Or from measured ones after MP-PCA of the targets alone, whose noise the inputs do not share.
    "denoise_targets": {"data.denoise_targets": True},
    "denoise_both": {"data.denoise": True, "data.denoise_targets": True},
    # From so many of the 90 directions to the others.
    "inputs_6": {"data.inputs": 6},
    "inputs_10": {"data.inputs": 10},
    "inputs_15": {"data.inputs": 15},
    "inputs_20": {"data.inputs": 20},
    "inputs_60": {"data.inputs": 60},
    # Synthetic DWIs are held to the anisotropy that a subject's own inputs show.
    "calibrate": {"calibrate": True},
    # Capacity, and subjects to learn from.
    "subjects_3": {"data.subjects": 3},
    "subjects_6": {"data.subjects": 6},
    "width_8": {"model.width": 8},
    "width_32": {"model.width": 32},
    # The optimiser of He et al.
    "paper_sgd": {"optimizer.name": "sgd", "optimizer.learning_rate": 1e-3,
                  "optimizer.decay": 1e-3},
}

VARIANTS = {
    "": DEFAULT,
    # Everything at its smallest: a test of the road, not of the method.
    "smoke": DEFAULT | {
        "phantom.subjects": (2, 1, 1), "phantom.shifted_subjects": 1,
        "phantom.shape": (40, 48, 6), "model.width": 4, "steps": 20, "checkpoint_every": 10,
        "validate_every": 10, "trunk.steps": 10,
    },
    # For 30 minutes of training on two CPU cores (200 GFLOP/s together): eight times the
    # subjects (to be simulated first), inputs denoised by what the slices above and below hold too,
    # denoised targets. FA of the fit is an auxiliary loss, held to targets as measured; not wholly
    # corrected, as what is learnt comes out below it. The joint network has nearly all of the
    # minutes, in small batches, as steps are what it lacks. In so many of them its kernels
    # would grow without end, and with them what it makes of noise or brains that it has not met:
    # hence the weight decay. Norms of gradients are 3e-4; a single voxel can make them 1000 times
    # as large.
    "best": DEFAULT | {
        "phantom.subjects": (102, 8, 12), "phantom.shifted_subjects": 12,
        "data.denoise": True, "data.denoise_targets": True, "data.neighbours": 0,
        "model.width": 48, "model.first_kernel": 3, "model.expansion": 4, "loss.fa_weight": 0.15,
        "loss.fa_reference": "targets", "loss.fa_correction": 0.5,
        "trunk.steps": 64000, "trunk.batch": 2, "trunk.optimizer": "adamw",
        "trunk.learning_rate": 3e-3, "optimizer.clip": 1e-3,
        "batch": 2, "steps": 100, "validate_every": 100, "checkpoint_every": 100,
    },
} | {name: RANDOM_START | fields for name, fields in ABLATIONS.items()}


def get_config(variant=""):
    return expanded(VARIANTS, variant)

"""He et al., ISMRM 2020, to the letter: 30 directions in, 60 networks, one per further direction.

    python train.py --config=configs/he2020.py --config.data.root=/data/hcp --workdir=runs/he2020

``[stated]`` is in the abstract; ``[cited]`` is in the U-Net paper it cites (Ronneberger et al.
2015); ``[chosen]`` was not stated and is chosen here. What is not here is as in `configs/base.py`.
Published: RMSE of FA 0.03 against 64 GTFA and 0.04
against 32 GTFA, RMSE of the 60 outputs 0.048 ± 0.0034 (their Table 1).
"""

from configs.base import expanded

PAPER = {
    "data.layout": "hcp",               # [stated] Human Connectome Project
    "data.root": "data/hcp",            # ROOT/SUBJECT/T1w/Diffusion/
    "data.shell": 1000,                 # [stated] b = 1000 s/mm²
    "data.inputs": 30,                  # [stated] "first 30 directions"
    "data.axis": 2,                     # [stated] X, Y slices of 144×144, which pads HCP's 145×174
    #                                     are cut from; how is not said: whole slices here [chosen]
    # [stated] 149 subjects, 1710 training, 854 validation and 793 test slices; [chosen] 854 and 793
    # are the central 61 slices of 14 and of 13 subjects, 1710 the 14 or 15 of each of the other
    # 122 that are evenly spread over the central 61
    "data.split": (122 / 149, 14 / 149, 13 / 149),
    "data.slices": (1710, 854),
    "model.name": "unet",               # [stated] "a modified version of U-net"; how, is not said
    "model.width": 64,                  # [cited] 64 to 1024 channels
    "model.levels": 5,                  # [cited]
    "model.convolutions": 2,            # [cited] two 3×3 per level
    "model.first_kernel": 3,            # [cited]
    "model.activation": "relu",         # [cited]
    "model.residual": "none",           # [stated] the network's output is the image
    "model.whiten": False,              # [chosen]
    "model.output_scale": 1.0,          # [chosen]
    "model.zero_output": False,         # [cited] random initialisation
    "loss.fa_weight": 0.0,              # [stated] images only
    "optimizer.name": "sgd",            # [stated]
    "optimizer.learning_rate": 1e-3,    # [stated] "loss of 0.001", read as the learning rate
    "optimizer.decay": 1e-3,            # [stated] Keras: rate / (1 + decay · iteration)
    "optimizer.weight_decay": 0.0,      # [chosen] Keras' default
    "batch": 256,                       # [stated]
    "patch": 0,                         # [chosen] whole slices
    "steps": 400 * (1710 // 256),       # [stated] 400 epochs of 1710 slices
    "log_every": 6, "validate_every": 60, "checkpoint_every": 60,
}

VARIANTS = {
    "": PAPER,
    # Our default residual baseline and optimiser on their data and network size.
    "residual_sh": PAPER | {
        "model.residual": "sh", "model.zero_output": True, "model.whiten": True,
        "model.output_scale": 0.1, "optimizer.name": "adamw", "optimizer.learning_rate": 1e-3},
}


def get_config(variant=""):
    return expanded(VARIANTS, variant)

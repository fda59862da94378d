"""He et al., ISMRM 2020, to the letter: 30 directions in, 60 networks, one per further direction.

    python train.py --config=configs/he2020.py --config.data.root=/data/hcp --workdir=runs/he2020

``[stated]`` is in the abstract; ``[cited]`` is in the U-Net paper it cites (Ronneberger et al.
2015); ``[chosen]`` was not stated and is chosen here.
Published: RMSE of FA 0.03 against 64 GTFA and 0.04
against 32 GTFA, RMSE of the 60 outputs 0.048 ± 0.0034 (their Table 1).
"""

from ml_collections import ConfigDict

VARIANTS = {
    "": {},
    # Our default reference and optimiser on their data and network size.
    "residual_sh": {"model.residual": "sh", "model.zero_output": True, "model.whiten": True,
                    "model.output_scale": 0.1, "optimizer.name": "adamw",
                    "optimizer.learning_rate": 1e-3},
}


def get_config(variant=""):
    config = ConfigDict()
    config.task = "direction_synthesis"
    config.seed = 0                     # [chosen]

    config.data = ConfigDict()
    config.data.layout = "hcp"          # [stated] Human Connectome Project
    config.data.root = "data/hcp"       # ROOT/SUBJECT/T1w/Diffusion/
    config.data.shell = 1000            # [stated] b = 1000 s/mm²
    config.data.inputs = 30             # [stated] "first 30 directions"
    config.data.b0 = True               # networks see the mean b0 too
    config.data.neighbours = 0          # slices on either side that they see too
    config.data.denoise = False         # they see b0 and inputs after MP-PCA too
    config.data.denoise_targets = False  # True: they learn from targets after MP-PCA of these alone
    config.data.clean_targets = False   # True: noise-free ones, of a phantom
    config.data.axis = 2                # [stated] X, Y slices of 144×144, which pads HCP's 145×174
    #                                     are cut from; how is not said: whole slices here [chosen]
    config.data.subjects = 0            # the first so many of the training subjects; 0: all
    # [stated] 149 subjects, 1710 training, 854 validation and 793 test slices; [chosen] 854 and 793
    # are the central 61 slices of 14 and of 13 subjects, 1710 the 14 or 15 of each of the other
    # 122 that are evenly spread over the central 61
    config.data.split = (122 / 149, 14 / 149, 13 / 149)
    config.data.slices = (1710, 854)    # for training and validation; (): all
    config.data.within_subject = False
    config.data.skip_bad = False        # True: leave out subjects that cannot be used
    config.data.b0_threshold = 50.0     # s/mm²; volumes with b up to this are b0s
    config.data.drop_repeated = True    # leave out targets within 1° of an input
    config.data.stream = "auto"         # unused unless the layout is "store"
    config.data.resample = False        # True: interpolate inputs that a subject has not measured

    config.phantom = ConfigDict()       # unused with HCP data

    config.model = ConfigDict()
    config.model.name = "unet"          # [stated] "a modified version of U-net"; how, is not said
    config.model.width = 64             # [cited] 64 to 1024 channels
    config.model.levels = 5             # [cited]
    config.model.convolutions = 2       # [cited] two 3×3 per level
    config.model.first_kernel = 3       # [cited]
    config.model.norm = "none"          # [cited]
    config.model.dtype = "float32"      # float32, bfloat16: of the computation
    config.model.activation = "relu"    # [cited]
    config.model.joint = False          # True: one network for all directions
    config.model.residual = "none"      # [stated] the network's output is the image
    config.model.sh_order = 2           # unused with residual "none"
    config.model.sh_weight = 0.001
    config.model.sh_log = True
    config.model.whiten = False         # [chosen]
    config.model.output_scale = 1.0     # [chosen]
    config.model.zero_output = False    # [cited] random initialisation

    config.augment = ConfigDict()
    config.augment.noise = 0.0          # fresh noise on the inputs in every step, in σ

    config.loss = ConfigDict()
    config.loss.fa_weight = 0.0         # [stated] images only
    config.loss.fa_reference = "all"
    config.loss.fa_correction = 1.0

    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"       # [stated]
    config.optimizer.learning_rate = 1e-3  # [stated] "loss of 0.001", read as the learning rate
    config.optimizer.decay = 1e-3       # [stated] Keras: rate / (1 + decay · iteration)
    config.optimizer.momentum = 0.0     # [chosen] Keras' default
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip = 0.0
    config.optimizer.ema = 0.0          # decay of the parameters' average, which then predicts

    config.batch = 256                  # [stated]
    config.patch = 0                    # [chosen] whole slices
    config.stride = 1                   # between crops
    config.steps = 400 * (1710 // 256)  # [stated] 400 epochs of 1710 slices
    config.log_every = 6
    config.validate_every = 60
    config.checkpoint_every = 60
    config.checkpoint_keep = 2          # newest that stay; each holds last and best parameters
    config.freeze_after = 50            # [chosen] steps in a row without a finite gradient

    config.placement = "auto"           # auto (a mesh of all devices; on CPU, of the cores),
    #                                     single, pmap (networks over devices), mesh
    config.mesh_directions = 0          # devices along the networks' axis; 0: the best split
    config.memory_gb = 0.0              # budget of a device; 0: all it has
    config.deterministic = False        # on GPUs: the same bits every time, slower

    config.select = "last"              # [chosen] what predicts: last, or best (each network's own)
    config.calibrate = False            # hold synthetic DWIs to the anisotropy that inputs show

    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(filter(None, VARIANTS))}")
    config.update_from_flattened_dict(VARIANTS[variant])
    return config

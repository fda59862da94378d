"""60 direction networks on simulated subjects: the default, minutes on two CPU cores.

    python train.py                                    # this file
    python train.py --config=configs/phantom.py:smoke  # seconds, to see that everything runs
    python train.py --config.model.width=16            # any field, from the command line

Every field below can be overridden so; ``ABLATIONS`` changes one thing at a time.
"""

from ml_collections import ConfigDict

# Networks that start at random, each by itself from measured DWIs.
RANDOM_START = {"trunk.steps": 0, "steps": 300, "optimizer.learning_rate": 7e-3,
                "data.neighbours": 0, "model.first_kernel": 3, "model.expansion": 0,
                "log_every": 20, "validate_every": 150, "checkpoint_every": 100,
                "calibrate": False}

# What each of these changes is changed in such networks, which owe nothing to a joint one.
ABLATIONS = {
    "random_start": {},
    # One network for all directions, with as many parameters as the 60 have together (0.96 and
    # 0.95 million).
    "joint": {"model.joint": True, "model.width": 144, "optimizer.learning_rate": 2e-3},
    # As many parameters, in a narrower trunk and a hidden layer for each direction.
    "heads": {"model.joint": True, "model.width": 112, "model.head_width": 6,
              "optimizer.learning_rate": 2e-3},
    # FA of the fit as an auxiliary loss.
    "fa_loss": {"loss.fa_weight": 0.1},
    "fa_targets": {"loss.fa_weight": 0.1, "loss.fa_reference": "targets"},
    # What a network's output is added to.
    "residual_none": {"model.residual": "none"},
    "residual_mean": {"model.residual": "mean"},
    "residual_tensor": {"model.residual": "tensor"},
    # 1×1 layers within voxels: the first one, and a hidden layer after every 3×3 convolution.
    "pointwise": {"model.first_kernel": 1, "model.expansion": 2},
    # What networks see: two slices more, no b0, fresh noise on all inputs in every step.
    "neighbours": {"data.neighbours": 1, "data.neighbours_order": 0},
    "neighbours_sh": {"data.neighbours": 1},  # these by spherical harmonics of order 2
    "without_b0": {"data.b0": False},
    "denoise": {"data.denoise": True},
    "fresh_noise": {"augment.noise": 0.5},
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
    # The average of the parameters predicts.
    "ema": {"optimizer.ema": 0.99},
    # The optimiser of He et al.
    "paper_sgd": {"optimizer.name": "sgd", "optimizer.learning_rate": 1e-3,
                  "optimizer.decay": 1e-3},
}

VARIANTS = {
    "": {},
    # Everything at its smallest: a test of the road, not of the method.
    "smoke": {
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
    "best": {
        "phantom.subjects": (102, 8, 12), "phantom.shifted_subjects": 12,
        "data.denoise": True, "data.denoise_targets": True, "data.neighbours": 0,
        "model.width": 48, "model.first_kernel": 3, "model.expansion": 4, "loss.fa_weight": 0.15,
        "loss.fa_reference": "targets", "loss.fa_correction": 0.5,
        "trunk.steps": 64000, "trunk.batch": 2, "trunk.optimizer": "adamw",
        "trunk.learning_rate": 3e-3, "optimizer.clip": 1e-3,
        "batch": 2, "steps": 100, "validate_every": 100, "checkpoint_every": 100,
    },
    # For one GPU; not tried yet.
    "gpu": {
        "trunk.steps": 0, "phantom.subjects": (48, 4, 6), "model.width": 32, "model.levels": 3,
        "optimizer.ema": 0.999,
        "optimizer.learning_rate": 1e-3, "batch": 16, "patch": 48, "steps": 20000,
        "log_every": 200, "validate_every": 2000, "checkpoint_every": 1000,
    },
} | {name: RANDOM_START | fields for name, fields in ABLATIONS.items()}


def get_config(variant=""):
    config = ConfigDict()
    config.task = "direction_synthesis"
    config.seed = 0

    config.data = ConfigDict()
    config.data.layout = "phantom"      # phantom, hcp, plain, bids, manifest, store
    config.data.root = "data"           # phantoms are made here where they are not there yet
    config.data.shell = 1000            # b-value in s/mm²
    config.data.inputs = 30             # the first so many directions are acquired
    config.data.b0 = True               # networks see the mean b0 too
    config.data.neighbours = 1          # slices on either side that they see too
    config.data.neighbours_order = 2    # spherical harmonics that stand for their DWIs; 0: all DWIs
    config.data.denoise = False         # they see b0 and inputs after MP-PCA too
    config.data.denoise_targets = False  # True: they learn from targets after MP-PCA of these alone
    config.data.clean_targets = False   # True: noise-free ones, of a phantom
    config.data.axis = 2                # slices: 0 sagittal, 1 coronal, 2 axial
    config.data.split = (0.6, 0.2, 0.2)  # training, validation, test; unused for phantoms
    config.data.subjects = 0            # the first so many of the training subjects; 0: all
    config.data.slices = ()             # for training and validation, e.g. (1710, 854); (): all
    config.data.within_subject = False  # True: cut a single scan into slabs
    config.data.skip_bad = False        # True: leave out subjects that cannot be used
    config.data.b0_threshold = 50.0     # s/mm²; volumes with b up to this are b0s
    config.data.drop_repeated = True    # leave out targets within 1° of an input
    config.data.stream = "auto"         # batches of a store: auto (where it does not fit on the
    #                                     device), always, never
    config.data.resample = False        # True: interpolate inputs that a subject has not measured

    config.phantom = ConfigDict()
    config.phantom.subjects = (12, 2, 6)  # training, validation, test
    config.phantom.shifted_subjects = 6   # of the other generator, for test only
    config.phantom.shape = (56, 68, 24)   # voxels
    config.phantom.voxel_size = 2.5       # mm
    config.phantom.directions = 90
    config.phantom.lesions = True         # in test subjects, never in training
    config.phantom.snr = 20.0           # mean white-matter S0 / σ before shading
    config.phantom.seed = 1

    config.model = ConfigDict()
    config.model.name = "unet"
    config.model.width = 16             # channels at full resolution
    config.model.levels = 2             # resolutions
    config.model.convolutions = 1       # per level and side
    config.model.first_kernel = 1       # 1: directions are mixed before voxels; 3
    config.model.expansion = 2          # hidden channels of voxels' own layers, in widths; 0: none
    config.model.head_width = 0         # channels of a hidden layer for each output; 0: none
    config.model.norm = "none"          # none, group
    config.model.dtype = "float32"      # float32, bfloat16: of the computation
    config.model.activation = "silu"    # relu, leaky_relu, gelu, silu
    config.model.joint = False          # True: one network for all directions
    config.model.residual = "sh"        # none (He et al.), mean, sh, tensor
    config.model.sh_order = 2
    config.model.sh_weight = 0.001      # Laplace-Beltrami
    config.model.sh_log = True          # expand ln S, weighted, not S
    config.model.whiten = True          # input channels, by the training inputs' covariance
    config.model.output_scale = 0.1     # a residual is about a tenth of the signal
    config.model.zero_output = True     # start at the reference

    config.augment = ConfigDict()
    config.augment.noise = 0.0          # fresh noise on the inputs in every step, in σ

    config.loss = ConfigDict()
    config.loss.fa_weight = 0.0         # > 0: FA of the tensor fit as an auxiliary loss
    config.loss.fa_reference = "all"    # held to FA of: all (b0s, inputs, targets), targets (and
    #                                     b0s, as measured; they know nothing of inputs' noise)
    config.loss.fa_correction = 1.0     # how much of its bias by noise is taken from the latter

    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"     # adamw, muon (both warm-up, cosine),
    #                                     sgd (rate / (1 + decay·step))
    config.optimizer.learning_rate = 1e-4  # small, as they start from what the joint one knows
    config.optimizer.decay = 0.0
    config.optimizer.momentum = 0.0
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip = 0.0         # largest gradient norm of one network; 0: none
    config.optimizer.ema = 0.0          # decay of the parameters' average, which then predicts

    config.trunk = ConfigDict()         # one joint network, from which the others start
    config.trunk.steps = 2000           # 0: they start at random
    config.trunk.batch = 4
    config.trunk.optimizer = "muon"     # as good in a third of the steps that adamw takes
    config.trunk.learning_rate = 3e-2
    config.trunk.weight_decay = 0.1

    config.batch = 4                    # slices in a batch
    config.patch = 32                   # side of the random crops; 0: whole slices
    config.stride = 1                   # between crops
    config.steps = 20
    config.log_every = 10
    config.validate_every = 20
    config.checkpoint_every = 20
    config.checkpoint_keep = 2          # newest that stay; each holds last and best parameters
    config.freeze_after = 50            # steps in a row without a finite gradient; 0: never

    config.placement = "auto"           # auto (a mesh of all devices; on CPU, of the cores),
    #                                     single, pmap (networks over devices), mesh
    config.mesh_directions = 0          # devices along the networks' axis; 0: the best split
    config.memory_gb = 0.0              # budget of a device; 0: all it has
    config.deterministic = False        # on GPUs: the same bits every time, slower

    config.select = "last"              # what predicts: last, best (each network's own step)
    config.calibrate = True             # hold synthetic DWIs to the anisotropy that a subject's own
    #                                     inputs show

    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(filter(None, VARIANTS))}")
    config.update_from_flattened_dict(VARIANTS[variant])
    return config

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

from ml_collections import ConfigDict

MAPS = ("fa", "md", "tensor")

VARIANTS = {
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
    # What the networks' output is added to, and whether they see the b0.
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


def get_config(variant=""):
    config = ConfigDict()
    config.task = "map_regression"
    config.seed = 0
    # fa, md; of the first eigenvector: signed (FA v, the paper), colour (FA |v|), dyadic (FA v vᵀ);
    # tensor (all maps of one positive definite tensor)
    config.targets = ("fa", "md", "dyadic", "tensor")
    config.seeds = 1                    # networks of each target

    config.data = ConfigDict()
    config.data.layout = "phantom"      # phantom, hcp, plain
    config.data.root = "data"           # phantoms are made here where they are not there yet
    config.data.shell = 1000            # b-value in s/mm²
    config.data.inputs = 6              # q directions
    config.data.choose = "optimal"      # first; optimal: the q that determine a tensor best
    config.data.b0 = True               # networks see the mean b0 too
    config.data.axis = 2                # slices: 0 sagittal, 1 coronal, 2 axial
    config.data.split = (0.6, 0.2, 0.2)  # training, validation, test; unused for phantoms
    config.data.within_subject = False  # True: cut a single scan into slabs
    config.data.skip_bad = False        # True: leave out subjects that cannot be used
    config.data.b0_threshold = 50.0     # s/mm²; volumes with b up to this are b0s
    config.data.stream = "auto"         # batches of a store: auto (where it does not fit on the
    #                                     device), always, never
    config.data.added_noise = 0.0       # largest SD of noise added to what networks see as they
    #                                     learn, in units of the median b0

    config.phantom = ConfigDict()
    config.phantom.subjects = (12, 2, 10)  # training, validation, test
    config.phantom.shifted_subjects = 10   # of the other generator, for test only
    config.phantom.shape = (56, 68, 24)    # voxels
    config.phantom.voxel_size = 2.5        # mm
    config.phantom.directions = 90
    config.phantom.averages = 1         # of every direction
    config.phantom.b0s = 6
    config.phantom.snr = 20.0           # mean white-matter S0 / σ before shading
    config.phantom.seed = 1

    config.model = ConfigDict()
    config.model.name = "superdti"
    config.model.width = 24             # filters of every layer (64 in the paper)
    config.model.dtype = "float32"      # float32, bfloat16: of the computation
    config.model.residual = "fit"       # none; projection (of the input); fit (of the q directions)
    config.model.whiten = True          # input channels, by the training inputs' covariance
    config.model.output_scale = 0.1     # a residual is about a tenth of a map
    config.model.zero_output = True     # start at the reference

    config.optimizer = ConfigDict()
    config.optimizer.name = "adamw"     # adamw, muon (both warm-up, cosine),
    #                                     sgd (rate / (1 + decay·step))
    config.optimizer.learning_rate = 2e-3
    config.optimizer.decay = 0.0
    config.optimizer.momentum = 0.0
    config.optimizer.weight_decay = 1e-4
    config.optimizer.clip = 1.0         # largest gradient norm of one network; 0: none
    config.optimizer.ema = 0.0          # decay of the parameters' average, which then predicts

    config.batch = 24                   # patches in a batch
    config.patch = 21                   # side, the receptive field of a network
    config.stride = 7                   # between patches
    config.steps = 800
    config.log_every = 20
    config.validate_every = 200
    config.checkpoint_every = 200
    config.checkpoint_keep = 2          # newest that stay; each holds last and best parameters
    config.freeze_after = 50            # steps in a row without a finite gradient; 0: never

    config.placement = "auto"           # auto (a mesh of all devices; on CPU, of the cores),
    #                                     single, pmap (networks over devices), mesh
    config.mesh_directions = 0          # devices along the networks' axis; 0: the best split
    config.memory_gb = 0.0              # budget of a device; 0: all it has
    config.deterministic = False        # on GPUs: the same bits every time, slower

    config.select = "last"              # what predicts: last, best (each network's own step)

    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(filter(None, VARIANTS))}")
    config.update_from_flattened_dict(VARIANTS[variant])
    return config

"""Every field of a config, once, with its default.

The configs beside this file are differences from it; `dwijax.config` says what each field may be
and what excludes what. Nothing derived is stored: builders derive it, after the command line has
had its say.
"""

from ml_collections import ConfigDict


def base():
    """The defaults of all fields."""
    config = ConfigDict()
    config.task = "direction_synthesis"  # (He et al.), map_regression (Li et al.), any_table
    config.seed = 0

    # Map regression: networks of each of these maps. fa; md; of the first eigenvector v: signed
    # (FA v, the paper), dyadic (FA v vᵀ); tensor (all maps of one positive definite tensor).
    config.targets = ("fa", "md", "dyadic", "tensor")
    config.seeds = 1                    # networks of each target; any table: networks

    data = config.data = ConfigDict()
    data.layout = "phantom"             # phantom, hcp, plain, bids, manifest, store
    data.root = "data"                  # phantoms are made here where they are not there yet
    data.shell = 1000                   # b-value, s/mm²
    data.b0_threshold = 50.0            # s/mm²; volumes at or below it are b0s
    data.inputs = 30                    # directions that are acquired
    data.choose = "first"               # which: first, or, of map regression, optimal: the best
    #                                     conditioned ones for a tensor
    data.drop_repeated = True           # targets with the axis of an input are none; False: refuse
    data.b0 = True                      # networks see the mean b0 too
    data.neighbours = 0                 # slices on either side that they see too
    data.neighbours_order = 2           # spherical harmonics that stand for their DWIs; 0: all DWIs
    data.denoise = False                # they see b0 and inputs after MP-PCA too
    data.denoise_targets = False        # they learn from targets after MP-PCA of these alone
    data.clean_targets = False          # they learn from noise-free targets, of a phantom
    data.added_noise = 0.0              # map regression: largest SD of noise added to what networks
    #                                     see as they learn, in units of the median b0
    data.axis = 2                       # slices: 0 sagittal, 1 coronal, 2 axial
    data.all_axes = False               # any table: learn from slices along all three
    data.split = (0.6, 0.2, 0.2)        # training, validation, test; unused for phantoms
    data.subjects = 0                   # the first so many of the training subjects; 0: all
    data.slices = ()                    # for training and validation, e.g. (1710, 854); (): all
    data.within_subject = False         # cut a single scan into slabs
    data.skip_bad = False               # leave out, each with a line, subjects that cannot be used
    data.stream = "auto"                # batches of a store: auto (where it does not fit on the
    #                                     device), always, never

    phantom = config.phantom = ConfigDict()  # simulated subjects, with the layout phantom
    phantom.subjects = (12, 2, 6)       # training, validation, test
    phantom.shifted_subjects = 6        # of the other generator, for test only
    phantom.shape = (56, 68, 24)        # voxels
    phantom.voxel_size = 2.5            # mm
    phantom.directions = 90
    phantom.averages = 1                # of every direction
    phantom.b0s = 6
    phantom.lesions = False             # in test subjects, never in training
    phantom.snr = 20.0                  # mean white-matter S0 / σ before shading
    phantom.seed = 1

    model = config.model = ConfigDict()
    model.name = "unet"                 # unet, superdti
    model.width = 16                    # channels at full resolution
    model.levels = 2                    # resolutions of a U-Net
    model.convolutions = 1              # of a U-Net, per level and side
    model.first_kernel = 3              # of a U-Net; 1: directions are mixed before voxels
    model.expansion = 0                 # of a U-Net: hidden channels of voxels' own layers, in
    #                                     widths; 0: none
    model.activation = "silu"           # of a U-Net: relu, leaky_relu, gelu, silu
    model.dtype = "float32"             # float32, bfloat16: of the computation
    model.joint = False                 # one network for all directions
    model.residual = "sh"               # what its output is added to. Directions: none (He et al.),
    #                                     mean, sh, tensor. Maps: none, projection (of the input;
    #                                     superdti), fit (of the inputs)
    model.sh_order = 2                  # of residual sh
    model.sh_weight = 0.001             # Laplace-Beltrami
    model.sh_log = True                 # expand ln S, weighted, not S
    model.whiten = True                 # input channels, by the training inputs' covariance
    model.output_scale = 0.1            # a residual is about a tenth of the signal
    model.zero_output = True            # start at the residual baseline

    scans = config.scans = ConfigDict()  # any table: what training scans are drawn from
    scans.directions = (6, 90)          # least and most
    scans.b = (700.0, 3000.0)           # s/mm²
    scans.snr = (8.0, 40.0)             # median b0 / σ
    scans.disturbed = True              # gain, motion, noise shared by neighbours, uneven noise
    scans.order = 4                     # of the harmonics that come out: 4, 6

    loss = config.loss = ConfigDict()
    loss.fa_weight = 0.0                # > 0: FA of the tensor fit as an auxiliary loss
    loss.fa_reference = "all"           # held to FA of: all (b0s, inputs, targets), targets (and
    #                                     b0s, as measured; they know nothing of inputs' noise)
    loss.fa_correction = 1.0            # how much of its bias by noise is taken from the latter

    optimizer = config.optimizer = ConfigDict()
    optimizer.name = "adamw"            # adamw, muon (both warm-up, cosine),
    #                                     sgd (rate / (1 + decay·step))
    optimizer.learning_rate = 1e-3
    optimizer.decay = 0.0               # of sgd
    optimizer.weight_decay = 1e-4
    optimizer.clip = 0.0                # largest gradient norm of one network; 0: none

    trunk = config.trunk = ConfigDict()  # one joint network, from which the others start
    trunk.steps = 0                     # 0: they start at random
    trunk.batch = 4
    trunk.optimizer = "muon"            # as good in a third of the steps that adamw takes
    trunk.learning_rate = 3e-2
    trunk.weight_decay = 0.1

    config.batch = 4                    # slices in a batch
    config.patch = 32                   # side of the random crops, pixels; 0: whole slices
    config.stride = 1                   # between crops, pixels
    config.steps = 300
    config.log_every = 20
    config.validate_every = 150
    config.checkpoint_every = 100
    config.checkpoint_keep = 2          # newest that stay
    config.freeze_after = 50            # steps in a row without a finite gradient; 0: never

    config.placement = "auto"           # auto (a mesh of all devices; on CPU, of the cores),
    #                                     single, pmap (networks over devices), mesh
    config.mesh_directions = 0          # devices along the networks' axis; 0: the best split
    config.memory_gb = 0.0              # budget of a device, GiB; 0: all it has
    config.deterministic = False        # on GPUs: the same bits every time, slower

    config.calibrate = False            # hold synthetic DWIs to the anisotropy that a subject's own
    #                                     inputs show
    return config


def expanded(variants, variant):
    """The defaults with the fields of a variant.

    Args:
      variants: name to fields, each by its dotted name.

    Raises:
      ValueError: there is no such variant.
    """
    if variant not in variants:
        raise ValueError(f"no variant {variant!r}; there are {', '.join(filter(None, variants))}")
    config = base()
    config.update_from_flattened_dict(variants[variant])
    return config

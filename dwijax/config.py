"""From a config to the objects it describes. Below this file there is no configuration."""

from functools import partial

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from dwijax.data import anisotropy
from dwijax.data.sampling import fresh_noise
from dwijax.devices import memory, placement
from dwijax.errors import InputError
from dwijax.gradients.directions import best_conditioned, repeated
from dwijax.models.stack import functional, network_keys
from dwijax.models.superdti import SuperDTI
from dwijax.models.unet import UNet
from dwijax.runs import description
from dwijax.schema import Such, validate
from dwijax.tasks import calibration, direction_synthesis, map_regression
from dwijax.training import averaging, optimizers


def check(config, where="--config.", *, remedy="give another value"):
    """Refuses a config that cannot be meant, before anything is read or written.

    Args:
      config: ConfigDict. where, remedy: as of `dwijax.schema.validate`.

    Raises:
      InputError: naming the field.
    """
    plain = to_dict(config)
    path = "" if where.endswith(".") else "config"
    description.check_config(plain, where, remedy=remedy, path=path)

    def expect(field, condition, expected):
        value = config
        for name in field.split("."):
            value = value[name]
        validate(to_dict(value), Such(object, condition, expected), where, remedy=remedy,
                 path=f"{path}.{field}".lstrip("."))

    multiple = multiple_of(config) if config.model.name == "unet" else 1
    expect("patch", lambda v: v % multiple == 0, f"0 or a multiple of {multiple} (2^(levels - 1))")
    expect("data.split", lambda v: abs(sum(v) - 1) < 1e-6, "shares that sum to 1")
    if "b0_threshold" in config.data:
        expect("data.b0_threshold", lambda v: v < config.data.shell, "a b-value below the shell")
    if config.data.layout == "phantom":
        description.check_phantom(plain["phantom"], where, remedy=remedy,
                                  path=f"{path}.phantom".lstrip("."))
    if config.task == "direction_synthesis":
        _check_direction_synthesis(config, expect)
    else:
        _check_map_regression(config, expect)


def _check_direction_synthesis(config, expect):
    d, tensor, stored = config.data, config.model.residual == "tensor", \
        config.data.layout == "store"
    resample = d.get("resample", False)
    if "trunk" in config:
        expect("trunk.steps", lambda v: not (v and config.model.joint),
               "0 where there is one joint network anyway")
    expect("data.b0", lambda v: v or not (tensor or d.neighbours),
           "true with residual tensor or with neighbours")
    expect("data.neighbours", lambda v: not (v and stored),
           "0 with a store, which is read slice by slice")
    if "neighbours_order" in d:
        expect("data.neighbours_order", lambda v: not (v and d.neighbours and config.augment.noise),
               "0 with fresh noise, which is made for DWIs")
    expect("data.denoise", lambda v: not (v and stored),
           "false with a store, which is read slice by slice")
    expect("data.denoise", lambda v: not (v and (config.augment.noise or resample)),
           "false with fresh noise, which it would not see, and with resample, whose noise volumes "
           "share")
    expect("augment.noise", lambda v: not (v and stored),
           "0 with a store, which does not tell its subjects' noise level")
    expect("data.clean_targets", lambda v: not v or d.layout == "phantom",
           "false: only a phantom has noise-free targets")
    if "calibrate" in config:
        few = d.inputs < calibration.LEAST_INPUTS
        expect("calibrate", lambda v: not (v and (stored or few or resample)),
               f"false with fewer than {calibration.LEAST_INPUTS} inputs, which say too little of "
               "noise, with resample, whose noise volumes share, and with a store, which is not "
               "the subjects themselves")
    expect("data.denoise_targets", lambda v: not (v and (stored or resample or d.clean_targets)),
           "false with a store, which is read slice by slice, with resample, whose noise volumes "
           "share, and with noise-free targets")
    expect("data.denoise_targets", lambda v: not (v and d.within_subject),
           "false within one subject, whose training and test slices would share noise")
    expect("loss.fa_reference", lambda v: v == "all" or not stored,
           "all with a store, which has not what is fitted before")
    if "subjects" in d:
        expect("data.subjects", lambda v: not (v and stored),
               "0 with a store, which was prepared with the subjects that it has")


def _check_map_regression(config, expect):
    least, fit = map_regression.LEAST, config.model.residual == "fit"
    expect("data.b0", lambda v: v or not fit, "true with residual fit: a fit needs the b0")
    tensors = set(config.targets) != {"md"}
    expect("data.inputs", lambda v: v >= least or not (fit and tensors),
           f"at least {least} directions for a fit, or targets of md alone, or another residual")
    expect("model.residual", lambda v: v != "projection" or config.model.name == "superdti",
           "none or fit: only superdti has a projection")


def multiple_of(config):
    """What H and W of a slice must be divisible by; networks without levels take any size."""
    return 2 ** (config.model.get("levels", 1) - 1)


def input_positions(config, gtab, where="--config.data.inputs"):
    """Positions of the inputs among the shell's directions, ``[q]``: the first ones, or the best
    conditioned ones.

    Raises:
      InputError: there are not so many.
    """
    q = config.data.inputs
    least = q if config.task == "map_regression" else q + 1
    if len(gtab) < least:
        raise InputError(
            where, found=f"{q} of {len(gtab)} directions",
            expected=f"at most {len(gtab) - least + q}, of the {len(gtab)} directions of the shell",
            remedy="give fewer inputs")
    if config.task == "map_regression" and config.data.choose == "optimal":
        return best_conditioned(gtab.bvecs, q)
    return np.arange(q)


def build_task(config, gtab, b0s, networks=None):
    """The task on a shell's table (without b0s).

    ``networks``: positions in the stack, all by default.
    """
    inputs = input_positions(config, gtab)
    if config.task == "map_regression":
        return map_regression.map_regression(
            gtab, b0s, inputs, targets=tuple(config.targets), seeds=config.seeds,
            networks=networks, residual="fit" if config.model.residual == "fit" else "none",
            b0_input=config.data.b0, added_noise=config.data.added_noise)
    outputs = output_positions(config, gtab)
    if wants_measured_fa(config) and len(outputs) < anisotropy.LEAST:
        raise InputError("--config.loss.fa_reference", found=f"targets, of which there are "
                         f"{len(outputs)}", expected=f"at least {anisotropy.LEAST} of them",
                         remedy="give all")
    if networks is not None and not config.model.joint:
        outputs = outputs[networks]
    task = direction_synthesis.direction_synthesis(
        gtab, b0s, inputs, outputs, residual=config.model.residual,
        sh_order=config.model.sh_order, sh_weight=config.model.sh_weight,
        sh_log=config.model.sh_log, fa_weight=config.loss.fa_weight,
        fa_measured=wants_measured_fa(config), b0_input=config.data.b0,
        neighbours=config.data.neighbours, neighbours_order=config.data.get("neighbours_order", 0),
        denoised=config.data.get("denoise", False))
    return direction_synthesis.joined(task) if config.model.joint else task


def wants_measured_fa(config):
    """Whether the FA loss holds predictions to the FA of the measured targets alone."""
    return ("loss" in config and config.loss.fa_weight > 0
            and config.loss.get("fa_reference") == "targets")


def output_positions(config, gtab):
    """Positions among the shell's directions of those that are synthesised: all but the inputs and
    what repeats them (`repeats`).

    Raises:
      InputError: nothing is left.
    """
    q = config.data.inputs
    outputs = np.setdiff1d(np.arange(q, len(gtab)), [k for k, *_ in repeats(config, gtab)])
    if not len(outputs):
        raise InputError(
            "--config.data.inputs", found=f"{q} of {len(gtab)} directions, which the others repeat",
            expected="directions that are no inputs, to learn from",
            remedy="give fewer inputs, or merge the repeated volumes")
    return outputs


def repeats(config, gtab):
    """Directions that are no targets because an input has their axis.

    Inputs are the first directions, so that the target is the later of the two volumes.

    Returns:
      list of ``(position, position of the input, degrees)``; none without ``data.drop_repeated``.
    """
    q = config.data.inputs
    if not config.data.get("drop_repeated", False):
        return []
    return [(k, i, angle) for i, k, angle in repeated(gtab.bvecs) if i < q <= k]


def build_augmentation(config, gtab, b0s, subjects):
    """What is done to a batch before each step (`dwijax.training.step.make_update`), or None.

    Args:
      gtab: table of the shell. b0s: number of b0 volumes behind the mean.
      subjects: `dwijax.data.domain.of_subject` of the training subjects: of their σ the median.

    Raises:
      InputError: nothing tells the training subjects' noise level.
    """
    share = config.augment.noise if "augment" in config else 0
    if not share:
        return None
    levels = [1 / snr for subject in subjects for snr in subject["SNR"]]  # b0s are 1 in the median
    if not levels:
        raise InputError("--config.augment.noise", found=f"{share:g}", remedy="give 0",
                         expected="0, as neither b0 repeats nor directions tell σ")
    q = config.data.inputs
    beside = 2 * config.data.neighbours
    channels = np.r_[:q, len(gtab) + np.arange(beside * (1 + q))]
    of_slice = np.r_[1 / np.sqrt(b0s), np.ones(q)]
    sigma = share * np.median(levels) * np.tile(of_slice, 1 + beside)
    return partial(_augmented, config.seed, channels, sigma)


def _augmented(seed, channels, sigma, batch, step, first):
    return fresh_noise(batch, seed, step, first, channels=channels, sigma=sigma)


def build_network(config, task):
    """One network as two pure functions."""
    m = config.model
    if m.name == "superdti":
        return functional(lambda rngs: SuperDTI(
            task.in_channels, task.out_channels, width=m.width,
            projection=m.residual == "projection", zero_output=m.zero_output,
            dtype=compute_dtype(config), rngs=rngs))
    return functional(lambda rngs: UNet(
        task.in_channels, task.out_channels, width=m.width, levels=m.levels,
        convolutions=m.convolutions, first_kernel=m.first_kernel,
        expansion=m.get("expansion", 0), head_width=m.get("head_width", 0), norm=m.norm,
        activation=m.activation, zero_output=m.zero_output, dtype=compute_dtype(config),
        rngs=rngs))


def build_optimizer(config):
    """One network's optimiser."""
    o = config.optimizer
    optimizer = optimizers.build(
        o.name, learning_rate=o.learning_rate, steps=config.steps, decay=o.decay,
        momentum=o.momentum, weight_decay=o.weight_decay, clip=o.clip)
    return averaging.averaged(optimizer, o.ema) if o.ema else optimizer


def build_predictor(config, task, whitening):
    """``(params, x [N, H, W, C]) -> [K, N, H, W, D]``; ``whitening`` may be None."""
    return direction_synthesis.predictor(
        task, build_network(config, task), config.model.output_scale, whitening)


def compute_dtype(config):
    """What the networks compute in; parameters, losses and fits are float32."""
    return jnp.dtype(config.model.dtype)


def build_placement(config, task):
    """Where the stack trains."""
    return placement.place(config.placement, len(task.numbers), config.batch,
                           directions=config.mesh_directions)


def build_plan(config, task, network, optimizer, place, size, budget, data):
    """How much of the stack and of a batch is in memory at once, on each device.

    Args:
      size: ``(H, W)`` of what is trained on. budget: bytes. data: bytes of the slices.
    """
    h, w = size
    outputs = 4 * h * w * (task.in_channels + 3 * len(task.numbers) * task.out_channels)
    program = memory.resident() // jax.local_device_count() if jax.default_backend() == "cpu" else 0
    return memory.make_plan(
        memory.costs(network, optimizer, (h, w, task.in_channels)), networks=place.per_device,
        slices=config.batch // place.axes.batches, outputs=outputs, data=data, budget=budget,
        coupled=task.coupled is not None, program=program)


def build_keys(config, task):
    """The networks' initialisation keys, ``[K]``."""
    return network_keys(jax.random.key(config.seed), jnp.asarray(task.numbers))


def to_dict(config):
    """Plain nested dict with lists for tuples, as JSON stores it."""
    if isinstance(config, ml_collections.ConfigDict):
        return {name: to_dict(value) for name, value in config.items()}
    return list(config) if isinstance(config, tuple) else config

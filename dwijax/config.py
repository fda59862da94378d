"""The schema of a config, what excludes what, and the objects that a config describes.

A field stands in ``configs/base.py`` with its default and here with what it may be; what is not
here is refused, on the command line as in a file. Below this file there is no configuration.
"""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from dwijax.data import anisotropy
from dwijax.data.layouts import LAYOUTS
from dwijax.devices.placement import KINDS
from dwijax.errors import InputError
from dwijax.gradients.directions import best_conditioned, repeated
from dwijax.models.stack import functional, network_keys
from dwijax.models.superdti import SuperDTI
from dwijax.models.unet import ACTIVATIONS, UNet
from dwijax.schema import (
    COUNT,
    POSITIVE,
    SHARE,
    Such,
    listed,
    number,
    one_of,
    validate,
    whole,
)
from dwijax.tasks import any_table, calibration, direction_synthesis, map_regression
from dwijax.tasks.task import predictor

TASKS = ("direction_synthesis", "map_regression", "any_table")
NETWORKS = ("unet", "superdti")
OPTIMIZERS = ("adamw", "muon", "sgd")  # of `dwijax.training.optimizers`

FIELDS = {
    "task": one_of(*TASKS),
    "seed": whole(),
    "targets": Such([one_of(*map_regression.TARGETS)],
                    lambda v: v and len(set(v)) == len(v), "different maps"),
    "seeds": whole(1, 10_000),
    "data": {
        "layout": one_of(*LAYOUTS, "store"),
        "root": Such(str, lambda v: "\0" not in v, "a path"),
        "shell": Such(float, lambda v: 0 < v <= 1e5, "a b-value in s/mm²"),
        "b0_threshold": number(0, 1e5), "inputs": whole(1, 10_000),
        "choose": one_of("first", "optimal"), "drop_repeated": bool, "b0": bool,
        "neighbours": whole(0, 100), "neighbours_order": one_of(0, 2, 4, 6, 8), "denoise": bool,
        "denoise_targets": bool, "clean_targets": bool, "added_noise": number(),
        "axis": one_of(0, 1, 2), "all_axes": bool,
        "split": Such(listed(SHARE, 3, 3), lambda v: abs(sum(v) - 1) < 1e-6,
                      "three shares that sum to 1"),
        "subjects": whole(),
        "slices": Such([COUNT], lambda v: len(v) in (0, 2),
                       "(), or the numbers of training and of validation slices"),
        "within_subject": bool, "skip_bad": bool, "stream": one_of("auto", "always", "never"),
    },
    "phantom": {
        "subjects": listed(whole(0, 10**6), 3, 3), "shifted_subjects": whole(0, 10**6),
        "shape": listed(whole(4, 10**4), 3, 3), "voxel_size": number(0.5, 6),
        "directions": whole(1, 10_000), "averages": whole(1, 1000), "b0s": whole(1, 1000),
        "lesions": bool, "snr": POSITIVE, "seed": whole(),
    },
    "model": {
        "name": one_of(*NETWORKS), "width": whole(1, 4096), "levels": whole(1, 8),
        "convolutions": whole(1, 16), "first_kernel": whole(1, 31), "expansion": whole(0, 64),
        "activation": one_of(*ACTIVATIONS), "dtype": one_of("float32", "bfloat16"),
        "joint": bool, "residual": one_of("none", "mean", "sh", "tensor", "projection", "fit"),
        "sh_order": one_of(*range(0, 17, 2)), "sh_weight": number(), "sh_log": bool,
        "whiten": bool, "output_scale": POSITIVE, "zero_output": bool,
    },
    "scans": {"directions": listed(whole(6, 90), 2, 2), "b": listed(number(100, 1e4), 2, 2),
              "snr": listed(number(1, 1e3), 2, 2), "order": one_of(4, 6), "disturbed": bool},
    "loss": {"fa_weight": number(), "fa_reference": one_of("all", "targets"),
             "fa_correction": SHARE},
    "optimizer": {"name": one_of(*OPTIMIZERS), "learning_rate": POSITIVE, "decay": number(),
                  "weight_decay": number(), "clip": number()},
    "trunk": {"steps": whole(), "batch": COUNT, "optimizer": one_of(*OPTIMIZERS),
              "learning_rate": POSITIVE, "weight_decay": number()},
    **dict.fromkeys(("batch", "stride", "steps", "log_every", "validate_every",
                     "checkpoint_every", "checkpoint_keep"), COUNT),
    "patch": whole(), "freeze_after": whole(), "placement": one_of(*KINDS),
    "mesh_directions": whole(), "memory_gb": number(0, 1e6), "deterministic": bool,
    "calibrate": bool,
}


def _stored(config):
    return config.data.layout == "store"


def _directions(config):
    return config.task == "direction_synthesis"


def _maps(config):
    return config.task == "map_regression"


def _any_table(config):
    return config.task == "any_table"


def _ranges(config):
    return (config.scans.directions, config.scans.b, config.scans.snr)


# What excludes what: a field, whether a config may have it as it is, what is expected instead.
RULES = (
    ("patch", lambda c: c.patch % multiple_of(c) == 0,
     "0 or a multiple of 2^(model.levels - 1)"),
    ("data.b0_threshold", lambda c: c.data.b0_threshold < c.data.shell,
     "a b-value below the shell"),
    ("model.residual", lambda c: c.model.residual in {
        "direction_synthesis": ("none", "mean", "sh", "tensor"), "any_table": ("sh",),
        "map_regression": ("none", "projection", "fit")}[c.task],
     "of directions none, mean, sh or tensor; of any table sh; of maps none, projection or fit"),
    ("model.whiten", lambda c: not (c.model.whiten and _any_table(c)),
     "false for any table, whose inputs are of order one"),
    ("data.all_axes", lambda c: not c.data.all_axes or _any_table(c), "false but for any table"),
    ("data.layout", lambda c: not (_any_table(c) and _stored(c)),
     "no store for any table, which learns from the truth of simulated subjects"),
    ("scans", lambda c: all(least <= most for least, most in _ranges(c)),
     "the least, then the most, of directions, b and snr"),
    ("model.residual", lambda c: c.model.residual != "projection" or c.model.name == "superdti",
     "none or fit: only superdti has a projection"),
    ("data.b0", lambda c: c.data.b0 or not (c.model.residual in ("tensor", "fit")
                                            or c.data.neighbours),
     "true with residual tensor or fit, which need the b0, or with neighbours"),
    ("data.inputs", lambda c: c.data.inputs >= map_regression.LEAST or c.model.residual != "fit"
     or set(c.targets) == {"md"},
     f"at least {map_regression.LEAST} directions for a fit, or targets of md alone, or another "
     "residual"),
    ("data.choose", lambda c: c.data.choose == "first" or _maps(c),
     "first: further directions are those behind the inputs"),
    ("data.added_noise", lambda c: not c.data.added_noise or _maps(c),
     "0: of map regression alone"),
    ("data.neighbours", lambda c: not c.data.neighbours or _directions(c),
     "0: of direction synthesis alone"),
    ("data.neighbours", lambda c: not (c.data.neighbours and _stored(c)),
     "0 with a store, which is read slice by slice"),
    ("data.denoise", lambda c: not c.data.denoise or (_directions(c) and not _stored(c)),
     "false with maps, and with a store, which is read slice by slice"),
    ("data.denoise_targets", lambda c: not c.data.denoise_targets or (
        _directions(c) and not _stored(c) and not c.data.clean_targets),
     "false with maps, with a store, which is read slice by slice, and with noise-free targets"),
    ("data.denoise_targets", lambda c: not (c.data.denoise_targets and c.data.within_subject),
     "false within one subject, whose training and test slices would share noise"),
    ("data.clean_targets", lambda c: not c.data.clean_targets or (
        _directions(c) and c.data.layout == "phantom"),
     "false: only a phantom has noise-free targets"),
    ("data.subjects", lambda c: not (c.data.subjects and _stored(c)),
     "0 with a store, which was prepared with the subjects that it has"),
    ("model.joint", lambda c: not c.model.joint or _directions(c), "false but for directions"),
    ("loss.fa_weight", lambda c: not c.loss.fa_weight or _directions(c), "0 with maps"),
    ("loss.fa_reference", lambda c: c.loss.fa_reference == "all" or not _stored(c),
     "all with a store, which has not what is fitted before"),
    ("trunk.steps", lambda c: not c.trunk.steps or (_directions(c) and not c.model.joint),
     "0 with maps, and where there is one joint network anyway"),
    ("calibrate", lambda c: not c.calibrate or (
        not _maps(c) and not _stored(c) and c.data.inputs >= calibration.LEAST_INPUTS),
     f"false with maps, with fewer than {calibration.LEAST_INPUTS} inputs, which say too little of "
     "noise, and with a store, which is not the subjects themselves"),
)


def check(config, where="--config.", *, remedy="give another value"):
    """Refuses a config that cannot be meant, before anything is read or written.

    Args:
      config: ConfigDict, or the same as JSON holds it. where, remedy: as of
        `dwijax.schema.validate`.

    Raises:
      InputError: naming the field.
    """
    path = "" if str(where).endswith(".") else "config"
    plain = to_dict(config) if isinstance(config, ml_collections.ConfigDict) else config
    validate(plain, FIELDS, where, remedy=remedy, path=path)
    config = ml_collections.ConfigDict(plain)
    for field, holds, expected in RULES:
        value = plain
        for name in field.split("."):
            value = value[name]
        validate(value, Such(object, lambda _, holds=holds: holds(config), expected), where,
                 remedy=remedy, path=f"{path}.{field}".lstrip("."))


def multiple_of(config):
    """What H and W of a slice must be divisible by; networks without levels take any size."""
    return 2 ** (config.model.levels - 1) if config.model.name == "unet" else 1


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
    if _any_table(config):
        return any_table.any_table(
            seeds=config.seeds, networks=networks, inputs=inputs,
            directions=tuple(config.scans.directions), b=tuple(config.scans.b),
            snr=tuple(config.scans.snr), order=config.scans.order,
            disturbances=any_table.ALL if config.scans.disturbed else any_table.NONE)
    if config.task == "map_regression":
        return map_regression.map_regression(
            gtab, b0s, inputs, targets=tuple(config.targets), seeds=config.seeds,
            networks=networks, residual="fit" if config.model.residual == "fit" else "none",
            b0_input=config.data.b0, added_noise=config.data.added_noise)
    outputs = output_positions(config, gtab)
    measured_fa = config.loss.fa_weight > 0 and config.loss.fa_reference == "targets"
    if measured_fa and len(outputs) < anisotropy.LEAST:
        raise InputError("--config.loss.fa_reference", found=f"targets, of which there are "
                         f"{len(outputs)}", expected=f"at least {anisotropy.LEAST} of them",
                         remedy="give all")
    if networks is not None and not config.model.joint:
        outputs = outputs[networks]
    task = direction_synthesis.direction_synthesis(
        gtab, b0s, inputs, outputs, residual=config.model.residual,
        sh_order=config.model.sh_order, sh_weight=config.model.sh_weight,
        sh_log=config.model.sh_log, fa_weight=config.loss.fa_weight,
        fa_correction=config.loss.fa_correction if measured_fa else None,
        b0_input=config.data.b0,
        neighbours=config.data.neighbours, neighbours_order=config.data.neighbours_order,
        denoised=config.data.denoise)
    return direction_synthesis.joined(task) if config.model.joint else task


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
    if not config.data.drop_repeated:
        return []
    return [(k, i, angle) for i, k, angle in repeated(gtab.bvecs) if i < q <= k]


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
        expansion=m.expansion,
        activation=m.activation, zero_output=m.zero_output, dtype=compute_dtype(config),
        rngs=rngs))


def build_predictor(config, task, whitening):
    """``(params, x [N, H, W, C]) -> [K, N, H, W, D]``; ``whitening`` may be None."""
    return predictor(
        task, build_network(config, task), config.model.output_scale, whitening)


def compute_dtype(config):
    """What the networks compute in; parameters, losses and fits are float32."""
    return jnp.dtype(config.model.dtype)


def build_keys(config, task):
    """The networks' initialisation keys, ``[K]``."""
    return network_keys(jax.random.key(config.seed), jnp.asarray(task.numbers))


def joint_start(config):
    """The config of the joint network that a stack starts from: the stack's, but for steps, batch,
    optimiser, rate and weight decay."""
    trunk = ml_collections.ConfigDict(config.to_dict())
    for field in ("steps", "batch"):
        trunk[field] = config.trunk[field]
    for field in ("learning_rate", "weight_decay"):
        trunk.optimizer[field] = config.trunk[field]
    trunk.optimizer.name = config.trunk.optimizer
    trunk.model.joint, trunk.trunk.steps, trunk.mesh_directions = True, 0, 0
    trunk.calibrate = False  # it is not what predicts
    trunk.validate_every = trunk.steps
    trunk.checkpoint_every = max(trunk.steps // 5, 1)
    trunk.log_every = max(trunk.steps // 20, 1)
    if trunk.placement == "pmap":  # of networks, and here is one
        trunk.placement = "auto"
    return trunk


def from_json(plain):
    """The config that `to_dict` has made plain."""
    return ml_collections.ConfigDict(plain)


def to_dict(config):
    """Plain nested dict with lists for tuples, as JSON stores it."""
    if isinstance(config, ml_collections.ConfigDict):
        return {name: to_dict(value) for name, value in config.items()}
    return list(config) if isinstance(config, tuple) else config

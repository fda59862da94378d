"""``train_and_evaluate(config, workdir)``: from files to a trained stack of networks."""

import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dwijax.data import cohort as cohorts
from dwijax.data.simulated import simulated_cohort
from dwijax.data.whitening import whitening
from dwijax.directions import compare
from dwijax.errors import InputError, warn
from dwijax.training import checkpoint, run, settings
from dwijax.training.best import init_best, update_best
from dwijax.training.preemption import deferred_sigterm
from dwijax.training.runlog import RunLog
from dwijax.training.step import init_state, make_dispatch, make_step, make_validation

# Rotations between subjects' tables beyond this are not the same directions any more.
TABLE_TOLERANCE = 5.0


def read_cohort(config):
    """The run's subjects, simulated first where the layout is the phantom's."""
    if config.data.layout == "phantom":
        return simulated_cohort(config.data.root, **settings.to_dict(config.phantom))
    return cohorts.split_cohort(
        config.data.root, config.data.layout, fractions=tuple(config.data.split),
        seed=config.seed, axis=config.data.axis, shell=config.data.shell,
        within_subject=config.data.within_subject)


def train_and_evaluate(config, workdir, *, quiet=False):
    """Trains the stack, validating as it goes; run again, it goes on where it was.

    Args:
      config: ConfigDict, see ``configs/phantom.py``.
      workdir: the run's folder.
      quiet: no progress bars.

    Returns:
      The final :class:`dwijax.training.step.TrainState`.

    Raises:
      InputError: a config, data or folder that cannot be used, or no room for the last checkpoint.
      SystemExit: status 0, with a checkpoint, after the dispatch in which SIGTERM came.
    """
    settings.check(config)
    plain = settings.to_dict(config)
    run.open_folder(workdir, plain)
    members = read_cohort(config)
    # None: no bars where stderr is not a terminal; the printed lines below serve there.
    bar = partial(tqdm, disable=quiet or None, leave=False, dynamic_ncols=True)
    load = partial(
        cohorts.load_slices, shell=config.data.shell, axis=config.data.axis,
        multiple=settings.multiple_of(config))
    train, tables, scales, b0s = load(
        members.train, patch=config.patch, progress=partial(bar, desc="reading", unit="subject"))
    validation, more, _, _ = load(members.validation, patch=0)
    gtab = tables[0]
    _same_directions(members.train + members.validation, tables + more)

    task = settings.build_task(config, gtab, b0s)
    network = settings.build_network(config, task)
    optimizer = settings.build_optimizer(config)
    statistics = None
    if config.model.whiten:
        statistics = whitening(np.asarray(task.see(train.b0, train.dwi)), train.mask)
    predict = settings.build_predictor(config, task, statistics)
    dispatch = make_dispatch(make_step(
        predict, task, optimizer, seed=config.seed, batch=config.batch, patch=config.patch,
        stride=config.stride))
    validate = make_validation(predict, task, batch=config.batch)

    about = run.describe(
        plain, gtab, b0s, scales, statistics,
        {name: [m.files.name for m in getattr(members, name)]
         for name in ("train", "validation", "test")}
        | {"within_subject": members.within_subject, "origin": members.origin})
    run.write(workdir, about)
    state = jax.jit(partial(init_state, network, optimizer))(settings.build_keys(config, task))
    best = init_best(state.params)
    stored = checkpoint.restore(workdir, _trees(state, best))
    if stored:
        state, best = stored["training"]._replace(params=stored["params"]), stored["best"]
    first = int(state.step)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    print(f"{len(task.numbers)} networks of {parameters // len(task.numbers):,} parameters, "
          f"{train.b0.shape[0]} training slices of {train.b0.shape[1]}×{train.b0.shape[2]} from "
          f"{len(members.train)} subjects, {jax.device_count()} {jax.default_backend()} device(s)"
          + (f"; going on from step {first}" if first else ""), flush=True)

    train, validation = (jax.tree.map(jnp.asarray, s) for s in (train, validation))
    log = RunLog(workdir, first)
    with (
        deferred_sigterm() as stopping,
        checkpoint.saving(workdir, about, keep=config.checkpoint_keep) as save,
        bar(total=config.steps, initial=first, unit="step", desc="training") as progress,
    ):
        step, stopped = first, False
        while step < config.steps and not stopped:
            began = time.perf_counter()
            count = _next_stop(step, config) - step
            state, losses = dispatch(state, train, jnp.int32(count))
            losses = np.asarray(losses)
            step += count
            rate = count * config.batch / (time.perf_counter() - began)
            log.write(step, {"loss": float(losses.mean()), "slices_per_second": rate},
                      {"loss_per_network": losses})
            progress.update(count)
            progress.set_postfix(loss=f"{losses.mean():.3e}", refresh=False)
            if step % config.validate_every == 0 or step == config.steps:
                losses = validate(state.params, validation)
                best = update_best(best, state.params, losses, step)
                losses = np.asarray(losses)
                log.write(step, {"validation_loss": float(losses.mean())},
                          {"validation_per_network": losses})
                if not quiet:
                    minutes = (config.steps - step) * config.batch / rate / 60
                    progress.write(f"step {step} of {config.steps}: validation loss "
                                   f"{losses.mean():.4e}, {rate:.0f} slices/s, "
                                   f"{minutes:.1f} min to go")
            stopped = stopping()
            if step % config.checkpoint_every == 0 or step == config.steps or stopped:
                save(step, _trees(state, best))
    log.close()
    if stopping():
        warn(f"stopped by SIGTERM at step {step}; the same command goes on from there")
        sys.exit(0)
    return state


def restore_run(workdir, networks=None):
    """``(config, gtab, task, predict, params, about)`` of a trained run, from its folder alone.

    Args:
      workdir: of the run. networks: positions in the stack, all by default; what is returned is
        then that smaller stack.

    Raises:
      InputError: no run, or no whole checkpoint in it, or no such networks.
    """
    config, gtab, statistics, about = run.read(workdir)
    build = partial(settings.build_task, config, gtab, about["table"]["b0s"])
    task = build()
    network, optimizer = settings.build_network(config, task), settings.build_optimizer(config)
    like = jax.eval_shape(partial(init_state, network, optimizer),
                          settings.build_keys(config, task)).params
    if networks is not None:
        task = build(networks=_positions(networks, len(task.numbers)))
    best = config.select == "best"
    stored = checkpoint.restore(
        workdir, {"best": jax.eval_shape(init_best, like)} if best else {"params": like},
        networks=networks)
    if stored is None:
        raise InputError(
            Path(workdir) / "checkpoints", found="no whole checkpoint",
            expected="a trained run", remedy="train it first: train.py with this --workdir")
    params = stored["best"].params if best else stored["params"]
    predict = settings.build_predictor(config, task, statistics)
    return config, gtab, task, predict, params, about


def _trees(state, best):
    """What a checkpoint holds; parameters by themselves, so that prediction reads nothing else."""
    return {"params": state.params, "training": state._replace(params=None), "best": best}


def _positions(networks, count):
    positions = np.asarray(networks)
    if (positions.ndim != 1 or positions.dtype.kind not in "iu" or not positions.size
            or positions.min() < 0 or positions.max() >= count
            or len(np.unique(positions)) < positions.size):
        raise InputError(
            "networks", found=f"{list(networks)}", remedy="give others",
            expected=f"different positions between 0 and {count - 1}")
    return positions


def _next_stop(step, config):
    """The host looks at the run at multiples of these and nowhere else."""
    stops = [config.steps]
    for every in (config.log_every, config.validate_every, config.checkpoint_every):
        stops.append((step // every + 1) * every)
    return min(stops)


def _same_directions(members, tables):
    """All subjects must have (nearly) the directions of the first, in the same order."""
    for member, table in zip(members, tables, strict=True):
        if len(table) != len(tables[0]):
            raise InputError(
                member.files.bvec, found=f"{len(table)} directions in the shell",
                expected=f"{len(tables[0])} as {members[0].files.name} has",
                remedy="leave the subject out")
        angles = compare(table.bvecs, tables[0].bvecs)
        if angles.max() > TABLE_TOLERANCE:
            raise InputError(
                member.files.bvec,
                found=f"direction {angles.argmax()} at {angles.max():.1f}° from that of "
                      f"{members[0].files.name}",
                expected=f"at most {TABLE_TOLERANCE:.0f}°", remedy="leave the subject out")

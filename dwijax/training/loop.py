"""``train_and_evaluate(config, workdir)``: from files to a trained stack of networks."""

import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from dwijax.data import cohort as cohorts
from dwijax.data.simulated import simulated_cohort
from dwijax.data.store import StoredSlices, open_store
from dwijax.data.whitening import whitening, whitening_slices
from dwijax.errors import InputError
from dwijax.training import checkpoint, feed, run, settings
from dwijax.training.runlog import RunLog
from dwijax.training.step import init_state


def read_cohort(config):
    """The run's subjects, simulated first where the layout is the phantom's.

    Raises:
      InputError: they cannot be found, or the store is of another shell or axis.
    """
    if config.data.layout == "store":
        return _open_store(config).cohort
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
      InputError: a config, data or folder that cannot be used.
    """
    settings.check(config)
    plain = settings.to_dict(config)
    run.open_folder(workdir, plain)
    members = read_cohort(config)
    # None: no bars where stderr is not a terminal; the printed lines below serve there.
    bar = partial(tqdm, disable=quiet or None, leave=False, dynamic_ncols=True)
    (train, tables, scales, b0s), (validation, more, _, _) = _read_slices(config, members, bar)
    gtab = tables[0]
    cohorts.same_directions(members.train + members.validation, tables + more)

    task = settings.build_task(config, gtab, b0s)
    network = settings.build_network(config, task)
    optimizer = settings.build_optimizer(config)
    statistics = None
    if config.model.whiten:
        b0, dwi, mask = train.read(whitening_slices(len(train.origins)))
        statistics = whitening(np.asarray(task.see(b0, dwi)), mask)
    predict = settings.build_predictor(config, task, statistics)
    source = _feed(config, predict, task, optimizer, train, validation)
    slices = (f"{len(train.origins)} training slices of {train.size[0]}×{train.size[1]}"
              f"{', read ahead,' if isinstance(source, feed.Streamed) else ''}")
    del train, validation  # they are on the device, where they are to be

    about = run.describe(
        plain, gtab, b0s, scales, statistics,
        {name: [m.files.name for m in getattr(members, name)]
         for name in ("train", "validation", "test")}
        | {"within_subject": members.within_subject, "origin": members.origin})
    run.write(workdir, about)
    state = jax.jit(partial(init_state, network, optimizer))(settings.build_keys(config, task))
    state = checkpoint.restore(workdir, state) or state
    first = int(state.step)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    print(f"{len(task.numbers)} networks of {parameters // len(task.numbers):,} parameters, "
          f"{slices} from {len(members.train)} subjects, "
          f"{jax.device_count()} {jax.default_backend()} device(s)"
          + (f"; going on from step {first}" if first else ""), flush=True)

    log = RunLog(workdir, first)
    with bar(total=config.steps, initial=first, unit="step", desc="training") as progress:
        step = first
        while step < config.steps:
            began = time.perf_counter()
            count = _next_stop(step, config) - step
            state, losses = source.advance(state, count)
            losses = np.asarray(losses)
            step += count
            rate = count * config.batch / (time.perf_counter() - began)
            log.write(step, {"loss": float(losses.mean()), "slices_per_second": rate},
                      {"loss_per_network": losses})
            progress.update(count)
            progress.set_postfix(loss=f"{losses.mean():.3e}", refresh=False)
            if step % config.validate_every == 0 or step == config.steps:
                losses = np.asarray(source.validate(state.params))
                log.write(step, {"validation_loss": float(losses.mean())},
                          {"validation_per_network": losses})
                if not quiet:
                    minutes = (config.steps - step) * config.batch / rate / 60
                    progress.write(f"step {step} of {config.steps}: validation loss "
                                   f"{losses.mean():.4e}, {rate:.0f} slices/s, "
                                   f"{minutes:.1f} min to go")
            if step % config.checkpoint_every == 0 or step == config.steps:
                checkpoint.save(workdir, step, state, about)
    log.close()
    source.close()
    return state


def restore_run(workdir):
    """``(config, gtab, task, predict, params, about)`` of a trained run, from its folder alone.

    Raises:
      InputError: no run, or no whole checkpoint in it.
    """
    config, gtab, statistics, about = run.read(workdir)
    task = settings.build_task(config, gtab, about["table"]["b0s"])
    network, optimizer = settings.build_network(config, task), settings.build_optimizer(config)
    like = jax.eval_shape(partial(init_state, network, optimizer),
                          settings.build_keys(config, task))
    state = checkpoint.restore(workdir, like)
    if state is None:
        raise InputError(
            Path(workdir) / "checkpoints", found="no whole checkpoint",
            expected="a trained run", remedy="train it first: train.py with this --workdir")
    predict = settings.build_predictor(config, task, statistics)
    return config, gtab, task, predict, state.params, about


def _open_store(config):
    store = open_store(config.data.root)
    for field in ("shell", "axis"):
        asked, there = config.data[field], getattr(store, field)
        if asked != there:
            raise InputError(
                f"--config.data.{field}", found=f"{asked:g}",
                expected=f"{there:g} as in {store.path}",
                remedy="give that, or prepare another store")
    return store


def _read_slices(config, members, bar):
    """Training and validation slices, each with tables, scales and the number of b0s."""
    options = {"multiple": settings.multiple_of(config)}
    if config.data.layout == "store":
        store = _open_store(config)
        train = store.slices("train", patch=config.patch, **options)
        validation = store.slices("validation", patch=0, **options)
        slices = feed.from_store((train[0], validation[0]), config.data.stream,
                                 partial(bar, desc="reading"))
        return (slices[0], *train[1:]), (slices[1], *validation[1:])
    options |= {"shell": config.data.shell, "axis": config.data.axis}
    return (cohorts.load_slices(members.train, patch=config.patch, **options,
                                progress=partial(bar, desc="reading", unit="subject")),
            cohorts.load_slices(members.validation, patch=0, **options))


def _feed(config, predict, task, optimizer, train, validation):
    options = {"seed": config.seed, "batch": config.batch, "patch": config.patch}
    if isinstance(train, StoredSlices):
        return feed.Streamed(predict, task, optimizer, train, validation, steps=config.steps,
                             **options)
    return feed.Resident(predict, task, optimizer, train, validation, **options)


def _next_stop(step, config):
    """The host looks at the run at multiples of these and nowhere else."""
    stops = [config.steps]
    for every in (config.log_every, config.validate_every, config.checkpoint_every):
        stops.append((step // every + 1) * every)
    return min(stops)

"""``train(config, workdir)``: from files to a trained stack of networks."""

import contextlib
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from dwijax import config as settings
from dwijax.data import domain
from dwijax.data.store import StoredSlices
from dwijax.data.whitening import whitening, whitening_slices
from dwijax.devices import memory, placement
from dwijax.errors import warn
from dwijax.gradients.matching import spread, spread_in_words
from dwijax.process.preemption import deferred_sigterm
from dwijax.runs import checkpoint, description, folders, record
from dwijax.runs.log import RunLog
from dwijax.training import batches, build, joint_start, throughput
from dwijax.training.reading import read_cohort, read_slices, without_left_out


def train(config, workdir, *, start=None, say=print, quiet=False, profile=False):
    """Trains the stack, validating as it goes; run again, it goes on where it was.

    The run's description is written when it begins, and with it its subjects are settled.

    Args:
      config: ConfigDict, see ``configs/phantom.py``.
      workdir: the run's folder.
      start: parameters ``[K, ...]`` that its networks begin with; None: at random.
      say: takes each line that is told, as `print` does.
      quiet: no progress bars.
      profile: write a trace of some steps to ``profile/`` in the run's folder.

    Returns:
      The final :class:`dwijax.training.step.TrainState`, leaves ``[K, ...]``.

    Raises:
      InputError: a config, data or folder that cannot be used, subjects other than those that the
        run began with, or no room for the last checkpoint.
      SystemExit: status 0, with a checkpoint, after the dispatch in which SIGTERM came.
    """
    settings.check(config)
    checkpoint.path_of(workdir)
    main = jax.process_index() == 0
    about = folders.read_if_begun(workdir, settings.to_dict(config))
    members = read_cohort(config, about, say=warn if main else lambda line: None)
    # None: no bars where stderr is not a terminal; the printed lines below serve there.
    bar = partial(tqdm, disable=not main or quiet or None, leave=False, dynamic_ncols=True)
    budget = build.budget_of(config)
    data = [read_slices(config, members, budget, bar)]
    members = without_left_out(members, data[0])
    scans = None
    if main and about is None:
        scans = record.scans(config, members, partial(
            bar, desc="taking checksums", unit="subject",
            total=sum(len(getattr(members, part)) for part in description.PARTS)))
    about = _describe(config, workdir, members, *data, scans)
    options = {"budget": budget, "bar": bar, "say": say, "quiet": quiet}
    joint = None
    if config.trunk.steps:
        first, folder = settings.joint_start(config), Path(workdir) / joint_start.FOLDER
        joint = _train(first, folder, _describe(first, folder, members, *data), members, *data,
                       **options).params
    # Popped: once they are on the device, nobody else holds the slices.
    return _train(config, workdir, about, members, data.pop(), joint=joint, start=start,
                  profile=profile, more="--config.steps", **options)


def _describe(config, workdir, members, data, scans=None):
    """The description of a run that begins, which is written, or of one that goes on.

    ``scans``: of `dwijax.runs.record.scans`, None where they are not told.
    """
    train, tables, scales, b0s = data.train
    gtab, plain = tables[0], settings.to_dict(config)
    about = folders.read_if_begun(workdir, plain)
    if about is not None:
        folders.check_data(workdir, about, gtab, b0s, scales)
        return about
    statistics = None
    if config.model.whiten:
        task = settings.build_task(config, gtab, b0s)
        batch = train.read(whitening_slices(len(train.origins)))
        statistics = whitening(np.asarray(task.learn(batch)[0]), batch.weight, task.noisy())
    trained_on = domain.join(data.subjects) if data.subjects else {}
    if config.task == "any_table":
        trained_on = domain.of_drawn_scans(trained_on, b=config.scans.b, snr=config.scans.snr)
    about = folders.describe(
        plain, gtab, settings.input_positions(config, gtab), b0s,
        spread([m.files.name for m in members.train + members.validation],
               tables + data.validation.tables), scales,
        statistics, trained_on, record.subjects(members),
        [k for k, *_ in settings.repeats(config, gtab)])
    if scans is not None:
        about["scans"] = scans
    if jax.process_index() == 0:
        folders.write(workdir, about)
    return about


def _train(config, workdir, about, members, data, *, budget, bar, say, quiet, joint=None,
           start=None, profile=False, more=None):
    """One stack, on slices that have been read.

    ``joint``: parameters of the joint network that its networks start from, ``start``: of these
    themselves, or None. ``more``: the option by which a finished one goes on.
    """
    main = jax.process_index() == 0
    train, validation = data.train.slices, data.validation.slices
    streamed = isinstance(train, StoredSlices)
    training = build.build(
        config, data.train.tables[0], data.train.b0s, size=train.size, budget=budget,
        data=0 if streamed else train.nbytes + validation.nbytes,
        whitening=folders.whitening_of(about))
    task, place = training.task, training.placement
    del data
    source = (batches.Streamed(training, train, validation, steps=config.steps) if streamed
              else batches.Resident(training, train, validation))
    slices = (f"{len(train.origins)} training slices of {train.size[0]}×{train.size[1]}"
              f"{', read ahead,' if streamed else ''}")
    del train, validation  # they are on the device, where they are to be

    state, first = _start(workdir, training, joint, start)
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params)) // place.padded
    tell = say if main else lambda *_, **__: None
    tell(f"{len(task.numbers)} network{'s' * (len(task.numbers) > 1)} of {count:,} parameters, "
         f"{slices} from {len(members.train)} subjects, {place}"
         + (f"; going on from step {first}" if first else ""), flush=True)
    if task.scan is None:  # to others tables make no difference
        tell(spread_in_words(about["table"]["spread"]), flush=True)
    tell(training.plan, flush=True)
    if first >= config.steps:
        tell(f"{workdir}: finished at step {first}, of {config.steps} asked for"
             + (f"; with {more}={2 * first} it goes on from there" if more else ""), flush=True)
        source.close()
        return placement.collect(place, state)
    before = about["config"]["steps"]
    if first and before != config.steps:
        rate = "is that of these steps" if config.optimizer.name == "sgd" else (
            f"follows the warm-up and cosine of {config.steps} steps from here")
        tell(f"{config.steps} steps, {before} when it began: the learning rate {rate}", flush=True)
    began = time.perf_counter()
    source.compile(state)
    tell(f"compiled in {time.perf_counter() - began:.0f} s", flush=True)

    flops = throughput.step_flops(
        training.network, (*training.size, task.in_channels), networks=len(task.numbers),
        batch=config.batch)
    possible = throughput.product_rate(settings.compute_dtype(config)) * (
        1 if jax.default_backend() == "cpu" else jax.device_count())
    log = RunLog(workdir, first) if main else None
    with (
        deferred_sigterm() as stopping,
        checkpoint.saving(workdir, {"config": settings.to_dict(config),
                                    "versions": folders.versions()},
                          keep=config.checkpoint_keep) as save,
        bar(total=config.steps, initial=first, unit="step", desc="training") as progress,
    ):
        step, stopped, frozen = first, False, set()
        while step < config.steps and not stopped:
            began = time.perf_counter()
            n = _next_stop(step, config) - step
            with _trace(workdir, profile and main and step > first) as traced:
                state, losses = source.advance(state, n)
                losses = placement.fetch(place, losses)
            profile = profile and not traced
            step += n
            rate = n / (time.perf_counter() - began)
            skipped, in_a_row = (placement.fetch(place, count) for count in state.health)
            gone = task.numbers[in_a_row >= config.freeze_after] if config.freeze_after else ()
            for name in sorted(set(map(int, gone)) - frozen):
                frozen.add(name)
                warn(f"network {name}: no finite loss or gradient in {config.freeze_after} steps "
                     f"in a row; frozen as it was before them (step {step})")
            if main:
                faults = {"skipped": skipped, "skipped_in_a_row": in_a_row} if skipped.any() else {}
                log.write(step, {
                    "loss": _mean(losses), "slices_per_second": rate * config.batch,
                    "network_slices_per_second": rate * config.batch * len(losses),
                    "gflops": rate * flops / 1e9, "share_of_peak": rate * flops / possible,
                    "peak_gib": memory.peak() / 2**30}, {"loss_per_network": losses} | faults)
            progress.update(n)
            progress.set_postfix(loss=f"{_mean(losses):.3e}", refresh=False)
            if step % config.validate_every == 0 or step == config.steps:
                losses = placement.fetch(place, source.validate(state.params))
                if main:
                    log.write(step, {"validation_loss": _mean(losses)},
                              {"validation_per_network": losses})
                if main and not quiet:
                    with progress.external_write_mode(file=sys.stdout):
                        tell(f"step {step} of {config.steps}: validation loss "
                             f"{_mean(losses):.4e}, {rate * config.batch:.0f} slices/s, "
                             f"{rate * flops / 1e9:.0f} GFLOP/s "
                             f"({rate * flops / possible:.0%} of a matrix product), "
                             f"{memory.gib(memory.peak())} GiB, "
                             f"{(config.steps - step) / rate / 60:.1f} min to go",
                             flush=True)  # of a file or a pipe too
            stopped = stopping()
            if step % config.checkpoint_every == 0 or step == config.steps or stopped:
                save(step, _trees(placement.collect(place, state)))
    if main:
        log.close()
    source.close()
    if stopping():
        warn(f"stopped by SIGTERM at step {step}; the same command goes on from there")
        sys.exit(0)
    return placement.collect(place, state)


def _start(workdir, training, joint, start):
    """``(state, step)``, new or from the newest checkpoint, on the devices of the run."""
    params = start if joint is None else joint_start.shared_out(
        joint, jax.eval_shape(jax.vmap(training.network.init), training.keys))
    like = training.abstract_state
    stored = checkpoint.restore(workdir, _trees(like))
    if stored:
        state = stored["training"]._replace(params=stored["params"])
    else:
        # Drawing random numbers takes the compiler longer to optimise than it will ever run.
        state = jax.jit(
            training.init, out_shardings=jax.tree.map(lambda a: a.sharding, like),
            compiler_options={"xla_backend_optimization_level": 1})(training.keys, params)
    first = int(np.asarray(state.step))
    return placement.distribute(training.placement, state), first


def _mean(losses):
    """Over the networks whose loss is a number."""
    finite = losses[np.isfinite(losses)]
    return float(finite.mean()) if finite.size else float("inf")


@contextlib.contextmanager
def _trace(workdir, wanted):
    """A trace of what happens inside, for TensorBoard or Perfetto; yields ``wanted``."""
    if wanted:
        with jax.profiler.trace(str(Path(workdir) / "profile")):
            yield True
    else:
        yield False


def _trees(state):
    """What a checkpoint holds; parameters by themselves, so that prediction reads nothing else."""
    return {"params": state.params, "training": state._replace(params=None)}


def _next_stop(step, config):
    """The host looks at the run at multiples of these and nowhere else."""
    stops = [config.steps]
    for every in (config.log_every, config.validate_every, config.checkpoint_every):
        stops.append((step // every + 1) * every)
    return min(stops)

"""The subjects of a config, and the slices that it trains on and validates with."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

from dwijax import config as settings
from dwijax.data import cohort as cohorts
from dwijax.data import domain, leakage
from dwijax.data.channels import DenoisedDirections, NoiseFreeDirections
from dwijax.data.cohort import Loaded, load_slices
from dwijax.data.layouts import find_subjects
from dwijax.data.simulated import simulated_cohort
from dwijax.data.store import open_store
from dwijax.errors import InputError, warn
from dwijax.runs import record
from dwijax.runs.barrier import first_makes
from dwijax.runs.description import PARTS
from dwijax.training import batches


def read_cohort(config, about=None, *, judging=False, say=warn):
    """The run's subjects, simulated first where the layout is the phantom's.

    Args:
      config: ConfigDict.
      about: description of the run where it has begun: its subjects are those that it records,
        whatever else there is now (`dwijax.runs.record.cohort`).
      judging: whether test subjects must be as they are recorded, too.
      say: takes one line about what has changed and does no harm.

    Raises:
      InputError: they cannot be found or used, or the store is of another shell or axis; a subject
        stands in two parts; they are not those that the run began with.
    """
    found, bad, threshold = None, {}, config.data.b0_threshold
    if config.data.layout == "store":
        found = _open_store(config).cohort  # checked by dwijax prepare, which had the files
    elif config.data.layout == "phantom":
        found = first_makes(partial(
            simulated_cohort, config.data.root, **settings.to_dict(config.phantom)))
    elif about is None:
        found = cohorts.split_cohort(
            config.data.root, config.data.layout, fractions=tuple(config.data.split),
            seed=config.seed, axis=config.data.axis, shell=config.data.shell,
            within_subject=config.data.within_subject, skip_bad=config.data.skip_bad,
            b0_threshold=threshold)
    if about is not None:
        if found is None:
            files = [replace(f, b0_threshold=threshold)
                     for f in find_subjects(config.data.root, config.data.layout, bad)]
            stated = {f.name: {f.split} for f in files if f.split}
        else:
            parts = [(part, m.files) for part in PARTS for m in getattr(found, part)]
            files, stated = [f for _, f in parts], {}
            for part, f in parts:
                stated.setdefault(f.name, set()).add(part)
        return record.cohort(about, config, files, stated=stated, bad=bad, judging=judging,
                             say=say)
    if config.data.layout == "store":
        return found
    leakage.check_cohort(found, config.data.root)
    chosen = cohorts.limited(found, config.data.subjects, config.data.slices)
    names, used = (dict.fromkeys(m.files.name for part in cohort[:3] for m in part)
                   for cohort in (found, chosen))
    return chosen._replace(unused=tuple(name for name in names if name not in used))


def _open_store(config):
    store = open_store(config.data.root)
    found = {"shell": store.shell, "axis": store.axis,
             "b0_threshold": store.cohort.train[0].files.b0_threshold}
    for field, there in found.items():
        asked = config.data[field]
        if asked != there:
            raise InputError(
                f"--config.data.{field}", found=f"{asked:g}",
                expected=f"{there:g} as in {store.path}",
                remedy="give that, or prepare another store")
    return store


class Data(NamedTuple):
    """What a run trains on and validates with.

    Attributes:
      train, validation: `dwijax.data.cohort.Loaded`.
      subjects: `dwijax.data.domain.of_subject` of the training subjects; none of a store.
    """

    train: Loaded
    validation: Loaded
    subjects: list


def read_slices(config, members, budget, bar):
    """Training and validation slices, and what kind of scans the training subjects are.

    Args:
      config: ConfigDict. members: :class:`dwijax.data.cohort.Cohort`.
      budget: bytes of a device; what does not fit stays in its store. bar: tqdm.

    Returns:
      `Data`. Of members that were left out (``data.skip_bad``) there is nothing
      (`without_left_out`).

    Raises:
      InputError: files that cannot be used, or an input with the axis of a target.
    """
    data = (_from_store if config.data.layout == "store" else _from_files)(
        config, members, budget, bar)
    if config.task == "direction_synthesis":
        gtab, where = data.train.tables[0], members.train[0].files.bvec
        for k, i, angle in settings.repeats(config, gtab):
            warn(f"{where}: direction {k} of the shell is left out of the targets: it is within "
                 f"{angle:.2f}° of input {i}")
        leakage.check_directions(gtab, settings.input_positions(config, gtab),
                                 settings.output_positions(config, gtab), where)
    return data


def without_left_out(members, data):
    """The cohort without the members that `read_slices` left out."""
    unused, kept = list(members.unused), {}
    for part, scales in (("train", data.train.scales), ("validation", data.validation.scales)):
        kept[part] = [m for m in getattr(members, part) if m.files.name in scales]
        unused += [m.files.name for m in getattr(members, part) if m.files.name not in scales]
    return members._replace(**kept, unused=tuple(unused))


def _from_store(config, members, budget, bar):
    store = _open_store(config)

    def channels(gtab, b0s):
        return settings.build_task(config, gtab, b0s).channels

    train, validation = (
        store.slices(part, channels, multiple=settings.multiple_of(config), patch=patch,
                     names=[m.files.name for m in getattr(members, part)])
        for part, patch in (("train", config.patch), ("validation", 0)))
    slices = batches.from_store((train.slices, validation.slices), config.data.stream, budget,
                                partial(bar, desc="reading"))
    return Data(train._replace(slices=slices[0]), validation._replace(slices=slices[1]), [])


def _from_files(config, members, budget, bar):
    tasks, subjects = [], []

    def channels(gtab, b0s):  # of the first subject's table, which is the run's
        tasks.append(settings.build_task(config, gtab, b0s))
        learnt = tasks[0].channels
        for field, kind in (("clean_targets", NoiseFreeDirections),
                            ("denoise_targets", DenoisedDirections)):
            if config.data[field]:
                learnt = learnt | {"targets": kind(learnt["targets"].positions)}
        return learnt

    def look(subject):
        table = subject.gtab[subject.gtab.dwis]
        subjects.append(domain.of_subject(subject, settings.input_positions(config, table)))

    options = {"shell": config.data.shell, "axis": config.data.axis,
               "all_axes": config.data.all_axes, "multiple": settings.multiple_of(config),
               "any_table": config.task == "any_table", "skip_bad": config.data.skip_bad}
    train = load_slices(members.train, channels, patch=config.patch, look=look, **options,
                        progress=partial(bar, desc="reading", unit="subject"))
    # By measured targets always, so that runs can be compared; only the loss looks at FA.
    measured = {name: c for name, c in tasks[0].channels.items() if name != "fa"}
    validation = load_slices(members.validation, lambda *_: measured, patch=0,
                             like=train.tables[0], **options)
    return Data(train, validation, subjects)

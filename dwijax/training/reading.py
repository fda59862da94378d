"""The subjects of a config, and the slices that it trains on and validates with."""

from dataclasses import replace
from functools import partial

import numpy as np

from dwijax import config as settings
from dwijax.data import cohort as cohorts
from dwijax.data import domain, leakage
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


def read_slices(config, members, budget, bar):
    """Training and validation slices, and what kind of scans the training subjects are.

    Args:
      config: ConfigDict. members: :class:`dwijax.data.cohort.Cohort`.
      budget: bytes of a device; what does not fit stays in its store. bar: tqdm.

    Returns:
      ``(training, validation, subjects)``: twice slices, tables, scales by name and number of b0s
      (:func:`dwijax.data.cohort.load_slices`), and :func:`dwijax.data.domain.of_subject` of the
      training subjects (none for a store). Of members that were left out (``data.skip_bad``)
      there is nothing: `used`.

    Raises:
      InputError: files that cannot be used, or an input with the axis of a target.
    """
    train, validation, subjects = _read(config, members, budget, bar)
    if config.task == "direction_synthesis":
        gtab = train[1][0]
        where = members.train[0].files.bvec
        for k, i, angle in settings.repeats(config, gtab):
            warn(f"{where}: direction {k} of the shell is left out of the targets: it is within "
                 f"{angle:.2f}° of input {i}")
        leakage.check_directions(gtab, settings.input_positions(config, gtab),
                                 settings.output_positions(config, gtab), where)
    return train, validation, subjects


def used(members, train, validation):
    """The cohort without what `read_slices`, which returned the other two, left out."""
    unused, kept = list(members.unused), {}
    for part, (_, _, scales, _) in (("train", train), ("validation", validation)):
        kept[part] = [m for m in getattr(members, part) if m.files.name in scales]
        unused += [m.files.name for m in getattr(members, part) if m.files.name not in scales]
    return members._replace(**kept, unused=tuple(unused))


def _read(config, members, budget, bar):
    options, subjects = {"multiple": settings.multiple_of(config)}, []
    if config.data.layout == "store":
        store = _open_store(config)
        train, validation = (
            store.slices(part, patch=patch, names=[m.files.name for m in getattr(members, part)],
                         **options) for part, patch in (("train", config.patch), ("validation", 0)))
        slices = batches.from_store((train[0], validation[0]), config.data.stream,
                                 budget, partial(bar, desc="reading"))
        return (slices[0], *train[1:]), (slices[1], *validation[1:]), subjects
    options |= {"shell": config.data.shell, "axis": config.data.axis,
                "neighbours": config.data.neighbours,
                "neighbours_order": config.data.neighbours_order,
                "denoise": config.data.denoise,
                "seen": np.arange(config.data.inputs),
                "skip_bad": config.data.skip_bad}
    positions = []  # by the first subject's table, which is the run's

    def look(subject):
        if not len(positions):
            table = subject.gtab[~subject.gtab.b0s_mask]
            positions.extend(settings.input_positions(config, table))
        subjects.append(domain.of_subject(subject, positions))

    # Validation is always by measured targets, so that runs can be compared.
    clean, denoised = (slice(config.data.inputs, None) if config.data[field] else None
                       for field in ("clean_targets", "denoise_targets"))
    anisotropy = (slice(config.data.inputs, None), config.loss.fa_correction
                  ) if settings.wants_measured_fa(config) else None
    train = cohorts.load_slices(
        members.train, patch=config.patch, clean=clean, denoised=denoised,
        anisotropy=anisotropy, **options, look=look,
        progress=partial(bar, desc="reading", unit="subject"))
    validation = cohorts.load_slices(members.validation, patch=0, like=train[1][0], **options)
    return train, validation, subjects

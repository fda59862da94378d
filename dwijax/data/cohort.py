"""Which subjects, or which slices of a single scan, are for training, validation and test."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dwijax.data.channels import Where
from dwijax.data.files import SubjectFiles
from dwijax.data.layouts import find_subjects
from dwijax.data.screening import leave_out, refusal, usable
from dwijax.data.slices import Batch, cut, join
from dwijax.data.split import slab_split, subject_split
from dwijax.data.subject import load_subject
from dwijax.errors import InputError
from dwijax.gradients import B0_THRESHOLD
from dwijax.gradients.matching import in_order_of
from dwijax.process.threads import prefetch
from dwijax.volumes import filled_slices

# Of a subject's slices with brain the central ones that are chosen from: He et al.'s histogram is
# over 61 slices, and 854 = 14 · 61 and 793 = 13 · 61 are their validation and test slices.
CENTRAL = 61


class Member(NamedTuple):
    """A subject's files, the slices of it that count (None: all), and how many of these to use
    (None: all), see :func:`brain_slices`."""

    files: SubjectFiles
    slices: np.ndarray | None
    count: int | None = None


class Cohort(NamedTuple):
    """Disjoint lists of :class:`Member`.

    ``within_subject`` where one scan was cut in slabs; ``origin`` tells where the subjects are
    from: for phantoms, with the hash of their settings; ``unused``: names of others there.
    """

    train: list
    validation: list
    test: list
    within_subject: bool
    origin: str = ""
    unused: tuple = ()


def split_cohort(root, layout, *, fractions, seed, axis, shell, within_subject=False,
                 skip_bad=False, b0_threshold=B0_THRESHOLD):
    """Splits the subjects under ``root``; a single scan only where that is asked for.

    Families stay together. A split that a manifest states is taken as it is. Subjects are looked at
    first, all but their volumes (`dwijax.data.screening`).

    Args:
      root: folder of the data. layout: see :func:`dwijax.data.layouts.find_subjects`.
      fractions: shares of training, validation and test.
      seed: of the shuffling of subjects.
      axis: slice axis, for slabs. shell: b-value in s/mm², to read a single scan's size.
      within_subject: cut one scan into slabs with gaps instead.
      skip_bad: leave out, each with a line, subjects that cannot be used.
      b0_threshold: s/mm²; volumes at or below it are b0s, of every subject.

    Raises:
      InputError: one subject without ``within_subject``, or several with it; subjects that cannot
        be used, all of them named; too few for training and for validation.
    """
    bad = {}
    found = [replace(f, b0_threshold=b0_threshold) for f in find_subjects(root, layout, bad)]
    found = usable(found, bad, shell=shell, skip=skip_bad, where=root)
    if within_subject != (len(found) == 1):
        raise InputError(
            root, found=f"{len(found)} subject(s) with within_subject={within_subject}",
            expected="several subjects, or one and within_subject=True",
            remedy="set --config.data.within_subject (dwijax prepare: --within-subject) "
                   "accordingly: slabs of one scan are no substitute for other subjects")
    if within_subject:
        filled = np.flatnonzero(filled_slices(load_subject(found[0], shell=shell).mask, axis))
        # From the bottom: validation, test, training. The top of a head is the easiest to predict.
        train, validation, test = fractions
        slabs = slab_split(int(filled[-1] - filled[0] + 1), (validation, test, train))
        members = [[Member(found[0], filled[0] + np.asarray(slab))] for slab in slabs]
        return Cohort(members[2], members[0], members[1], True, str(root))
    if found[0].split:  # a manifest says so for every subject
        parts = [[f.name for f in found if f.split == split]
                 for split in ("train", "validation", "test")]
    else:
        parts = subject_split([f.name for f in found], fractions, seed,
                              [f.family for f in found])
    if not parts[0] or not parts[1]:
        raise InputError(root, found=f"no {'validation' if parts[0] else 'train'} in split",
                         expected="scans for training and for validation",
                         remedy="add some, or empty the column to have it drawn" if found[0].split
                         else "give both a share with --config.data.split (dwijax prepare: "
                         "--split)")
    by_name = {f.name: f for f in found}
    return Cohort(*([Member(by_name[n], None) for n in names] for names in parts), False, str(root))


def limited(cohort, subjects, slices):
    """The cohort with so many training subjects, and so many training and validation slices, shared
    out evenly over subjects.

    He et al. have 1710 training, 854 validation and 793 test slices of 149 subjects: 14 or 15 of
    each of 122 subjects, 61 of each of 14 and of 13.

    Args:
      cohort: :class:`Cohort`.
      subjects: the first so many train; 0 for all there are.
      slices: training and validation slices; empty for all there are.

    Raises:
      InputError: there are not so many training subjects.
    """
    if subjects > len(cohort.train):
        raise InputError("--config.data.subjects", found=f"{subjects}",
                         expected=f"at most {len(cohort.train)}, the training subjects there are",
                         remedy="give fewer, or 0 for all of them")
    if subjects:
        cohort = cohort._replace(train=cohort.train[:subjects])
    if not slices:
        return cohort

    def share(members, total):
        each, more = divmod(total, len(members))
        return [m._replace(count=each + (i < more)) for i, m in enumerate(members)
                if each or i < more]

    return cohort._replace(train=share(cohort.train, slices[0]),
                           validation=share(cohort.validation, slices[1]))


class Loaded(NamedTuple):
    """Slices of many subjects, and what is known of these.

    Attributes:
      slices: `dwijax.data.slices.Slices`, or `dwijax.data.store.StoredSlices` yet to be read.
      tables: of every subject's shell, `GradientTable` without b0s; the first is the run's. For
        any table: the run's every time.
      scales: by subject's name. b0s: number of b0 volumes.
    """

    slices: Any
    tables: list
    scales: dict
    b0s: int


def load_slices(members, channels, *, shell, axis, multiple, patch, like=None, look=None,
                all_axes=False, any_table=False, skip_bad=False, progress=iter):
    """Reads members one by one and joins their slices, padded to the size of the largest.

    Every member's directions are put in the order of one table (`dwijax.gradients.matching`), but
    for `any_table`.

    Args:
      members: list of :class:`Member`.
      channels: ``(gtab of the shell, number of b0s) -> {name: channel}``, what slices hold
        (`dwijax.data.channels`).
      shell: b-value, s/mm². axis: of the slices.
      multiple: H and W are padded up to it. patch: side of the crops, 0 for whole slices.
      like: table of the shell whose order is wanted; default: the first member's.
      all_axes: slices across all three axes. any_table: members keep their own tables.
      look: called with every `dwijax.data.subject.Subject` that is read.
      skip_bad: leave out, each with a line, members that cannot be used.
      progress: wraps the list (tqdm).

    Returns:
      `Loaded`, of every member that was used.

    Raises:
      InputError: a member cannot be read or has not the directions of the table; with `skip_bad`,
        most of them.
    """
    batches, tables, scales, bad = [], [], {}, {}
    name, makers = "the first training subject", None

    def read(member):
        try:
            return load_subject(member.files, shell=shell)
        except InputError as error:
            return error

    for member, subject in zip(progress(members), prefetch(read, members), strict=True):
        try:
            if isinstance(subject, InputError):
                raise subject
            if like is None:
                like, name = subject.gtab[subject.gtab.dwis], member.files.name
            if not any_table:
                subject = in_order_of(subject, like, where=member.files.bvec, name=name)
        except InputError as error:
            bad[member.files.name] = error
            if not skip_bad:
                raise refusal(bad, len(members), "") from None
            leave_out(member.files.name, error)
            continue
        b0s = len(subject.gtab.b0s)
        makers = makers or channels(like, b0s)
        if look is not None:
            look(subject)
        for across in (0, 1, 2) if all_axes else (axis,):
            where = Where(brain_slices(member, subject.mask, across), across,
                          truth=member.files.truth)
            batches.append(Batch(
                {channel: make(subject, where) for channel, make in makers.items()},
                cut(subject.mask, where.positions, axis=across)))
        tables.append(like if any_table else subject.gtab[subject.gtab.dwis])
        scales[member.files.name] = float(subject.scale)
    if len(bad) > len(tables):  # the others may be the sound ones, if it is about directions
        raise refusal(bad, len(members), members[0].files.dwi, skippable=False)
    return Loaded(join(batches, multiple, patch), tables, scales, b0s)


def brain_slices(member, mask, axis):
    """The member's slices in which there is brain, int64 ``[S]``.

    Where not all of them are to be used: evenly spaced ones among the :data:`CENTRAL` central.
    """
    filled = filled_slices(mask, axis)
    positions = np.arange(len(filled)) if member.slices is None else member.slices
    positions = positions[filled[positions]]
    if member.count is None or member.count >= len(positions):
        return positions
    positions = central_slices(positions, max(CENTRAL, member.count))
    steps = (np.arange(member.count) + 0.5) * len(positions) / member.count
    return positions[steps.astype(int)]


def central_slices(filled, count=CENTRAL):
    """The central ``count`` of the slices with brain, or all of them.

    Args:
      filled: sorted slice numbers.
    """
    first = max((len(filled) - count) // 2, 0)
    return filled[first:first + count]

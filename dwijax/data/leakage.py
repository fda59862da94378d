"""Ways in which targets reach inputs, each an error: an evaluation that let one pass would praise
the leak."""

import hashlib
from pathlib import Path

import numpy as np

from dwijax.errors import InputError
from dwijax.gradients.directions import SAME_AXIS, compare


def check_cohort(cohort, where):
    """Nothing of a cohort stands in two parts.

    Args:
      cohort: `dwijax.data.cohort.Cohort`. where: what an error names.

    Raises:
      InputError: naming subjects or files.
    """
    if cohort.within_subject:
        return
    parts = {part: [m.files for m in getattr(cohort, part)]
             for part in ("train", "validation", "test")}
    check_subjects({part: [f.name for f in files] for part, files in parts.items()}, where)
    check_scans(parts)


def check_subjects(parts, where):
    """Every subject stands in one part.

    Args:
      parts: name of a part to its subjects' names. where: what an error names.

    Raises:
      InputError: naming the subjects.
    """
    seen = {}
    for part, names in parts.items():
        for name in names:
            seen.setdefault(name, []).append(part)
    twice = {name: found for name, found in seen.items() if len(found) > 1}
    if twice:
        told = ", ".join(f"{n} ({' and '.join(found)})" for n, found in list(twice.items())[:8])
        raise InputError(
            where, found=f"subjects in more than one part: {told}",
            expected="every subject in one part", remedy="split again, then train again")


def check_scans(parts):
    """No two subjects of different parts are the same scan under two names.

    Args:
      parts: name of a part to its list of `SubjectFiles`.

    Raises:
      InputError: naming the files.
    """
    by_size = {}
    for part, members in parts.items():
        for files in members:
            by_size.setdefault(files.dwi.stat().st_size, []).append((part, files.dwi))
    for same in by_size.values():
        if len({part for part, _ in same}) == 1:
            continue
        found = {}
        for part, path in same:
            other, there = found.setdefault(_digest(path), (part, path))
            if other != part:
                raise InputError(
                    path, found=f"the same bytes as {there}",
                    expected=f"another scan: one is for {other}, one for {part}",
                    remedy="remove one of the two, then train again")


def check_directions(gtab, inputs, targets, where):
    """No input has the axis of a target.

    Args:
      gtab: table of the shell. inputs ``[q]``, targets ``[K]``: positions in it.
      where: what an error names.

    Raises:
      InputError: naming the directions.
    """
    a, b = gtab.bvecs[inputs], gtab.bvecs[targets]
    angles = compare(*np.broadcast_arrays(a[:, None], b[None]))
    i, k = np.unravel_index(angles.argmin(), angles.shape)
    if angles[i, k] < SAME_AXIS:
        raise InputError(
            where, found=f"input {inputs[i]} and target {targets[k]} {angles[i, k]:.2f}° apart",
            expected=f"at least {SAME_AXIS:g}° between inputs and targets",
            remedy="leave one of the two volumes out (--config.data.drop_repeated=True does)")


def check_statistics(about, where, inputs=None):
    """Normalisation is from training subjects' b0s, whitening from their inputs.

    Args:
      about: a run's description, its ``config.json``. where: what an error names.
      inputs: positions of the inputs in its table, the first ones by default.

    Raises:
      InputError: telling what else they were computed from, or that nothing is told.
    """
    def wrong(found, expected):
        raise InputError(where, found=found, expected=expected, remedy="train again")

    normalisation, training = about["normalisation"], set(about["subjects"]["train"])
    others = sorted(set(normalisation["training_scales"]) - training)
    if others:
        wrong(f"scales of {', '.join(others[:8])}", "those of training subjects only")
    q = about["table"]["inputs"]
    whitening = normalisation["whitening"]
    if not whitening:
        return
    source = normalisation.get("whitening_from")
    if not isinstance(source, dict) or not {"directions", "subjects"} <= set(source):
        wrong("whitening without a record of what it was computed from",
              "whitening_from: directions and subjects")
    targets = sorted(set(source["directions"]) - set(range(q) if inputs is None else inputs))
    if targets:
        wrong(f"whitening computed from targets (directions {', '.join(map(str, targets[:8]))})",
              f"the {q} inputs only")
    others = sorted(set(source["subjects"]) - training)
    if others:
        wrong(f"whitening computed from {', '.join(others[:8])}", "training subjects only")


def _digest(path):
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

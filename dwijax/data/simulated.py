"""Cohorts of simulated subjects, made where they are not there yet."""

import json
from pathlib import Path

from dwijax.data.cohort import Cohort, Member
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import make_settings, settings_hash, simulate


def simulated_cohort(root, *, subjects, progress=True, **options):
    """Training, validation and test subjects of the default generator.

    Args:
      root: folder of all phantoms; this one's is named after the hash of its settings.
      subjects: number of training, validation and test subjects: the first so many subjects
        train, the next validate, the last are for the test.
      progress: whether to show a bar.
      **options: see :func:`_members`.

    Returns:
      :class:`dwijax.data.cohort.Cohort`.
    """
    train, validation, test = subjects
    options.pop("shifted_subjects", None)
    members = _members(root, "default", train + validation + test, progress, **options)
    return Cohort(members[:train], members[train:train + validation],
                  members[train + validation:], within_subject=False,
                  origin=origin(members))


def shifted_members(root, *, shifted_subjects, progress=True, **options):
    """Subjects of the shifted generator, for test only; arguments as above."""
    options.pop("subjects", None)
    options.pop("snr", None)  # drawn per subject
    return _members(root, "shifted", shifted_subjects, progress, **options)


def origin(members):
    """The record that the simulation left beside its subjects, in words."""
    record = members[0].files.truth.parent.parent / "phantom.json"
    return f"phantom {json.loads(record.read_text())['hash']}"


def _members(root, generator, count, progress, *, shape, voxel_size, directions, seed, snr=None,
             b0s=6, averages=1):
    """``shape`` in voxels, ``voxel_size`` in mm, ``directions`` in the shell, ``snr``, ``b0s`` and
    ``averages`` as in :func:`dwijax.data.phantom.simulate`."""
    if count == 0:
        return []
    options = {"generator": generator, "seed": seed, "snr": snr, "shape": tuple(shape),
               "voxel_size": voxel_size, "n_directions": directions, "b0s": b0s,
               "averages": averages}
    folder = Path(root) / f"phantom-{generator}-{settings_hash(make_settings(**options))[:8]}"
    names = simulate(folder, subjects=count, progress=progress, **options)
    files = {f.name: f for f in find_subjects(folder, "phantom")}
    return [Member(files[name], None) for name in names]

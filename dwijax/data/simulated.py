"""Cohorts of simulated subjects, made where they are not there yet."""

from pathlib import Path

from dwijax.data.cohort import Cohort, Member
from dwijax.data.layouts import find_subjects
from dwijax.data.phantom import make_settings, settings_hash, simulate, simulators
from dwijax.data.phantom.simulate import RECORD, read_record
from dwijax.errors import InputError


def simulated_cohort(root, *, subjects, lesions=False, progress=True, **options):
    """Training, validation and test subjects of the default generator.

    Those of the shifted generator (:func:`shifted_members`) are made in the same go, so that one
    waits once.

    Args:
      root: folder of all phantoms; this one's is named after the hash of its settings.
      subjects: number of training, validation and test subjects: the first so many subjects
        train, the next validate, the last are for the test.
      lesions: whether test subjects have lesions. Others never do: networks are judged on what
        they have not seen.
      progress: whether to show a bar.
      **options: see :func:`_members`.

    Returns:
      :class:`dwijax.data.cohort.Cohort`.
    """
    train, validation, test = subjects
    shifted = options.pop("shifted_subjects", 0)
    with simulators() as workers:
        options |= {"progress": progress, "workers": workers}
        healthy = _members(root, "default", train + validation, **options)
        judged = _members(root, "default", test, first=train + validation, lesions=lesions,
                          **options)
        shifted_members(root, shifted_subjects=shifted, lesions=lesions, **options)
    return Cohort(healthy[:train], healthy[train:], judged, within_subject=False,
                  origin=origin(healthy))


def shifted_members(root, *, shifted_subjects, progress=True, **options):
    """Subjects of the shifted generator, for test only; arguments as above."""
    options.pop("subjects", None)
    options.pop("snr", None)  # drawn per subject
    return _members(root, "shifted", shifted_subjects, progress=progress, **options)


def origin(members):
    """The record that the simulation left beside its subjects, in words."""
    return f"phantom {read_record(members[0].files.truth.parent.parent).get('hash')}"


def made_like(members):
    """Identities (`dwijax.data.phantom.like.identity`) of the scans that members were made like.

    Args:
      members: list of `Member`, of any layout: the simulation's record is looked for above them.
    """
    found = set()
    for folder in {folder for m in members for folder in m.files.dwi.resolve().parents[:4]}:
        if (folder / RECORD).is_file():
            try:
                found.add(str(read_record(folder).get("like") or ""))
            except InputError:  # somebody else's file of that name
                continue
    return sorted(found - {""})


def _members(root, generator, count, *, shape, voxel_size, directions, seed, snr=None, b0s=6,
             averages=1, first=0, lesions=False, workers=2, progress=True):
    """``shape`` in voxels, ``voxel_size`` in mm, ``directions`` in the shell; ``snr``, ``b0s``,
    ``averages``, ``first``, ``lesions``, ``workers`` as in :func:`dwijax.data.phantom.simulate`."""
    if count == 0:
        return []
    options = {"generator": generator, "seed": seed, "snr": snr, "shape": tuple(shape),
               "voxel_size": voxel_size, "n_directions": directions, "b0s": b0s,
               "averages": averages, "lesions": lesions}
    folder = Path(root) / f"phantom-{generator}-{settings_hash(make_settings(**options))[:8]}"
    names = simulate(folder, subjects=count, first=first, workers=workers, progress=progress,
                     **options)
    files = {f.name: f for f in find_subjects(folder, "phantom")}
    return [Member(files[name], None) for name in names]

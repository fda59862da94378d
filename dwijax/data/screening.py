"""Subjects that cannot be used: all of them named before anything is read, or left out."""

from dwijax.data.files import check_present
from dwijax.data.scan import open_scan
from dwijax.data.sidecars import check_sidecar
from dwijax.errors import InputError, warn

_TOLD, _NAMED = 3, 20  # faults told in full, names listed
# The words of every message; a config field and an option say the same.
SKIP = "leave out such subjects with --config.data.skip_bad=True (dwijax prepare: --skip-bad)"


def check_scan(files, shell):
    """Everything about a scan that can be checked without reading its volumes.

    Args:
      files: `dwijax.data.files.SubjectFiles`. shell: b-value, s/mm².

    Raises:
      InputError: as `dwijax.data.subject.load_subject`, or volumes were denoised together.
    """
    for path in (files.dwi, files.bval, files.bvec, files.mask):
        if path is not None:
            check_present(path)
    open_scan(files).shell(shell)
    check_sidecar(files)


def usable(found, bad, *, shell, skip, where):
    """The subjects that can be used.

    Args:
      found: list of `dwijax.data.files.SubjectFiles`.
      bad: dict, faults of others by name; those of `found` are added.
      shell: b-value, s/mm².
      skip: leave out the bad ones, each with a line, instead of refusing them all.
      where: what an error names.

    Returns:
      list of `SubjectFiles`.

    Raises:
      InputError: subjects cannot be used, all of them named; or no subject is left.
    """
    total = len(found) + len(bad)
    for files in found:
        try:
            check_scan(files, shell)
        except InputError as error:
            bad[files.name] = error
    found = [files for files in found if files.name not in bad]
    if bad and not (skip and found):
        raise refusal(bad, total, where, skippable=bool(found))
    for name, error in bad.items():
        leave_out(name, error)
    return found


def leave_out(name, error):
    """The line about a subject that is left out."""
    text = f"{error.where}: found {error.found}; expected {error.expected}"
    warn(" ".join(f"subject {name} is left out: {text}".split()))


def refusal(bad, total, where, skippable=True):
    """The error about all subjects that cannot be used.

    Args:
      bad: their faults by name. total: number of subjects. where: folder of the cohort.
      skippable: others are left.
    """
    if len(bad) == 1:
        (name, error), = bad.items()
        return InputError(f"subject {name}, {error.where}", found=error.found,
                          expected=error.expected,
                          remedy=f"{error.remedy}, or {SKIP}" if skippable else error.remedy)
    told = [f"{name} ({error.where}: found {error.found}; expected {error.expected})"
            if i < _TOLD else name for i, (name, error) in enumerate(sorted(bad.items()))]
    more = [f"{len(told) - _NAMED} more"] if len(told) > _NAMED else []
    return InputError(where, found=f"{len(bad)} of {total} subjects that cannot be used: "
                      + ", ".join(told[:_NAMED] + more), expected="subjects that can",
                      remedy=f"mend them, or {SKIP}" if skippable else "mend them")

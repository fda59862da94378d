"""Scans of a BIDS dataset, raw or preprocessed, found by their names."""

import itertools
from pathlib import Path
from typing import NamedTuple

from dwijax.data.files import SubjectFiles, check_name, check_present, folders_in
from dwijax.errors import InputError, warn_once
from dwijax.schema import read_bytes, read_json

DESCRIPTION = "dataset_description.json"
_IMAGES = (".nii", ".nii.gz")
_INDICES = {"run", "echo", "split", "chunk"}  # numbers: 1 and 01 are the same
_DERIVED = {"atlas", "den", "desc", "label", "model", "param", "res", "seg", "space"}
_NO_MAGNITUDE = {"phase", "real", "imag"}  # values of the entity part
_UNWEIGHTED = 100  # s/mm²; b0s of HCP 7T have 60 to 70
_SCANNER = ("", "dwi", "orig", "scanner")  # spaces in which nothing was interpolated twice


class Named(NamedTuple):
    """A file by its BIDS name: ``entities`` by key, ``suffix``, ``extension``."""

    path: Path
    entities: dict
    suffix: str
    extension: str


def named(path):
    """Takes a file's name apart: ``sub-01_run-1_dwi.nii.gz``. Nothing is read.

    Values may hold dashes; a part without any is an entity without a value. Returns `Named`.
    """
    name = Path(path).name
    extension = ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix
    *parts, suffix = name.removesuffix(extension).split("_")
    entities = {}
    for part in parts:
        key, _, value = part.partition("-")
        entities[key] = value.lstrip("0") or "0" if key in _INDICES and value else value
    return Named(Path(path), entities, suffix, extension)


def find_bids(root, bad):
    """Finds the diffusion scans of a dataset. Images are looked for, not opened.

    ======== ===================================================================================
    dataset  scans
    ======== ===================================================================================
    raw      every ``sub-*/[ses-*/]dwi/..._dwi.nii[.gz]``; without masks
    derived  every ``..._desc-preproc_dwi.nii[.gz]`` with the ``..._desc-brain_mask`` beside it;
             a dataset is derived where its description says ``DatasetType: derivative``
    ======== ===================================================================================

    Left out with a line: phase, real and imaginary images (``part-``), series without a
    diffusion-weighted volume (b0s of reversed phase encoding), and a series' further spaces.

    ``.bval`` and ``.bvec`` are inherited (BIDS 1.9, "The inheritance principle"): `applicable`.
    Each scan is one `SubjectFiles`, named by its entities; the scans of one ``sub-`` are one
    family, so that no split tears them apart.

    Args:
      root: folder with a ``dataset_description.json``; for preprocessed scans that of the
        pipeline (``ROOT/derivatives/PIPELINE``).
      bad: dict that takes the faults of single scans, by name, which are then left out.

    Returns:
      list of `SubjectFiles`, sorted by name.

    Raises:
      InputError: there is no dataset or no scan in it; and to `bad`: a scan has no gradient table
        or several that apply, is of another subject than its folder, or its files are not there.
    """
    root = Path(root)
    about = _description(root)
    derived = about.get("DatasetType") == "derivative" or "PipelineDescription" in about
    scans = [scan for folder in _dwi_folders(root) for scan in map(named, sorted(folder.iterdir()))
             if scan.suffix == "dwi" and scan.extension in _IMAGES and "sub" in scan.entities
             and not scan.path.name.startswith(".")
             and not (derived and scan.entities.get("desc") != "preproc")]
    if not scans:
        raise InputError(
            root, found="no diffusion scan",
            expected="sub-*_desc-preproc_dwi.nii.gz" if derived else "sub-*_dwi.nii.gz",
            remedy="check the path; preprocessed scans are in ROOT/derivatives/PIPELINE")
    if derived and not {"GeneratedBy", "PipelineDescription"} & set(about):
        warn_once(f"{root / DESCRIPTION}: no GeneratedBy, which BIDS demands of a derivative; read "
                  "all the same")
    scans = _without(scans, root, "no magnitude images (part-phase, real or imag)",
                     lambda scan: scan.entities.get("part", "").lower() in _NO_MAGNITUDE)
    best = {_series(scan): scan for scan in sorted(scans, key=_preference, reverse=True)}
    scans = _without(scans, root, "in a further space of their series",
                     lambda scan: _space(scan) != _space(best[_series(scan)]))
    found, without = {}, []
    for scan in scans:
        name = scan.path.name.removesuffix(scan.extension).removesuffix("_dwi")
        try:
            check_name(name, scan.path)
            if name in found or name in bad:
                first = found.pop(name, None)
                raise InputError(scan.path, found="the same scan as "
                                 f"{first.dwi if first else 'another file'}",
                                 expected="one file for each scan", remedy="remove one of them")
            files = _files(scan, name)
            if files is None:
                without.append(scan)
            else:
                found[name] = files
        except InputError as error:
            bad[name] = error
    _without(scans, root, "without a diffusion-weighted volume", without.__contains__)
    if not found and not bad:
        raise InputError(root, found="no diffusion-weighted magnitude series",
                         expected="at least one", remedy="check the path")
    return sorted(found.values(), key=lambda files: files.name)


def applicable(path, extension):
    """The files that apply to a data file by the inheritance principle.

    Those of the same suffix whose entities are among the data file's, in its folder and those
    above it up to that which holds the ``sub-`` folder.

    Args:
      path: of the data file. extension: of the files wanted, with its dot.

    Returns:
      list of lists of paths, one for each folder that has any, the nearest first; in each those
      with most entities first.
    """
    scan, levels, folders = named(path), [], Path(path).absolute().parents
    top = next((i for i, folder in enumerate(folders) if folder.name.startswith("sub-")), -1)
    for folder in folders[:top + 2]:
        fitting = [file for file in map(named, folder.glob(f"*{extension}"))
                   if file.extension == extension and file.suffix == scan.suffix
                   and file.entities.items() <= scan.entities.items()]
        if fitting:
            fitting.sort(key=lambda file: (-len(file.entities), file.path.name))
            levels.append([file.path for file in fitting])
    return levels


def of_scan(path, scan):
    """Whether a derived image beside a scan can be that scan's: it names no other subject, session
    or run. Of a scan whose name has no entities, everything beside it is.

    Args:
      path: of the image. scan: path of the series.
    """
    about = named(scan).entities
    told = {k: v for k, v in named(path).entities.items() if k not in _DERIVED}
    return "sub" not in about or told.items() <= about.items()


def _dwi_folders(root):
    for subject in folders_in(root):
        if subject.name.startswith("sub-"):
            sessions = [f for f in folders_in(subject) if f.name.startswith("ses-")]
            yield from (f / "dwi" for f in (subject, *sessions) if (f / "dwi").is_dir())


def _files(scan, name):
    """`SubjectFiles` of a scan; None where it has no diffusion-weighted volume."""
    subject = next(part.name for part in scan.path.parents if part.name.startswith("sub-"))
    if scan.entities["sub"] != subject.removeprefix("sub-"):
        raise InputError(scan.path, found=f"sub-{scan.entities['sub']} in the folder {subject}",
                         expected="a name that begins as the folder's", remedy="rename one of them")
    check_present(scan.path)
    tables = {kind: _table(scan, kind) for kind in ("bval", "bvec")}
    if None in tables.values():
        if _is_one_volume(scan.path):
            return None
        kind = next(kind for kind, path in tables.items() if path is None)
        raise InputError(scan.path, found=f"no .{kind} beside it or above it",
                         expected="a gradient table, as BIDS demands",
                         remedy="add it, or list the scans to use in a manifest")
    if _is_unweighted(tables["bval"]):
        return None
    return SubjectFiles(name=name, dwi=scan.path, mask=_mask(scan), family=subject, **tables)


def _table(scan, kind):
    nearest = next(iter(applicable(scan.path, f".{kind}")), None)
    if nearest is None:
        return None
    if len(nearest) > 1 and len(named(nearest[0]).entities) == len(named(nearest[1]).entities):
        raise InputError(scan.path, found=f"{nearest[0].name} and {nearest[1].name}, which both "
                         "apply to it", expected=f"one .{kind} for each scan",
                         remedy="name one after the scan")
    check_present(nearest[0])
    return nearest[0]


def _is_unweighted(bval):
    """Whether all b-values are those of b0s; False where that cannot be told."""
    try:
        text = read_bytes(bval, expected="b-values", remedy="check the file", largest=2**24)
        values = [float(word) for word in text.decode("utf-8-sig").split()]
    except (InputError, ValueError):
        return False
    return bool(values) and all(0 <= b <= _UNWEIGHTED for b in values)


def _is_one_volume(path):
    from dwijax.volumes import read_image

    try:
        return len([n for n in read_image(path).shape if n > 1]) <= 3
    except InputError:
        return False


def _mask(scan):
    """The brain mask whose entities say nothing else than the scan's; the most specific one."""
    kept = {k: v for k, v in scan.entities.items() if k != "desc"}.items()
    # A mask that does not name the space is in the scanner's, and so on another grid.
    fitting = [mask for mask in map(named, sorted(scan.path.parent.iterdir()))
               if mask.suffix == "mask" and mask.extension in _IMAGES
               and mask.entities.get("desc") == "brain" and _space(mask) == _space(scan)
               and mask.entities.items() - {("desc", "brain")} <= kept]
    best = max(fitting, key=lambda mask: len(mask.entities), default=None)
    if best is not None:
        check_present(best.path)
    return best and best.path


def _series(scan):
    """What is the same for all files of one acquisition."""
    return tuple(sorted((k, v) for k, v in scan.entities.items() if k != "space"))


def _space(scan):
    return scan.entities.get("space", "")


def _preference(scan):
    """Sorts first what was interpolated least: no space or the scanner's, then the anatomy's."""
    space = _space(scan)
    return (_SCANNER.index(space) if space in _SCANNER else len(_SCANNER), space != "T1w", space)


def _without(scans, root, what, condition):
    """The scans for which a condition does not hold; a line counts the others."""
    left = [scan for scan in scans if condition(scan)]
    if left:
        names = ", ".join(scan.path.name for scan in itertools.islice(left, 3))
        warn_once(f"{root}: left out {len(left)} of {len(scans)} series, {what}: {names}"
                  f"{', ...' if len(left) > 3 else ''}")
    return [scan for scan in scans if not condition(scan)]


def _description(root):
    path = root / DESCRIPTION
    remedy = "give the folder of a dataset, or another layout"
    expected = "the description of a BIDS dataset"
    found = read_json(path, expected=expected, remedy=remedy)
    if not isinstance(found, dict) or not {"Name", "BIDSVersion"} <= set(found):
        raise InputError(path, found="no Name or no BIDSVersion in it", expected=expected,
                         remedy=remedy)
    return found

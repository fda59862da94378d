"""The subjects of a run as they were when it began, and what has become of them since.

A run's description lists the names of each part, which slices of each subject count, and for every
file a SHA-256 and a short hash of its size and time of change. Where the latter are as they were
the file is taken for unchanged; only where they are not is it read again (about 2 s a GB). So what
is missed is a file altered with its size and its time of change kept.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from dwijax.data.cohort import Cohort, Member
from dwijax.data.simulated import made_like, shifted_members
from dwijax.errors import InputError
from dwijax.process.threads import prefetch
from dwijax.runs.description import PARTS

_KINDS = ("dwi", "bval", "bvec", "mask", "truth")
_NAMED = 8  # of the subjects of a message


def subjects(cohort):
    """What a description tells about a cohort's members (``subjects``), JSON-able."""
    return {part: [m.files.name for m in getattr(cohort, part)] for part in PARTS} | {
        "within_subject": cohort.within_subject, "origin": cohort.origin,
        "made_like": made_like(cohort.train + cohort.validation)}


def scans(config, cohort, progress=iter):
    """What a description tells about their files (``scans``), JSON-able.

    Args:
      config: ConfigDict. cohort: `dwijax.data.cohort.Cohort`. progress: wraps the subjects (tqdm).

    Returns:
      dict: ``chosen``, by part which slices of each member count and how many of them are used
      (null: all); ``files``, digests by subject and kind, none of subjects that are not used;
      ``shifted``, those of the phantom's other generator, which are for test only.
    """
    members = [(part, m.files) for part in PARTS for m in getattr(cohort, part)]
    found = {name: {} for name in cohort.unused}

    def digests(member):
        return {kind: {"sha256": _contents(path), "stat": _outside(path)}
                for kind, path in _paths(config, *member).items()}

    for (_, files), told in zip(members, progress(prefetch(digests, members, workers=4)),
                                strict=True):
        found[files.name] = found.get(files.name, {}) | told
    chosen = {part: [[None if m.slices is None else np.asarray(m.slices).tolist(), m.count]
                     for m in getattr(cohort, part)] for part in PARTS}
    return {"chosen": chosen, "files": found,
            "shifted": {files.name: digests(("test", files)) for files in _shifted(config)}}


def cohort(about, config, found, *, stated=None, bad=None, judging=False, say):
    """The cohort that a run began with, from what is found now.

    Subjects that the run does not know are not used. Training goes on without test subjects.

    Args:
      about: the run's description. config: ConfigDict.
      found: list of `dwijax.data.files.SubjectFiles`.
      stated: dict, parts in which the data itself has a subject, by name.
      bad: dict, faults by name of subjects that cannot be used.
      judging: whether test subjects must be there too.
      say: takes one line about what does no harm.

    Raises:
      InputError: naming subjects that are missing, have other bits or stand in another part.
    """
    if "scans" not in about:
        raise InputError("the run's config.json, field scans", found="nothing",
                         expected="the record of its subjects' files", remedy="train again")
    record, stated, bad = about["subjects"], stated or {}, bad or {}
    chosen, known = (about["scans"][name] for name in ("chosen", "files"))
    by_name = {files.name: files for files in found}
    members, refused, harmless = {}, [], []
    for part in PARTS:
        members[part] = []
        wrong = refused if judging or part != "test" else harmless
        for name, (slices, count) in zip(record[part], chosen[part], strict=True):
            files = by_name.get(name)
            if name in bad:
                wrong.append(f"{name} ({part}) cannot be used: {bad[name]}")
            elif files is None:
                wrong.append(f"{name} ({part}) is missing")
            elif part not in stated.get(name, {part}):
                refused.append(f"{name} ({part}) is for {' and '.join(stated[name])}")
            elif changed := _changed(known.get(name, {}), _paths(config, part, files), part):
                wrong.append(f"{name} ({part}) has not the {' and '.join(changed)} that it had")
            else:
                members[part].append(Member(
                    files, None if slices is None else np.asarray(slices, np.int64), count))
    for files in _shifted(config) if judging else ():
        if changed := _changed(about["scans"].get("shifted", {}).get(files.name, {}),
                               _paths(config, "test", files), "test"):
            refused.append(f"{files.name} (test, shifted) has not the {' and '.join(changed)} "
                           "that it had")
    if refused:
        raise InputError(
            config.data.root, found="other subjects than when the run began: " + _listed(refused),
            expected="those that its config.json records, bit for bit",
            remedy="put them back, or train another run (train.py with another --workdir)")
    used = {name for part in PARTS for name in record[part]}
    added = sorted((by_name.keys() | bad.keys()) - used - known.keys())
    harmless += [f"{name} is new and not used" for name in added] + [
        f"{name}, which is not used, is missing" for name in sorted(
            known.keys() - used - by_name.keys() - bad.keys())]
    if harmless:
        say(f"{config.data.root}: since the run began: {_listed(harmless)}")
    return Cohort(**members, within_subject=record["within_subject"], origin=record["origin"])


def _shifted(config):
    if config.data.layout != "phantom":
        return []
    return [m.files for m in shifted_members(config.data.root, **config.phantom)]


def _paths(config, part, files):
    """What is used of a subject, by kind: its files, or its slices in a store."""
    if config.data.layout == "store" and part != "test":
        return {part: Path(config.data.root) / part / files.name}
    paths = {kind: getattr(files, kind) for kind in _KINDS}
    return {kind: path for kind, path in paths.items() if path is not None and path.exists()}


def _changed(known, paths, part):
    """Kinds of files that are not as they were."""
    known = {kind: told for kind, told in known.items()
             if kind == part or (part not in paths and kind in _KINDS)}
    if not known:
        return []  # test subjects of a store whose files were not there
    return sorted(kind for kind in known.keys() | paths.keys() if not (
        kind in known and kind in paths and (
            known[kind]["stat"] == _outside(paths[kind])
            or known[kind]["sha256"] == _contents(paths[kind]))))


def _files(path):
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _outside(path):
    """Of names, sizes and times of change of a file or of all in a folder: 16 digits."""
    told = [[str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns]
            for p in _files(path)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _contents(path):
    """SHA-256 of a file, or of those of all files in a folder."""
    digests = []
    for p in _files(path):
        with p.open("rb") as file:
            digests.append([str(p.relative_to(path)),
                            hashlib.file_digest(file, "sha256").hexdigest()])
    return digests[0][1] if path.is_file() else hashlib.sha256(
        json.dumps(digests).encode()).hexdigest()


def _listed(lines):
    more = [f"{len(lines) - _NAMED} more"] if len(lines) > _NAMED else []
    return "; ".join(lines[:_NAMED] + more)

"""Which runs are judged on which subjects: those on the same data side by side, leakage refused."""

import json
from pathlib import Path
from typing import NamedTuple

from dwijax.data.cohort import Cohort
from dwijax.errors import InputError
from dwijax.evaluation.common.groups import Group, check_leakage, groups_of
from dwijax.evaluation.common.scans import usable
from dwijax.evaluation.maps.atlas import Atlas, read_atlas
from dwijax.evaluation.maps.protocol import Contender, contend
from dwijax.inference import Run, load_run
from dwijax.training.reading import read_cohort


class Opened(NamedTuple):
    """A run and where it is."""

    folder: str
    run: Run


class Part(NamedTuple):
    """`Contender`s on the same data, its `Cohort` and its groups of test subjects."""

    contenders: list[Contender]
    cohort: Cohort
    groups: list[Group]


class Prepared(NamedTuple):
    """The runs, by part and number of directions; `Part`s; an atlas for subjects without labels of
    their own; whether all numbers come from one subject."""

    runs: list[Opened]
    parts: list[Part]
    atlas: Atlas | None
    within_subject: bool

    @property
    def groups(self) -> list[Group]:
        """Of all parts."""
        return [group for part in self.parts for group in part.groups]


def prepare(workdirs: list[str | Path], atlas: tuple[str, str, str] | None) -> Prepared:
    """Arguments and errors: of `dwijax.evaluation.maps.evaluate.evaluate`."""
    if not workdirs:
        raise InputError("eval.py", found="no run", expected="folders of trained runs",
                         remedy="name one or several")
    atlas = atlas and read_atlas(*atlas)
    by_data = _by_data([Opened(str(folder), load_run(folder)) for folder in workdirs])
    parts = []
    for same in by_data:
        first = same[0].run
        cohorts = [read_cohort(run.config, run.about, judging=True) for _, run in same]
        cohort = usable(first, cohorts[0])
        contenders = contend([run for _, run in same])
        _check_kinds(same, contenders)
        groups = groups_of(first, cohort)
        for folder, run in same:
            check_leakage(run, cohort, groups, folder)
        if parts:  # how it differs from the first
            about = f"{len(first.gtab)} DWIs, {first.about['table']['b0s']} b0"
            groups = [g._replace(name=f"{g.name}, {about}") for g in groups]
        parts.append(Part(contenders, cohort, groups))
    return Prepared([opened for same in by_data for opened in same], parts, atlas,
                    any(part.cohort.within_subject for part in parts))


def _by_data(runs):
    """Lists of the runs on the same subjects and shell, the longest first, by their number of
    directions."""
    same = {}
    for folder, run in runs:
        if run.config.task != "map_regression":
            raise InputError(Path(folder) / "config.json", found=f"a run of {run.config.task}",
                             expected="runs of map_regression in one report",
                             remedy="evaluate it alone")
        key = json.dumps([run.about["subjects"], run.config.data.shell], sort_keys=True)
        same.setdefault(key, []).append(Opened(folder, run))
    for listed in same.values():
        listed.sort(key=lambda opened: (len(opened.run.inputs), opened.run.config.data.added_noise,
                                        opened.run.config.seeds))
    return sorted(same.values(), key=len, reverse=True)


def _check_kinds(runs, contenders):
    seen = {}
    for (folder, run), contender in zip(runs, contenders, strict=True):
        key = contender.named("")
        if key in seen:
            raise InputError(
                Path(folder) / "config.json",
                found=f"{len(run.inputs)} directions, as in {seen[key]}",
                expected="runs of different numbers of directions, noise-trained, or ensembles",
                remedy="evaluate it alone")
        seen[key] = folder

"""Whom a run is judged on: groups of test subjects, none of which it may know."""

from pathlib import Path
from typing import NamedTuple

from dwijax.data import leakage
from dwijax.data.cohort import Cohort, Member
from dwijax.data.sidecars import check_sidecar
from dwijax.data.simulated import origin, shifted_members
from dwijax.inference import Run
from dwijax.report_html import page

TUNING_SUBJECTS = 4  # that baselines are tuned on, at most


class Group(NamedTuple):
    """Test subjects that are summarised together; ``origin`` says what they are."""

    name: str
    origin: str
    members: list[Member]


def groups_of(run: Run, cohort: Cohort) -> list[Group]:
    """The test subjects by what they are: of a phantom, those of the shifted generator too."""
    config = run.config
    if config.data.layout != "phantom":
        name = "within subject" if cohort.within_subject else "test subjects"
        return [Group(name, str(config.data.root), cohort.test)]
    shifted = shifted_members(config.data.root, **config.phantom)
    return [Group(f"{generator} generator", origin(members), members)
            for generator, members in (("default", cohort.test), ("shifted", shifted)) if members]


def check_leakage(run: Run, cohort: Cohort, groups: list[Group], workdir: str | Path):
    """Refuses what `dwijax.data.leakage` finds; the present cohort was checked in reading it."""
    where, recorded = Path(workdir) / "config.json", run.about["subjects"]
    leakage.check_statistics(run.about, where, run.inputs)
    if run.config.task == "direction_synthesis":  # maps are of all directions, inputs too
        leakage.check_directions(run.gtab, run.inputs, run.targets, where)
    if not cohort.within_subject:
        leakage.check_subjects({"train": recorded["train"], "validation": recorded["validation"],
                                "test": [m.files.name for m in cohort.test]}, where)
    for group in groups:
        for member in group.members:
            check_sidecar(member.files)


def sources(run: Run, workdirs: list[str | Path], groups: list[Group]) -> list[tuple[str, str]]:
    """`dwijax.report_html.page.provenance` of an evaluation: its runs, and the scans judged on."""
    return page.provenance(run.about, [*map(page.run_file, workdirs), *(
        path for group in groups for member in group.members for path in (
            member.files.dwi, member.files.bval, member.files.bvec, member.files.mask))])

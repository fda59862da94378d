"""All test subjects judged, one at a time: what is kept of each is numbers, and of the first of a
group what is drawn."""

from typing import NamedTuple

from tqdm import tqdm

from dwijax.data.phantom.like import identity
from dwijax.errors import InputError
from dwijax.evaluation.common.figures import View, middle_slice
from dwijax.evaluation.common.results import Record
from dwijax.evaluation.common.scans import JudgedScan, MissingDirections, read_scan
from dwijax.evaluation.directions import protocol
from dwijax.evaluation.directions.bland_altman import BlandAltman
from dwijax.evaluation.directions.fa_histograms import FaByTissue, GtfaHistogram
from dwijax.evaluation.directions.he2020 import SliceRow
from dwijax.evaluation.directions.prepare import Prepared
from dwijax.evaluation.directions.spectra import Profiles
from dwijax.evaluation.directions.sphere import Sphere
from dwijax.process.threads import prefetch


class Fact(NamedTuple):
    """Of a test subject: σ and where it is known from, where its regions are from, the largest
    angle of its directions to the run's, and whether training subjects were made like this very
    scan (`dwijax simulate --like`)."""

    subject: str
    sigma: float
    sigma_source: str
    regions_source: str
    angle: float
    same_scan: bool


class Gap(NamedTuple):
    """A part of the report that cannot be made, and why."""

    part: str
    reason: str


class First(NamedTuple):
    """The first subject of a group, and the slice of it that is drawn."""

    view: View
    scan: JudgedScan
    judged: protocol.Judged


class OverSubjects(NamedTuple):
    """What figures count over all subjects."""

    fa_by_tissue: FaByTissue
    gtfa: GtfaHistogram
    bland_altman: BlandAltman
    sphere: Sphere
    spectra: Profiles


class Evidence(NamedTuple):
    """What is found; by group where it is a dict, groups without a judged subject left out."""

    records: list[Record]
    slices: dict[str, list[SliceRow]]
    facts: dict[str, list[Fact]]
    first: dict[str, First]
    over_subjects: OverSubjects
    gaps: list[Gap]


def judge(prepared: Prepared, quiet: bool) -> Evidence:
    """Judges every test subject by `dwijax.evaluation.directions.protocol`.

    Raises:
      InputError: a subject cannot be used, or none has all directions of the run.
    """
    run, split = prepared.run, prepared.split
    axis, imitated = run.config.data.axis, set(run.about["subjects"].get("made_like", ()))
    out = Evidence([], {}, {}, {}, OverSubjects(
        FaByTissue(), GtfaHistogram(axis), BlandAltman(), Sphere(split, run.gtab), Profiles()), [])

    def read(member):
        try:
            return read_scan(member, run.gtab, shell=run.config.data.shell, axis=axis)
        except MissingDirections as error:
            return error

    with tqdm(total=sum(len(g.members) for g in prepared.groups), desc="judging", unit="subject",
              disable=quiet or None, leave=False) as progress:
        for group in prepared.groups:
            for scan in prefetch(read, group.members):
                if isinstance(scan, MissingDirections):
                    out.gaps.append(Gap(f"a subject of the {group.name}", str(scan)))
                else:
                    view = middle_slice(scan, axis)
                    judged = protocol.judge(scan, split, prepared.predictors, view.voxels, axis)
                    same_scan = identity(scan.acquired.subject) in imitated
                    _keep(out, group.name, First(view, scan, judged), same_scan)
                progress.update()
    if not out.facts:
        raise InputError(prepared.workdir / "config.json", found=out.gaps[-1].reason,
                         expected="a test subject with all directions of the run",
                         remedy="give complete test subjects")
    return out


def _keep(out, group, subject, same_scan):
    scan, judged = subject.scan, subject.judged
    out.records.extend(Record(group, scan.name, *row) for row in judged.rows)
    out.slices.setdefault(group, []).extend(judged.slices)
    out.facts.setdefault(group, []).append(Fact(
        scan.name, *scan.noise, scan.regions_source, scan.angle, same_scan))
    for figure in out.over_subjects:
        figure.add(group, scan, judged)
    out.first.setdefault(group, subject)

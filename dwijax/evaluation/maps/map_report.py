"""SuperDTI runs judged on their test subjects: tables, figures, one report.

    python eval.py --workdir=runs/superdti
    python eval.py --compare runs/superdti-q6 runs/superdti-q18 --out=runs/superdti  # in one
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from dwijax.data.bids import of_scan
from dwijax.errors import InputError, collecting
from dwijax.evaluation.common import figures, viewers
from dwijax.evaluation.common.cases import read_scan, usable
from dwijax.evaluation.common.groups import (
    TUNING_SUBJECTS,
    check_leakage,
    groups_of,
    sources,
)
from dwijax.evaluation.common.statistics import Estimate
from dwijax.evaluation.common.tables import Record, Results, write_csv
from dwijax.evaluation.maps import map_figures, map_tables, protocol
from dwijax.evaluation.maps.atlas import read_atlas, register
from dwijax.evaluation.maps.rois import named_rois, read_rois
from dwijax.evaluation.studies import map_studies, study_figures, tract_figures
from dwijax.output import whole
from dwijax.report_html import page
from dwijax.training.reading import read_cohort

# Test subjects of a group that tracts, lesions and added noise are studied in.
STUDIED = 2

# Label images are looked for beside a subject's series under these names, with a table of the same
# name (BIDS) or one of the others.
LABELS = ("labels.nii.gz", "labels.nii", "*_dseg.nii.gz", "*_dseg.nii")
TABLES = ("labels.tsv", "labels.txt", "FreeSurferColorLUT.txt")


@collecting()
def evaluate(runs, out, *, atlas=None, quiet=False):
    """Judges runs by the protocol of `dwijax.evaluation.maps.protocol`, side by side.

    Writes ``tables/``, ``figures/`` and ``report.html`` and prints the tables. Runs on other data
    (such as fewer directions and one b0) have sections of their own.

    Args:
      runs: list of ``(workdir, dwijax.inference.Run)``; on the same data they differ in their
        number of directions or their kind (`dwijax.evaluation.maps.protocol.Contender`).
      out: folder to write to.
      atlas: ``(FA, LABELS, TABLE)``, files, for subjects without labels of their own.
      quiet: neither progress bar nor printed tables.

    Returns:
      `dwijax.evaluation.common.tables.Results`.

    Raises:
      InputError: data cannot be used, targets leak, or runs that cannot stand in one report.
    """
    if not runs:
        raise InputError("eval.py", found="no run", expected="folders of trained runs",
                         remedy="name one or several")
    atlas = atlas and read_atlas(*atlas)
    parts, by_data = [], _by_data(runs)
    runs = [pair for same in by_data for pair in same]
    for same in by_data:
        first = same[0][1]
        found = [read_cohort(run.config, run.about, judging=True) for _, run in same]
        cohort = usable(first, found[0])
        contenders = protocol.contend([run for _, run in same])
        _check_kinds(same, contenders)
        groups = groups_of(first, cohort)
        for where, run in same:
            check_leakage(run, cohort, groups, where)
        if parts:  # what sets it apart from the first
            about = f"{len(first.gtab)} DWIs, {first.about['table']['b0s']} b0"
            groups = [g._replace(name=f"{g.name}, {about}") for g in groups]
        parts.append(Part(contenders, cohort, groups))

    judged, by_group = Judged([], {}, {}), {}
    total = sum(len(p.cohort.validation[:TUNING_SUBJECTS]) + sum(len(g.members) for g in p.groups)
                for p in parts)
    with tqdm(total=total, desc="evaluating", unit="subject", disable=quiet or None,
              leave=False) as progress:
        for part in parts:
            found = _judge_part(part, atlas, judged, progress.update)
            by_group |= dict.fromkeys((g.name for g in part.groups), found)
    within = any(part.cohort.within_subject for part in parts)
    results = Results(judged.records, between_subjects=not within)
    report = map_tables.Report(", ".join(str(folder) for folder, _ in runs), by_group,
                               [g for part in parts for g in part.groups], results, within)
    # From here on nothing can be wrong with the data: files appear all or none.
    folder = Path(out)
    _draw(folder / "figures", report, judged)
    _write(folder / "tables", report, judged.records, "within subject" if within else "")
    page.write(folder / "report.html", f"Evaluation of {folder.name}", warnings=report.warnings(),
               viewers=[viewers.of_maps(f"{name}, {scan.name}", scan, map_studies.of_paper(maps),
                                        report.labels(name), runs[0][1].config.data.axis)
                        for name, (_, scan, maps) in judged.pictures.items()],
               text=report.markdown(), figures=sorted((folder / "figures").glob("*.png")),
               provenance=sources(runs[0][1], [where for where, _ in runs], report.groups))
    if not quiet:
        print(report.text(), flush=True)
    return results


class Part(NamedTuple):
    """`Contender`s on the same data, its `Cohort` and its groups of test subjects."""

    contenders: list
    cohort: Any
    groups: list


class Judged(NamedTuple):
    """What has been found: list of `Record`; of the first subject of a group what is drawn,
    ``(view, scan, maps)`` and bundles by method."""

    records: list
    pictures: dict
    tracked: dict


def _judge_part(part, atlas, judged, done):
    """Adds to ``judged``; returns the list of `Contender`."""
    first = part.contenders[0].run
    shell, axis = first.config.data.shell, first.config.data.axis

    def read(member):
        done()
        return read_scan(member, first.gtab, shell=shell, axis=axis)

    contenders = protocol.tune(part.contenders, map(
        read, part.cohort.validation[:TUNING_SUBJECTS]))
    for group in part.groups:
        for number, member in enumerate(group.members):
            scan, subject = read(member)
            rois = _rois(member, subject, scan, atlas)
            maps = protocol.all_maps(contenders, scan.acquired, subject, scan.b0s)
            rows = list(protocol.judge(scan, maps, rois))
            rows += map_studies.judge_measured_lesion(contenders, scan, maps)
            if number < STUDIED:
                rng = np.random.default_rng(number)
                if scan.clean is not None:
                    rows += map_studies.judge_lesions(contenders, scan, subject, rng)
                rows += map_studies.judge_noise(contenders, scan, subject, rng)
                tracts = map_studies.track_maps(scan, rois, maps)
                rows += map_studies.compare_tracts(scan, tracts)
                judged.tracked.setdefault(group.name, tracts)
            judged.records.extend(Record(group.name, scan.name, *row) for row in rows)
            judged.pictures.setdefault(group.name, (figures.middle_slice(scan, axis), scan, maps))
    return contenders


def _draw(folder, report, judged):
    results = report.results
    for name, (view, scan, maps) in judged.pictures.items():
        slug, title = re.sub(r"\W+", "_", name), f"{name}, {scan.name}"
        for quantity in ("fa", "md", "colour"):
            map_figures.draw_maps(folder / f"{quantity}_{slug}.png", view, scan, maps, quantity,
                                  title)
        map_figures.draw_rois(folder / f"rois_{slug}.png", results, name, report.rois(name))
        map_figures.draw_boxes(folder / f"boxes_{slug}.png", results, name)
        study_figures.draw_noise(folder / f"noise_{slug}.png", results, name, report.labels(name))
        study_figures.draw_lesions(folder / f"lesions_{slug}.png", results, name,
                                 report.labels(name))
        tract_figures.draw_tracts(folder / f"tracts_{slug}.png", judged.tracked[name],
                                  report.labels(name), f"Deterministic tracking: {title}")
    study_figures.draw_coverage(folder / "fa_std.png", results)


def _write(folder, report, records, note):
    write_csv(folder / "per_subject.csv", [*Record._fields, "note"],
              [(*record, note) for record in records])
    write_csv(folder / "summary.csv",
              ["cohort", "quantity", "against", "region", "method", *Estimate._fields, "note"],
              [(*key, *report.results.estimate(*key), note) for key in report.results.keys])
    write_csv(folder / "rois.csv", *report.roi_rows())
    write_csv(folder / "agreement.csv", *report.agreement_rows())
    with whole(folder / "report.md") as temporary:
        temporary.write_text(report.markdown(), encoding="utf-8")


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
        same.setdefault(key, []).append((folder, run))
    for listed in same.values():
        listed.sort(key=lambda r: (len(r[1].inputs), r[1].config.data.added_noise,
                                   r[1].config.seeds))
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
        seen[key] = str(folder)


def _rois(member, subject, scan, atlas):
    """Of the phantom's truth, of a label image beside the series, or of the atlas; none where
    there is none of these."""
    files = member.files
    folder = files.truth or files.dwi.parent
    image = next((path for name in LABELS for path in sorted(folder.glob(name))
                  if of_scan(path, files.dwi)), None)
    if image is not None:
        tables = [image.with_name(image.name.partition(".nii")[0] + ".tsv"),
                  *(folder / name for name in TABLES)]
        table = next((path for path in tables if path.is_file()), tables[0])
        rois = read_rois(image, table, subject, scan.regions)
    elif atlas:
        fa = scan.volume(scan.references["all acquired"].fa)
        labels = register(atlas, fa, scan.affine)[scan.acquired.mask]
        rois = named_rois(labels, atlas.table, scan.regions, atlas.path)
    else:
        return []
    if member.slices is None:
        return rois
    judged = scan.regions["brain"]
    return [roi._replace(voxels=roi.voxels & judged) for roi in rois
            if np.any(roi.voxels & judged)]

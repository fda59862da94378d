"""SuperDTI runs judged on their test subjects: tables, figures, one report.

    python eval.py --workdir=runs/superdti
    python -m dwijax.evaluation.map_report runs/superdti-q6 runs/superdti-q18  # several q in one
"""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dwijax import page
from dwijax.errors import InputError
from dwijax.evaluation import (
    figures,
    map_figures,
    map_regression,
    map_studies,
    map_tables,
    tract_figures,
    viewers,
)
from dwijax.evaluation.direction_synthesis import ALL
from dwijax.evaluation.report import TUNING_SUBJECTS, _check_cohort, _groups, sources
from dwijax.evaluation.rois import read_rois
from dwijax.evaluation.scan import read_scan
from dwijax.evaluation.statistics import Estimate
from dwijax.evaluation.tables import Record, Results, write_csv
from dwijax.inference import load_run
from dwijax.network_maps import network_maps
from dwijax.output import whole
from dwijax.training.reading import read_cohort

# Test subjects of a group that tracts, lesions and added noise are studied in.
STUDIED = 2

# Label images are looked for beside a subject's series under these names, with a table of either.
LABELS = ("labels.nii.gz", "labels.nii")
TABLES = ("labels.tsv", "labels.txt")


def evaluate(runs, *, quiet=False):
    """Judges runs by the protocol of `dwijax.evaluation.map_regression`, side by side.

    Writes ``tables/``, ``figures/`` and ``report.html`` into the folder of the first run and prints
    the tables.

    Args:
      runs: list of ``(workdir, dwijax.inference.Run)``, of different numbers of directions on the
        same data.
      quiet: neither progress bar nor printed tables.

    Returns:
      `dwijax.evaluation.tables.Results`.

    Raises:
      InputError: data cannot be used, or runs that cannot stand in one report.
    """
    workdir, first = runs[0]
    cohort = read_cohort(first.config)
    _check_runs(runs)
    for folder, run in runs:
        _check_cohort(run, cohort, folder)
    groups = _groups(first, cohort)
    shell, axis = first.config.data.shell, first.config.data.axis

    def read(member):
        return read_scan(member, first.gtab, shell=shell, axis=axis)

    tuning = cohort.validation[:TUNING_SUBJECTS]
    records, pictures, tracked = [], {}, {}
    total = len(runs) * len(tuning) + sum(len(g.members) for g in groups)
    with tqdm(total=total, desc="evaluating", unit="subject", disable=quiet or None,
              leave=False) as progress:

        def scans():
            for member in tuning:
                yield read(member)[0]
                progress.update()

        widths = [map_regression.tune_smoothing(scans(), run.inputs) for _, run in runs]
        for group in groups:
            for number, member in enumerate(group.members):
                scan, subject = read(member)
                rois = _rois(member, subject, scan)
                maps = {}
                for (_, run), width in zip(runs, widths, strict=True):
                    judged = map_regression.judge(
                        scan, run.inputs, network_maps(run, subject), width, rois)
                    records += [Record(group.name, scan.name, *row) for row in judged.rows
                                if row.method != ALL or run is first]
                    maps |= judged.maps
                    if number < STUDIED:
                        records += [Record(group.name, scan.name, *row) for row in _studies(
                            run, scan, subject, width, number)
                            if row.method != ALL or run is first]
                if number < STUDIED:
                    tracts = map_studies.track_maps(scan, rois, maps)
                    records += [Record(group.name, scan.name, *row)
                                for row in map_studies.compare_tracts(scan, tracts)]
                    tracked.setdefault(group.name, tracts)
                pictures.setdefault(group.name, (figures.middle_slice(scan, axis), scan, maps))
                progress.update()
    within = cohort.within_subject
    note = "within subject" if within else ""
    results = Results(records, between_subjects=not within)
    report = map_tables.Report(
        str(workdir), [run for _, run in runs], widths, groups, results, within)
    folder = Path(workdir)
    # From here on nothing can be wrong with the data: files appear all or none.
    for name, (view, scan, maps) in pictures.items():
        slug = name.replace(" ", "_")
        for quantity in ("fa", "md", "colour"):
            map_figures.draw_maps(folder / "figures" / f"{quantity}_{slug}.png", view, scan, maps,
                                  quantity, f"{name}, {scan.name}")
        map_figures.draw_rois(folder / "figures" / f"rois_{slug}.png", results, name,
                              report.rois(name))
        map_figures.draw_boxes(folder / "figures" / f"boxes_{slug}.png", results, name)
        map_figures.draw_noise(folder / "figures" / f"noise_{slug}.png", results, name,
                               report.label)
        tract_figures.draw_tracts(folder / "figures" / f"tracts_{slug}.png", tracked[name],
                                  report.label, f"Deterministic tracking: {name}, {scan.name}")
    write_csv(folder / "tables" / "per_subject.csv", [*Record._fields, "note"],
              [(*record, note) for record in records])
    write_csv(folder / "tables" / "summary.csv",
              ["cohort", "quantity", "against", "region", "method", *Estimate._fields, "note"],
              [(*key, *results.estimate(*key), note) for key in results.keys])
    write_csv(folder / "tables" / "rois.csv", *report.roi_rows())
    write_csv(folder / "tables" / "agreement.csv", *report.agreement_rows())
    with whole(folder / "tables" / "report.md") as temporary:
        temporary.write_text(report.markdown(), encoding="utf-8")
    page.write(folder / "report.html", f"Evaluation of {folder.name}", warnings=report.warnings(),
               viewers=[viewers.of_maps(f"{name}, {scan.name}", scan, maps, report.label, axis)
                        for name, (_, scan, maps) in pictures.items()],
               text=report.markdown(), figures=sorted((folder / "figures").glob("*.png")),
               provenance=sources(first, workdir, groups))
    if not quiet:
        print(report.text(), flush=True)
    return results


def _studies(run, scan, subject, width, number):
    rng = np.random.default_rng([number, len(run.inputs)])
    yield from map_studies.judge_tiling(run, scan, subject)
    if scan.clean is not None:
        yield from map_studies.judge_lesions(run, scan, subject, width, rng)
    yield from map_studies.judge_noise(run, scan, subject, width, rng)


def _check_runs(runs):
    """All on the same data, with different numbers of directions."""
    workdir, first = runs[0]
    seen = {}
    for folder, run in runs:
        where = Path(folder) / "config.json"
        if run.config.task != "map_regression":
            raise InputError(where, found=f"a run of {run.config.task}",
                             expected="runs of map_regression in one report",
                             remedy="evaluate it alone")
        if run.about["subjects"] != first.about["subjects"] or \
                run.config.data.shell != first.config.data.shell:
            raise InputError(where, found="other subjects or another shell",
                             expected=f"those of {workdir}", remedy="evaluate it alone")
        if len(run.inputs) in seen:
            raise InputError(
                where, found=f"{len(run.inputs)} directions, as in {seen[len(run.inputs)]}",
                expected="runs of different numbers of directions", remedy="evaluate it alone")
        seen[len(run.inputs)] = str(folder)


def _rois(member, subject, scan):
    """Of the phantom's truth, or of a label image beside the series; none where there is none."""
    files = member.files
    folder = files.truth or files.dwi.parent
    image = next((folder / n for n in LABELS if (folder / n).is_file()), None)
    if image is None:
        return []
    table = next((folder / n for n in TABLES if (folder / n).is_file()), folder / TABLES[0])
    rois = read_rois(image, table, subject, scan.regions)
    if member.slices is None:
        return rois
    judged = scan.regions["brain"]
    return [roi._replace(voxels=roi.voxels & judged) for roi in rois
            if np.any(roi.voxels & judged)]


def main(workdirs):
    """Evaluates the runs named on the command line in one report."""
    if not workdirs:
        raise InputError("map_report", found="no run", expected="folders of trained runs",
                         remedy="name one or several")
    evaluate([(folder, load_run(folder)) for folder in workdirs])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

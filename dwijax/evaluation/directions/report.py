"""``evaluate(workdir)``: a trained run judged on its test subjects."""

import json
import time
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dwijax import __version__, baselines
from dwijax.data.phantom.like import identity
from dwijax.errors import InputError, collecting
from dwijax.evaluation.common import figures, slabs, viewers
from dwijax.evaluation.common.cases import MissingDirections, read_case, read_scan, usable
from dwijax.evaluation.common.groups import (
    TUNING_SUBJECTS,
    check_leakage,
    groups_of,
    sources,
)
from dwijax.evaluation.common.regions import LESION
from dwijax.evaluation.common.rows import NETWORKS, PERFECT, Row
from dwijax.evaluation.common.tables import Record, Results, write_csv, write_results
from dwijax.evaluation.directions import comparison, protocol, sections, spectra, summary
from dwijax.evaluation.directions.agreement import Agreement
from dwijax.evaluation.directions.plots import GtfaHistogram, Histograms, draw_errors
from dwijax.evaluation.directions.protocol import B0S, LAST, Split
from dwijax.evaluation.directions.sphere import Sphere
from dwijax.evaluation.directions.summary import Fact, Gap
from dwijax.inference import load_run, only_inputs, synthesise
from dwijax.output import whole
from dwijax.process.threads import ahead
from dwijax.report_html import page
from dwijax.training.reading import read_cohort

TRAINING_SUBJECTS = 12  # that regressions learn from, at most


@collecting()
def evaluate(workdir, *, baseline_set="all", quiet=False):
    """Judges a run by the protocol of `dwijax.evaluation.directions.protocol`.

    Writes ``tables/``, ``figures/`` and ``report.html`` into the run's folder; prints the tables.

    Args:
      workdir: folder of a trained run.
      baseline_set: of `dwijax.baselines.SETS`: ``fewest``, ``quick``, or ``all`` with denoisers
        that take minutes a subject.
      quiet: neither progress bar nor printed tables.

    Returns:
      `dwijax.evaluation.common.tables.Results`.

    Raises:
      InputError: there is no run, its data cannot be used, or targets leak into inputs.
    """
    began = time.perf_counter()
    run = load_run(workdir)
    cohort = usable(run, read_cohort(run.config, run.about, judging=True))
    if not cohort.test:
        raise InputError(Path(workdir) / "config.json", found="no test subjects",
                         expected="at least one", remedy="train with another split")
    groups = groups_of(run, cohort)
    check_leakage(run, cohort, groups, workdir)
    axis, shell = run.config.data.axis, run.config.data.shell
    split = Split(run.inputs, run.targets, run.gtab[run.targets])
    chosen = baselines.SETS[baseline_set]
    how = {"gtab": run.gtab, "shell": shell, "axis": axis,
           "surroundings": len(chosen.denoisers) > 1}
    training = cohort.train[:TRAINING_SUBJECTS] if chosen.others else []
    tuning = cohort.validation[:TUNING_SUBJECTS]
    records, slices, facts, first, gaps = [], {}, {}, {}, []
    views, imitated = {}, set(run.about["subjects"].get("made_like", ()))
    histograms, gtfa, agreement = Histograms(), GtfaHistogram(axis), Agreement()
    sphere, profiles = Sphere(split, run.gtab), spectra.Profiles()
    total = len(training) + len(tuning) + sum(len(g.members) for g in groups)
    with tqdm(total=total, desc="evaluating", unit="subject", disable=quiet or None,
              leave=False) as progress:

        def cases(members):
            for case in ahead(partial(read_case, split=split, **how), members):
                yield case
                progress.update()

        def synthesised(member):
            try:
                scan, subject = read_scan(member, **how)
            except MissingDirections as error:
                return error, None, None, None
            networks, rows = _synthesise(run, scan, subject)
            return scan, networks, rows, identity(subject) in imitated

        if tuning:
            interpolators, sh = baselines.tune(cases(training), cases(tuning), axis=axis,
                                               chosen=chosen)
        else:
            interpolators, sh = baselines.untuned()
            gaps.append(Gap("tuned baselines", "there are no validation subjects"))
        labels = summary.labels(split, interpolators, run.config.model.joint)
        for group in groups:
            for scan, networks, rows, same in ahead(synthesised, group.members):
                progress.update()
                if networks is None:
                    gaps.append(Gap(f"a subject of the {group.name}", str(scan)))
                    continue
                view = figures.middle_slice(scan, axis)
                judged = protocol.judge(
                    scan, split, networks, interpolators, view.voxels, axis)
                records += [Record(group.name, scan.name, *row) for row in [*rows, *judged.rows]]
                slices.setdefault(group.name, []).extend((scan.name, r) for r in judged.slices)
                for collector in (histograms, gtfa, agreement, sphere, profiles):
                    collector.add(group.name, scan, judged)
                if group.name not in first:
                    first[group.name] = view, scan, judged
                    views[group.name] = viewers.of_directions(
                        f"{group.name}, {scan.name}", scan, split, networks, judged, labels.maps,
                        axis)
                facts.setdefault(group.name, []).append(
                    Fact(scan.name, scan.sigma, scan.sigma_source, scan.regions_source, scan.angle,
                         same))
    groups = [g for g in groups if g.name in facts]
    if not groups:
        raise InputError(Path(workdir) / "config.json", found=gaps[-1].reason,
                         expected="a test subject with all directions of the run",
                         remedy="give complete test subjects")
    within = cohort.within_subject
    results = Results(records, between_subjects=not within)
    gaps += _gaps(run, split, first)
    heads = {name: slabs.Head(judged.squares, scan.regions,
                              slabs.slabs_of(scan.acquired.mask, axis))
             for name, (_, scan, judged) in first.items() if len(facts[name]) == 1}
    report = summary.Report(str(workdir), run, split, groups, results, labels, slices, facts, heads,
                            gaps, sh, baseline_set, len(tuning), within,
                            time.perf_counter() - began)

    # From here on nothing can be wrong with the data: files appear all or none.
    pictures, note = Path(workdir) / "figures", "within subject" if within else ""
    told = f" ({note})" if note else ""
    best = _best_baseline(results, groups[0].name, interpolators)
    for name, (view, scan, judged) in first.items():
        title, slug = f"{name}, {scan.name}", name.replace(" ", "_")
        figures.draw_directions(
            pictures / f"directions_{slug}.png", view, scan, split, judged.shown,
            next(i for i in interpolators if i.name == sh), f"Synthetic DWIs: {title}")
        figures.draw_fa(pictures / f"fa_{slug}.png", view, scan, judged, labels.maps,
                        f"FA: {title}")
        figures.draw_gtfa(pictures / f"he2020_figure4_{slug}.png", view, scan, judged.gtfa,
                          f"He et al., Fig. 4: {title}")
        figures.draw_bias(pictures / f"bias_{slug}.png", view, scan, judged, split,
                          [NETWORKS, *dict.fromkeys((best, sh))], labels.maps, f"Bias: {title}")
    histograms.draw(pictures / "fa_histograms.png", labels.maps,
                    f"FA by tissue, share of voxels{told}")
    gtfa.draw(pictures / "he2020_figure4c.png", f"He et al., Fig. 4 c: histogram of FA{told}")
    agreement.draw(pictures / "bland_altman.png", labels.maps, report.reference(groups[0].name),
                   f"Bland-Altman: bias ± 1.96 SD of FA over voxels{told}")
    sphere.draw(pictures / "sphere.png", sh, labels.short, f"Error of each direction{told}")
    profiles.draw(pictures / "spectra.png", ["measured", PERFECT, NETWORKS,
                                             *dict.fromkeys((best, sh))], labels.short,
                  f"Power spectra of DWIs in the slice{told}")
    draw_errors(pictures / "errors.png", results, [g.name for g in groups], labels, sh,
                "Errors (within subject)" if within
                else "Errors: mean paired difference and its 95 % confidence interval")
    folder = Path(workdir) / "tables"
    write_results(folder, results, sections.compared(sh), report.notes)
    sphere.write(folder / "per_direction.csv", report.notes)
    write_csv(folder / "he2020_slices.csv",
              ["cohort", "subject", "comparison", "method", "slice", "rmse", "note"],
              [(g, s, *row, report.notes[g]) for g, found in slices.items() for s, row in found])
    with whole(folder / "report.md") as temporary:
        temporary.write_text(report.markdown(), encoding="utf-8")
    page.write(Path(workdir) / "report.html", f"Evaluation of {Path(workdir).name}",
               warnings=report.warnings(), viewers=list(views.values()), text=report.markdown(),
               figures=sorted(pictures.glob("*.png")), provenance=sources(run, [workdir], groups))
    with whole(folder / "evaluation.json") as temporary:
        temporary.write_text(json.dumps(_about(run, report),
                                        indent=1) + "\n")
    if not quiet:
        print(report.text(), flush=True)
    return results


def _synthesise(run, scan, subject):
    """The networks' DWIs ``[V, K]`` of a scan without its targets, their time, dots outside."""
    blind = only_inputs(run, subject)
    began = time.perf_counter()
    volume = synthesise(run, blind)
    rows = [Row("seconds", "subject", "brain", NETWORKS, time.perf_counter() - began)]
    mask, axis = subject.mask, run.config.data.axis
    filled = mask.any(axis=tuple(i for i in range(3) if i != axis), keepdims=True)
    outside, level = ~mask & filled, 4 * scan.sigma * subject.scale
    for method, values in ((NETWORKS, volume),
                           ("measured", subject.dwi[..., scan.b0s + run.targets])):
        rows.append(Row("dots outside the brain, %", "4 σ", "background", method,
                        spectra.dots(values, outside, level)))
    return volume[mask] / np.float32(subject.scale), rows


def _gaps(run, split, first):
    """What cannot be made of the subjects that there are."""
    b0s, k = run.about["table"]["b0s"], len(split.targets)
    if b0s <= B0S or len(split.others) < 6:
        yield Gap("FA against an independent reference",
                  f"with {k} targets and {b0s} b0s, the {LAST} targets and {B0S} b0s of He et al. "
                  "leave too few to fit a tensor to")
    if b0s < B0S:
        yield Gap(f"He et al.'s {B0S} b0s", f"there is {b0s}, which takes their place")
    if k < LAST:
        yield Gap(f"He et al.'s last {LAST} directions", f"all {k} targets take their place")
    for name, (_, scan, _) in first.items():
        if scan.clean is None:
            yield Gap(f"errors against the noise-free truth ({name})",
                      "its subjects are no simulations")
        if LESION not in scan.regions:
            yield Gap(f"errors in lesions ({name})", "no lesion is labelled")


def _best_baseline(results, group, interpolators):
    """Name of the one with the least error of the DWIs in the brain."""
    against = "noise-free" if results.methods(group, "DWI RMSE", "noise-free") else "measured"
    return min((i.name for i in interpolators), key=lambda name: results.estimate(
        group, "DWI RMSE", against, "brain", name).mean)


def _about(run, report):
    """What a comparison of runs must know of an evaluation."""
    judged = {g.name: [f.subject for f in report.facts[g.name]] for g in report.groups}
    data = [(m.files.name, g.origin if run.config.data.layout == "phantom"
             else m.files.dwi.stat().st_size) for g in report.groups for m in g.members]
    return {"dwijax": __version__, "data": comparison.data_hash(data, run.config.data.shell),
            "groups": judged, "origins": report.notes, "inputs": len(run.inputs),
            "targets": len(run.targets), "sh": report.sh, "baselines": report.baselines,
            "seed": run.config.seed, "not_made": report.gaps}


"""What a reader sees of the results: what was judged, what could not be, sentences, tables."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dwijax import __version__
from dwijax.baselines import Predictor
from dwijax.evaluation.common.document import Document, Section, warnings_of_group
from dwijax.evaluation.common.groups import Group
from dwijax.evaluation.common.regions import LESION
from dwijax.evaluation.common.results import (
    ALL,
    ALL_ACQUIRED,
    TRUTH,
    Key,
    Results,
    write_results,
)
from dwijax.evaluation.common.slabs import Head, slabs_of
from dwijax.evaluation.common.statistics import Estimate
from dwijax.evaluation.common.tables import DASH, interval, write_csv
from dwijax.evaluation.directions import tables
from dwijax.evaluation.directions.judge import Evidence, Gap
from dwijax.evaluation.directions.prepare import Prepared
from dwijax.evaluation.directions.protocol import B0S, LAST, Split, alone
from dwijax.evaluation.directions.rows import (
    INPUTS,
    MORE,
    NETWORKS,
    PERFECT,
    SIMULATED,
    TRUE_MAP,
    WITH_TARGETS,
)
from dwijax.output import whole
from dwijax.runs.log import skipped


class Labels(NamedTuple):
    """Method to label: as a way to make DWIs, in full and in short, and as what a tensor is fitted
    to."""

    signal: dict[str, str]
    short: dict[str, str]
    maps: dict[str, str]


def labels_of(split: Split, predictors: list[Predictor]) -> Labels:
    """`Labels` of all methods."""
    q, k, more = len(split.inputs), len(split.targets), len(split.inputs) + len(split.last)
    others = {PERFECT: "noise-free DWIs (limit)", TRUE_MAP: "the noise-free FA map itself",
              SIMULATED: "perfect synthesis, simulated on these tensors",
              "measured": "measured DWIs", MORE: f"{more} acquired"}
    maps = {INPUTS: f"{q} acquired", MORE: f"{more} acquired", ALL: f"{q + k} acquired",
            PERFECT: f"{q} + {k} noise-free (limit)"}
    for p in predictors:
        maps[p.name] = f"{q} + {k} by {p.short}"
        maps[alone(p.name)] = f"{q} acquired, {p.short.split(',')[0]}"
    return Labels(others | {p.name: p.label for p in predictors},
                  others | {p.name: p.short for p in predictors}, maps)


class Report(NamedTuple):
    """The report of one evaluation.

    Attributes:
      prepared, evidence: what was judged, what was found. results: all its numbers.
      groups: those of the prepared that have judged subjects.
      heads: group name to the `Head` of its only subject.
      gaps: what could not be made. seconds: that reading, tuning and judging took together.
    """

    prepared: Prepared
    evidence: Evidence
    results: Results
    labels: Labels
    groups: list[Group]
    heads: dict[str, Head]
    gaps: list[Gap]
    seconds: float

    def document(self) -> Document:
        """All of it."""
        sections = []
        for group in self.groups:
            title, *facts = self._group_head(group)
            sections.append(Section(title, facts, self._headlines(group.name),
                                    list(tables.tables(self, group.name))))
        return Document(list(self._head()), sections,
                        [f"{g.part}: {g.reason}" for g in self.gaps])

    def warnings(self) -> Iterator[str]:
        """What has to be known before anything else is read."""
        yield from self._faults()
        if self.prepared.within_subject:
            yield "Within subject: one person's slabs; there is no interval over subjects."
        for group in self.groups:
            facts = self.evidence.facts[group.name]
            yield from warnings_of_group(group.name, group.origin, len(facts),
                                         self.prepared.within_subject)
            if any(fact.same_scan for fact in facts):
                yield f"{group.name}: training subjects were made like the scan that judges them."
            for found in self._compared(group.name):
                if found.percent.mean > 0 and found.other not in (MORE, ALL):
                    yield f"**The networks are worse**, {group.name}: {found.sentence}"
        for gap in self.gaps:
            yield f"Not made: {gap.part}: {gap.reason}"

    def reference(self, group: str) -> str:
        """What is nearest to the truth among the references there are."""
        return TRUTH if self.results.methods(group, "FA RMSE", TRUTH) else ALL_ACQUIRED

    @property
    def notes(self) -> dict[str, str]:
        """Group name to what stands with each of its tables: which phantom, whether within subject,
        whether training subjects were made like the scan that judges."""
        simulated = self.prepared.run.config.data.layout == "phantom"
        within, facts = "within subject" * self.prepared.within_subject, self.evidence.facts
        return {g.name: ", ".join(filter(None, [
            g.origin * simulated, within, "same scan" * any(f.same_scan for f in facts[g.name])]))
            for g in self.groups}

    def _head(self):
        q, k = len(self.prepared.split.inputs), len(self.prepared.split.targets)
        config = self.prepared.run.config
        yield (f"{self.prepared.workdir}: {self.labels.signal[NETWORKS]}, {q} acquired directions "
               f"in, {k} synthesised, b = {config.data.shell} s/mm², dwijax {__version__}")
        if config.data.clean_targets:
            yield "TRAINED ON NOISE-FREE TARGETS, which no scanner delivers"
        if config.data.denoise_targets:
            yield "trained on measured targets after MP-PCA of the targets alone"
        if weight := config.loss.fa_weight:
            of = "the targets alone" if config.loss.fa_reference == "targets" else "all volumes"
            yield f"FA loss of weight {weight:g}, towards the FA of {of}"
        if config.trunk.steps:
            yield f"started from one joint network after {config.trunk.steps} steps"
        if config.calibrate:
            yield "synthetic DWIs calibrated to the anisotropy that a subject's acquired ones show"
        tuned = self.prepared.tuned_on or "not tuned"
        if self.prepared.within_subject:
            yield f"networks trained on one slab and judged on another; baselines {tuned}"
        else:
            trained = len(self.prepared.run.about["subjects"]["train"])
            yield f"networks trained on {trained} subjects, baselines {tuned}"
        which = self.prepared.baseline_set
        more = "" if which == "all" else \
            "; eval.py adds denoisers that take minutes (--baselines=all)"
        yield f"baselines: {which}{more}"
        judged = sum(map(len, self.evidence.facts.values()))
        yield (f"tuned, synthesised and judged in {self.seconds:.0f} s, "
               f"{self.seconds / judged:.1f} s/subject")
        yield ("DWIs in units of the subject's median b0, MD, AD, RD in µm²/ms; RMSE over the "
               "voxels of a region; tensors by the fit that is MRtrix3's default")
        yield from self._faults()
        yield ("leakage: none found (subjects, scans, directions, statistics, joint denoising); "
               "networks were handed scans without the targets")
        if self.prepared.within_subject:
            yield "WITHIN SUBJECT: one person's slabs; there is no interval over subjects"
        else:
            yield "mean ± SD and [95 % confidence interval of the mean] over subjects; % paired"

    def _group_head(self, group):
        facts = self.evidence.facts[group.name]
        n = len(facts)
        yield f"{group.name} ({n} {'subject' if n == 1 else 'subjects'}), {group.origin}"
        sigmas = [f.sigma for f in facts]
        level = f"{min(sigmas):.4f}" + (f" to {max(sigmas):.4f}" if n > 1 else "")
        yield (f"σ = {level} of the median b0, from {facts[0].sigma_source}; tissue from "
               f"{facts[0].regions_source}")
        if max(f.angle for f in facts) > 0.01:
            yield f"directions within {max(f.angle for f in facts):.1f}° of the run's"
        same = [f.subject for f in facts if f.same_scan]
        if same:
            yield (f"SAME SCAN: training subjects were made like {', '.join(same)}; what follows "
                   "holds for that scan only")
        dots = [self.results.estimate(group.name, "dots outside the brain, %", "4 σ", "background",
                                      method) for method in (NETWORKS, "measured")]
        if all(d and d.n for d in dots):
            yield (f"dots: outside the brain {dots[0].mean:.3g} % of synthetic and "
                   f"{dots[1].mean:.3g} % of measured values exceed 4 σ")
        yield self._shared_noise(group.name)

    def _shared_noise(self, group):
        """What the shared noise does to R, in numbers of this group."""
        def ratio(method):
            found = self.results.bootstrap(group, "R", WITH_TARGETS, "brain", method)
            return found if found and found.n else None

        line = ("shared noise: prediction, 32 GTFA and 64 GTFA hold the same acquired volumes, so "
                "that R rewards a map with their noise in it")
        if limit := ratio(PERFECT) or ratio(SIMULATED):
            how = "" if ratio(PERFECT) else ", simulated on these tensors at this σ"
            line += f"; perfect noise-free DWIs have R = {interval(limit, 3)} here{how}"
        if true := ratio(TRUE_MAP):
            line += f", the noise-free FA map itself R = {true.mean:.3f}"
        return line + "; less than that limit means leakage or correlated noise"

    def _faults(self):
        """Networks that skipped updates because their loss or gradient was not finite."""
        found = skipped(self.prepared.workdir)
        if not found:
            return
        limit = self.prepared.run.config.freeze_after
        for number, count, in_a_row in zip(self.prepared.run.task.numbers, *found, strict=True):
            if count:
                state = "FROZEN" if limit and in_a_row >= limit else "went on"
                yield f"network {number}: {count} updates without finite values skipped; {state}"

    def _headlines(self, group):
        """The networks against what they must beat, in sentences."""
        return [found.sentence for found in self._compared(group)]

    def _compared(self, group):
        """Yields `Comparison`."""
        best, names = self.reference(group), self.labels
        truth = best == TRUTH
        against = TRUTH if truth else "measured"
        pairs = [("DWI RMSE", against, self.prepared.sh, names.signal[self.prepared.sh])]
        others = [m for m in self.results.methods(group, "DWI RMSE", "measured") if m != NETWORKS]
        best_other = min(others, key=lambda m: self.results.estimate(
            group, "DWI RMSE", against, "brain", m).mean)
        if best_other != self.prepared.sh:
            pairs.append(("DWI RMSE", against, best_other,
                          names.signal[best_other] + ", the best baseline here"))
        pairs += [("FA RMSE", best, other, names.maps[other])
                  for other in (INPUTS, MORE, ALL) if truth or other == INPUTS]
        for quantity, against, other, label in pairs:
            pair = self.results.paired(Key(group, quantity, against, "brain", NETWORKS), other)
            if pair is None:
                continue
            what = names.signal if quantity.startswith("DWI") else names.maps
            reference = {TRUTH: "noise-free truth", "measured": "measured DWIs",
                         ALL_ACQUIRED: f"fit of {names.maps[ALL]}"}[against]
            verdict = ""
            if not self.prepared.within_subject:
                verdict = "" if pair.percent.excludes_zero else "; the interval includes 0"
                verdict = verdict if pair.percent.n > 1 else "; one subject, no interval"
            yield Comparison(
                f"{quantity} to the {reference}: {what[NETWORKS]} against {label}: "
                f"{interval(pair.percent, 1, '+').replace(DASH, 'n/a')} %{verdict}",
                pair.percent, other)


class Comparison(NamedTuple):
    """Networks against another method, in a sentence; how much more their error is, in %."""

    sentence: str
    percent: Estimate
    other: str


def tabulate(prepared: Prepared, evidence: Evidence, seconds: float) -> Report:
    """`Report` of what was found."""
    results = Results(evidence.records, between_subjects=not prepared.within_subject)
    heads = {name: Head(judged.squares, scan.regions,
                        slabs_of(scan.acquired.mask, prepared.run.config.data.axis))
             for name, (_, scan, judged) in evidence.first.items()
             if len(evidence.facts[name]) == 1}
    return Report(prepared, evidence, results, labels_of(prepared.split, prepared.predictors),
                  [g for g in prepared.groups if g.name in evidence.facts], heads,
                  [*_gaps(prepared), *evidence.gaps, *_gaps_of_subjects(evidence)], seconds)


def _gaps(prepared):
    """What cannot be made of this run."""
    split = prepared.split
    b0s, k = prepared.run.about["table"]["b0s"], len(split.targets)
    if not prepared.tuned_on:
        yield Gap("tuned baselines", "there are no validation subjects")
    if b0s <= B0S or len(split.others) < 6:
        yield Gap("FA against an independent reference",
                  f"with {k} targets and {b0s} b0s, the {LAST} targets and {B0S} b0s of He et al. "
                  "leave too few to fit a tensor to")
    if b0s < B0S:
        yield Gap(f"He et al.'s {B0S} b0s", f"there is {b0s}, which takes their place")
    if k < LAST:
        yield Gap(f"He et al.'s last {LAST} directions", f"all {k} targets take their place")


def _gaps_of_subjects(evidence):
    for name, first in evidence.first.items():
        if first.scan.clean is None:
            yield Gap(f"errors against the noise-free truth ({name})",
                      "its subjects are no simulations")
        if LESION not in first.scan.regions:
            yield Gap(f"errors in lesions ({name})", "no lesion is labelled")


def write_tables(folder: Path, report: Report):
    """Writes CSV files, ``report.md``, and ``evaluation.json`` for comparisons of runs."""
    notes, evidence = report.notes, report.evidence
    write_results(folder, report.results, tables.compared(report.prepared.sh), notes)
    evidence.over_subjects.sphere.write(folder / "per_direction.csv", notes)
    write_csv(folder / "he2020_slices.csv",
              ["cohort", "subject", "comparison", "method", "slice", "rmse", "note"],
              [(g, *row, notes[g]) for g, found in evidence.slices.items() for row in found])
    with whole(folder / "report.md") as temporary:
        temporary.write_text(report.document().markdown(), encoding="utf-8")
    with whole(folder / "evaluation.json") as temporary:
        temporary.write_text(json.dumps(_about(report), indent=1) + "\n")


def _about(report):
    """What a comparison of runs must know of an evaluation."""
    run, facts = report.prepared.run, report.evidence.facts
    simulated = run.config.data.layout == "phantom"
    data = [(m.files.name, g.origin if simulated else m.files.dwi.stat().st_size)
            for g in report.groups for m in g.members]
    return {"dwijax": __version__, "data": data_hash(data, run.config.data.shell),
            "groups": {g.name: [f.subject for f in facts[g.name]] for g in report.groups},
            "origins": report.notes, "inputs": len(run.inputs), "targets": len(run.targets),
            "sh": report.prepared.sh, "baselines": report.prepared.baseline_set,
            "seed": run.config.seed, "not_made": report.gaps}


def data_hash(subjects: list[tuple[str, str | int]], shell: float) -> str:
    """Sixteen hexadecimal digits of the test subjects ``[(name, origin or size)]`` and b."""
    return hashlib.sha256(json.dumps([subjects, shell]).encode()).hexdigest()[:16]

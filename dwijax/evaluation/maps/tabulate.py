"""What a reader sees of SuperDTI's evaluation: sentences, tables, CSV files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dwijax import __version__
from dwijax.evaluation.common.document import Document, Section, warnings_of_group
from dwijax.evaluation.common.results import (
    ALL,
    ALL_ACQUIRED,
    TRUTH,
    Key,
    Results,
    write_per_subject,
)
from dwijax.evaluation.common.statistics import Estimate
from dwijax.evaluation.common.tables import write_csv
from dwijax.evaluation.maps.brain_means import agreement_rows
from dwijax.evaluation.maps.equivalence import CLOSE, Agreement, agreement, false_discovery
from dwijax.evaluation.maps.judge import Evidence
from dwijax.evaluation.maps.methods import FIT, SMOOTHED, method_of
from dwijax.evaluation.maps.prepare import Prepared
from dwijax.evaluation.maps.protocol import PEAKS, Contender
from dwijax.evaluation.maps.rois import GROUPS
from dwijax.evaluation.maps.tables import tables
from dwijax.inference.network_maps import DIRECT, TENSOR
from dwijax.output import whole
from dwijax.tasks.map_regression import LEAST as TENSOR_LEAST


class RoiError(NamedTuple):
    """Relative error of a region's mean over subjects, percent."""

    mean: float
    worst: float


class Report(NamedTuple):
    """The report of one or several runs.

    Attributes:
      prepared: `Prepared`. results: `Results`.
      contenders: list of `Contender` by name of a group: those that are judged on it.
    """

    prepared: Prepared
    results: Results
    contenders: dict[str, list[Contender]]

    def document(self) -> Document:
        """All of it."""
        return Document(list(self._head()), [
            Section(f"{g.name} ({len(g.members)}), {g.origin}", [], list(self.headlines(g.name)),
                    list(tables(self, g.name))) for g in self.prepared.groups], [])

    def warnings(self) -> Iterator[str]:
        """What has to be known before anything else is read."""
        within = self.prepared.within_subject
        if within:
            yield "Within subject: one person's slabs; there is no interval over subjects."
        for group in self.prepared.groups:
            yield from warnings_of_group(group.name, group.origin, len(group.members), within)

    def labels(self, group: str) -> Callable[[str], str]:
        """``method -> str`` for tables: a method and its q, with what was tuned."""
        contenders = self.contenders[group]
        total = len(contenders[0].run.gtab)
        width = {c.q: c.fwhm for c in reversed(contenders)}

        def label(method):
            kind, q = method_of(method)
            if method in (TRUTH, ALL):
                return "noise-free" if method == TRUTH else f"{total} DWIs, fit (reference)"
            if kind == FIT and q < TENSOR_LEAST:
                return f"{q} DWIs, mean of ADCs"
            if kind == SMOOTHED:
                kind = f"Gaussian {width[q]:.1f} mm, " + (
                    "fit" if q >= TENSOR_LEAST else "mean of ADCs")
            return f"{q} DWIs, {kind}"

        return label

    def rois(self, group: str) -> dict[str, str]:
        """Region to its group of `GROUPS`, in the order of the records."""
        found = {}
        for key in self.results.select(cohort=group, quantity="ROI group"):
            values = self.results.values(*key)
            found[key.region] = GROUPS[int(next(iter(values.values())))]
        return found

    def references(self, group: str) -> list[str]:
        """What maps are compared with, the truth first."""
        return [r for r in (TRUTH, ALL_ACQUIRED)
                if self.results.select(cohort=group, quantity="MD RMSE", against=r)]

    def against(self, group: str, reference: str) -> str:
        """A reference in words."""
        return "noise-free truth" if reference == TRUTH else \
            f"fit of all {len(self.contenders[group][0].run.gtab)}, which shares the inputs' noise"

    def roi_errors(self, group: str, quantity: str, against: str,
                   method: str) -> dict[str, RoiError]:
        """By region."""
        out = {}
        for name in self.rois(group):
            values = self.results.values(group, f"ROI {quantity} error %", against, name, method)
            if values:
                out[name] = RoiError(float(np.mean(list(values.values()))), max(values.values()))
        return out

    def _head(self):
        yield ", ".join(r.folder for r in self.prepared.runs) + f" (dwijax {__version__})"
        # Groups of the same data share their list.
        for contenders in {id(c): c for c in self.contenders.values()}.values():
            run = contenders[0].run
            counts = ", ".join(f"{c.kind}{c.q}" for c in contenders)
            trained = len(run.about["subjects"]["train"])
            yield (f"maps from {counts} of {len(run.gtab)} directions, b = "
                   f"{run.config.data.shell} s/mm², by networks trained on "
                   f"{trained} subject{'s' * (trained > 1)} towards the fit of all "
                   f"{len(run.gtab)} and {run.about['table']['b0s']} b0")
            few = [c.q for c in contenders if c.q < TENSOR_LEAST]
            if few:
                yield (f"no FA of a fit of {few[0]} directions: {TENSOR_LEAST} are needed for a "
                       "tensor")
        yield "PSNR with peaks of FA 1 and MD 3e-3 mm²/s; NMSE = |x - y|² / |y|², brain"
        if self.prepared.within_subject:
            yield "WITHIN SUBJECT: one person's slabs; there is no interval over subjects"

    def headlines(self, group: str) -> Iterator[str]:
        """What the paper claims, as it comes out here."""
        label, kinds = self.labels(group), self.rois(group)
        for contender in self.contenders[group]:
            for quantity in PEAKS:
                for method in map(contender.named, (DIRECT, TENSOR)):
                    for against in self.references(group):
                        errors = self.roi_errors(group, quantity, against, method)
                        errors = [e.mean for name, e in errors.items() if kinds[name] != "CSF"]
                        if errors:
                            good = sum(e < CLOSE for e in errors)
                            yield (f"{quantity}, {label(method)}: error below 5 % of the "
                                   f"{self.against(group, against).split(',')[0]} in {good} of "
                                   f"{len(errors)} grey and white ROIs")


def tabulate(prepared: Prepared, evidence: Evidence) -> Report:
    """`Report` of what was found."""
    results = Results(evidence.records, between_subjects=not prepared.within_subject)
    return Report(prepared, results, evidence.contenders)


def write_tables(folder: Path, report: Report):
    """Writes CSV files and ``report.md``."""
    results, groups = report.results, report.prepared.groups
    note = "within subject" if report.prepared.within_subject else ""
    write_per_subject(folder / "per_subject.csv", results, {g.name: note for g in groups})
    write_csv(folder / "summary.csv", [*Key._fields, *Estimate._fields, "note"],
              [(*key, *results.estimate(*key), note) for key in results.select()])
    write_csv(folder / "rois.csv",
              ["cohort", "quantity", "against", "roi", "group", "method", "n", "mean_error_%",
               "worst_error_%", "mse", "paired_p", "paired_p_by", "tost_p", "tost_p_by"],
              [row for group in groups for row in _roi_rows(report, group.name)])
    write_csv(folder / "agreement.csv",
              ["cohort", "quantity", "method", *Agreement._fields, "anova_f", "anova_p",
               "df_between", "df_within"],
              [(g.name, *row) for g in groups for row in agreement_rows(results, g.name)])
    with whole(folder / "report.md") as temporary:
        temporary.write_text(report.document().markdown(), encoding="utf-8")


def _roi_rows(report, group):
    """Rows of ``rois.csv``; p-values corrected over the ROIs of a method."""
    results, kinds = report.results, report.rois(group)
    for quantity in PEAKS:
        for method in results.distinct("method", cohort=group,
                                       quantity=f"ROI {quantity} error %"):
            for against in report.references(group):
                errors = report.roi_errors(group, quantity, against, method)
                tests = []
                for name in errors:
                    found, others = (results.values(group, f"ROI {quantity} mean", against, name,
                                                    m) for m in (method, ALL))
                    tests.append(agreement(list(found.values()), [others[s] for s in found]))
                corrected = (false_discovery([getattr(a, p) for a in tests])
                             for p in ("paired_p", "tost_p"))
                for name, a, paired, tost in zip(errors, tests, *corrected, strict=True):
                    mse = results.estimate(group, f"ROI {quantity} MSE", against, name, method)
                    yield (group, quantity, against, name, kinds[name], method, a.n,
                           *errors[name], mse.mean, a.paired_p, float(paired), a.tost_p,
                           float(tost))

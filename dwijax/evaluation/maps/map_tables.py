"""What a reader sees of SuperDTI's evaluation: tables and the sentences above them."""

from math import erf
from typing import NamedTuple

import numpy as np

from dwijax import __version__
from dwijax.evaluation.common.tables import DASH, Results, Table, mean, mean_sd
from dwijax.evaluation.directions.protocol import ALL
from dwijax.evaluation.maps.agreement import agreement_rows, agreement_table
from dwijax.evaluation.maps.duel import duel_tables
from dwijax.evaluation.maps.equivalence import MARGIN, Agreement, agreement, false_discovery
from dwijax.evaluation.maps.protocol import (
    ANISOTROPIC,
    DEVIATIONS,
    FIT,
    NEAR_SEAM,
    PEAKS,
    SMOOTHED,
    split_name,
)
from dwijax.evaluation.maps.rois import GROUPS, LEAST
from dwijax.evaluation.maps.targets import target_table
from dwijax.evaluation.studies.map_studies import TRUTH
from dwijax.evaluation.studies.study_tables import study_tables
from dwijax.inference.network_maps import DIRECT, TENSOR
from dwijax.tasks.map_regression import LEAST as TENSOR_LEAST

CLOSE = 100 * MARGIN  # percent


class Report(NamedTuple):
    """The report of one or several runs.

    Attributes:
      sources: folders of the runs, in words.
      contenders: list of `Contender` by name of a group: those that are judged on it.
      groups: list of ``(name, origin, members)``.
      results: `Results`. within_subject: all numbers come from one subject.
    """

    sources: str
    contenders: dict
    groups: list
    results: Results
    within_subject: bool

    def text(self):
        """For a terminal."""
        parts = ["\n".join(self._head())]
        for group in self.groups:
            parts.append("=" * 100 + f"\n{group.name} ({len(group.members)}), {group.origin}")
            parts += [table.text() for table in self._tables(group.name)]
            parts.append("\n".join(self.headlines(group.name)))
        return "\n" + "\n\n".join(parts) + "\n"

    def markdown(self):
        """The same as Markdown."""
        lines = ["# Evaluation", "", *(f"- {line}" for line in self._head()), ""]
        for group in self.groups:
            lines += [f"## {group.name} ({len(group.members)}), {group.origin}", "",
                      *(f"- {line}" for line in self.headlines(group.name)), ""]
            for table in self._tables(group.name):
                lines += [table.markdown(), ""]
        return "\n".join(lines)

    def warnings(self):
        """What has to be known before anything else is read."""
        if self.within_subject:
            yield "Within subject: one person's slabs; there is no interval over subjects."
        for group in self.groups:
            if group.origin.startswith("phantom"):
                yield f"{group.name}: simulated subjects ({group.origin})."
            if len(group.members) == 1 and not self.within_subject:
                yield f"{group.name}: one subject; there is no interval over subjects."

    def labels(self, group):
        """``method -> str`` for tables: a method and its q, with what was tuned."""
        contenders = self.contenders[group]
        total = len(contenders[0].run.gtab)
        width = {c.q: c.fwhm for c in reversed(contenders)}

        def label(method):
            kind, q = split_name(method)
            if method in (TRUTH, ALL):
                return "noise-free" if method == TRUTH else f"{total} DWIs, fit (reference)"
            if kind == FIT and q < TENSOR_LEAST:
                return f"{q} DWIs, mean of ADCs"
            if kind == SMOOTHED:
                kind = f"Gaussian {width[q]:.1f} mm, " + (
                    "fit" if q >= TENSOR_LEAST else "mean of ADCs")
            return f"{q} DWIs, {kind}"

        return label

    def methods(self, group, quantity):
        """Those with this number, in the order of the records."""
        return list(dict.fromkeys(k[4] for k in self.results.keys
                                  if k[0] == group and k[1] == quantity))

    def rois(self, group):
        """``{name: group of GROUPS}``, by order of the records."""
        names = dict.fromkeys(k[3] for k in self.results.keys
                              if k[0] == group and k[1].startswith("ROI"))
        return {name: roi_group(self.results, group, name) for name in names}

    def _head(self):
        yield f"{self.sources} (dwijax {__version__})"
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
        if self.within_subject:
            yield "WITHIN SUBJECT: one person's slabs; there is no interval over subjects"

    def _references(self, group):
        found = [k[2] for k in self.results.keys if k[0] == group and k[1] == "MD RMSE"]
        return [r for r in ("noise-free", "all acquired") if r in found]

    def _tables(self, group):
        targets = target_table(self.results, group, self.rois(group))
        if targets:
            yield targets
        for quantity in PEAKS:
            for against in self._references(group):
                yield self._map_table(group, quantity, against)
        if self.methods(group, "V1 angle"):
            yield self._angle_table(group)
        if self.rois(group):
            yield self._roi_table(group)
        yield agreement_table(self.results, group, self.labels(group))
        yield from duel_tables(self.results, group, self.contenders[group])
        if any(k[:2] == (group, "fa_std factor") for k in self.results.keys):
            yield self._coverage_table(group)
        yield from study_tables(self.results, group, self.labels(group))

    def _against(self, group, against):
        return "noise-free truth" if against == "noise-free" else \
            f"fit of all {len(self.contenders[group][0].run.gtab)}, which shares the inputs' noise"

    def _map_table(self, group, quantity, against):
        get, rows = self.results.estimate, []
        for method in self.results.methods(group, f"{quantity} RMSE", against):
            def cell(what, region="brain", digits=4, show=mean, sign="", method=method):
                return show(get(group, f"{quantity} {what}", against, region, method), digits,
                            sign)

            pairs = ((cell("RMSE", r), cell("bias", r, sign="+")) for r in ("WM", "GM", "CSF"))
            rows.append([self.labels(group)(method), cell("RMSE", show=mean_sd),
                         cell("bias", sign="+"), cell("NMSE", digits=2),
                         cell("PSNR", digits=2), cell("r"), *(c for pair in pairs for c in pair)])
        unit = ", µm²/ms" if quantity == "MD" else ""
        columns = [f"{quantity} by{unit}", "RMSE", "bias", "NMSE, %", "PSNR, dB", "r",
                   *(f"{t} {w}" for t in ("WM", "GM", "CSF") for w in ("RMSE", "bias"))]
        return Table(f"{quantity} against the {self._against(group, against)}", columns, rows, [])

    def _angle_table(self, group):
        against = self._references(group)[0]
        rows = []
        for form in ("V1 angle", "signed V1 angle"):
            for method in dict.fromkeys(k[4] for k in self.results.keys
                                        if k[:3] == (group, form, against)):
                cells = [mean(self.results.estimate(group, form + w, against, r, method), 2)
                         for r in ("WM", "WM near the seam", "WM off the seam")
                         for w in ("", ", mean")]
                signed = ", signed vectors" if form.startswith("signed") else ""
                rows.append([self.labels(group)(method) + signed, *cells])
        columns = ["V1 by, degrees", *(f"{r} {w}" for r in ("WM", "near seam", "off seam")
                                       for w in ("median", "mean"))]
        notes = [f"white matter with FA > {ANISOTROPIC}; near the seam: V1 within {NEAR_SEAM:g}° "
                 "of the plane normal to (1, 1, 1), where signed vectors turn round"]
        return Table(f"First eigenvector against the {self._against(group, against)}", columns,
                     rows, notes)

    def errors(self, group, quantity, against, method):
        """ROI to its ``(mean, worst)`` error over subjects, percent."""
        out = {}
        for name in self.rois(group):
            values = self.results.values(group, f"ROI {quantity} error %", against, name, method)
            if values:
                out[name] = float(np.mean(list(values.values()))), max(values.values())
        return out

    def _roi_table(self, group):
        groups, rows = self.rois(group), []
        for quantity in PEAKS:
            for against in self._references(group):
                for method in self.methods(group, f"ROI {quantity} error %"):
                    errors = self.errors(group, quantity, against, method)
                    if not errors or (method == ALL and against == "all acquired"):
                        continue
                    cells = []
                    for kind in GROUPS:
                        chosen = [e for name, e in errors.items() if groups[name] == kind]
                        good = sum(e[0] < CLOSE for e in chosen)
                        cells.append(f"{good}/{len(chosen)}" if chosen else DASH)
                    total = f"{sum(e[0] < CLOSE for e in errors.values())}/{len(errors)}"
                    worst = f"{sum(e[1] < CLOSE for e in errors.values())}/{len(errors)}"
                    mse = [np.mean([m for name in groups if groups[name] == kind for m in
                                    self.results.values(group, f"ROI {quantity} MSE", against,
                                                        name, method).values()] or [np.nan])
                           for kind in GROUPS[:3]]
                    rows.append([f"{quantity}, {self.labels(group)(method)}",
                                 "truth" if against == "noise-free" else "reference", total, worst,
                                 *cells, *(f"{100 * m:.3f}" if m == m else DASH for m in mse)])
        columns = ["map by", "against", "ROIs < 5 %", "worst subject < 5 %", *GROUPS,
                   *(f"MSE {k}, %" for k in GROUPS[:3])]
        notes = [f"ROIs of at least {LEAST} voxels; error |mean - mean of the other| / mean of the "
                 "other, averaged over subjects; MSE times 100 (FA; MD in µm²/ms)"]
        return Table("Regions of interest", columns, rows, notes)

    def _coverage_table(self, group):
        against, rows = self._references(group)[0], []
        for contender in self.contenders[group]:
            for kind in (DIRECT, TENSOR):
                method = contender.named(kind)
                cells = [mean(self.results.estimate(group, "fa_std coverage", against, f"{d:g}",
                                                    method), 3) for d in DEVIATIONS]
                if cells[0] != DASH:
                    rows.append([self.labels(group)(method), f"{contender.factor:.2f}", *cells])
        normal = [f"{erf(d / 2**0.5):.3f}" for d in DEVIATIONS]
        return Table(
            f"Share of voxels whose FA is within so many fa_std of the "
            f"{self._against(group, against).split(',')[0]}",
            ["networks", "factor", *(f"{d:g} SD" for d in DEVIATIONS)],
            [*rows, ["normal distribution", "", *normal]],
            ["fa_std: SD over networks that differ in their seed, times the factor that brings "
             "68 % of the validation subjects' voxels within one; fa_std.nii.gz is without it"])

    def headlines(self, group):
        """What the paper claims, as it comes out here."""
        label, groups = self.labels(group), self.rois(group)
        for contender in self.contenders[group]:
            for quantity in PEAKS:
                for method in map(contender.named, (DIRECT, TENSOR)):
                    for against in self._references(group):
                        errors = self.errors(group, quantity, against, method)
                        errors = [e[0] for n, e in errors.items() if groups[n] != "CSF"]
                        if errors:
                            good = sum(e < CLOSE for e in errors)
                            yield (f"{quantity}, {label(method)}: error below 5 % of the "
                                   f"{self._against(group, against).split(',')[0]} in {good} of "
                                   f"{len(errors)} grey and white ROIs")

    def roi_rows(self):
        """Header and rows of ``rois.csv``; p-values corrected over the ROIs of a method."""
        header = ["cohort", "quantity", "against", "roi", "group", "method", "n", "mean_error_%",
                  "worst_error_%", "mse", "paired_p", "paired_p_by", "tost_p", "tost_p_by"]
        rows = []
        for group in self.groups:
            groups = self.rois(group.name)
            for quantity in PEAKS:
                for method in self.methods(group.name, f"ROI {quantity} error %"):
                    for against in self._references(group.name):
                        rows += self._rois_of(group.name, quantity, method, against, groups)
        return header, rows

    def _rois_of(self, group, quantity, method, against, groups):
        errors = self.errors(group, quantity, against, method)
        tests = []
        for name in errors:
            found, others = (self.results.values(group, f"ROI {quantity} mean", against, name, m)
                             for m in (method, ALL))
            tests.append(agreement(list(found.values()), [others[s] for s in found]))
        paired, tost = ([getattr(a, f) for a in tests] for f in ("paired_p", "tost_p"))
        for name, a, b, c in zip(errors, tests, false_discovery(paired), false_discovery(tost),
                                 strict=True):
            mse = self.results.estimate(group, f"ROI {quantity} MSE", against, name, method)
            yield (group, quantity, against, name, groups[name], method, a.n, *errors[name],
                   mse.mean, a.paired_p, float(b), a.tost_p, float(c))

    def agreement_rows(self):
        """Header and rows of ``agreement.csv``."""
        header = ["cohort", "quantity", "method", *Agreement._fields, "anova_f", "anova_p",
                  "df_between", "df_within"]
        return header, [(g.name, *row) for g in self.groups
                        for row in agreement_rows(self.results, g.name)]


def roi_group(results, cohort, name):
    """One of `dwijax.evaluation.maps.rois.GROUPS`, from the record that the protocol left."""
    values = results.values(cohort, "ROI group", "", name, ALL)
    return GROUPS[int(next(iter(values.values())))]

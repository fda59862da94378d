"""What a reader sees of SuperDTI's evaluation: tables and the sentences above them."""

from typing import NamedTuple

import numpy as np

from dwijax import __version__
from dwijax.evaluation.direction_synthesis import ALL
from dwijax.evaluation.equivalence import MARGIN, Agreement, agreement, anova, false_discovery
from dwijax.evaluation.map_regression import ANISOTROPIC, FIT, NEAR_SEAM, PEAKS, SMOOTHED, named
from dwijax.evaluation.map_studies import TRUTH
from dwijax.evaluation.rois import GROUPS, LEAST
from dwijax.evaluation.study_tables import study_tables
from dwijax.evaluation.tables import DASH, Results, Table, mean, mean_sd
from dwijax.network_maps import DIRECT, TENSOR

CLOSE = 100 * MARGIN  # percent


class Report(NamedTuple):
    """The report of one or several runs.

    Attributes:
      workdir: of the first. runs: list of `dwijax.inference.Run`.
      widths: mm of the smoothed fit, per run. groups: list of ``(name, origin, members)``.
      results: `Results`. within_subject: all numbers come from one subject.
    """

    workdir: str
    runs: list
    widths: list
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

    def label(self, method):
        """For tables: a method and its q, with what was tuned."""
        if method == TRUTH:
            return "noise-free"
        if method == ALL:
            return f"{len(self.runs[0].gtab)} DWIs, fit (reference)"
        kind, q = method.rsplit(" ", 1)
        if kind == FIT and int(q) < 6:
            return f"{q} DWIs, mean of ADCs"
        if kind == SMOOTHED:
            width = next(w for run, w in zip(self.runs, self.widths, strict=True)
                         if len(run.inputs) == int(q))
            kind = f"Gaussian {width:.1f} mm, fit"
        return f"{q} DWIs, {kind}"

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
        run = self.runs[0]
        counts = ", ".join(str(len(r.inputs)) for r in self.runs)
        yield (f"{self.workdir}: maps from {counts} of {len(run.gtab)} directions, "
               f"b = {run.config.data.shell} s/mm², dwijax {__version__}")
        yield (f"networks trained on {len(run.about['subjects']['train'])} subjects towards the "
               f"fit of all {len(run.gtab)} directions and {run.about['table']['b0s']} b0")
        yield "PSNR with peaks of FA 1 and MD 3e-3 mm²/s; NMSE = |x - y|² / |y|², brain"
        few = [len(r.inputs) for r in self.runs if len(r.inputs) < 6]
        if few:
            yield f"no FA of a fit of {few[0]} directions: six are needed for a tensor"
        if self.within_subject:
            yield "WITHIN SUBJECT: one person's slabs; there is no interval over subjects"

    def _references(self, group):
        found = [k[2] for k in self.results.keys if k[0] == group and k[1] == "MD RMSE"]
        return [r for r in ("noise-free", "all acquired") if r in found]

    def _tables(self, group):
        for quantity in PEAKS:
            for against in self._references(group):
                yield self._map_table(group, quantity, against)
        if self.methods(group, "V1 angle"):
            yield self._angle_table(group)
        if self.rois(group):
            yield self._roi_table(group)
        yield self._agreement_table(group)
        yield from study_tables(self.results, group, self.label)

    def _against(self, against):
        return "noise-free truth" if against == "noise-free" else \
            f"fit of all {len(self.runs[0].gtab)}, which shares the inputs' noise"

    def _map_table(self, group, quantity, against):
        get, rows = self.results.estimate, []
        for method in self.results.methods(group, f"{quantity} RMSE", against):
            def cell(what, region="brain", digits=4, show=mean, sign="", method=method):
                return show(get(group, f"{quantity} {what}", against, region, method), digits,
                            sign)

            pairs = ((cell("RMSE", r), cell("bias", r, sign="+")) for r in ("WM", "GM", "CSF"))
            rows.append([self.label(method), cell("RMSE", show=mean_sd), cell("bias", sign="+"),
                         cell("NMSE", digits=2), cell("PSNR", digits=2), cell("r"),
                         *(c for pair in pairs for c in pair)])
        unit = ", µm²/ms" if quantity == "MD" else ""
        columns = [f"{quantity} by{unit}", "RMSE", "bias", "NMSE, %", "PSNR, dB", "r",
                   *(f"{t} {w}" for t in ("WM", "GM", "CSF") for w in ("RMSE", "bias"))]
        return Table(f"{quantity} against the {self._against(against)}", columns, rows, [])

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
                rows.append([self.label(method) + signed, *cells])
        columns = ["V1 by, degrees", *(f"{r} {w}" for r in ("WM", "near seam", "off seam")
                                       for w in ("median", "mean"))]
        notes = [f"white matter with FA > {ANISOTROPIC}; near the seam: V1 within {NEAR_SEAM:g}° "
                 "of the plane normal to (1, 1, 1), where signed vectors turn round"]
        return Table(f"First eigenvector against the {self._against(against)}", columns, rows,
                     notes)

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
                    rows.append([f"{quantity}, {self.label(method)}",
                                 "truth" if against == "noise-free" else "reference", total, worst,
                                 *cells, *(f"{100 * m:.3f}" if m == m else DASH for m in mse)])
        columns = ["map by", "against", "ROIs < 5 %", "worst subject < 5 %", *GROUPS,
                   *(f"MSE {k}, %" for k in GROUPS[:3])]
        notes = [f"ROIs of at least {LEAST} voxels; error |mean - mean of the other| / mean of the "
                 "other, averaged over subjects; MSE times 100 (FA; MD in µm²/ms)"]
        return Table("Regions of interest", columns, rows, notes)

    def _compared(self, group):
        """``(quantity, method, Agreement, anova)`` of brain means with the fit of all."""
        for quantity in PEAKS:
            reference = self.results.values(group, f"{quantity} mean", "", "brain", ALL)
            for run in self.runs:
                q = len(run.inputs)
                means = {m: self.results.values(group, f"{quantity} mean", "", "brain",
                                                named(m, q)) for m in (FIT, DIRECT, TENSOR)}
                for method in (DIRECT, TENSOR, FIT):
                    found = means[method]
                    if not found:
                        continue
                    both = [list(found.values()), [reference[s] for s in found]]
                    three = (np.nan, np.nan, 0, 0)
                    if method != FIT and means[FIT]:
                        three = anova(both[0], list(means[FIT].values()), both[1])
                    yield quantity, named(method, q), agreement(*both), three

    def _agreement_table(self, group):
        def number(value, digits=3):
            return DASH if value != value else f"{value:.{digits}f}" if abs(value) >= 1e-3 or \
                value == 0 else f"{value:.0e}"

        rows = []
        for quantity, method, a, (f, p, _, _) in self._compared(group):
            rows.append([
                f"{quantity}, {self.label(method)}",
                f"{number(a.r, 4)} [{number(a.r_low, 4)}, {number(a.r_high, 4)}]",
                number(a.t), number(a.t_p), number(f, 2), number(p),
                f"{number(a.difference, 4)} [{number(a.low, 4)}, {number(a.high, 4)}]",
                number(a.paired_p), number(a.tost_p),
                f"{number(a.limits_low, 4)} to {number(a.limits_high, 4)}", number(a.icc)])
        n = len(next(g.members for g in self.groups if g.name == group))
        columns = ["brain mean by", "Pearson r [95 %]", "t", "p", "ANOVA F", "p",
                   "difference [95 %]", "paired p", "TOST p", "limits of agreement", "ICC"]
        notes = [f"subject means against the fit of all, n = {n}; t pooled, {2 * n - 2} degrees of "
                 f"freedom; F(2, {3 * n - 3}) over networks, fit of the same and reference; TOST: "
                 f"p of a difference beyond {CLOSE:g} % of the reference's mean"]
        return Table("Agreement of brain means (Li et al., Table I, and what it leaves out)",
                     columns, rows, notes)

    def headlines(self, group):
        """What the paper claims, as it comes out here."""
        for run in self.runs:
            q = len(run.inputs)
            for kind in (DIRECT, TENSOR):
                method = named(kind, q)
                for quantity in PEAKS:
                    for against in self._references(group):
                        errors = self.errors(group, quantity, against, method)
                        errors = {n: e for n, e in errors.items()
                                  if self.rois(group)[n] != "CSF"}
                        if errors:
                            good = sum(e[0] < CLOSE for e in errors.values())
                            yield (f"{quantity}, {self.label(method)}: error below 5 % of the "
                                   f"{self._against(against).split(',')[0]} in {good} of "
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
        rows = [(group.name, quantity, method, *map(_plain, a), *map(_plain, f))
                for group in self.groups
                for quantity, method, a, f in self._compared(group.name)]
        return header, rows


def roi_group(results, cohort, name):
    """One of `dwijax.evaluation.rois.GROUPS`, from the record that the protocol left."""
    values = results.values(cohort, "ROI group", "", name, ALL)
    return GROUPS[int(next(iter(values.values())))]


def _plain(value):
    return int(value) if isinstance(value, (int, np.integer)) else float(value)

"""What a reader sees of the results: labels, tables by subject and the sentences above them."""

from typing import NamedTuple

from dwijax import __version__
from dwijax.evaluation import direction_synthesis as protocol
from dwijax.evaluation.direction_synthesis import ALL, INPUTS, MORE, NETWORKS, PERFECT
from dwijax.evaluation.tables import DASH, Results, Table, interval, mean, mean_sd

SH = "sh"

# What methods are compared with, subject by subject, by the beginning of the quantity's name.
COMPARISONS = (("DWI", (SH,)), ("FA", (SH, INPUTS, MORE, ALL)), ("MD", (SH, INPUTS)))


class Labels(NamedTuple):
    """Method to label: as a way to make DWIs, in full and in short, and as what a tensor is fitted
    to."""

    signal: dict
    short: dict
    maps: dict


def labels(split, interpolators):
    """`Labels` of a `Split` and a list of `Interpolator`."""
    q, k, last = len(split.inputs), len(split.targets), len(split.last)
    signal = {NETWORKS: f"{k} networks"} | {i.name: i.label for i in interpolators}
    signal[PERFECT] = "noise-free DWIs (limit)"
    short = signal | {i.name: i.short for i in interpolators}
    maps = {INPUTS: f"{q} acquired", MORE: f"{q + last} acquired", ALL: f"{q + k} acquired",
            NETWORKS: f"{q} + {k} by networks"}
    maps |= {i.name: f"{q} + {k} by {i.short}" for i in interpolators}
    maps[PERFECT] = f"{q} + {k} noise-free (limit)"
    return Labels(signal, short, maps)


class Report(NamedTuple):
    """The report of one evaluation.

    Attributes:
      workdir: of the run. run: `dwijax.inference.Run`. split: `Split`.
      groups: list of ``(name, origin, members)``. results: `Results`. labels: `Labels`.
      facts: group name to a list of ``(subject, σ, its source, source of the regions, angle)``.
      within_subject: all numbers come from one subject.
      tuned_on: number of validation subjects.
    """

    workdir: str
    run: object
    split: protocol.Split
    groups: list
    results: Results
    labels: Labels
    facts: dict
    within_subject: bool
    tuned_on: int

    def text(self):
        """For a terminal."""
        parts = ["\n".join(self._head())]
        for group in self.groups:
            parts += ["=" * 100 + "\n" + "\n".join(self._group_head(group))]
            parts += [table.text() for table in self._tables(group)]
            parts += ["\n".join(self._headlines(group.name))]
        return "\n" + "\n\n".join(parts) + "\n"

    def markdown(self):
        """The same as Markdown."""
        lines = ["# Evaluation", "", *(f"- {line}" for line in self._head()), ""]
        for group in self.groups:
            title, *rest = self._group_head(group)
            lines += [f"## {title}", "", *(f"- {line}" for line in rest),
                      *(f"- {line}" for line in self._headlines(group.name)), ""]
            for table in self._tables(group):
                lines += [table.markdown(), ""]
        return "\n".join(lines)

    def _head(self):
        q, k = len(self.split.inputs), len(self.split.targets)
        config, about = self.run.config, self.run.about
        yield (f"{self.workdir}: {k} networks, {q} acquired directions in, {k} synthesised, "
               f"b = {config.data.shell} s/mm², dwijax {__version__}")
        if self.within_subject:
            yield ("networks trained on one slab, baselines tuned on the measured DWIs of another, "
                   "all judged on a third")
        else:
            yield (f"networks trained on {len(about['subjects']['train'])} subjects, baselines "
                   f"tuned on the measured DWIs of {self.tuned_on} validation subjects")
        yield ("DWIs in units of the subject's median b0, MD in µm²/ms; RMSE over the voxels of a "
               "region; tensors by the fit that is MRtrix3's default")
        if self.within_subject:
            yield "WITHIN SUBJECT: one person's slabs; there is no interval over subjects"
        else:
            yield "mean ± SD and [95 % confidence interval of the mean] over subjects; % paired"

    def _group_head(self, group):
        facts = self.facts[group.name]
        n = len(group.members)
        yield f"{group.name} ({n} {'subject' if n == 1 else 'subjects'}), {group.origin}"
        sigmas = [f[1] for f in facts]
        level = f"{min(sigmas):.4f}" + (f" to {max(sigmas):.4f}" if n > 1 else "")
        yield f"σ = {level} of the median b0, from {facts[0][2]}; tissue from {facts[0][3]}"
        if max(f[4] for f in facts) > 0.01:
            yield f"directions within {max(f[4] for f in facts):.1f}° of the run's"

    def _tables(self, group):
        yield self._signal_table(group.name)
        yield self._maps_table(group.name)
        yield self._shared_noise_table(group.name)

    def _title(self, text):
        return text + (" (within subject)" if self.within_subject else "")

    def _reference(self, group):
        """What is nearest to the truth among the references there are."""
        return "noise-free" if self.results.methods(group, "FA RMSE", "noise-free") \
            else "all acquired"

    def _signal_table(self, group):
        get, truth = self.results.estimate, self._reference(group) == "noise-free"
        best = "noise-free" if truth else "measured"

        def against_sh(method, reference):
            key = (group, "DWI RMSE", reference, "brain")
            pair = None if method == SH else self.results.paired((*key, method), (*key, SH))
            return interval(pair and pair[1], 1, "+")

        columns = ["DWIs by", *(["noise-free", "vs SH, %"] if truth else []),
                   "measured", "vs SH, %", "RMSE/σ", "excess/σ",
                   "WM", "GM", "CSF"]
        rows = []
        for method in self.results.methods(group, "DWI RMSE", "measured"):
            def cell(quantity, reference, region="brain", digits=4, show=mean, method=method):
                return show(get(group, quantity, reference, region, method), digits)

            rows.append([
                self.labels.signal[method],
                *([cell("DWI RMSE", "noise-free", show=mean_sd),
                   against_sh(method, "noise-free")] if truth else []),
                cell("DWI RMSE", "measured", show=mean_sd), against_sh(method, "measured"),
                cell("DWI RMSE/sigma", "measured", digits=3),
                cell("DWI excess/sigma", "measured", digits=3),
                *(cell("DWI RMSE", best, region) for region in ("WM", "GM", "CSF"))])
        notes = ["RMSE/σ and excess, sqrt(RMSE² − σ²), against the measured DWIs; WM, GM, CSF: "
                 f"RMSE to the {best} ones"]
        return Table(self._title(f"Synthetic DWIs of {len(self.split.targets)} directions, brain"),
                     columns, rows, notes)

    def _maps_table(self, group):
        get, best = self.results.estimate, self._reference(group)
        everything = self.labels.maps[ALL]
        truth = best == "noise-free"
        columns = ["FA of the fit of (and b0s)", "RMSE", "bias", *(
            f"{region} {what}" for region in ("WM", "GM", "CSF") for what in ("RMSE", "bias")),
            *([f"vs {everything}"] if truth else []), "MD bias"]
        rows = []
        for method in self.results.methods(group, "FA RMSE", best):
            def cell(quantity, region, reference=best, sign="", show=mean, method=method):
                return show(get(group, quantity, reference, region, method), 4, sign)

            pairs = ((cell("FA RMSE", r), cell("FA bias", r, sign="+"))
                     for r in ("WM", "GM", "CSF"))
            rows.append([
                self.labels.maps[method], cell("FA RMSE", "brain", show=mean_sd),
                cell("FA bias", "brain", sign="+"), *(c for pair in pairs for c in pair),
                *([cell("FA RMSE", "brain", "all acquired")] if truth else []),
                cell("MD bias", "brain", sign="+")])
        name = "the fit of the noise-free signal" if truth else f"the fit of {everything}"
        notes = [] if truth else [f"{everything} share the inputs' noise: rows that hold more of "
                                  "the acquired volumes are nearer for that reason too"]
        return Table(self._title(f"FA against {name}, brain and tissues"), columns, rows, notes)

    def _shared_noise_table(self, group):
        q, last = len(self.split.inputs), len(self.split.last)
        b0s = min(self.run.about["table"]["b0s"], protocol.B0S)
        few, many = f"{q + b0s} GTFA", f"{q + last + b0s} GTFA"
        get, rows = self.results.estimate, []
        for method in self.results.methods(group, "R", protocol.WITH_TARGETS):
            def cell(quantity, reference, region="brain", digits=4, show=mean, method=method):
                return show(get(group, quantity, reference, region, method), digits)

            rows.append([
                few if method == INPUTS else self.labels.signal[method],
                cell("FA RMSE", protocol.WITH_TARGETS, show=mean_sd),
                cell("FA RMSE", protocol.INPUTS_ALONE, show=mean_sd),
                cell("R", protocol.WITH_TARGETS, digits=3, show=interval),
                *(cell("R", protocol.WITH_TARGETS, r, digits=3) for r in ("WM", "GM", "CSF"))])
        notes = [
            f"{few}: {q} acquired and {b0s} b0; {many}: and the last {last} targets; "
            f"prediction: {q} acquired, {b0s} b0 and the last {last} synthetic",
            f"R = RMSE(prediction, {many}) / RMSE({few}, {many}); all share the inputs' noise; "
            "by the first step of the fit, for which tensor interpolation must give 1",
            f"the networks see the mean of all {self.run.about['table']['b0s']} b0s"]
        return Table(self._title("FA as He et al. compare it, brain"),
                     ["prediction by", f"to {many}", f"to {few}", "R", "R WM", "R GM", "R CSF"],
                     rows, notes)

    def _headlines(self, group):
        """The networks against what they must beat, in sentences."""
        best = self._reference(group)
        truth = best == "noise-free"
        comparisons = [("DWI RMSE", "noise-free" if truth else "measured", SH,
                        self.labels.signal[SH])]
        comparisons += [("FA RMSE", best, other, self.labels.maps[other])
                        for other in (INPUTS, MORE, ALL) if truth or other == INPUTS]
        others = [m for m in self.results.methods(group, "DWI RMSE", "measured") if m != NETWORKS]
        best_other = min(others, key=lambda m: self.results.estimate(
            group, *comparisons[0][:2], "brain", m).mean)
        if best_other != SH:
            comparisons.insert(1, (*comparisons[0][:2], best_other,
                                   self.labels.signal[best_other] + ", the best baseline here"))
        for quantity, against, other, label in comparisons:
            key = (group, quantity, against, "brain")
            pair = self.results.paired((*key, NETWORKS), (*key, other))
            if pair is None:
                continue
            what = self.labels.signal if quantity.startswith("DWI") else self.labels.maps
            reference = {"noise-free": "noise-free truth", "measured": "measured DWIs",
                         "all acquired": f"fit of {self.labels.maps[ALL]}"}[against]
            verdict = ""
            if not self.within_subject:
                certain = pair[1].excludes_zero
                verdict = "" if certain else "; the interval includes 0"
                verdict = verdict if pair[1].n > 1 else "; one subject, no interval"
            yield (f"{quantity} to the {reference}: {what[NETWORKS]} against {label}: "
                   f"{interval(pair[1], 1, '+').replace(DASH, 'n/a')} %{verdict}")

"""What a reader sees of the results: what was judged, what could not be, sentences, tables."""

from typing import NamedTuple

from dwijax import __version__
from dwijax.evaluation.common.rows import ALL, INPUTS, MORE, NETWORKS, PERFECT, SIMULATED, TRUE_MAP
from dwijax.evaluation.common.tables import DASH, Results, interval
from dwijax.evaluation.directions import sections
from dwijax.evaluation.directions.protocol import Split, alone
from dwijax.runs.log import skipped


class Labels(NamedTuple):
    """Method to label: as a way to make DWIs, in full and in short, and as what a tensor is fitted
    to."""

    signal: dict
    short: dict
    maps: dict


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


def labels(split, interpolators, joint=False):
    """`Labels` of a `Split` and a list of `Interpolator`; ``joint``: one network is all of them."""
    q, k, last = len(split.inputs), len(split.targets), len(split.last)
    networks = "one network" if joint else "networks"
    signal = {NETWORKS: networks if joint else f"{k} networks"}
    signal |= {i.name: i.label for i in interpolators}
    signal |= {PERFECT: "noise-free DWIs (limit)", TRUE_MAP: "the noise-free FA map itself",
               SIMULATED: "perfect synthesis, simulated on these tensors",
               "measured": "measured DWIs", MORE: f"{q + last} acquired"}
    short = signal | {i.name: i.short for i in interpolators}
    maps = {INPUTS: f"{q} acquired", MORE: f"{q + last} acquired", ALL: f"{q + k} acquired",
            NETWORKS: f"{q} + {k} by {networks}"}
    maps |= {i.name: f"{q} + {k} by {i.short}" for i in interpolators}
    maps |= {alone(i.name): f"{q} acquired, {i.short.split(',')[0]}" for i in interpolators}
    maps[PERFECT] = f"{q} + {k} noise-free (limit)"
    return Labels(signal, short, maps)


class Report(NamedTuple):
    """The report of one evaluation.

    Attributes:
      workdir: of the run. run: `dwijax.inference.Run`. split: `Split`.
      groups: list of ``(name, origin, members)``. results: `Results`. labels: `Labels`.
      slices: group name to a list of ``(subject, SliceRow)``.
      facts: group name to a list of `Fact`.
      heads: group name to the `dwijax.evaluation.common.slabs.Head` of its only subject.
      gaps: list of `Gap`.
      sh: name of the spherical harmonics that others are compared with.
      baselines: which set. tuned_on: number of validation subjects.
      within_subject: all numbers come from one subject.
      seconds: that reading, tuning and judging took together.
    """

    workdir: str
    run: object
    split: Split
    groups: list
    results: Results
    labels: Labels
    slices: dict
    facts: dict
    heads: dict
    gaps: list
    sh: str
    baselines: str
    tuned_on: int
    within_subject: bool
    seconds: float

    def text(self):
        """For a terminal."""
        parts = ["\n".join(self._head())]
        for group in self.groups:
            parts += ["=" * 100 + "\n" + "\n".join(self._group_head(group))]
            parts += [table.text() for table in sections.tables(self, group.name)]
            parts += ["\n".join(self._headlines(group.name))]
        if self.gaps:
            parts += ["Not made:\n" + "\n".join(f"- {g.part}: {g.reason}" for g in self.gaps)]
        return "\n" + "\n\n".join(parts) + "\n"

    def markdown(self):
        """The same as Markdown."""
        lines = ["# Evaluation", "", *(f"- {line}" for line in self._head()), ""]
        for group in self.groups:
            title, *rest = self._group_head(group)
            lines += [f"## {title}", "", *(f"- {line}" for line in rest),
                      *(f"- {line}" for line in self._headlines(group.name)), ""]
            for table in sections.tables(self, group.name):
                lines += [table.markdown(), ""]
        if self.gaps:
            lines += ["## Not made", "", *(f"- {g.part}: {g.reason}" for g in self.gaps), ""]
        return "\n".join(lines)

    def warnings(self):
        """What has to be known before anything else is read."""
        yield from self._faults()
        if self.within_subject:
            yield "Within subject: one person's slabs; there is no interval over subjects."
        for group in self.groups:
            if group.origin.startswith("phantom"):
                yield f"{group.name}: simulated subjects ({group.origin})."
            if len(self.facts[group.name]) == 1 and not self.within_subject:
                yield f"{group.name}: one subject; there is no interval over subjects."
            if any(fact.same_scan for fact in self.facts[group.name]):
                yield f"{group.name}: training subjects were made like the scan that judges them."
            for sentence, percent, other in self._compared(group.name):
                if percent.mean > 0 and other not in (MORE, ALL):
                    yield f"**The networks are worse**, {group.name}: {sentence}"
        for gap in self.gaps:
            yield f"Not made: {gap.part}: {gap.reason}"

    def reference(self, group):
        """What is nearest to the truth among the references there are."""
        return "noise-free" if self.results.methods(group, "FA RMSE", "noise-free") \
            else "all acquired"

    @property
    def notes(self):
        """Group name to what stands with each of its tables: which phantom, whether within subject,
        whether training subjects were made like the scan that judges."""
        simulated = self.run.config.data.layout == "phantom"
        return {g.name: ", ".join(filter(None, [
            g.origin * simulated, "within subject" * self.within_subject,
            "same scan" * any(f.same_scan for f in self.facts[g.name])])) for g in self.groups}

    def _head(self):
        q, k = len(self.split.inputs), len(self.split.targets)
        config, about = self.run.config, self.run.about
        yield (f"{self.workdir}: {self.labels.signal[NETWORKS]}, {q} acquired directions in, {k} "
               f"synthesised, b = {config.data.shell} s/mm², dwijax {__version__}")
        if config.data.clean_targets:
            yield "TRAINED ON NOISE-FREE TARGETS, which no scanner delivers"
        if config.data.denoise_targets:
            yield "trained on measured targets after MP-PCA of the targets alone"
        if weight := config.loss.fa_weight:
            alone = config.loss.fa_reference == "targets"
            yield (f"FA loss of weight {weight:g}, held to the FA of "
                   + ("the targets alone" if alone else "all volumes"))
        if config.trunk.steps:
            yield f"started from one joint network after {config.trunk.steps} steps"
        if config.calibrate:
            yield "synthetic DWIs held to the anisotropy that a subject's acquired ones show"
        tuned = f"tuned on the measured DWIs of {self.tuned_on} validation subjects"
        if self.within_subject:
            yield ("networks trained on one slab, baselines tuned on the measured DWIs of another, "
                   "all judged on a third")
        else:
            yield (f"networks trained on {len(about['subjects']['train'])} subjects, baselines "
                   f"{tuned if self.tuned_on else 'not tuned'}")
        more = "" if self.baselines == "all" else \
            "; eval.py adds denoisers that take minutes (--baselines=all)"
        yield f"baselines: {self.baselines}{more}"
        judged = sum(map(len, self.facts.values()))
        yield (f"tuned, synthesised and judged in {self.seconds:.0f} s, "
               f"{self.seconds / judged:.1f} s/subject")
        yield ("DWIs in units of the subject's median b0, MD, AD, RD in µm²/ms; RMSE over the "
               "voxels of a region; tensors by the fit that is MRtrix3's default")
        yield from self._faults()
        yield ("leakage: none found (subjects, scans, directions, statistics, joint denoising); "
               "networks were handed scans without the targets")
        if self.within_subject:
            yield "WITHIN SUBJECT: one person's slabs; there is no interval over subjects"
        else:
            yield "mean ± SD and [95 % confidence interval of the mean] over subjects; % paired"

    def _group_head(self, group):
        facts = self.facts[group.name]
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
        get, key = self.results.bootstrap, ("R", "He et al.: with targets", "brain")
        limit = get(group, *key, PERFECT) or get(group, *key, SIMULATED)
        told = ("shared noise: prediction, 32 GTFA and 64 GTFA hold the same acquired volumes, so "
                "that R rewards a map with their noise in it")
        if limit and limit.n:
            how = "" if get(group, *key, PERFECT) else ", simulated on these tensors at this σ"
            told += f"; perfect noise-free DWIs have R = {interval(limit, 3)} here{how}"
        true = get(group, *key, TRUE_MAP)
        if true and true.n:
            told += f", the noise-free FA map itself R = {true.mean:.3f}"
        return told + "; less than that limit means leakage or correlated noise"

    def _faults(self):
        """Networks that skipped updates because their loss or gradient was not finite."""
        found = skipped(self.workdir)
        if not found:
            return
        limit = self.run.config.freeze_after
        for number, count, in_a_row in zip(self.run.task.numbers, *found, strict=True):
            if count:
                state = "FROZEN" if limit and in_a_row >= limit else "went on"
                yield f"network {number}: {count} updates without finite values skipped; {state}"

    def _headlines(self, group):
        """The networks against what they must beat, in sentences."""
        return [sentence for sentence, *_ in self._compared(group)]

    def _compared(self, group):
        """``(sentence, relative difference of the networks' error in %, what to)``."""
        best = self.reference(group)
        truth = best == "noise-free"
        comparisons = [("DWI RMSE", "noise-free" if truth else "measured", self.sh,
                        self.labels.signal[self.sh])]
        comparisons += [("FA RMSE", best, other, self.labels.maps[other])
                        for other in (INPUTS, MORE, ALL) if truth or other == INPUTS]
        others = [m for m in self.results.methods(group, "DWI RMSE", "measured") if m != NETWORKS]
        best_other = min(others, key=lambda m: self.results.estimate(
            group, *comparisons[0][:2], "brain", m).mean)
        if best_other != self.sh:
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
                   f"{interval(pair[1], 1, '+').replace(DASH, 'n/a')} %{verdict}"), pair[1], other

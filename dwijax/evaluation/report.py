"""``evaluate(workdir)``: a trained run judged on its test subjects."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dwijax import baselines
from dwijax.data.simulated import origin, shifted_members
from dwijax.errors import InputError
from dwijax.evaluation import direction_synthesis, figures, plots, summary
from dwijax.evaluation.direction_synthesis import Split
from dwijax.evaluation.scan import read_scan
from dwijax.evaluation.tables import Record, Results, write_results
from dwijax.inference import load_run, synthesise
from dwijax.output import whole
from dwijax.training.loop import read_cohort

# Validation subjects that the baselines are tuned on, at most.
TUNING_SUBJECTS = 4


class Group(NamedTuple):
    """Test subjects that are summarised together; ``origin`` says what they are."""

    name: str
    origin: str
    members: list


def evaluate(workdir, *, quiet=False):
    """Judges a run by the protocol of `dwijax.evaluation.direction_synthesis`.

    Writes ``tables/*.csv``, ``tables/*.md`` and ``figures/*.png`` into the run's folder and prints
    the tables.

    Args:
      workdir: folder of a trained run.
      quiet: neither progress bar nor printed tables.

    Returns:
      `dwijax.evaluation.tables.Results`.

    Raises:
      InputError: there is no run, or its data cannot be used.
    """
    run = load_run(workdir)
    if run.config.get("task") == "map_regression":
        from dwijax.evaluation import map_report

        return map_report.evaluate([(workdir, run)], quiet=quiet)
    cohort = read_cohort(run.config)
    _check_cohort(run, cohort, workdir)
    groups = _groups(run, cohort)
    read = partial(read_scan, gtab=run.gtab, shell=run.config.data.shell,
                   axis=run.config.data.axis)
    split = Split(run.inputs, run.targets, run.gtab[run.targets])
    tuning = cohort.validation[:TUNING_SUBJECTS]
    axis = run.config.data.axis
    total = len(tuning) + sum(len(g.members) for g in groups)
    records, facts, first, histograms = [], {}, {}, plots.Histograms()
    with tqdm(total=total, desc="evaluating", unit="subject", disable=quiet or None,
              leave=False) as progress:

        def synthesised(member):
            scan, subject = read(member)
            return scan, synthesise(run, subject)[subject.mask] / np.float32(subject.scale)

        def cases():
            for member in tuning:
                yield _case(read(member)[0], split)
                progress.update()

        interpolators = [*baselines.tune(cases()), baselines.tensor()]
        labels = summary.labels(split, interpolators)
        for group in groups:
            for scan, networks in _ahead(synthesised, group.members):
                view = figures.middle_slice(scan, axis)
                judged = direction_synthesis.judge(
                    scan, split, networks, interpolators, view.voxels)
                records += [Record(group.name, scan.name, *row) for row in judged.rows]
                histograms.add(group.name, scan, judged.maps)
                first.setdefault(group.name, (view, scan, judged))
                facts.setdefault(group.name, []).append(
                    (scan.name, scan.sigma, scan.sigma_source, scan.regions_source, scan.angle))
                progress.update()
    within = cohort.within_subject
    results = Results(records, between_subjects=not within)
    note = "within subject" if within else ""
    pictures = Path(workdir) / "figures"
    # From here on nothing can be wrong with the data: files appear all or none.
    for name, (view, scan, judged) in first.items():
        title, slug = f"{name}, {scan.name}", name.replace(" ", "_")
        figures.draw_directions(
            pictures / f"directions_{slug}.png", view, scan, split, judged.shown,
            interpolators[0], f"Synthetic DWIs: {title}")
        figures.draw_fa(pictures / f"fa_{slug}.png", view, scan, judged.maps, labels.maps,
                        f"FA: {title}")
    histograms.draw(pictures / "fa_histograms.png", labels.maps,
                    f"FA by tissue, share of voxels{f' ({note})' if note else ''}")
    plots.draw_errors(pictures / "errors.png", results, [g.name for g in groups], labels,
                      "Errors (within subject)" if within
                      else "Errors: mean paired difference and its 95 % confidence interval")
    folder = Path(workdir) / "tables"
    write_results(folder, results, summary.COMPARISONS, note)
    report = summary.Report(str(workdir), run, split, groups, results, labels, facts, within,
                            len(tuning))
    with whole(folder / "report.md") as temporary:
        temporary.write_text(report.markdown(), encoding="utf-8")
    if not quiet:
        print(report.text(), flush=True)
    return results


def _ahead(function, items):
    """Yields ``function(item)``, the next one in the making while one is looked at."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(function, items[0])
        for following in [*items[1:], None]:
            result = pending.result()
            pending = following and pool.submit(function, following)
            yield result


def _groups(run, cohort):
    config = run.config
    if config.data.layout != "phantom":
        name = "within subject" if cohort.within_subject else "test subjects"
        return [Group(name, str(config.data.root), cohort.test)]
    shifted = shifted_members(config.data.root, **config.phantom)
    return [Group(f"{generator} generator", origin(members), members)
            for generator, members in (("default", cohort.test), ("shifted", shifted)) if members]


def _check_cohort(run, cohort, workdir):
    """There is something to tune on and to judge, and the run has seen none of it."""
    trained_on = run.about["subjects"]["origin"]
    if cohort.origin != trained_on:
        raise InputError(
            Path(workdir) / "config.json", found=f"a run on {trained_on}",
            expected=f"one on what is there now, {cohort.origin}",
            remedy="train again: the simulation has changed")
    for part in ("validation", "test"):
        if not getattr(cohort, part):
            raise InputError(
                Path(workdir) / "config.json", found=f"no {part} subjects",
                expected="at least one", remedy="train with another split")
    if cohort.within_subject:
        return
    seen = {name for part in ("train", "validation") for name in run.about["subjects"][part]}
    both = sorted(seen & {member.files.name for member in cohort.test})
    if both:
        raise InputError(
            Path(workdir) / "config.json",
            found=f"test subjects that the run has trained or been tuned on: {', '.join(both)}",
            expected="other subjects for the test",
            remedy="the data have changed since the training: train again")


def _case(scan, split):
    """A validation subject for tuning: measured targets, never the truth."""
    n = scan.b0s
    return baselines.Case(
        scan.acquired.take(np.r_[:n, n + split.inputs]), scan.acquired.gtab[n + split.targets],
        scan.acquired.signal[:, n + split.targets], scan.regions["brain"])

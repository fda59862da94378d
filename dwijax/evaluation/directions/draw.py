"""All figures of an evaluation, and the page that holds them."""

from pathlib import Path

from dwijax.evaluation.common.groups import sources
from dwijax.evaluation.common.results import TRUTH
from dwijax.evaluation.directions import slice_figures
from dwijax.evaluation.directions.error_figure import draw_errors
from dwijax.evaluation.directions.rows import NETWORKS, PERFECT
from dwijax.evaluation.directions.tabulate import Report
from dwijax.report_html import page


def draw(folder: Path, report: Report):
    """Writes the figures: of the first subject of each group, and over all."""
    labels, prepared, evidence = report.labels, report.prepared, report.evidence
    sh, split = prepared.sh, prepared.split
    best, against = _best_baseline(report), report.reference(report.groups[0].name)
    beside = list(dict.fromkeys((best, sh)))
    for name, (view, scan, judged) in evidence.first.items():
        title, slug = f"{name}, {scan.name}", name.replace(" ", "_")
        slice_figures.draw_directions(
            folder / f"directions_{slug}.png", view, scan, split, judged.shown,
            next(p for p in prepared.predictors if p.name == sh),
            f"Synthetic DWIs: {title}")
        slice_figures.draw_fa(folder / f"fa_{slug}.png", view, scan, judged, labels.maps,
                              f"FA: {title}")
        slice_figures.draw_gtfa(folder / f"he2020_figure4_{slug}.png", view, scan, judged.gtfa,
                                f"He et al., Fig. 4: {title}")
        slice_figures.draw_bias(folder / f"bias_{slug}.png", view, scan, judged, split,
                                [NETWORKS, *beside], labels.maps, f"Bias: {title}")
    over, within = evidence.over_subjects, " (within subject)" * prepared.within_subject
    over.fa_by_tissue.draw(folder / "fa_histograms.png", labels.maps,
                           f"FA by tissue, share of voxels{within}")
    over.gtfa.draw(folder / "he2020_figure4c.png", f"He et al., Fig. 4 c: histogram of FA{within}")
    over.bland_altman.draw(folder / "bland_altman.png", labels.maps, against,
                           f"Bland-Altman: bias ± 1.96 SD of FA over voxels{within}")
    over.sphere.draw(folder / "sphere.png", sh, labels.short, f"Error of each direction{within}")
    over.spectra.draw(folder / "spectra.png", ["measured", PERFECT, NETWORKS, *beside],
                      labels.short, f"Power spectra of DWIs in the slice{within}")
    draw_errors(folder / "errors.png", report.results, [g.name for g in report.groups], labels, sh,
                "Errors (within subject)" if prepared.within_subject
                else "Errors: mean paired difference and its 95 % confidence interval")


def write_page(path: Path, figures: Path, report: Report):
    """Writes one HTML file with everything in it."""
    workdir, run, split = report.prepared.workdir, report.prepared.run, report.prepared.split
    page.write(path, f"Evaluation of {workdir.name}", warnings=report.warnings(),
               viewers=[slice_figures.viewer(f"{name}, {scan.name}", scan, split, judged,
                                             report.labels.maps, run.config.data.axis)
                        for name, (_, scan, judged) in report.evidence.first.items()],
               text=report.document().markdown(), figures=sorted(figures.glob("*.png")),
               provenance=sources(run, [workdir], report.groups))


def _best_baseline(report):
    """Name of the one with the least error of the DWIs in the brain, in the first group."""
    group = report.groups[0].name
    against = TRUTH if report.reference(group) == TRUTH else "measured"
    return min((p.name for p in report.prepared.predictors if p.name != NETWORKS),
               key=lambda name: report.results.estimate(
                   group, "DWI RMSE", against, "brain", name).mean)

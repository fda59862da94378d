"""All figures of an evaluation, and the page that holds them."""

import re
from pathlib import Path

from dwijax.evaluation.common.figures import fa_layers
from dwijax.evaluation.common.groups import sources
from dwijax.evaluation.common.results import ALL, TRUTH
from dwijax.evaluation.maps import map_figures
from dwijax.evaluation.maps.judge import Evidence
from dwijax.evaluation.maps.methods import of_paper
from dwijax.evaluation.maps.protocol import from_fit
from dwijax.evaluation.maps.tabulate import Report
from dwijax.evaluation.studies import study_figures, tract_figures
from dwijax.inference.network_maps import DIRECT, TENSOR
from dwijax.report_html import page


def draw(folder: Path, report: Report, evidence: Evidence):
    """Writes the figures: of the first subject of each group, and over all."""
    results = report.results
    for name, (view, scan, maps, bundles) in evidence.first.items():
        slug, title = re.sub(r"\W+", "_", name), f"{name}, {scan.name}"
        label = report.labels(name)
        for quantity in ("fa", "md", "colour"):
            map_figures.draw_maps(folder / f"{quantity}_{slug}.png", view, scan, maps, quantity,
                                  title)
        map_figures.draw_rois(folder / f"rois_{slug}.png", results, name, report.rois(name))
        map_figures.draw_boxes(folder / f"boxes_{slug}.png", results, name)
        study_figures.draw_noise(folder / f"noise_{slug}.png", results, name, label)
        study_figures.draw_lesions(folder / f"lesions_{slug}.png", results, name, label)
        tract_figures.draw_tracts(folder / f"tracts_{slug}.png", bundles, label,
                                  f"Deterministic tracking: {title}")
    study_figures.draw_coverage(folder / "fa_std.png", results)


def write_page(path: Path, figures: Path, report: Report, evidence: Evidence):
    """Writes one HTML file with everything in it."""
    runs = report.prepared.runs
    axis = runs[0].run.config.data.axis
    page.write(path, f"Evaluation of {path.parent.name}", warnings=report.warnings(),
               viewers=[_viewer(f"{name}, {first.scan.name}", first, report.labels(name), axis)
                        for name, first in evidence.first.items()],
               text=report.document().markdown(), figures=sorted(figures.glob("*.png")),
               provenance=sources(runs[0].run, [r.folder for r in runs], report.prepared.groups))


def _viewer(title, first, label, axis):
    """FA, colour FA, MD and the error of FA by every method, the networks first."""
    scan, layers, against = first.scan, [], ALL
    slices = page.Slices(scan.acquired.mask, scan.acquired.voxel_size, axis)
    maps = of_paper(first.maps)
    maps = {m: maps[m] for m in sorted(maps, key=lambda m: not m.startswith((DIRECT, TENSOR)))}
    if TRUTH in scan.references:
        maps[TRUTH], against = from_fit(scan.references[TRUTH]), TRUTH
    for method, found in maps.items():
        name = label(method)
        if found.fa is not None and found.v1 is not None:
            layers += fa_layers(slices, scan, name, found.fa, found.v1, "method")
        if found.fa is not None and method != against:
            layers.append(slices.signed(
                "error of FA", scan.volume(found.fa - maps[against].fa), 0.3,
                f"FA of {name} − {label(against)}", "method", name))
        if found.md is not None:
            layers.append(slices.gray("MD", scan.volume(found.md), 0, 3, f"MD, µm²/ms: {name}",
                                      "method", name))
    return slices.viewer(title, layers)

"""One slice of a subject: synthetic DWIs, FA and colour FA, bias; all slices for the page."""

from pathlib import Path

import numpy as np

from dwijax.baselines import Predictor
from dwijax.evaluation.common.figures import Scale, View, colour_fa, fa_layers, sheet
from dwijax.evaluation.common.results import ALL, ALL_ACQUIRED, TRUTH
from dwijax.evaluation.common.scans import JudgedScan
from dwijax.evaluation.directions.protocol import Judged, Split
from dwijax.evaluation.directions.rows import INPUTS, MORE, NETWORKS, FullMaps
from dwijax.gradients import fsl_to_world
from dwijax.report_html import page


def draw_directions(path: Path, view: View, scan: JudgedScan, split: Split,
                    shown: dict[str, np.ndarray], baseline: Predictor, title: str):
    """Several directions: nearest input, synthetic, measured, noise-free, errors, of the networks
    and of a baseline; ``shown``: method to its DWIs ``[n, K]`` in the slice."""
    table, world = scan.acquired.gtab, fsl_to_world(scan.affine)
    signal = scan.acquired.signal[view.voxels]
    inputs, targets = (table.bvecs[table.dwis[p]] for p in (split.inputs, split.targets))
    truth = None if scan.clean is None else scan.clean[view.voxels]
    reference, name = (signal, "measured") if truth is None else (truth, "noise-free")

    columns = ["nearest input", "networks", "measured", *(["noise-free"] if truth is not None
                                                          else []),
               f"networks − {name}", f"{baseline.short} − {name}"]
    pictures, row_names = [], []
    for label, k in page.nearest_axes(targets @ world.T).items():
        volume = table.dwis[split.targets[k]]
        nearest = table.dwis[split.inputs[int(np.abs(inputs @ targets[k]).argmax())]]
        row = [signal[:, nearest], shown[NETWORKS][:, k], signal[:, volume]]
        row += [] if truth is None else [truth[:, volume]]
        row += [shown[m][:, k] - reference[:, volume] for m in (NETWORKS, baseline.name)]
        pictures.append([view.picture(p) for p in row])
        row_names.append(f"{label}\nno. {split.targets[k] + 1}")
    errors = len(columns) - 2
    high = float(np.nanpercentile([r[:errors] for r in pictures], 99.7))
    wide = float(np.nanpercentile(np.abs([r[errors:] for r in pictures]), 99.5))
    scales = [Scale("gray", 0, high, "DWI / median b0", range(errors)),
              Scale("RdBu_r", -wide, wide, "error / median b0", range(errors, len(columns)))]
    sheet(path, view, pictures, row_names, columns, scales, title)


def draw_fa(path: Path, view: View, scan: JudgedScan, judged: Judged, labels: dict[str, str],
            title: str):
    """FA, colour FA and the error of FA: inputs alone, with synthetic, acquired, truth."""
    columns = {labels[m]: judged.maps[m] for m in (INPUTS, NETWORKS, MORE, ALL) if m in judged.maps}
    if TRUTH in judged.references:
        columns["noise-free"] = judged.references[TRUTH]
    against, reference = list(columns.items())[-1]
    expected = reference.maps.fa[view.voxels]
    grey, colour = _fa_pictures(view, scan, columns.values())
    error = [view.picture(m.maps.fa[view.voxels] - expected) for m in columns.values()]
    wide = float(np.nanpercentile(np.abs(error[:-1]), 99))
    scales = [Scale("gray", 0, 1, "FA", range(1)),
              Scale("RdBu_r", -wide, wide, f"FA − {against}", range(2, 3))]
    sheet(path, view, [grey, colour, error], ["FA", "colour FA", "error of FA"], list(columns),
           scales, title, by_rows=True)


def draw_gtfa(path: Path, view: View, scan: JudgedScan, gtfa: dict[str, FullMaps], title: str):
    """Figure 4 a and b of He et al.: colour and grey FA of their three fits."""
    columns = {"32 GTFA": gtfa["32 GTFA"], "prediction": gtfa[NETWORKS], "64 GTFA": gtfa["64 GTFA"]}
    grey, colour = _fa_pictures(view, scan, columns.values())
    sheet(path, view, [colour, grey], ["a) colour FA", "b) FA"], list(columns),
           [Scale("gray", 0, 1, "FA", range(1, 2))], title, by_rows=True)


def draw_bias(path: Path, view: View, scan: JudgedScan, judged: Judged, split: Split,
              methods: list[str], labels: dict[str, str], title: str):
    """Bias maps: what is left of errors when noise is averaged out.

    Of the DWIs the mean error over the K directions; of FA the error after smoothing over 8 mm in
    the slice. The columns are ``methods``.
    """
    volumes = scan.acquired.gtab.dwis[split.targets]
    signal = scan.acquired.signal if scan.clean is None else scan.clean
    expected = signal[view.voxels][:, volumes]
    against = ALL_ACQUIRED if scan.clean is None else TRUTH
    fa = judged.references[against].maps.fa
    names = [INPUTS, *methods, ALL]
    first, second = [], []
    for name in names:
        if name in judged.shown:
            first.append(view.picture((judged.shown[name] - expected).mean(axis=1)))
        else:
            first.append(np.full(view.shape, np.nan, np.float32))
        second.append(view.smooth((judged.maps[name].maps.fa - fa)[view.voxels], 8.0))
    wide = [float(np.nanpercentile(np.abs(row), 99)) for row in (first, second)]
    reference = "measured" if scan.clean is None else "noise-free"
    scales = [Scale("RdBu_r", -wide[0], wide[0], f"DWI − {reference}\n/ median b0", range(1)),
              Scale("RdBu_r", -wide[1], wide[1], f"FA − {against}", range(1, 2))]
    sheet(path, view, [first, second], ["DWIs,\nmean error", "FA,\nsmoothed error"],
           [labels[n] for n in names], scales, title, by_rows=True)


def _fa_pictures(view, scan, columns):
    """Grey and colour pictures of `FullMaps`."""
    fa = [m.maps.fa[view.voxels] for m in columns]
    colour = [view.picture(colour_fa(scan, f, m.v1[view.voxels]))
              for f, m in zip(fa, columns, strict=True)]
    return [view.picture(f) for f in fa], colour


def viewer(title: str, scan: JudgedScan, split: Split, judged: Judged, labels: dict[str, str],
           axis: int) -> page.Viewer:
    """Measured and synthetic DWIs of three directions and what tensors are fitted to them.
    """
    slices = page.Slices(scan.acquired.mask, scan.acquired.voxel_size, axis)
    layers = []
    chosen = page.nearest_axes(split.gtab.bvecs @ fsl_to_world(scan.affine).T)
    columns = scan.acquired.gtab.dwis[split.targets[list(chosen.values())]]
    measured = scan.acquired.signal[:, columns]
    made = judged.everywhere[NETWORKS][:, list(chosen.values())]
    high = float(np.percentile(measured, 99.7))
    wide = float(np.percentile(np.abs(made - measured), 99.5))
    for i, (name, k) in enumerate(chosen.items()):
        how = ("direction", f"{name}: no. {split.targets[k] + 1}")
        x, y = scan.volume(measured[:, i]), scan.volume(made[:, i])
        layers += [slices.gray("measured", x, 0, high, "measured DWI / median b0", *how),
                   slices.gray("synthetic", y, 0, high, "synthetic DWI / median b0", *how),
                   slices.signed("difference", y - x, wide, "synthetic − measured, / median b0: "
                                 "the noise of the measured one is in it", *how)]
    maps = {labels[m]: judged.maps[m] for m in (NETWORKS, INPUTS, ALL)}
    if TRUTH in judged.references:
        maps[TRUTH] = judged.references[TRUTH]
    for name, found in maps.items():
        layers += fa_layers(slices, scan, name, found.maps.fa, found.v1, "fit of")
    return slices.viewer(title, layers)

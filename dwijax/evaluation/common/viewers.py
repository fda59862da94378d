"""Slices of a judged subject for the page of an evaluation."""

import numpy as np

from dwijax.evaluation.common.rows import ALL, INPUTS, NETWORKS
from dwijax.evaluation.maps.protocol import from_fit
from dwijax.evaluation.studies.map_studies import TRUTH
from dwijax.gradients import fsl_to_world
from dwijax.inference.network_maps import DIRECT, TENSOR
from dwijax.report_html import page


def of_directions(title, scan, split, networks, judged, labels, axis):
    """Measured and synthetic DWIs of three directions and what tensors are fitted to them.

    Args:
      title: str. scan: `dwijax.evaluation.common.cases.Scan`.
      split: `dwijax.evaluation.directions.protocol.Split`.
      networks: float32 ``[V, K]``. judged: `Judged`. labels: method to str. axis: of the slices.

    Returns:
      `dwijax.report_html.page.Viewer`.
    """
    slices = page.Slices(scan.acquired.mask, scan.acquired.voxel_size, axis)
    world, layers = fsl_to_world(scan.affine), []
    chosen = page.nearest_axes(split.gtab.bvecs @ world.T)
    columns = scan.b0s + split.targets[list(chosen.values())]
    measured, made = scan.acquired.signal[:, columns], networks[:, list(chosen.values())]
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
        layers += _fa(slices, scan, name, found.maps.fa, found.v1 @ world.T, "fit of")
    return slices.viewer(title, layers)


def of_maps(title, scan, maps, label, axis):
    """FA, colour FA, MD and the error of FA by every method, the networks first.

    Args:
      title: str. scan: `Scan`. axis: of the slices.
      maps: method to `dwijax.inference.network_maps.NetworkMaps`. label: method to str, a function.

    Returns:
      `dwijax.report_html.page.Viewer`.
    """
    slices = page.Slices(scan.acquired.mask, scan.acquired.voxel_size, axis)
    world, layers, against = fsl_to_world(scan.affine), [], ALL
    maps = {m: maps[m] for m in sorted(maps, key=lambda m: not m.startswith((DIRECT, TENSOR)))}
    if TRUTH in scan.references:
        maps[TRUTH], against = from_fit(scan.references[TRUTH]), TRUTH
    for method, found in maps.items():
        name = label(method)
        if found.fa is not None and found.v1 is not None:
            layers += _fa(slices, scan, name, found.fa, found.v1 @ world.T, "method")
        if found.fa is not None and method != against:
            layers.append(slices.signed(
                "error of FA", scan.volume(found.fa - maps[against].fa), 0.3,
                f"FA of {name} − {label(against)}", "method", name))
        if found.md is not None:
            layers.append(slices.gray("MD", scan.volume(found.md), 0, 3, f"MD, µm²/ms: {name}",
                                      "method", name))
    return slices.viewer(title, layers)


def _fa(slices, scan, name, fa, v1, kind):
    colour = np.abs(v1) * np.clip(fa, 0, 1)[:, None]
    return [slices.gray("FA", scan.volume(fa), 0, 1, f"FA: {name}", kind, name),
            slices.rgb("colour FA", scan.volume(colour), page.COLOUR, kind, name)]

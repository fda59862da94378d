"""The page that ``dwijax enhance`` writes: the answer, what it rests on, the maps to look at."""

from pathlib import Path

import numpy as np

from dwijax.data.subject import Subject
from dwijax.enhancing.intervals import Intervals
from dwijax.enhancing.judging import REGIONS, HeldBack, Simulated
from dwijax.enhancing.verdict import Verdict
from dwijax.fitting.voxels import Maps
from dwijax.report_html import page
from dwijax.report_html.prediction_page import LEAVE_OUT
from dwijax.volumes import into_volume, voxel_size


def write(path: Path, title: str, subject: Subject, *, plain: Maps, enhanced: Maps,
          ranges: Intervals, share: np.ndarray, lines: list[str], suspect: list[str],
          notes: list[str], verdict: Verdict, held: HeldBack | None, twin: Simulated, axis: int,
          provenance: list[tuple[str, str]]) -> None:
    """Writes it.

    Args:
      path: file. title: of the page. subject: the shell that was enhanced.
      plain, enhanced: `Maps` of the acquired volumes, and of all. ranges: `Intervals` of what was
        written. share: of `dwijax.enhancing.measured.measured_share`. lines: the answer.
      suspect, notes: lines. verdict, held, twin: what it rests on.
      axis: of the slices. provenance: rows.
    """
    slices = page.Slices(subject.mask, voxel_size(subject.affine), axis)

    def volume(values):
        return into_volume(values.astype(np.float32), subject.mask)

    maps = {"acquired": plain, "acquired and added": enhanced}
    layers = [slices.gray("FA", volume(found.fa), 0, 1, f"FA, fit of {name}", "fit of", name)
              for name, found in maps.items()]
    layers += [
        slices.signed("change of FA", volume(enhanced.fa - plain.fa), 0.2,
                      "FA of acquired and added − FA of acquired"),
        slices.gray("uncertainty of FA", volume(ranges.high[:, 0] - ranges.low[:, 0]), 0, 0.3,
                    "width of the 68 % interval of FA"),
        slices.gray("uncertainty of V1", volume(ranges.cone[:, 0]), 0, 45,
                    "68 % cone of V1, degrees"),
        slices.gray("measured or prior", volume(share), 0, 1, "how much FA of acquired and added "
                    "follows the measured signal: 1 as the plain fit, 0 not at all")]
    page.write(path, title, warnings=[
        f"**{lines[0].partition(':')[0]}**:{lines[0].partition(':')[2]}", *lines[1:],
        *(f"**suspect:** {line}" for line in suspect), LEAVE_OUT],
        text="\n\n".join([_held_table(held), _twin_table(twin),
                          "## What was done\n\n" + "\n".join(f"- {note}" for note in notes)]),
        viewers=[slices.viewer("Maps before and after", layers)], provenance=provenance)


def _held_table(held):
    if held is None:
        return "## Directions held back\n\nNone: there are too few."
    rows = ["| | " + " | ".join(REGIONS) + " |", "|---|" + "---|" * len(REGIONS)]
    for name in sorted(held.squares, key=held.rmse):
        strong = "**" if name == "enhanced" else ""
        label = "enhanced: what is written" if strong else held.labels[name]
        rows.append(f"| {strong}{label}{strong} | " + " | ".join(
            f"{held.rmse(name, region):.4f}" for region in REGIONS) + " |")
    return (f"## {held.directions} directions held back\n\nRMSE of the measured volumes, noise and "
            "all, over the median b0. Nothing of them was tuned on, learnt from or weighted by.\n\n"
            + "\n".join(rows))


def _twin_table(twin):
    rows = ["| | FA, RMSE | FA, bias in WM | FA, bias in GM | V1 in WM, median |",
            "|---|---|---|---|---|"]
    for name, maps in (("acquired alone", twin.plain), ("acquired and added", twin.enhanced)):
        angle = np.median(twin.v1_error(maps)[twin.regions["WM"] & maps.determined])
        rows.append(f"| {name} | {twin.fa_error(maps):.4f} | {twin.fa_bias(maps, 'WM'):+.4f} | "
                    f"{twin.fa_bias(maps, 'GM'):+.4f} | {angle:.1f}° |")
    return ("## A simulated twin\n\nA deformed head made of this scan's own fit, with its table "
            "and its noise, whose truth is known. As smooth as that fit: it flatters.\n\n"
            + "\n".join(rows))

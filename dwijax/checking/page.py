"""The one page: what is suspect first, then what is there."""

from urllib.parse import quote

import numpy as np

from dwijax.checking.companions import UNRELATED
from dwijax.checking.order import LEAST
from dwijax.checking.scan import Report
from dwijax.data import domain
from dwijax.gradients import repeats_in_words, shells, span, unshelled
from dwijax.gradients.directions import condition_number
from dwijax.gradients.orientation import CERTAIN, Orientation

LARGEST_CONDITION = 3.0  # of the directions' quadratic form: twice that of evenly spread ones
CONDITION = "condition number of the tensor design"
LEAST_SNR = 10.0  # of b0; below it the Rician floor reaches white matter at b = 1000
LARGEST_DRIFT = 0.05
MOST_ZEROS = 0.001
LARGEST_BRAIN = 2500.0  # cm³; a larger mask holds more than a brain
# mm²/s, median over a brain. Fixed tissue at room temperature is above the least, newborns' white
# matter below the most (free water at 37 °C has 3.0e-3).
DIFFUSIVITY = (0.2e-3, 2.5e-3)
MOST_ABOVE_B0 = 0.05  # share of the brain; real scans with SNR above 10 have less than 0.01


def warnings(report: Report) -> list[str]:
    """Lines about what is suspect; none for a scan that is fine.

    Args:
      report: `dwijax.checking.scan.Report`.
    """
    found = []
    seen, apart = report.orientation, report.companions.verdict == "apart"
    if apart:
        found.append(apart_in_words(report.companions))
    found += [*report.notes, *repeats_in_words(report.gtab)]
    if apart:
        pass
    elif seen is None:
        found.append(f"the {len(report.index)} directions at b={report.shell} determine no tensor: "
                     "neither a fit nor a check of their orientation is possible")
    elif seen.verdict == "wrong":
        found.append(f"the directions are wrong: with {seen.names[0]} fibres fit together "
                     f"{100 * (seen.scores[0] - 1):.0f} % better ({-seen.margin:.0f} standard "
                     f"errors); {mending_in_words(seen)}")
    elif seen.verdict == "uncertain":
        found.append(f"the orientation of the directions is uncertain: the given table and "
                     f"\"{seen.names[seen.rival]}\" differ by {abs(seen.margin):.1f} standard "
                     f"errors (less than {CERTAIN:.0f}): too few fibres")
    if report.conditions and condition_number(report.gtab.bvecs[report.index]) > LARGEST_CONDITION:
        whole = report.conditions[-1]
        found.append(f"the {len(report.index)} directions at b={report.shell} are badly spread: "
                     f"{CONDITION} with the b0s {whole.first:.1f}, evenly spread {whole.even:.1f}")
    snr = report.numbers["SNR"]
    if apart:
        pass  # what follows from b0s that may be none
    elif not snr:
        found.append("nothing tells the noise level: one b0 and too few directions")
    elif snr[0] < LEAST_SNR:
        found.append(f"SNR of b0 {snr[0]:.1f}: FA will be biased upwards")
    least, most = DIFFUSIVITY
    if not apart and not least <= report.diffusivity <= most:
        found.append(f"the brain's median diffusivity is {report.diffusivity:.2g} mm²/s, which no "
                     f"tissue has ({least:g} to {most:g}): b-values in another unit, or a b0 in "
                     "another scale than the DWIs")
    if not apart and report.above_b0 > MOST_ABOVE_B0:
        found.append(f"the mean DWI is brighter than the b0 in {100 * report.above_b0:.0f} % of "
                     "the brain: is the b0 right?")
    odd = report.series.odd_volumes
    if odd:
        listed = ", ".join(f"{m} ({100 * change:+.0f} %)" for m, change in odd[:12])
        found.append(f"{_counted(len(odd), 'volume')} darker or brighter than the others of the "
                     f"shell: {listed}" + (", …" if len(odd) > 12 else ""))
    if abs(report.series.drift) > LARGEST_DRIFT:
        found.append(f"brightness changes by {100 * report.series.drift:+.1f} % over the series")
    if report.series.odd:
        volumes = sorted({m for m, _, _ in report.series.odd})
        m, z, change = report.series.odd[0]
        found.append(f"{_counted(len(report.series.odd), 'slice')} in "
                     f"{_counted(len(volumes), 'volume')} out of line (volume {m}, slice {z}: "
                     f"{100 * change:+.0f} %); volumes "
                     + ", ".join(map(str, volumes[:12])) + (", …" if len(volumes) > 12 else ""))
    if report.zeros > MOST_ZEROS:
        found.append(f"{100 * report.zeros:.2f} % of the samples in the mask are 0 or less")
    if report.mask_volume > LARGEST_BRAIN:
        found.append(f"the mask holds {report.mask_volume:.0f} cm³, more than a brain")
    run = report.run
    if run is not None:
        if not run.usable:
            found.append(f"directions at b={report.shell}: {run.directions}")
        outside = [name for name, *_, inside in run.rows if not inside]
        if outside:
            found.append(f"outside of what {shown(run.name)} was trained on: {', '.join(outside)}")
        if "b" in outside:
            found.append("predict needs --scale-b for this b-value")
    return found


def _counted(number, name):
    return f"{number} {name}{'s' if number != 1 else ''}"


def apart_in_words(companions):
    """Why volumes and table do not belong together.

    Args:
      companions: `dwijax.checking.companions.Companions`.
    """
    reasons, groups = [], {}
    for volume, labelled, seen in companions.misfits:
        groups.setdefault((labelled, seen), []).append(str(volume))
    for (labelled, seen), volumes in groups.items():
        many = len(volumes) > 1
        listed = ", ".join(volumes[:8]) + (", …" if len(volumes) > 8 else "")
        reasons.append(f"volume{'s' if many else ''} {listed} (b={labelled} in the table) "
                       f"{'each look' if many else 'looks'} like {seen}")
    if companions.swapped:
        low, high = companions.swapped
        reasons.append(f"volumes of b={high} are brighter than those of b={low}")
    explained, restored = companions.explained, companions.restored
    if companions.change:
        reasons.insert(0, companions.change)
    if explained is not None and (companions.rows is not None or explained < UNRELATED):
        shares = f"the table explains {100 * max(explained, 0):.0f} % of the directional contrast"
        if companions.rows is not None and restored - explained > 0.01:
            shares += f", in that order {100 * restored:.0f} %"
        reasons.append(shares)
    return ("volumes and table do not belong together: " + "; ".join(reasons) + ". Find out what "
            "reordered, added or removed volumes; until then the orientation is not judged")


def mending(seen: Orientation) -> np.ndarray:
    """What a wrong table is to be multiplied by, ``[3, 3]``.

    Directions have no sign: of a matrix and its negative, the one that reverses fewer axes.
    """
    matrix = seen.matrices[0]
    return -matrix if (matrix < 0).sum() > 1 else matrix


def mending_in_words(seen):
    """What to do about a wrong table, in words."""
    rows = []
    for row in mending(seen):
        axis = int(np.abs(row).argmax())
        rows.append(("−" if row[axis] < 0 else "") + "xyz"[axis])
    return (f"its rows should be {', '.join(rows)} of the present x, y, z "
            "(--write-bvecs FILE writes that)")


def lines(report: Report, found: list[str]) -> list[str]:
    """The page as printed, at most 60 lines.

    Args:
      report: `dwijax.checking.scan.Report`. found: of :func:`warnings`.
    """
    size = "×".join(f"{s:.3g}" for s in report.voxel_size)
    shape = "×".join(map(str, report.shape))
    out = [f"{shown(report.source)}: {shape}, {size} mm, {report.axes}", ""]
    out += [f"suspect: {line}" for line in found] or ["nothing suspect"]
    for title, rows in sections(report):
        width = max(24, *(len(name) for name, _ in rows))
        out += ["", title] + [f"  {name:<{width}} {value}" for name, value in rows]
    return out


def markdown(report: Report, found: list[str], picture: str | bytes) -> str:
    """The page as Markdown.

    Args:
      report, found: as above. picture: name of the figure beside it, str or bytes.
    """
    size = "×".join(f"{s:.3g}" for s in report.voxel_size)
    out = [f"# {shown(report.source)}", "",
           f"{'×'.join(map(str, report.shape))}, {size} mm, axes {report.axes}", ""]
    out += [f"- **suspect:** {line}" for line in found] or ["Nothing suspect."]
    for title, rows in sections(report):
        out += ["", f"## {title}", "", "| | |", "|---|---|"]
        out += [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([*out, "", f"![images, directions and series]({quote(picture)})", ""])


def shown(name: str, most: int | None = None) -> str:
    """A file's name in one line of text, whatever bytes it has; the end of a long one."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(name))
    return text if most is None or len(text) <= most else "…" + text[1 - most:]


def sections(report):
    """``(title, [(name, value), ...])``, all in words."""
    gtab = report.gtab
    table = [(f"b = {nominal}", f"{len(index)} volumes") for nominal, index in
             shells(gtab.bvals, gtab.b0_threshold)]
    loose = unshelled(gtab.bvals, gtab.b0_threshold)
    if loose.size:
        table.append(("in no shell", f"{loose.size} volumes, b = {span(gtab.bvals[loose])}: fit "
                      "uses them, predict and training do not"))
    table += [("repeated directions", line.partition(",")[0])
              for line in repeats_in_words(gtab) or ["none"]]
    table += [("table", note) for note in gtab.notes]
    yield "volumes", table
    yield (f"{CONDITION} (2-norm, b divided by its maximum)",
           [("all volumes", _condition(report.condition))] + [
            (f"b0s, {q} at b = {report.shell}",
             (_condition(first) if q == len(report.index) else
              f"{_condition(first)} the first, {_condition(best)} the best chosen")
             + f" (evenly spread: {even:.2f})")
            for q, first, best, even in report.conditions])
    numbers, series = report.numbers, report.series
    snr = "unknown" if not numbers["SNR"] else (
        f"b0 {numbers['SNR'][0]:.1f}, DWI {report.dwi_snr:.1f} (medians over the mask)")
    gains = series.gains - 1
    least, most = np.quantile(report.noise.relative, (0.05, 0.95))
    shared = " ".join(f"{r:.2f}" for r in report.noise.correlation)
    motion = " ".join(f"{mm:.2f}" for mm in report.noise.motion * report.voxel_size)
    channels = ("unknown: background is empty" if report.channels is None else
                f"{report.channels:.1f} effective in the background (1: Rician)")
    yield "signal", [
        ("mask", f"{report.mask_volume:.0f} cm³" + (", made from b0" if report.mask_made else "")),
        ("SNR", snr),
        ("noise shared by neighbours", f"{shared} (correlation along x, y, z)"),
        ("noise over its median", f"{least:.2f} to {most:.2f} in 90 % of the mask"),
        ("channels of the noise", channels),
        ("motion between volumes", f"{motion} mm (SD along x, y, z)"),
        ("median b0", f"{report.scale:.4g}"),
        ("zeros in the mask", f"{100 * report.zeros:.3f} %"),
        ("drift over the series", f"{100 * series.drift:+.1f} %"),
        ("brightness of volumes", f"{100 * gains.min():+.1f} to {100 * gains.max():+.1f} %"),
        ("volumes out of line", str(len(series.odd_volumes))),
        ("slices out of line", str(len(series.odd))),
        ("median diffusivity", f"{report.diffusivity:.2e} mm²/s"),
        ("mean DWI above b0", f"{100 * report.above_b0:.2f} % of the mask"),
    ]
    yield "volumes and table", [("belong together", _belonging(report.companions))]
    seen = report.orientation
    if seen is not None:
        best = [0, 1, 2] if seen.given < 3 else [0, 1, 2, seen.given]
        rows = [(seen.names[k], f"{seen.scores[k]:.3f}") for k in best]
        yield (f"orientation: {seen.verdict} ({abs(seen.margin):.1f} standard errors; fibre "
               "coherence of 24 candidates)", rows)
    run = report.run
    if run is not None:
        rows = [("directions", run.directions)]
        for name, values, least, most, inside in run.rows:
            rows.append((name, domain.in_words(values, least, most)
                         + ("" if inside else "  <- outside")))
        if not run.rows:
            rows.append(("domain", "the run does not tell what it was trained on"))
        yield f"against {shown(run.name)} ({run.subjects} training subjects)", rows


def _belonging(companions):
    if companions.verdict == "apart":
        return "no"
    if companions.explained is None:
        return f"too few directions to tell an order (less than {LEAST})"
    return f"yes: the directions explain {100 * companions.explained:.0f} % of the contrast"


def _condition(number):
    return f"{number:.2f}" if np.isfinite(number) else "undetermined"

"""What ``dwijax check --json`` prints: `docs/check.md` lists every key."""

import numpy as np

from dwijax.checking.page import mending
from dwijax.checking.scan import Report
from dwijax.gradients import shells, unshelled
from dwijax.gradients.directions import repeated


def facts(report: Report) -> dict:
    """What was found, as JSON has it: None for what is not known or not finite.

    Args:
      report: `dwijax.checking.scan.Report`.

    Returns:
      dict, always with the same keys.
    """
    gtab = report.gtab
    seen, run, companions = report.orientation, report.run, report.companions
    return {
        "source": report.source,
        "shape": list(report.shape),
        "voxel_size": _numbers(report.voxel_size),
        "axes": report.axes,
        "shells": [{"b": int(b), "volumes": [int(m) for m in index]}
                   for b, index in shells(gtab.bvals, gtab.b0_threshold)],
        "unshelled": [int(m) for m in unshelled(gtab.bvals, gtab.b0_threshold)],
        "b0_threshold": _number(gtab.b0_threshold),
        "table_notes": list(gtab.notes),
        "repeated_directions": [
            {"volume": int(index[k]), "like": int(index[i]), "angle": _number(angle)}
            for b, index in shells(gtab.bvals, gtab.b0_threshold) if b
            for i, k, angle in repeated(gtab.bvecs[index])],
        "orientation_notes": list(report.notes),
        "shell": report.shell if report.shell in dict(
            shells(gtab.bvals, gtab.b0_threshold)) else None,
        "condition": _number(report.condition),
        "conditions": [{name: value if name == "directions" else _number(value)
                        for name, value in c._asdict().items()} for c in report.conditions],
        "mask": {"made": report.mask_made, "volume": _number(report.mask_volume)},
        "snr": {"b0": _number(*report.numbers["SNR"][:1]), "dwi": _number(report.dwi_snr)},
        "noise": {"neighbours": _numbers(report.noise.correlation),
                  "relative": _numbers(np.quantile(report.noise.relative, (0.05, 0.95))),
                  "gain": _number(report.noise.gain),
                  "motion": _numbers(report.noise.motion * report.voxel_size),
                  "channels": _number(report.channels)},
        "median_b0": _number(report.scale),
        "median_diffusivity": _number(report.diffusivity),
        "dwi_above_b0": _number(report.above_b0),
        "zeros": _number(report.zeros),
        "drift": _number(report.series.drift),
        "gains": _numbers(report.series.gains),
        "odd_volumes": [{"volume": m, "change": _number(c)} for m, c in report.series.odd_volumes],
        "odd_slices": [{"volume": m, "slice": z, "change": _number(c)}
                       for m, z, c in report.series.odd],
        "companions": {
            "verdict": companions.verdict,
            "misfits": [m._asdict() for m in companions.misfits],
            "explained": _number(companions.explained),
            "restored": _number(companions.restored),
            "rows": None if companions.rows is None else [int(r) for r in companions.rows],
            "change": companions.change or None,
        },
        "orientation": None if seen is None else {
            "verdict": seen.verdict,
            "standard_errors": _number(seen.margin),
            "candidates": [{"name": name, "coherence": _number(score)}
                           for name, score in zip(seen.names, seen.scores, strict=True)],
            "mending": mending(seen).tolist() if seen.verdict == "wrong" else None,
        },
        "run": None if run is None else {
            "name": run.name,
            "b": _number(run.b),
            "subjects": run.subjects,
            "directions": run.directions,
            "usable": run.usable,
            "domain": [{"quantity": name, "values": _numbers(values), "least": _numbers(least),
                        "most": _numbers(most), "inside": inside}
                       for name, values, least, most, inside in run.rows],
        },
    }


def _number(value=None):
    return float(value) if value is not None and np.isfinite(value) else None


def _numbers(values):
    return [_number(value) for value in values]

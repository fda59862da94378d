"""A scan made to look like the scans that a run was trained on: its shell, directions, b-value."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dwijax.data.subject import Subject
from dwijax.errors import InputError
from dwijax.gradients import GradientTable, shells, span, unshelled
from dwijax.gradients.directions import compare
from dwijax.gradients.matching import TOLERANCE, find_directions
from dwijax.gradients.resampling import plan_resampling, resample
from dwijax.gradients.shells import WIDTH, listed

B_TOLERANCE = 0.1  # relative; further away the contrast is another one


class Adapted(NamedTuple):
    """What goes into the networks, and what to make of what comes out.

    Attributes:
      subject: b0s and the run's q inputs in the run's order, at the run's b.
      rotation: ``[3, 3]``, from the run's axes to those of ``subject``, where its directions are
        the run's turned as a whole; otherwise identity.
      gtab: table of the K synthetic volumes, along the axes of ``subject``.
      back: ``synthetic [X, Y, Z, K] -> [X, Y, Z, K]`` at the scan's b.
      facts: for ``dwi.json``. notes: the same in lines to be printed.
    """

    subject: Subject
    rotation: np.ndarray
    gtab: GradientTable
    back: Any
    facts: dict
    notes: list

    @property
    def resampled(self):
        """Whether the inputs are interpolated."""
        return self.facts["directions"] == "resampled"


def choose_shell(gtab, b, *, where):
    """The b-value of the scan's shell that is nearest to the run's.

    Args:
      gtab: table of the scan. b: the run's, s/mm². where: bval file.

    Returns:
      float, median b of the shell, s/mm².

    Raises:
      InputError: there is no shell.
    """
    there = [float(np.median(gtab.bvals[index])) for nominal, index in
             shells(gtab.bvals, gtab.b0_threshold) if nominal]
    if not there:
        free = not gtab.b0s_mask.all()
        raise InputError(where, found=listed(gtab) if free else "no diffusion-weighted volumes",
                         expected=f"a shell like the run's, b={b:g} s/mm²: volumes within "
                                  f"{WIDTH:.0%} of one b",
                         remedy="fit all b-values with dwijax fit" if free else
                                "give a diffusion scan and its own table")
    return min(there, key=lambda median: abs(median - b))


def about_table(gtab):
    """Lines about a scan's table: what was decided when it was read, what is not used of it."""
    loose = unshelled(gtab.bvals, gtab.b0_threshold)
    unused = [f"{loose.size} volumes (b={span(gtab.bvals[loose])}) belong to no shell and are not "
              "used"] if loose.size else []
    return [*gtab.notes, *unused]


def adapt(subject, run_gtab, inputs, targets, *, may_resample=False, may_scale=True,
          where="bvecs", where_b="bvals"):
    """Puts a scan's directions in the run's order, or resamples them, and scales its b-value.

    Args:
      subject: `Subject` of one shell.
      run_gtab: the run's shell, without b0s. inputs: positions ``[q]``.
      targets: ``[K]``, of what the networks synthesise; none where they map.
      may_resample: interpolate where the directions are not the run's.
      may_scale: scale the signal where its b-value is another one.
      where: bvec file. where_b: bval file.

    Returns:
      `Adapted`.

    Raises:
      InputError: fewer than q directions, or other ones than the run's or another b-value without
        leave to change that; all of it in one line.
    """
    weighted = subject.gtab.dwis
    own, wanted = subject.gtab[weighted], run_gtab[inputs]
    if len(own) < len(wanted):
        raise InputError(
            where, found=f"{len(own)} directions at b={np.median(own.bvals):g}",
            expected=f"at least the {len(wanted)} that the run's networks take as input",
            remedy="train networks for fewer (--config.data.inputs): nothing can be resampled to "
                   "more directions than were measured")
    b_run, b_own = float(np.median(run_gtab.bvals)), float(np.median(own.bvals))
    scaled = abs(b_own - b_run) > B_TOLERANCE * b_run
    found = find_directions(own.bvecs, wanted.bvecs)
    lacking = []
    if scaled and not may_scale:
        lacking.append(_other_b(where_b, b_own, b_run))
    if not found.fits and not may_resample:
        lacking.append(_other_directions(where, len(own), found))
    if lacking:
        files, there, expected, options, means = zip(*lacking, strict=True)
        raise InputError(
            " and ".join(map(str, files)), found=", and ".join(there),
            expected=", and ".join(expected),
            remedy=f"give {' '.join(options)} ({'; '.join(means)}), or take a run that was trained "
                   "on such scans")
    facts = {"b": {"scan": b_own, "run": b_run, "scaled": scaled}}
    notes = []

    volumes, rotation = weighted[found.order], found.rotation
    if found.fits:
        how = "same order" if found.in_order else (
            "another order" if len(own) == len(wanted) else "picked and put in order")
        facts["directions"] = how
        facts["input_angles_degrees"] = _rounded(found.angles)
        facts["turned_degrees"] = round(found.turned, 3)
        if not found.in_order:
            notes.append(f"the run's {len(wanted)} input directions are among the scan's "
                         f"{len(own)} in another order: volumes put in the run's order")
        if found.angles.max() > TOLERANCE:
            notes.append(f"the scan's directions are the run's turned by {found.turned:.1f}° as a "
                         f"whole, and then within {found.rest.max():.1f}°: what the networks say "
                         "is turned likewise")
    else:
        rotation, volumes = np.eye(3), weighted
        plan = plan_resampling(own.bvecs, wanted.bvecs)
        facts["directions"] = "resampled"
        facts["resampling"] = plan.facts()
        notes.append(plan.in_words())
    facts["input_volumes"] = [int(v) for v in subject.volumes[volumes]]

    b0s = subject.gtab.b0s
    if found.fits and found.in_order and not scaled:
        given = subject  # no copy of a large scan
    else:
        dwi = subject.dwi[..., volumes]
        bvals = own.bvals if not found.fits else own.bvals[found.order]
        if scaled:
            dwi = scale_b(dwi, subject.b0, b_run / bvals)
        if not found.fits:
            dwi = resample(dwi, subject.scale, plan)
            bvals, bvecs = np.full(len(wanted), np.median(bvals)), wanted.bvecs
        else:
            bvecs = own.bvecs[found.order]
        table = subject.gtab[b0s]
        given = replace(
            subject, dwi=np.concatenate([subject.dwi[..., b0s], dwi], axis=-1),
            gtab=replace(table, bvals=np.concatenate([table.bvals, bvals]),
                         bvecs=np.concatenate([table.bvecs, bvecs])),
            volumes=np.full(len(b0s) + len(wanted), -1))

    added = run_gtab[targets]
    # Networks carry the contrast of their inputs: what they make of b=1050 is a b=1050 image.
    gtab = replace(added, bvals=added.bvals * (b_own / b_run), bvecs=added.bvecs @ rotation.T)
    nearest = compare(*np.broadcast_arrays(gtab.bvecs[:, None], own.bvecs[None])).min(axis=1)
    near = int((nearest <= TOLERANCE).sum())
    if len(targets):
        facts["nearest_measured_degrees"] = _rounded(nearest)
    if near:
        notes.append(f"{near} of the {len(gtab)} synthetic directions are within {TOLERANCE:.0f}° "
                     "of a measured one (dwi.json: nearest_measured_degrees)")

    def back(synthetic):
        return scale_b(synthetic, subject.b0, gtab.bvals / b_run) if scaled else synthetic

    if scaled:
        facts["b"]["assumption"] = "S(b') = S0 (S(b) / S0)^(b' / b) in every voxel and direction"
        notes.append(f"assumed: the signal decays mono-exponentially, by which the scan's "
                     f"b={b_own:g} was scaled to the run's b={b_run:g}"
                     + (" and the synthetic volumes back" if len(targets) else ""))
    elif round(b_own) != round(b_run):
        notes.append(f"the scan's b={b_own:g} is used as the run's b={b_run:g}")
    return Adapted(given, rotation, gtab, back, facts, notes)


def scale_b(dwi, b0, exponents):
    """``S0 (S / S0)^exponent``: a mono-exponential decay to another b-value.

    Args:
      dwi: float32 ``[X, Y, Z, n]``. b0: mean b0, ``[X, Y, Z]``.
      exponents: b wanted over b measured, ``[n]`` or a number.

    Returns:
      float32 ``[X, Y, Z, n]``; unchanged where ``b0`` is not positive.
    """
    exponents = np.broadcast_to(np.asarray(exponents, np.float32), dwi.shape[-1:])
    positive = b0 > 0
    s0 = np.where(positive, b0, 1).astype(np.float32)
    out = np.empty(dwi.shape, np.float32)
    for i, exponent in enumerate(exponents):  # one volume at a time: no second copy of a scan
        ratio = np.maximum(dwi[..., i], 0) / s0
        out[..., i] = np.where(positive, s0 * ratio**exponent, dwi[..., i])
    return out


def _other_b(where, b_own, b_run):
    return (where, f"b={b_own:g} nearest to the run's",
            f"a shell within {B_TOLERANCE:.0%} of b={b_run:g} s/mm²", "--scale-b",
            "scales the signal to the run's b as if it decayed mono-exponentially")


def _other_directions(where, count, found):
    far = np.flatnonzero(found.angles > TOLERANCE)
    shown = ", ".join(f"{i} ({found.angles[i]:.0f}°)" for i in far[:8])
    return (where, f"{far.size} of the run's {len(found.order)} input directions not among the "
                   f"scan's {count}: nearest to {shown}" + (", …" if far.size > 8 else ""),
            f"the run's directions within {TOLERANCE:.0f}°, in any order", "--resample",
            "interpolates the run's directions from the scan's own")


def _rounded(angles):
    return [round(float(a), 3) for a in angles]

"""Which directions a network for any table adds to a scan."""

from dataclasses import replace

import numpy as np

from dwijax.data.subject import Subject
from dwijax.errors import InputError
from dwijax.gradients import GradientTable
from dwijax.gradients.directions import added_directions, compare
from dwijax.inference.adaptation import B_TOLERANCE, Adapted

FEWEST = 6  # directions of a scan
IN_ALL = 90  # directions, acquired and added, where nothing is asked for
SAME = 1.0  # degrees; a wanted direction that is nearer to a measured one is there already


def extend(subject: Subject, *, table: GradientTable | None, add: int | None,
           where, where_table=None) -> Adapted:
    """The scan as it is, and the table of what is added to it.

    Args:
      subject: one shell, as measured.
      table: directions wanted, along the axes of ``subject``; those of the shell's b that are
        measured already are left out. None: `add` well placed ones; by default as many as make 90
        in all.
      where: bvec file. where_table: of ``table``.

    Raises:
      InputError: fewer than 6 directions, or nothing to add.
    """
    own = subject.gtab[subject.gtab.dwis]
    b, q = float(np.median(own.bvals)), len(own)
    if q < FEWEST:
        raise InputError(where, found=f"{q} directions at b={b:g}",
                         expected=f"at least {FEWEST}, which a tensor has unknowns",
                         remedy="nothing can be added to fewer: acquire more")
    notes, facts = [], {"b": {"scan": b, "run": b, "scaled": False}, "directions": "any table",
                        "input_volumes": [int(v) for v in subject.volumes[
                            subject.gtab.dwis]]}
    if table is not None:
        near = np.abs(table.bvals - b) <= B_TOLERANCE * b
        others = int((~near & ~table.b0s_mask).sum())
        if others:
            notes.append(f"{others} directions of {where_table} are of other shells than b={b:g} "
                         "and are not synthesised")
        wanted = table[near & ~table.b0s_mask]
        angles = compare(*np.broadcast_arrays(
            wanted.bvecs[:, None], own.bvecs[None])).min(axis=1, initial=180.0)
        if (angles <= SAME).any():
            notes.append(f"{int((angles <= SAME).sum())} of its {len(wanted)} directions are "
                         f"measured already (within {SAME:g}°)")
        wanted = wanted[angles > SAME]
        if not len(wanted):
            raise InputError(where_table, found=f"no direction at b={b:g} but measured ones",
                             expected="directions to add", remedy="give another --table")
    else:
        count = IN_ALL - q if add is None else add
        if count < 1:
            raise InputError(where, found=f"{q} directions", remedy="say how many with --add N",
                             expected=f"fewer than {IN_ALL}, the number in all by default")
        wanted = replace(own, bvals=np.full(count, b), bvecs=added_directions(own.bvecs, count))
    nearest = compare(*np.broadcast_arrays(wanted.bvecs[:, None], own.bvecs[None])).min(axis=1)
    facts["nearest_measured_degrees"] = [round(float(a), 3) for a in nearest]
    return Adapted(subject, np.eye(3), wanted, lambda synthetic: synthetic, facts, notes)

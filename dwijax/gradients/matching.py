"""A scan's own directions and the ones that networks know.

Networks stand for the directions of one table. Subjects rarely have exactly that one: motion
correction turns every direction a little, and alignment of the head (the HCP's to the AC-PC plane)
turns all of them together; scanners and exports put them in another order.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dwijax.errors import InputError
from dwijax.gradients.directions import angle_of, compare, match, turn

# A direction further than this from the one a network was trained on is another direction ...
TOLERANCE = 5.0
# ... but for a turn of the whole table: inputs and targets keep their angles to each other, and
# interpolation over the sphere does not know where north is. Heads are tilted by no more.
LARGEST_TURN = 20.0


class Match(NamedTuple):
    """Wanted directions found among a scan's own.

    Attributes:
      order: int ``[n]``, positions of the wanted among the own.
      angles: ``[n]``, degrees between the two.
      rotation: ``[3, 3]``, the turn of the whole table: ``own[order] ≈ wanted @ rotation.T``.
      rest: ``[n]``, degrees that are left after it.
    """

    order: np.ndarray
    angles: np.ndarray
    rotation: np.ndarray
    rest: np.ndarray

    @property
    def turned(self):
        """Angle of the rotation, degrees."""
        return angle_of(self.rotation)

    @property
    def fits(self):
        """Whether these are the wanted directions."""
        return bool(self.angles.max() <= TOLERANCE
                    or (self.turned <= LARGEST_TURN and self.rest.max() <= TOLERANCE))

    @property
    def in_order(self):
        """Whether they are the first ones of the scan, in the order wanted."""
        return bool((self.order == np.arange(len(self.order))).all())


def find_directions(own, wanted):
    """Looks for the wanted directions: in their order first, then wherever they are.

    Args:
      own: unit, ``[N, 3]``. wanted: unit, ``[n, 3]``, n ≤ N.

    Returns:
      `Match`; the nearest there is where none `fits`.
    """
    own, wanted = np.asarray(own, np.float64), np.asarray(wanted, np.float64)
    first = _match(own, wanted, np.arange(len(wanted)))
    if first.fits:
        return first
    found = _match(own, wanted, match(wanted, own)[0])
    for _ in range(5):  # matched, turned, matched again: each time a better turn
        again = _match(own, wanted, match(wanted @ found.rotation.T, own)[0])
        if again.fits or (again.order == found.order).all():
            return again if again.fits or not found.fits else found
        found = again
    return found


def _match(own, wanted, order):
    rotation = turn(wanted, own[order])
    return Match(order, compare(own[order], wanted), rotation,
                 compare(own[order], wanted @ rotation.T))


def in_order_of(subject, gtab, *, where, name):
    """A subject whose directions stand in the order of a table.

    Args:
      subject: `dwijax.data.subject.Subject`.
      gtab: the table wanted, n directions of a shell without b0s. name: whose it is, in words.
      where: the subject's bvec file.

    Returns:
      The subject itself where nothing is to be done; otherwise b0s and n directions, each with the
      subject's own bvec.

    Raises:
      InputError: its directions are not those of the table.
    """
    b0s, dwis = subject.gtab.b0s, subject.gtab.dwis
    own = subject.gtab[dwis]
    if len(own) < len(gtab):
        raise InputError(
            where, found=f"{len(own)} directions at b={np.median(own.bvals):g}",
            expected=f"the {len(gtab)} of {name}", remedy="leave the subject out")
    found = find_directions(own.bvecs, gtab.bvecs)
    if found.fits:
        if found.in_order and len(own) == len(gtab):
            return subject
        return _taken(subject, np.r_[b0s, dwis[found.order]])
    raise _not_those(where, name, found, "leave the subject out")


def _taken(subject, volumes):
    return replace(subject, dwi=subject.dwi[..., volumes], gtab=subject.gtab[volumes],
                   volumes=subject.volumes[volumes])


def _not_those(where, name, found, remedy):
    far = int(found.angles.argmax())
    return InputError(
        where, found=f"direction {far} of {name} at {found.angles[far]:.1f}° from the subject's "
                     "nearest",
        expected=f"the same directions, within {TOLERANCE:.0f}°, in any order, as a whole turned "
                 f"by up to {LARGEST_TURN:.0f}°",
        remedy=remedy)


def spread(names, tables):
    """How much the tables of subjects differ from the first one's.

    Args:
      names: of the subjects. tables: their `GradientTable`, without b0s, in one order.

    Returns:
      dict: number of subjects; over all but the first, median and largest angle in degrees, the
      subject with the largest, and the largest turn of a whole table.
    """
    found = [_match(t.bvecs, tables[0].bvecs, np.arange(len(t))) for t in tables]
    worst = int(np.argmax([m.angles.max() for m in found]))
    return {
        "subjects": len(names),
        "median_angle": float(np.median([m.angles for m in found[1:] or found])),
        "largest_angle": float(found[worst].angles.max()),
        "worst_subject": names[worst],
        "largest_turn": max(m.turned for m in found),
    }


def spread_in_words(found):
    """One line about `spread`."""
    text = (f"directions of {found['subjects']} subjects: from the first one's "
            f"{found['median_angle']:.1f}° (median), at most {found['largest_angle']:.1f}° "
            f"({found['worst_subject']})")
    if found["largest_turn"] > TOLERANCE:
        text += f"; tables turned by up to {found['largest_turn']:.1f}° as a whole"
    return text

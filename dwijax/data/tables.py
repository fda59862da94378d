"""A scan's own directions and the ones that networks know.

Networks stand for the directions of one table. Subjects rarely have exactly that one: motion
correction turns every direction a little, and alignment of the head (the HCP's to the AC-PC plane)
turns all of them together; scanners and exports put them in another order.
"""

from typing import NamedTuple

import numpy as np

from dwijax.directions import angle_of, compare, match, turn
from dwijax.errors import InputError

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


def same_directions(own, gtab, where, name):
    """The order in which a subject's directions are those of a table.

    Args:
      own: `GradientTable` of the subject's shell, without b0s. gtab: the table wanted.
      where: the subject's bvec file. name: whose the table is, in words.

    Returns:
      `Match`.

    Raises:
      InputError: they are not.
    """
    if len(own) < len(gtab):
        raise InputError(
            where, found=f"{len(own)} directions in the shell",
            expected=f"the {len(gtab)} of {name}", remedy="leave the subject out")
    found = find_directions(own.bvecs, gtab.bvecs)
    if not found.fits:
        far = int(found.angles.argmax())
        raise InputError(
            where, found=f"direction {far} of {name} at {found.angles[far]:.1f}° from the "
                         "subject's nearest",
            expected=f"the same directions, within {TOLERANCE:.0f}°, in any order, as a whole "
                     f"turned by up to {LARGEST_TURN:.0f}°",
            remedy="leave the subject out")
    return found


def spread(matches):
    """How much the tables of subjects differ.

    Args:
      matches: name of a subject to its `Match`.

    Returns:
      dict: median and largest angle in degrees, the subject with the largest, how many are in
      another order, and the largest turn.
    """
    largest = {name: float(m.angles.max()) for name, m in matches.items()}
    worst = max(largest, key=largest.get)
    return {
        "subjects": len(matches),
        "median_angle": float(np.median(np.concatenate([m.angles for m in matches.values()]))),
        "largest_angle": largest[worst],
        "worst_subject": worst,
        "largest_turn": max(m.turned for m in matches.values()),
        "reordered": sum(not m.in_order for m in matches.values()),
    }


def spread_in_words(found):
    """One line about `spread`."""
    text = (f"directions of {found['subjects']} subjects: median {found['median_angle']:.1f}°, at "
            f"most {found['largest_angle']:.1f}° ({found['worst_subject']}) from the first one's")
    if found["largest_turn"] > TOLERANCE:
        text += f", tables turned by up to {found['largest_turn']:.1f}° as a whole"
    if found["reordered"]:
        text += f", {found['reordered']} put in its order"
    return text

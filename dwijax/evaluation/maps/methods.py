"""The ways to maps that a report compares, by their names."""

from typing import NamedTuple

from dwijax.evaluation.common.results import ALL
from dwijax.inference.network_maps import DIRECT, TENSOR, NetworkMaps

# Kinds beside those of networks (`dwijax.inference.network_maps`), and what may stand before these.
FIT, SMOOTHED = "fit", "smoothed fit"
NOISY, ENSEMBLE = "noise-trained ", "ensemble "

# Numbers of directions that the paper's figures have, where a report has more than these.
MAPS_Q = (6, 18, 36)


class Method(NamedTuple):
    """A kind, and the number of directions that it sees; None: all of them, or of the truth."""

    kind: str
    q: int | None


def named(kind: str, q: int) -> str:
    """Name of a method that sees q directions: ``networks 6``."""
    return f"{kind} {q}"


def method_of(name: str) -> Method:
    """`Method` of a name; ``(ALL, None)`` of the fit of all directions."""
    kind, _, q = name.rpartition(" ")
    return Method(kind, int(q)) if q.isdigit() else Method(name, None)


def of_paper(maps: dict[str, NetworkMaps]) -> dict[str, NetworkMaps]:
    """Maps without the smoothed fits, noise-trained networks and numbers of directions that the
    paper's figures do not have, where there are those that it has."""
    methods = {name: method_of(name) for name in maps}
    counts = {m.q for m in methods.values()}
    kept = {None, *(counts & {*MAPS_Q} or counts)}
    return {name: maps[name] for name, m in methods.items()
            if m.kind in (FIT, DIRECT, TENSOR, ALL) and m.q in kept}

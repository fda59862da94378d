"""Two ways to a map: a network of its own, or a tensor network, whose maps belong together."""

from collections.abc import Iterator
from typing import NamedTuple

from dwijax.evaluation.common.results import ALL_ACQUIRED, TRUTH, Key, Results
from dwijax.evaluation.common.tables import Table, interval, mean
from dwijax.evaluation.maps.protocol import Contender
from dwijax.inference.network_maps import DIRECT, DYADIC, TENSOR


class Pair(NamedTuple):
    """A number by one way and by the other, which is subtracted."""

    name: str
    quantity: str
    region: str
    one: str = TENSOR
    other: str = DIRECT


PAIRS = (
    Pair("FA RMSE, brain", "FA RMSE", "brain"),
    Pair("FA RMSE, white matter", "FA RMSE", "WM"),
    Pair("FA RMSE, brain, of FA vvᵀ", "FA RMSE", "brain", DYADIC),
    Pair("MD RMSE, brain, µm²/ms", "MD RMSE", "brain"),
    Pair("V1, mean angle, degrees", "V1 angle, mean", "WM"),
)


def direct_or_tensor_tables(results: Results, group: str,
                            contenders: list[Contender]) -> Iterator[Table]:
    """Yields the table where a run has both; ``group``: name of the cohort."""
    against = TRUTH if results.select(cohort=group, quantity="MD RMSE", against=TRUTH) \
        else ALL_ACQUIRED
    lesions = sorted({(key.against, key.region) for key in
                      results.select(cohort=group, quantity="lesion FA RMSE")})
    asked = [(pair, against) for pair in PAIRS]
    asked += [(Pair(f"{quantity} RMSE in the {kind} lesion, {region}", f"lesion {quantity} RMSE",
                    region), kind) for kind, region in lesions for quantity in ("FA", "MD")]
    rows = []
    for contender in contenders:
        for pair, to in asked:
            one, other = (Key(group, pair.quantity, to, pair.region, contender.named(way))
                          for way in (pair.one, pair.other))
            paired = results.paired(one, other.method)
            if paired:
                rows.append([
                    f"{contender.kind}{contender.q} DWIs: {pair.name}", pair.one,
                    mean(results.estimate(*one)), pair.other, mean(results.estimate(*other)),
                    interval(paired.difference, sign="+")])
    if rows:
        yield Table("Networks of one map each, or one network of a tensor",
                    ["", "one way", "", "other way", "", "difference [95 %]"], rows,
                    ["against the " + ("truth" if against == TRUTH else "fit of all")
                     + "; negative: the one way is better; lesions: of the subjects studied"])

"""Two ways to a map: a network of its own, or a tensor network, whose maps belong together."""

from dwijax.evaluation.common.tables import Table, interval, mean
from dwijax.evaluation.studies.map_studies import TRUTH
from dwijax.inference.network_maps import DIRECT, DYADIC, TENSOR

# (name, quantity, region, the one way, the other); the second way is what is subtracted.
_PAIRS = (
    ("FA RMSE, brain", "FA RMSE", "brain", TENSOR, DIRECT),
    ("FA RMSE, white matter", "FA RMSE", "WM", TENSOR, DIRECT),
    ("FA RMSE, brain, of FA vvᵀ", "FA RMSE", "brain", DYADIC, DIRECT),
    ("MD RMSE, brain, µm²/ms", "MD RMSE", "brain", TENSOR, DIRECT),
    ("V1, mean angle, degrees", "V1 angle, mean", "WM", TENSOR, DIRECT),
)


def duel_tables(results, group, contenders):
    """Yields the table where a run has both.

    Args:
      results: `dwijax.evaluation.common.tables.Results`. group: name of the cohort.
      contenders: list of `dwijax.evaluation.maps.protocol.Contender`.
    """
    keys = set(results.keys)
    against = TRUTH if any(k[0] == group and k[2] == TRUTH and k[1] == "MD RMSE" for k in keys) \
        else "all acquired"
    rows = []
    for contender in contenders:
        def add(name, key, one, other, against=against, contender=contender):
            a, b = ((group, *key, contender.named(m)) for m in (one, other))
            difference = results.paired(a, b)
            if difference:
                rows.append([
                    f"{contender.kind}{contender.q} DWIs: {name}", one, mean(results.estimate(*a)),
                    other, mean(results.estimate(*b)), interval(difference[0], sign="+")])

        for name, quantity, region, one, other in _PAIRS:
            add(name, (quantity, against, region), one, other)
        lesions = sorted({k[2:4] for k in keys if k[:2] == (group, "lesion FA RMSE")})
        for kind, region in lesions:
            for quantity in ("FA", "MD"):
                add(f"{quantity} RMSE in the {kind} lesion, {region}",
                    (f"lesion {quantity} RMSE", kind, region), TENSOR, DIRECT)
    if rows:
        yield Table("Networks of one map each, or one network of a tensor",
                    ["", "one way", "", "other way", "", "difference [95 %]"], rows,
                    ["against the " + ("truth" if against == TRUTH else "fit of all")
                     + "; negative: the one way is better; lesions: of the subjects studied"])

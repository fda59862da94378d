"""Whether what was added makes a scan better, in words and in numbers."""

from typing import NamedTuple

from dwijax.enhancing.judging import REGIONS, HeldBack, Simulated

BETTER, SAME, WORSE = "better", "no difference", "worse"
SHIFT = 0.02  # of FA in white matter, above which the first screen tells it


class Verdict(NamedTuple):
    """Attributes:
      verdict: `BETTER`, `SAME` or `WORSE`. sentence: the answer, with the figures that it rests on.
      facts: for JSON, names that stay.
    """

    verdict: str
    sentence: str
    facts: dict


def decide(held: HeldBack | None, simulated: Simulated, *, classical: list[str],
           shift: dict[str, float]) -> Verdict:
    """The verdict of both judges.

    Better is what predicts held-back directions better than the tensor fit of the acquired ones
    does, beyond chance, and not worse than the best classical way; and brings FA of the simulated
    twin nearer to its truth. Either judge alone can call it worse.

    Args:
      held: of ``enhanced`` and of the ``classical`` methods, ``tensor`` among them; None of scans
        that are too short to hold directions back. simulated: the twin.
      shift: enhanced minus plain FA, mean by region, of the scan itself.
    """
    plain, enhanced = (simulated.fa_error(maps) for maps in (simulated.plain, simulated.enhanced))
    twin = (f"of a simulated twin with known truth the error of FA is {enhanced:.4f} instead of "
            f"{plain:.4f}")
    facts = {
        "fa_shift": shift,
        "twin": {"fa_rmse": {"acquired": plain, "enhanced": enhanced},
                 "fa_bias": {region: {"acquired": simulated.fa_bias(simulated.plain, region),
                                      "enhanced": simulated.fa_bias(simulated.enhanced, region)}
                             for region in REGIONS[1:]}}}
    if held is None:
        found = BETTER if enhanced < plain else WORSE
        return Verdict(found, f"{found.capitalize()} by simulation alone, as there are too few "
                       f"directions to hold some back: {twin}.",
                       {"verdict": found, "judged_by": "simulation", **facts})
    best = min(classical, key=held.rmse)
    against_fit, against_best = (held.difference("enhanced", name) for name in ("tensor", best))
    if against_fit.low > 0 or against_best.low > 0 or enhanced > plain:
        found = WORSE
    else:
        found = BETTER if against_fit.high < 0 else SAME
    sentence = (
        f"{found.capitalize()}: the error of {held.directions} directions of this scan that were "
        f"held back changes by {_percent(against_fit, held.rmse('tensor'))} against the tensor fit "
        f"of the others and by {_percent(against_best, held.rmse(best))} against the best "
        f"classical way tuned on it; {twin}.")
    facts["held_back"] = {
        "directions": held.directions, "best_classical": best,
        "rmse": {name: {region: held.rmse(name, region) for region in REGIONS}
                 for name in held.squares},
        "against_tensor_fit": {region: held.difference("enhanced", "tensor", region)._asdict()
                               for region in REGIONS},
        "against_best_classical": {region: held.difference("enhanced", best, region)._asdict()
                               for region in REGIONS}}
    return Verdict(found, sentence, {"verdict": found, "judged_by": "held back and simulation",
                                     **facts})


def _percent(interval, of):
    return "{:+.1f} [{:+.1f}, {:+.1f}] %".format(*(100 * value / of for value in interval))


def shift_in_words(shift: dict[str, float]) -> str | None:
    """A line where FA of white matter moves by more than `SHIFT`, else None."""
    moved = shift["WM"]
    if abs(moved) <= SHIFT:
        return None
    return (f"FA of white matter is {abs(moved):.3f} {'lower' if moved < 0 else 'higher'} than by "
            "the fit of the acquired volumes, which noise raises: do not mix enhanced and plain "
            "maps in one study")

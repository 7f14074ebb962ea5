"""What an audit says of a gate: that it holds, that it fails, or that there were too few to tell. One rule for all gates.

A gate says which of a figure and the ends of its 95 % interval it limits:

- `upper`, of compounds that are named or decoded one by one: so few are allowed that the gate is held against the most that there may be;
- `value`, of who was trained on: the gate is three times what guessing gives, and the figure itself is held against it;
- `lower`, of whatever is told as a distance from chance: the gate is at chance, and only a clear excess counts.

A gate fails if the figure lies beyond it and, by its whole interval, beyond guessing. It holds if what it limits is within it, in a sample
that could have shown otherwise: had the attack found nothing at all, the upper end (`finest`) would be within the gate too. Nobody named of
two hundred is no evidence for a gate of one in a thousand; neither is it evidence against it.
"""

from collections.abc import Iterable
from enum import StrEnum
from math import isnan


class Verdict(StrEnum):
    """What is known of a gate."""

    PASS = "pass"  # noqa: S105 (no password)
    TOO_FEW = "too few to tell"
    FAIL = "fail"


SEVERITY = {verdict: place for place, verdict in enumerate(Verdict)}


def judge(limited: float, value: float, lower: float, chance: float, gate: float, finest: float) -> Verdict:
    """The verdict on one figure; of one that is not a number nothing can be told.

    Args:
        limited: What the gate limits: value, lower or upper end.
        value, lower: The figure, and the lower end of its interval.
        chance: What guessing gives.
        finest: The upper end that so many trials would give if nothing were found; 0 where the gate is at chance.
    """
    if value > gate and lower > min(gate, chance):
        return Verdict.FAIL
    if limited <= gate and finest <= gate and not isnan(value):
        return Verdict.PASS
    return Verdict.TOO_FEW


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Of several gates together: one that fails counts before one of which nothing is known. Without a gate nothing was held."""
    return max(verdicts, key=SEVERITY.__getitem__, default=Verdict.TOO_FEW)

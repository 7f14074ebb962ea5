"""What a partner notes of each sum that it takes into its trunk."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class RoundSum:
    """One line of a partner's record of sums: a sum of updates that this partner took into its trunk.

    Attributes:
        round: Whose updates they are.
        partners: Updates in it.
        clipped: Values that all of them together clipped.
        largest: Magnitude in the mean update.
        coordinates: Values of each update.
        range: Of the next update.
        rows: Of the first layer, in each update.
        slots: Shared heads, in each update.
        few: Of those, the ones that were not used since too few holders were left: how many were, by the slot's number as JSON has it.
    """

    round: int
    partners: int
    clipped: int
    largest: float
    coordinates: int
    range: float
    rows: int
    slots: int
    few: dict[str, int] = field(default_factory=dict)


def sums_that_count(noted: Iterable[RoundSum]) -> list[RoundSum]:
    """The sums that a trunk is made of, in the rounds' order.

    A round has two lines where too few partners finished it the first time: whoever had went back to the trunk before. The last one counts.
    """
    by_round = {each.round: each for each in noted}
    return [by_round[number] for number in sorted(by_round)]


def all_numbers(found: dict[str, Any]) -> bool:
    """Whether all that a line says is finite numbers, also what it says slot by slot: with a handed-over trunk comes another's."""
    values = [value for each in found.values() for value in (each.values() if isinstance(each, dict) else [each])]
    try:
        return all(isinstance(value, int | float) and isfinite(value) for value in values)
    except OverflowError:  # an int that no float holds
        return False

"""What a partner notes of each sum that it takes into its trunk."""

from dataclasses import dataclass


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
    """

    round: int
    partners: int
    clipped: int
    largest: float
    coordinates: int
    range: float
    rows: int
    slots: int

"""What a decoded sum must pass before it becomes the trunk: `CHECKS` is the list, in order.

A decoded sum is *pending* until `judge` accepts it: nothing of the trunk is touched before, so a refusal leaves everything as it was.
Pending are the words themselves, with the counters read from their end, and not the mean update: that would be a large trunk a second
time, while a check can work the mean out piece by piece. Acceptance is then a matter of the type, and `SharedTrunk.adding`, which takes
nothing else, adds in place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NewType

import numpy as np

from strategies.secagg import digits
from strategies.secagg.errors import SumOutOfRangeError
from strategies.update.codec import WEIGHT_BITS, UpdateCodec
from strategies.update.quantise import Quantiser


@dataclass(frozen=True)
class PendingSum:
    """A sum of updates, before anybody has looked at it.

    Attributes:
        codec: As its words were encoded.
        words: int32 or int16 [codec.words], values with counters behind; left as they are.
        survivors: Partners in the sum.
        value_range: Of the quantiser of this round.
    """

    codec: UpdateCodec
    words: np.ndarray
    survivors: int
    value_range: float

    @property
    def quantiser(self) -> Quantiser:
        """What turns values into the mean update."""
        return self.codec.quantiser(self.value_range)

    @property
    def values(self) -> np.ndarray:
        """Sums of the partners' values, [codec.coordinates]; a view."""
        return self.words[: self.codec.coordinates]

    @cached_property
    def weight(self) -> int:
        """Of all partners together, as they say."""
        return self._joined(self._counters[: self._weight_words])

    @cached_property
    def clipped(self) -> int:
        """Coordinates that all partners together clipped, as they say."""
        return self._joined(self._counters[self._weight_words :])

    @cached_property
    def extremes(self) -> np.ndarray:
        """The least and the largest value, [2]."""
        return np.array([self.values.min(), self.values.max()])

    @property
    def largest(self) -> float:
        """Magnitude in the mean update, of a weight that `CHECKS` let pass: that of an extreme, since a mean grows with its sum."""
        return float(np.abs(self.quantiser.mean(self.extremes, self.weight)).max())

    @property
    def _counters(self) -> list[int]:
        words: list[int] = self.words[self.codec.coordinates :].view(f"<u{self.words.itemsize}").tolist()
        return words

    @property
    def _weight_words(self) -> int:
        return digits.count(WEIGHT_BITS, self.codec.word_bits, self.codec.partners)

    def _joined(self, counter: list[int]) -> int:
        return digits.join(counter, self.codec.word_bits, self.codec.partners)


AcceptedSum = NewType("AcceptedSum", PendingSum)
Check = Callable[[PendingSum], str]  # why the sum is refused; empty if it is not


def judge(pending: PendingSum) -> AcceptedSum:
    """Accept a sum.

    Raises:
        SumOutOfRangeError: It is no sum of allowed words; nothing was changed.
    """
    for check in CHECKS:
        if reason := check(pending):
            raise SumOutOfRangeError(reason)
    return AcceptedSum(pending)


def _words(pending: PendingSum) -> str:
    """As many words as an update has."""
    expected = pending.codec.words
    return "" if len(pending.words) == expected else f"{len(pending.words)} words, not {expected}"


def _weight(pending: PendingSum) -> str:
    """A weight that so many partners can have together; none of nobody."""
    within = max(pending.survivors, 1) <= pending.weight <= pending.survivors * pending.codec.largest_weight
    return "" if within else _left_the_range(pending)


def _range(pending: PendingSum) -> str:
    """No value beyond what that weight allows."""
    least, largest = pending.extremes.tolist()
    return "" if max(largest, -least) <= _bound(pending) else _left_the_range(pending)


# Each may rely on those before it. Nothing in a sum says whose words it has, so the sum itself is looked at: one word out of range
# spoils the round, and names nobody (PROTOCOL.md of `strategies.secagg`, section 9).
CHECKS: tuple[Check, ...] = (_words, _weight, _range)


def _bound(pending: PendingSum) -> int:
    return min(pending.weight, pending.survivors * pending.codec.largest_weight) * pending.quantiser.largest


def _left_the_range(pending: PendingSum) -> str:
    return (
        f"a sum over {pending.survivors} partners with weight {pending.weight} and values beyond {_bound(pending)}: "
        "a partner left the range"
    )

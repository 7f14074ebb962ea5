"""What a decoded sum must pass before it becomes the trunk: `CHECKS` is the list, in order.

A decoded sum is *pending* until `judge` accepts it: nothing of the trunk is touched before, so a refusal leaves everything as it was.
Pending are the words themselves, with the counters read from their end, and not the mean update: that would be a large trunk a second
time, while a check can work the mean out piece by piece. Acceptance is then a matter of the type, and `SharedTrunk.adding`, which takes
nothing else, adds in place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NewType

import numpy as np
from numpy.typing import NDArray

from strategies.secagg import digits
from strategies.secagg.errors import SumOutOfRangeError, SupportOutOfRangeError
from strategies.update.codec import WEIGHT_BITS, Part, UpdateCodec, part_of
from strategies.update.quantise import Quantiser
from strategies.update.row_guard import LEAST_HOLDERS


@dataclass(frozen=True)
class PendingSum:
    """A sum of updates, before anybody has looked at it.

    Attributes:
        codec: As its words were encoded.
        words: int32 or int16 [codec.words], values and presences with counters behind; left as they are.
        survivors: Partners in the sum.
        value_range: Of the quantiser of this round.
        holders: Least presence with which a slot is used: a count, as long as every partner's weight is 1.
    """

    codec: UpdateCodec
    words: np.ndarray
    survivors: int
    value_range: float
    holders: int = LEAST_HOLDERS

    @property
    def quantiser(self) -> Quantiser:
        """What turns values into the mean update."""
        return self.codec.quantiser(self.value_range)

    @property
    def dense(self) -> np.ndarray:
        """Sums of the partners' values before those of the slots, [codec.dense]; a view."""
        return self.words[: self.codec.dense]

    @property
    def slots(self) -> np.ndarray:
        """Sums of the partners' values of the slots, [listed slots, codec.slot_width]; a view."""
        return self.codec.blocks(self.words)[:, :-1]

    @property
    def presences(self) -> np.ndarray:
        """Of each slot: weight of those who have a part in it, as they say, [listed slots]; a view."""
        return self.codec.blocks(self.words)[:, -1]

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
        """The least and the largest value before those of the slots, [2]."""
        return np.array([self.dense.min(), self.dense.max()])

    @property
    def largest(self) -> float:
        """Magnitude in the mean update, of weights that `CHECKS` let pass: that of an extreme, since a mean grows with its sum."""
        quantiser = self.quantiser
        means = [quantiser.mean(self.extremes, self.weight)]
        means += [quantiser.mean(values, presence) for values, presence in self._present() if presence >= self.holders]
        return max(float(np.abs(mean).max()) for mean in means)

    @property
    def few(self) -> dict[int, int]:
        """Listed slots that are not used, since holders dropped out of this sum or were never as many as was said; their presence."""
        presences = zip(self.codec.slots.tolist(), self.presences.tolist(), strict=True)
        return {slot: presence for slot, presence in presences if presence < self.holders}

    def means(self, arrays: list[np.ndarray]) -> Iterator[tuple[slice, int, Part, np.ndarray]]:
        """The mean update, piece by piece: the place among all values, array number, part of that array, and the mean, float32.

        A slot's mean is over those who have a part in it; one in which too few were left is left out (`few`).

        Args:
            arrays: Of the trunk, for their sizes.
        """
        quantiser, first = self.quantiser, 0
        for number, part in self.codec.pieces(arrays):
            size = len(part_of(arrays[number], part))
            yield slice(first, first + size), number, part, quantiser.mean(self.dense[first : first + size], self.weight)
            first += size
        for (number, slot), (values, presence) in zip(self.codec.slot_pieces(), self._present(), strict=True):
            if presence >= self.holders:
                yield slice(first, first + len(values)), number, slot, quantiser.mean(values, presence)
            first += len(values)

    def _present(self) -> Iterator[tuple[np.ndarray, int]]:
        """Values of each slot, and their weight."""
        return zip(self.slots, self.presences.tolist(), strict=True)

    @property
    def _counters(self) -> list[int]:
        words: list[int] = self.words[self.codec.before_counters :].view(f"<u{self.words.itemsize}").tolist()
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


def judge_supports(supports: NDArray[np.integer], bits: int, survivors: int) -> None:
    """See that a sum of row lists is one of 0 and 1 from so many partners.

    Args:
        supports: The sum, integers [bits + slots].
        bits: Rows of the first layer.
    Raises:
        SupportOutOfRangeError: It is none; the first row or slot is named.
    """
    beyond = (supports < 0) | (supports > survivors)
    if beyond.any():
        place = int(np.argmax(beyond))
        named = f"row {place}" if place < bits else f"slot {place - bits}"
        raise SupportOutOfRangeError(f"{named} has {supports[place]} supporters among {survivors} partners: one of them said more than 1")


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


def _slots(pending: PendingSum) -> str:
    """In no slot a weight that the partners do not have, nor a value beyond what the weight that has a part in it allows."""
    presences = pending.presences.astype(np.int64)
    within = (presences >= 0) & (presences <= pending.weight)
    within &= (np.abs(pending.slots.astype(np.int64)) <= presences[:, None] * pending.quantiser.largest).all(axis=1)
    return "" if within.all() else f"slot {int(pending.codec.slots[np.argmin(within)])} of {_left_the_range(pending)}"


# Each may rely on those before it. Nothing in a sum says whose words it has, so the sum itself is looked at: one word out of range
# spoils the round, and names nobody (PROTOCOL.md of `strategies.secagg`, section 9).
CHECKS: tuple[Check, ...] = (_words, _weight, _range, _slots)


def _bound(pending: PendingSum) -> int:
    return min(pending.weight, pending.survivors * pending.codec.largest_weight) * pending.quantiser.largest


def _left_the_range(pending: PendingSum) -> str:
    return (
        f"a sum over {pending.survivors} partners with weight {pending.weight} and values beyond {_bound(pending)}: "
        "a partner left the range"
    )

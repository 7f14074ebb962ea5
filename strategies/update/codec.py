"""The words of an update: which values they stand for, in which order, and how finely.

    [listed rows of the first array][arrays between, whole][for each listed slot: its values, then its presence][counters]

Words of partners are added without anybody looking at them, so whatever they mean must be alike at all partners before a round begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from strategies.secagg import digits
from strategies.update.quantise import PIECE, Quantiser

WEIGHT_BITS, CLIPPED_BITS = 32, 40  # of the two counters
Part = NDArray[np.int64] | slice  # of an array: rows, or a slice of all its values


@dataclass(frozen=True)
class UpdateCodec:
    """How an update becomes words: the listed rows of the first array, the arrays between whole, the listed slots, then counters.

    A slot is a row of the last array, the shared heads, where the experiment has them. Behind its values stands the weight of the
    partner, or 0 if it has no part in this slot, so that a sum tells by what to divide.
    The counters are the partner's weight and how many of its values were clipped, cut into words so small that their sums cannot wrap.

    Attributes:
        shapes: Of the trunk's arrays.
        listed: What may leave: bool [rows of the first array], with slots [rows of the first array + rows of the last].
        word_bits: 32 or 16.
        partners: Most partners in a sum.
        largest_weight: Largest weight of a partner.
    """

    shapes: tuple[tuple[int, ...], ...]
    listed: NDArray[np.bool_]
    word_bits: int
    partners: int
    largest_weight: int = 1

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Listed rows of the first array, ascending."""
        return np.flatnonzero(self.listed[: self.shapes[0][0]])

    @cached_property
    def slots(self) -> NDArray[np.int64]:
        """Listed slots, ascending; none where the trunk has no shared heads."""
        return np.flatnonzero(self.listed[self.shapes[0][0] :])

    @cached_property
    def dense(self) -> int:
        """Values before those of the slots."""
        return len(self.rows) * prod(self.shapes[0][1:]) + sum(map(prod, self.shapes[1 : self._heads]))

    @property
    def slot_width(self) -> int:
        """Values of a slot."""
        return prod(self.shapes[-1][1:]) if len(self.listed) > self.shapes[0][0] else 0

    @property
    def coordinates(self) -> int:
        """Values of an update."""
        return self.dense + len(self.slots) * self.slot_width

    @property
    def before_counters(self) -> int:
        """Words of values and presences."""
        return self.coordinates + len(self.slots)

    @property
    def words(self) -> int:
        """Values, presences and counters."""
        return self.before_counters + sum(digits.count(bits, self.word_bits, self.partners) for bits in (WEIGHT_BITS, CLIPPED_BITS))

    def quantiser(self, value_range: float, weight: int = 1) -> Quantiser:
        """The finest encoding whose sum over all partners cannot wrap; sums of weights, which are smaller, cannot either."""
        return Quantiser.for_sum(self.word_bits, self.partners, value_range, weight, self.largest_weight)

    def blocks(self, words: np.ndarray) -> np.ndarray:
        """A view of the slots' words: [listed slots, values and presence]."""
        return words[self.dense : self.before_counters].reshape(len(self.slots), self.slot_width + 1)

    def pieces(self, arrays: list[np.ndarray]) -> Iterator[tuple[int, Part]]:
        """The values before those of the slots, in order, in pieces that stay in the processor's cache: array number, and a part of it."""
        width = prod(self.shapes[0][1:])
        step = max(1, PIECE // max(width, 1))
        for first in range(0, len(self.rows), step):
            yield 0, self.rows[first : first + step]
        for number, array in enumerate(arrays[1 : self._heads], 1):
            for first in range(0, array.size, PIECE):
                yield number, slice(first, first + PIECE)

    def slot_pieces(self) -> Iterator[tuple[int, slice]]:
        """The values of each listed slot, as `pieces`."""
        for slot in self.slots.tolist():
            yield self._heads, slice(slot * self.slot_width, (slot + 1) * self.slot_width)

    @property
    def _heads(self) -> int:
        """Number of the array of shared heads; of arrays, where there are none."""
        return len(self.shapes) - (len(self.listed) > self.shapes[0][0])


def part_of(array: np.ndarray, part: Part) -> np.ndarray:
    """Rows, or a slice of all values, as a vector."""
    values: np.ndarray = array.reshape(-1)[part] if isinstance(part, slice) else array[part].reshape(-1)
    return values

"""The words of an update: which values they stand for, in which order, and how finely.

Words of partners are added without anybody looking at them, so whatever they mean must be alike at all partners before a round begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from strategies.secagg import digits
from strategies.update.quantise import PIECE, Quantiser

WEIGHT_BITS, CLIPPED_BITS = 32, 40  # of the two counters


@dataclass(frozen=True)
class UpdateCodec:
    """How an update becomes words: the listed rows of the first array, the other arrays whole, then counters.

    The counters are the partner's weight and how many of its values were clipped, cut into words so small that their sums cannot wrap.

    Attributes:
        shapes: Of the trunk's arrays.
        rows: Listed rows of the first array, ascending, int64.
        word_bits: 32 or 16.
        partners: Most partners in a sum.
        largest_weight: Largest weight of a partner.
    """

    shapes: tuple[tuple[int, ...], ...]
    rows: np.ndarray
    word_bits: int
    partners: int
    largest_weight: int = 1

    @property
    def coordinates(self) -> int:
        """Values of an update."""
        return len(self.rows) * prod(self.shapes[0][1:]) + sum(prod(shape) for shape in self.shapes[1:])

    @property
    def words(self) -> int:
        """Coordinates and counters."""
        return self.coordinates + sum(digits.count(bits, self.word_bits, self.partners) for bits in (WEIGHT_BITS, CLIPPED_BITS))

    def quantiser(self, value_range: float, weight: int = 1) -> Quantiser:
        """The finest encoding whose sum over all partners cannot wrap."""
        return Quantiser.for_sum(self.word_bits, self.partners, value_range, weight, self.largest_weight)

    def pieces(self, arrays: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray | slice]]:
        """The coordinates in order, in pieces that stay in the processor's cache: array number, and rows or a slice of it."""
        width = prod(self.shapes[0][1:])
        step = max(1, PIECE // max(width, 1))
        for first in range(0, len(self.rows), step):
            yield 0, self.rows[first : first + step]
        for number, array in enumerate(arrays[1:], 1):
            for first in range(0, array.size, PIECE):
                yield number, slice(first, first + PIECE)

"""What trunks must be: computed from the updates in them, in whole numbers and without a mask, and nothing left to chance."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from strategies.update.quantise import next_range
from tests.strategies.toy import ROWS, SHAPES

VALUE_BITS, FIRST_RANGE = 24, 0.25
LISTED = [np.broadcast_to(ROWS[:, None], SHAPES[0]), np.ones(SHAPES[1], dtype=np.bool_)]
START = [np.where(listed, np.float32(8), np.float32(0)) for listed in LISTED]


def update(partner: int, number: int, attempt: int) -> list[np.ndarray]:
    """What a partner learns: multiples of 2^-12 below 0.05, unlike any other update."""
    random = np.random.default_rng([partner, number, attempt])
    return [(random.integers(-200, 200, shape) / 4096).astype(np.float32) for shape in SHAPES]


@dataclass(frozen=True)
class Expected:
    """A trunk that somebody may hold."""

    version: int
    arrays: list[np.ndarray]
    range: float

    def after(self, updates: list[list[np.ndarray]]) -> "Expected":
        """The trunk when these updates were added up: the sum in whole numbers, then one division."""
        unit, largest_word = Fraction(self.range) / 2 ** (VALUE_BITS - 1), 2 ** (VALUE_BITS - 1) - 1
        clipped, largest, arrays = 0, 0.0, [array.copy() for array in self.arrays]
        for place, listed in enumerate(LISTED):
            for at in zip(*np.nonzero(listed), strict=True):
                before, total = self.arrays[place][at], 0
                for each in updates:
                    trained = before + each[place][at]
                    word = (Fraction(float(trained)) - Fraction(float(before))) / unit
                    assert word.denominator == 1, "trunks are so large, and updates so small, that nothing is left to chance"
                    total += min(max(int(word), -largest_word), largest_word)
                    clipped += abs(word) > largest_word
                mean = np.float32(total) * np.float32(float(unit) / len(updates))
                largest = max(largest, abs(float(mean)))
                arrays[place][at] = before + mean
        coordinates = sum(int(listed.sum()) for listed in LISTED)
        return Expected(self.version + 1, arrays, next_range(self.range, largest, clipped, coordinates, len(updates)))

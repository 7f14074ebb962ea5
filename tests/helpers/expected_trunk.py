"""What trunks must be: computed from the updates in them, in whole numbers and without a mask, and nothing left to chance."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from strategies.update.quantise import next_range
from tests.strategies.toy import HEADS, MOMENTUM, ROWS, SHAPES, parts

VALUE_BITS, FIRST_RANGE = 24, 0.25
ALL_SHAPES = (*SHAPES, HEADS)
BITS, LAST = SHAPES[0][0], len(SHAPES)
START = [np.where(ROWS[:, None], np.float32(8), np.float32(0)) * np.ones(SHAPES[0], dtype=np.float32)]
START += [np.full(shape, 8, dtype=np.float32) for shape in ALL_SHAPES[1:]]


def update(partner: int, number: int, attempt: int) -> list[np.ndarray]:
    """What a partner learns: multiples of 2^-12 below 0.05, unlike any other update; also of heads in which it has no part."""
    random = np.random.default_rng([partner, number, attempt])
    return [(random.integers(-200, 200, shape) / 4096).astype(np.float32) for shape in ALL_SHAPES]


def still() -> list[np.ndarray]:
    """The velocity of a trunk that nothing was added to."""
    return [np.zeros(shape, dtype=np.float32) for shape in ALL_SHAPES]


@dataclass(frozen=True)
class Expected:
    """A trunk that somebody may hold, with its velocity, value by value."""

    version: int
    arrays: list[np.ndarray]
    range: float
    velocity: list[np.ndarray] = field(default_factory=still)

    def after(self, updates: dict[int, list[np.ndarray]], may_leave: np.ndarray) -> "Expected":
        """The trunk when these partners' updates were added up: the sum in whole numbers, then one division, then momentum.

        Args:
            may_leave: What was listed, bool [rows, then slots].
        """
        unit, largest_word = Fraction(self.range) / 2 ** (VALUE_BITS - 1), 2 ** (VALUE_BITS - 1) - 1
        clipped, largest, coordinates = 0, 0.0, 0
        arrays, velocity = [array.copy() for array in self.arrays], [array.copy() for array in self.velocity]
        for place, shape in enumerate(ALL_SHAPES):
            for at in np.ndindex(*shape):
                slot = at[0] if place == LAST else None
                if (place == 0 and not may_leave[at[0]]) or (slot is not None and not may_leave[BITS + slot]):
                    velocity[place][at] = 0
                    continue
                coordinates += 1
                before, total = self.arrays[place][at], 0
                present = [partner for partner in updates if slot is None or parts(partner)[slot]]
                for partner in present:
                    trained = before + updates[partner][place][at]
                    word = (Fraction(float(trained)) - Fraction(float(before))) / unit
                    assert word.denominator == 1, "trunks are so large, and updates so small, that nothing is left to chance"
                    total += min(max(int(word), -largest_word), largest_word)
                    clipped += abs(word) > largest_word
                if not present:
                    continue
                mean = np.float32(total) * np.float32(float(unit) / len(present))
                largest = max(largest, abs(float(mean)))
                velocity[place][at] = np.float32(MOMENTUM) * velocity[place][at] + mean
                arrays[place][at] = before + velocity[place][at]
        return Expected(self.version + 1, arrays, next_range(self.range, largest, clipped, coordinates, len(updates)), velocity)

    def velocity_over(self, may_leave: np.ndarray) -> np.ndarray:
        """The velocity of what was listed, in the order of an update."""
        first, *between, heads = self.velocity
        return np.concatenate([first[may_leave[:BITS]].ravel(), *(array.ravel() for array in between), heads[may_leave[BITS:]].ravel()])

"""Momentum of the shared trunk: what earlier mean updates add to the next one.

It is a part of what partners hold alike, bit for bit, and so must not depend on how a partner came to hold it: a list that partners agreed
on, and under which no sum was added, leaves no trace in it. It therefore keeps the list of the last sum, and moves to another one with the
next.
"""

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from strategies.update.codec import UpdateCodec


@dataclass(frozen=True)
class Velocity:
    """The mean updates so far, each counting `momentum` times what the one after it does; none before the first sum.

    Attributes:
        rows: What was listed when the last of them was added, bool; as `SharedTrunk.rows`.
        values: Of the values that an update over that list has, in their order, float32.
    """

    rows: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def over(self, codec: UpdateCodec) -> "Velocity":
        """The velocity over another list: 0 for what was not in the last one, forgotten for what is in it no longer.

        Returns:
            Values that may be changed in place; itself if the list is the same.
        """
        if np.array_equal(self.rows, codec.listed) and len(self.values):
            return self
        values = np.zeros(codec.coordinates, dtype=np.float32)
        if len(self.values):
            before = UpdateCodec(codec.shapes, self.rows, codec.word_bits, codec.partners)
            bits, width = codec.shapes[0][0], prod(codec.shapes[0][1:])
            (old_rows, old_between, old_slots), (rows, between, slots) = _cut(self.values, before, width), _cut(values, codec, width)
            rows[self.rows[codec.rows]] = old_rows[codec.listed[before.rows]]
            between[:] = old_between
            slots[self.rows[bits + codec.slots]] = old_slots[codec.listed[bits + before.slots]]
        return Velocity(codec.listed, values)


def _cut(values: NDArray[np.float32], codec: UpdateCodec, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the first array's rows, of the arrays between, and of the slots."""
    first = len(codec.rows) * width
    slots = values[codec.dense :].reshape(len(codec.slots), codec.slot_width)
    return values[:first].reshape(len(codec.rows), width), values[first : codec.dense], slots

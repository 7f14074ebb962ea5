"""Averaging trunks, one partner's after another, so that memory stays at two trunks however many partners there are."""

from collections.abc import Iterable

import numpy as np


class Average:
    """The next trunk from the previous one and the partners' trunks, added one at a time.

    All partners weigh the same: a weight by size would tell the size. The rule needs only the sum of the updates.

    Args:
        previous: The trunk that the partners started from, float32. It is not changed.
    """

    def __init__(self, previous: list[np.ndarray]) -> None:
        self.previous = previous
        self.updates = [np.zeros_like(array, dtype=np.float32) for array in previous]
        self.partners = 0

    def add(self, trunk: list[np.ndarray]) -> None:
        """Add one partner's trunk.

        Raises:
            ValueError: Another number of arrays or another shape than the previous trunk.
        """
        if [array.shape for array in trunk] != [array.shape for array in self.previous]:
            raise ValueError(f"trunk of shapes {[a.shape for a in trunk]}, not {[a.shape for a in self.previous]}")
        for total, old, new in zip(self.updates, self.previous, trunk, strict=True):
            total += new - old
        self.partners += 1

    def result(self, step: float = 1.0) -> list[np.ndarray]:
        """The next trunk: the previous one plus `step` times the mean update; new float32 arrays.

        Raises:
            ValueError: No trunk was added.
        """
        if not self.partners:
            raise ValueError("no trunk to average")
        scale = np.float32(step / self.partners)
        return [old + scale * total for old, total in zip(self.previous, self.updates, strict=True)]


def average(trunks: Iterable[list[np.ndarray]], previous: list[np.ndarray], step: float = 1.0) -> list[np.ndarray]:
    """The next trunk from all partners' trunks, as `Average` has it; `trunks` may be a generator.

    Raises:
        ValueError: No trunk, or one of another form than `previous`.
    """
    running = Average(previous)
    for trunk in trunks:
        running.add(trunk)
    return running.result(step)

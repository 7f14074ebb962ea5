"""What each party of a benchmark spent: seconds and bytes."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from types import ModuleType
from typing import Any


class Tally:
    """Amounts by what they were spent on and by partner; 0 is the coordinator."""

    def __init__(self) -> None:
        self.spent: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))

    def add(self, what: str, index: int, amount: float) -> None:
        """Add to one party's."""
        self.spent[what][index] += amount

    @contextmanager
    def time(self, what: str, index: int = 0) -> Iterator[None]:
        """Add the seconds spent inside."""
        start = perf_counter()
        yield
        self.add(what, index, perf_counter() - start)

    @contextmanager
    def moved(self, owner: ModuleType, function: str, source: str, target: str, index: int) -> Iterator[None]:
        """Inside, calls of `owner.function` count as `target` instead of the `source` that they happen in."""
        original = getattr(owner, function)

        def timed(*arguments: Any) -> Any:
            start = perf_counter()
            result = original(*arguments)
            seconds = perf_counter() - start
            self.add(target, index, seconds)
            self.add(source, index, -seconds)
            return result

        setattr(owner, function, timed)
        try:
            yield
        finally:
            setattr(owner, function, original)

    def median(self, what: str) -> float:
        """Of all parties that spent anything on it."""
        return median(self.spent[what].values())

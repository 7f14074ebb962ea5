"""How much of a sweep one run of the tests tries: with `pytest --full` all of it, else its two ends and a few in between."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from hypothesis import settings

T = TypeVar("T")
DRAWN = 1  # values of a sweep, beside its ends
EXAMPLES = 10  # of a hypothesis property
STEPS = 15  # of a hypothesis state machine


@dataclass
class Effort:
    """What this run was asked for: `tests/conftest.py` sets it before any test is collected.

    Attributes:
        full: Everything is tried.
        seed: What else is drawn from; the same in all workers, which must collect the same tests.
    """

    full: bool = True
    seed: int = 0


EFFORT = Effort()


def every(values: Sequence[T], drawn: int = DRAWN) -> list[T]:
    """All values of a sweep, in order; unless `--full`, the first, the last and so many others, drawn from the seed."""
    if EFFORT.full or len(values) <= drawn + 2:
        return list(values)
    between = Random(EFFORT.seed).sample(range(1, len(values) - 1), drawn)
    return [values[place] for place in (0, *sorted(between), len(values) - 1)]


def examples(count: int, few: int = EXAMPLES, **others: Any) -> settings:
    """The settings of a hypothesis property that is tried with so many examples; unless `--full`, with a few at most."""
    return settings(max_examples=count if EFFORT.full else min(count, few), **others)

"""What the values of an option may be, checked and in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Fault(NamedTuple):
    """What is wrong with a configuration.

    Attributes:
        keys: The options that could put it right.
        message: It names the option and its value.
        hint: What to do about it.
    """

    keys: tuple[str, ...]
    message: str
    hint: str = ""


class Allowed(Protocol):
    """What the values of an option may be; as text, for its comment."""

    def faults(self, key: str, value: Any) -> Iterator[Fault]:
        """What is wrong with the value of this option."""


@dataclass(frozen=True)
class Within:
    """A number, or each of a list, from `low` to `high`, both included; never NaN. `hint`: what to write instead."""

    low: float
    high: float
    hint: str = ""

    def __str__(self) -> str:
        return " to ".join(f"{limit:,}" if isinstance(limit, int) else f"{limit:g}" for limit in (self.low, self.high))

    def faults(self, key: str, value: Any) -> Iterator[Fault]:
        """A number beyond the limits; None stands for what is decided later."""
        for number in value if isinstance(value, list) else [value]:
            if number is not None and not self.low <= number <= self.high:
                yield Fault((key,), f"{key} is {value}, not within {self.low:g} to {self.high:g}", self.hint)


@dataclass(frozen=True)
class OneOf:
    """One of the values that this maps to their meanings."""

    meanings: Mapping[Any, str]

    def __str__(self) -> str:
        return "; ".join(f"{value}: {meaning}" for value, meaning in self.meanings.items())

    def faults(self, key: str, value: Any) -> Iterator[Fault]:
        """Another value than these."""
        if value not in self.meanings:
            yield Fault((key,), f"{key} is {value!r}", f"known are {list(self.meanings)}")


@dataclass(frozen=True)
class AnyOf:
    """A list of some of these words, or of none."""

    known: tuple[str, ...]

    def __str__(self) -> str:
        return f"any of {', '.join(self.known)}"

    def faults(self, key: str, value: Any) -> Iterator[Fault]:
        """Other words than these."""
        if unknown := set(value) - set(self.known):
            yield Fault((key,), f"{key} has {sorted(unknown)}", f"known are {list(self.known)}")

"""What coordinator and partners say to each other under plain averaging."""

from dataclasses import dataclass

ROW_LIST, TRAIN, FINAL = "rows", "train", "final"


@dataclass(frozen=True)
class PlainRequest:
    """What the coordinator asks: the round, and the range of its updates. Trunk and row list travel beside it."""

    number: int
    value_range: float


@dataclass(frozen=True)
class PlainMetric:
    """One value that policy lets the coordinator see."""

    name: str
    value: float


@dataclass(frozen=True)
class PlainReply:
    """What a partner answers; its words travel beside it."""

    metrics: tuple[PlainMetric, ...]

"""The coordinator's journal: one line of JSON per exchange, with sizes and times and nothing else, because it has nothing else."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from strategies.lines import append_line, last_line, read_records

UNTIMED = ("AdvertiseKeys", "ShareKeys", "Handover", "Finish", "final")


@dataclass(frozen=True)
class Exchange:
    """What the coordinator knows of one exchange with its partners.

    Attributes:
        round: Federated round, from 1; 0 for set-up and the row list.
        phase: `train` or `final` under plain aggregation; a step of the protocol under secure aggregation.
        asked: Nodes that were sent a request.
        replied: Nodes whose reply was accepted.
        bytes_down: Payload sent to all nodes together, bytes.
        bytes_up: Payload received from all nodes together, bytes.
        seconds: From the first request until the replies were worked on.
        metrics: Means over partners of what policy lets the coordinator see; empty by default.
        left_out: Reasons for which replies were not accepted.
    """

    round: int
    phase: str
    asked: int
    replied: int
    bytes_down: int
    bytes_up: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


class Journal:
    """Appends exchanges to a file, each synced before the next step is taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        last_line(path)  # cuts off what a kill left unfinished

    def append(self, exchange: Exchange) -> None:
        """Write one line and sync it."""
        append_line(self.path, json.dumps(asdict(exchange), sort_keys=True))


def read_journal(path: Path) -> list[Exchange]:
    """All exchanges written so far; a last line cut off by a crash is left out.

    Raises:
        DamagedFileError: Another line is damaged.
    """
    return read_records(path, Exchange)


def round_seconds(exchanges: Iterable[Exchange]) -> list[float]:
    """Seconds of each federated round, all its exchanges together; without set-up, row list and the last trunk's way home."""
    seconds: dict[int, float] = {}
    for exchange in exchanges:
        if exchange.round and exchange.phase not in UNTIMED:
            seconds[exchange.round] = seconds.get(exchange.round, 0.0) + exchange.seconds
    return [seconds[number] for number in sorted(seconds)]

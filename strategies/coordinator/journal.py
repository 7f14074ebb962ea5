"""The coordinator's journal: one line of JSON per exchange, with sizes and times and nothing else, because it has nothing else.

journal.jsonl   exchanges that are over
awaited.json    the one that is going on, and whose replies are awaited; gone when nobody's is
"""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fedapp.storage.json_lines import append_line, last_line, read_records, sealed_line
from fedapp.storage.leftovers import UNFINISHED

AWAITED = "awaited.json"
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
        left_out: Whose replies were not accepted, and why, as `name: reason`.
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


@dataclass(frozen=True)
class Awaited:
    """Whom the coordinator waits for at this moment.

    Attributes:
        round, phase: As in `Exchange`; `connecting` before partners are asked anything.
        names: Of the partners, ascending; a node's number while nobody knows whose it is.
    """

    round: int
    phase: str
    names: list[str]


class Journal:
    """Appends exchanges to a file, each synced before the next step is taken."""

    def __init__(self, path: Path) -> None:
        self.path, self.awaited = path, path.with_name(AWAITED)
        path.parent.mkdir(parents=True, exist_ok=True)
        last_line(path)  # cuts off what a kill left unfinished

    def append(self, exchange: Exchange) -> None:
        """Write one line and sync it."""
        append_line(self.path, sealed_line(asdict(exchange)))
        self.rest()

    def wait(self, awaited: Awaited) -> None:
        """Say who is awaited; not synced, since it is soon over and nothing goes on from it."""
        if not awaited.names:
            self.rest()
            return
        unfinished = self.awaited.with_name(f".{AWAITED}{UNFINISHED}")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(sealed_line(asdict(awaited)))
        unfinished.replace(self.awaited)

    def rest(self) -> None:
        """Say that nobody is awaited."""
        self.awaited.unlink(missing_ok=True)


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

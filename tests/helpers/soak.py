"""A consortium that is kept going through bad weather, and what became of its rounds."""

import gc
import json
import pathlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import numpy as np
import psutil
from flwr.app import ArrayRecord, Context
from flwr.client import Client, NumPyClient

from strategies.coordinator.exchange import Exchanges, RoundFailedError
from strategies.coordinator.journal import Exchange, Journal
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.secagg.phases import Step
from strategies.secagg.repetition import RepetitionLimits
from tests.helpers.expected_trunk import START, update
from tests.helpers.faulty_network import Weather
from tests.helpers.killed_writes import Death
from tests.strategies.secagg.parties import parameters_for, roster_of
from tests.strategies.toy import Toy, index_of

LIFE = 4  # rounds, after which the coordinator's run ends and the next one begins
LOGS = ("transcript-", "sums.jsonl", "self_audit.jsonl")  # lines of a message or a round


class Learner(NumPyClient):
    """Learns what `update` says, and tells the weather that it did."""

    def __init__(self, partner: int, weather: Weather) -> None:
        self.partner, self.weather = partner, weather

    def fit(self, parameters: list[np.ndarray], config: dict[str, int]) -> tuple[list[np.ndarray], int, dict[str, float]]:
        if self.weather.ill:
            raise ArithmeticError("no training today")
        self.weather.trained[(*self.weather.asking, self.partner)] = config["round"], config["attempt"]
        change = update(self.partner, config["round"], config["attempt"])
        self.weather.needles.add_whole("update", change[0].tobytes())
        return [array + each for array, each in zip(parameters, change, strict=True)], 1, {"loss": self.partner / 4}

    def evaluate(self, parameters: list[np.ndarray], config: dict[str, int]) -> tuple[float, int, dict[str, float]]:
        return 0.0, 1, {}


class Observed(SecureTrunk):
    """The strategy as it is, looked at after every round."""

    def aggregate_train(self, server_round, replies):  # type: ignore[no-untyped-def]
        found = super().aggregate_train(server_round, replies)
        grid = self.exchanges.grid
        assert isinstance(grid, Weather)
        grid.after_round(self)
        return found


@dataclass
class Measured:
    """After how many rounds something weighs how much, in bytes.

    Attributes:
        traced, resident: Memory that Python handed out, and that the process has.
        logs, files: Of all partners: what grows by a line a message, and everything else.
    """

    round: int
    traced: int
    resident: int
    logs: int
    files: int


@dataclass
class Soak(Toy):
    """A consortium with common endpoints, its weather, and what became of its rounds.

    Args:
        seed: Of all faults.
        death: Watches every write.
        session_rounds: Rounds before a new session begins.
        kills, failed: How often the coordinator's process was killed, and why its other runs ended early.
    """

    heads: bool = True
    repetition: RepetitionLimits = field(default_factory=lambda: RepetitionLimits(10_000, 10_000, 10_000))  # nobody is there to be asked
    seed: int = 0
    death: Death = field(default_factory=Death)
    session_rounds: int = 9
    kills: int = 0
    failed: list[str] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.roster = roster_of(self.partners, threshold=self.partners - 2)
        self.changed = {each: {"first_trunk": lambda key: [array.copy() for array in START]} for each in range(1, self.partners + 1)}
        self.weather = Weather(self.grid.client_app, self.partners, {})
        self.weather.begin(Random(self.seed), self.death, self.folder)
        self.grid = self.weather

    def learner(self, context: Context) -> Client:
        return Learner(index_of(context), self.weather).to_client()

    def strategy(self) -> Observed:
        """A coordinator's new process."""
        exchanges = Exchanges(
            self.weather,
            Journal(self.folder / "journal.jsonl"),
            self.partners,
            self.roster.least(),
            connect_timeout=0,
            exchange_timeout=1,
            round_timeout=1,
        )
        roster, guard, layout, random = (
            self.roster,
            self.guard,
            self.layout,
            self.weather.random,
        )  # nothing else may lead from the strategy to a partner
        return Observed(
            exchanges,
            roster,
            lambda: parameters_for(roster, row_guard=guard, layout=layout, nonce=random.randbytes(32)),
            self.session_rounds,
        )

    def run(self) -> None:
        """Until all rounds are done, however often it takes; then once more in calm weather."""
        idle = 0
        while self.version() < self.rounds:
            before = self.version()
            self.life(min(self.rounds, before + LIFE))
            idle = 0 if self.version() > before else idle + 1
            assert idle < 50, f"nothing moves: {self.failed[-3:]}"
        self.weather.calm, self.weather.away = True, {}
        self.life(self.rounds)

    def life(self, rounds: int) -> None:
        """One process of the coordinator, up to that round."""
        try:
            strategy = self.strategy()
            strategy.start(self.weather, ArrayRecord(), num_rounds=max(0, rounds - strategy.set_up()), timeout=1)
            strategy.finish()
        except KeyboardInterrupt:
            self.kills += 1
        except RoundFailedError as error:
            self.failed.append(str(error))
        self.measure()

    def version(self) -> int:
        """Rounds behind the newest trunk."""
        return max((self.weather.known[digest].version for digest in self.weather.holds.values()), default=0)

    def measure(self) -> None:
        gc.collect()
        sizes = {path: path.stat().st_size for home in self.folder.glob("partner-*") for path in home.rglob("*") if path.is_file()}
        logs = sum(size for path, size in sizes.items() if path.name.startswith(LOGS))
        self.measured.append(
            Measured(self.version(), memory_in_use(), psutil.Process().memory_info().rss, logs, sum(sizes.values()) - logs)
        )

    def attempts(self) -> Iterator[list[Exchange]]:
        """The exchanges of each try at a round, in order."""
        tried: list[Exchange] = []
        for exchange in self.journal():
            if exchange.phase == Step.COLLECT and tried:
                yield tried
                tried = []
            if exchange.round and exchange.phase in (Step.COLLECT, Step.CONSISTENCY, Step.UNMASK):
                tried.append(exchange)
        if tried:
            yield tried

    def rounds_of(self, partner: int) -> list[int]:
        """The rounds that a partner noted what it found in, line by line."""
        return [json.loads(line)["round"] for line in (self.home(partner) / "sums.jsonl").read_text().splitlines()]

    def account(self) -> str:
        """What happened, for a person."""
        tried = list(self.attempts())
        done = sum(each[-1].phase == Step.UNMASK and each[-1].replied >= self.roster.threshold for each in tried)
        lines = [
            f"{self.version()} rounds; {len(tried)} tried, {done} added up; {self.weather.delivered.total()} messages delivered",
            f"coordinator: {self.kills} kills, {len(self.failed)} runs given up; faults: {dict(self.weather.faults)}",
            f"refused: {dict(self.weather.refusals)}; two trunks of one number: rounds {sorted(self.weather.forks)}",
        ]
        return "\n".join([*lines, *map(str, self.measured[:: len(self.measured) // 8 + 1]), str(self.measured[-1])])


def memory_in_use() -> int:
    """Bytes that Python handed out, without the table of all names of paths, which doubles once in a while for the whole process."""
    by_file = tracemalloc.take_snapshot().statistics("filename")
    return sum(each.size for each in by_file if each.traceback[0].filename != pathlib.__file__)


@contextmanager
def memory_counted() -> Iterator[None]:
    """Follow the memory that Python hands out."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()

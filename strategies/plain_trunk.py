"""Plain averaging of trunks: the baseline that secure aggregation is measured against. The coordinator sees every trunk."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from logging import INFO

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.common import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from strategies import records
from strategies.averaging import average
from strategies.journal import Exchange, Journal


class RoundFailedError(Exception):
    """A round ended without the replies it needs."""


class PlainTrunk(Strategy):
    """Sends the trunk to every partner, and puts the mean of what comes back in its place.

    One exchange a round; evaluation rides on the next train message, and one last message takes the final trunk home.
    Flower counts the rounds of one process from 1; `done` rounds of an interrupted run come before them.

    Args:
        journal: Receives one line per exchange.
        keep: Called with the round and its new trunk, before the next round starts; what it stores is what a restart resumes from.
        rounds: Rounds of the whole run.
        done: Rounds already finished by an earlier process.
        min_partners: Least replies that make a round; None means every partner that was asked.
        server_learning_rate: Step from the old trunk towards the mean.
        connect_timeout: Seconds to wait for `partners` nodes before the first request.
        partners: Nodes to wait for.
    """

    def __init__(
        self,
        journal: Journal,
        keep: Callable[[int, list[np.ndarray]], None],
        rounds: int,
        done: int,
        partners: int,
        min_partners: int | None,
        server_learning_rate: float,
        connect_timeout: float,
    ) -> None:
        self.journal = journal
        self.keep = keep
        self.rounds = rounds
        self.done = done
        self.partners = partners
        self.min_partners = min_partners
        self.server_learning_rate = server_learning_rate
        self.connect_timeout = connect_timeout
        self._trunk: list[np.ndarray] = []
        self._asked: list[int] = []
        self._bytes_down = 0
        self._started = 0.0

    def summary(self) -> None:
        """Say loudly what plain averaging means."""
        log(INFO, "\taggregation=plain: the coordinator sees every partner's trunk in the clear; for comparison only")

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """Ask every connected partner to train on from this trunk."""
        self._trunk = records.trunk_from(arrays)
        return self._ask(self.done + server_round, arrays, MessageType.TRAIN, grid)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord, MetricRecord | None]:
        """Average the trunks that came back.

        Raises:
            RoundFailedError: Too few usable replies; says which nodes failed.
        """
        current = self.done + server_round
        accepted = self._accepted(current, replies)
        metrics = mean_metrics(accepted)
        bytes_up = sum(records.payload_bytes(message.content) for message in accepted)
        self._trunk = average(in_fixed_order(accepted), self._trunk, self.server_learning_rate)
        self.keep(current, self._trunk)
        self._note(current, "train", len(accepted), bytes_up, metrics)
        return records.trunk_record(self._trunk), MetricRecord({**metrics}) if metrics else None

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """After the last round alone: take the final trunk to the partners."""
        current = self.done + server_round
        return self._ask(current, arrays, MessageType.EVALUATE, grid) if current == self.rounds else []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """See that the final trunk arrived."""
        current = self.done + server_round
        if current < self.rounds:
            return None
        accepted = self._accepted(current, replies)
        metrics = mean_metrics(accepted)
        self._note(current, "final", len(accepted), sum(records.payload_bytes(message.content) for message in accepted), metrics)
        return MetricRecord({**metrics}) if metrics else None

    def _ask(self, current: int, arrays: ArrayRecord, message_type: str, grid: Grid) -> list[Message]:
        self._started = time.monotonic()
        self._asked = sorted(self._connected(grid))
        content = records.request(arrays, current)
        self._bytes_down = len(self._asked) * records.payload_bytes(content)
        return [Message(content, dst_node_id=node, message_type=message_type, group_id=str(current)) for node in self._asked]

    def _connected(self, grid: Grid) -> list[int]:
        """Wait for the partners; go on with fewer when the time is up and policy allows it."""
        least = self.partners if self.min_partners is None else self.min_partners
        deadline = time.monotonic() + self.connect_timeout
        while len(nodes := list(grid.get_node_ids())) < self.partners and time.monotonic() < deadline:
            time.sleep(0.2)
        if len(nodes) < least:
            raise RoundFailedError(f"{len(nodes)} of {self.partners} partners are connected, and a round needs {least}")
        return nodes

    def _accepted(self, current: int, replies: Iterable[Message]) -> list[Message]:
        accepted = [message for message in replies if not message.has_error() and fits(message, self._trunk)]
        missing = sorted(set(self._asked) - {message.metadata.src_node_id for message in accepted})
        least = len(self._asked) if self.min_partners is None else self.min_partners
        if missing:
            log(INFO, "round %s: no usable reply from nodes %s", current, missing)
        if len(accepted) < least:
            raise RoundFailedError(f"round {current}: {len(accepted)} of {len(self._asked)} partners replied, and a round needs {least}")
        return accepted

    def _note(self, current: int, phase: str, replied: int, bytes_up: int, metrics: dict[str, float]) -> None:
        seconds = time.monotonic() - self._started
        self.journal.append(Exchange(current, phase, len(self._asked), replied, self._bytes_down, bytes_up, seconds, metrics))


def fits(message: Message, trunk: list[np.ndarray]) -> bool:
    """Whether a reply has the trunk's layout and finite values; the final reply carries no trunk."""
    if message.metadata.message_type == MessageType.EVALUATE:
        return True
    try:
        arrays = records.trunk_from(message.content.array_records[records.TRUNK])
    except (KeyError, ValueError):
        return False
    layout = [(array.shape, array.dtype) for array in trunk]
    return [(array.shape, array.dtype) for array in arrays] == layout and all(bool(np.isfinite(array).all()) for array in arrays)


def in_fixed_order(messages: list[Message]) -> Iterator[list[np.ndarray]]:
    """Trunks one by one in an order that depends on their contents alone: replies arrive in any order, and float sums depend on it."""

    def digest(message: Message) -> bytes:
        record = message.content.array_records[records.TRUNK]
        return hashlib.sha256(b"".join(hashlib.sha256(record[name].data).digest() for name in sorted(record))).digest()

    for message in sorted(messages, key=digest):
        yield records.trunk_from(message.content.array_records[records.TRUNK])


def mean_metrics(messages: list[Message]) -> dict[str, float]:
    """Mean over partners of every metric that all of them show."""
    shown = [message.content.metric_records[records.METRICS] for message in messages]
    names = set.intersection(*(set(record) for record in shown)) if shown else set()
    return {name: float(np.mean([record[name] for record in shown])) for name in sorted(names)}

"""Plain averaging: the baseline that secure aggregation is measured against. The coordinator holds the trunk and sees every update.

It differs in nothing else: the same row guard, the same words, the same sum, so that both lead to the same trunk bit for bit.
"""

from collections.abc import Callable, Iterable, Sequence
from logging import WARNING
from math import fsum

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.common import log
from flwr.serverapp import Grid

from strategies import message_records
from strategies.coordinator.base_trunk import BaseTrunk
from strategies.coordinator.exchange import Exchanges, Replies, RoundFailedError
from strategies.message_records import quoted
from strategies.plain_messages import FINAL, ROW_LIST, TRAIN, PlainMetric, PlainReply, PlainRequest
from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError, SumOutOfRangeError, SupportOutOfRangeError
from strategies.update.codec import UpdateCodec
from strategies.update.row_guard import least_holders, listed
from strategies.update.shared_trunk import SharedTrunk
from strategies.update.verdict import judge, judge_supports

LARGEST_METRIC = 1e9  # far beyond any loss


class PlainTrunk(BaseTrunk):
    """Sends the trunk to every partner, and adds the mean of the updates that come back.

    One exchange a round; evaluation rides on the next train message, and one last message takes the final trunk home.

    Args:
        exchanges: The way to the partners, with journal and time-outs.
        shared: The trunk to go on from, with its row list if there is one already.
        codec_of: How an update becomes words, where a list of what may leave was agreed on.
        keep: Called with each new trunk before the next round starts; what it stores is what a restart resumes from.
        slots: Shared heads, 0 without any.
        guarded: Whether partners agree first on which rows may leave; with slots they agree in any case.
        least_supporters: Partners that a listed row needs.
        server_learning_rate: Step along the mean update, or along the velocity.
        momentum: Of the velocity; 0 is off.
        metrics: Names of those that partners may show.
    """

    def __init__(  # noqa: PLR0913 - what it works with, and what partners agreed on; called with keywords
        self,
        exchanges: Exchanges,
        shared: SharedTrunk,
        codec_of: Callable[[np.ndarray], UpdateCodec],
        keep: Callable[[SharedTrunk], None],
        slots: int,
        guarded: bool,
        least_supporters: int,
        server_learning_rate: float,
        momentum: float,
        metrics: Sequence[str] = (),
    ) -> None:
        self.exchanges, self.shared, self.codec_of, self.keep = exchanges, shared, codec_of, keep
        self.slots, self.guarded, self.least_supporters, self.metrics = slots, guarded, least_supporters, tuple(metrics)
        self.server_learning_rate, self.momentum = server_learning_rate, momentum

    def summary(self) -> None:
        """Say loudly what plain averaging means."""
        log(WARNING, "\taggregation=plain: the coordinator sees every partner's update in the clear; for comparison only")

    def set_up(self) -> None:
        """Agree on the row list, unless an earlier process did, and start the trunk with it.

        Raises:
            RoundFailedError: Too few partners answered, or their lists are none.
        """
        nodes = self.exchanges.connected()
        if len(self.shared.rows):
            return
        bits = len(self.shared.arrays[0])
        rows = np.ones(bits, dtype=np.bool_)
        if self.guarded or self.slots:
            body = wire.encode(PlainRequest(0, self.shared.value_range))
            arrived = self.exchanges.ask(ROW_LIST, 0, {node: (body, {}) for node in nodes})
            counts, partners, _ = self._add_up(arrived, bits + self.slots)
            self.exchanges.note(arrived)
            try:
                judge_supports(counts, bits, partners)
            except SupportOutOfRangeError as error:
                raise RoundFailedError(f"row list: {error}") from error
            rows = listed(counts, bits, self.least_supporters)
        self.shared = self.shared.with_rows(rows, b"plain").starting_with(self.shared.arrays)
        self.keep(self.shared)

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """Ask every connected partner to train on from this trunk."""
        number = self.shared.version + 1
        return self.exchanges.messages(TRAIN, number, self._requests(number), MessageType.TRAIN)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the updates that came back.

        Raises:
            RoundFailedError: Too few usable replies.
        """
        arrived = self.exchanges.replies(replies)
        codec = self.codec_of(self.shared.rows)
        sums, survivors, metrics = self._add_up(arrived, codec.words)
        try:
            pending = self.shared.pending(codec, sums.view(f"<i{sums.itemsize}"), survivors, least_holders(self.least_supporters))
            accepted = judge(pending)
        except SumOutOfRangeError as error:
            raise RoundFailedError(f"round {self.shared.version + 1}: {error}") from error
        self.shared = self.shared.adding(accepted, self.server_learning_rate, self.momentum)
        self.keep(self.shared)
        self.exchanges.note(arrived, metrics)
        return None, MetricRecord({**metrics}) if metrics else None

    def finish(self) -> None:
        """Take the final trunk to the partners.

        Raises:
            RoundFailedError: Too few took it.
        """
        number = self.shared.version
        arrived = self.exchanges.ask(FINAL, number, self._requests(number), MessageType.EVALUATE)
        _, _, metrics = self._add_up(arrived, 0)
        self.exchanges.note(arrived, metrics)

    def _check(self, shown: tuple[PlainMetric, ...]) -> None:
        """See that a partner shows what it may, each once.

        Raises:
            MalformedMessageError: It does not.
        """
        names = [metric.name for metric in shown]
        if len(set(names)) != len(names) or not set(names) <= set(self.metrics):
            raise MalformedMessageError(f"metrics {quoted(names)}, not each of {list(self.metrics)} once")
        if not all(abs(metric.value) <= LARGEST_METRIC for metric in shown):
            raise MalformedMessageError(f"a metric of {quoted([metric.value for metric in shown])}")

    def _requests(self, number: int) -> dict[int, tuple[bytes, dict[str, list[np.ndarray]]]]:
        body = wire.encode(PlainRequest(number, self.shared.value_range))
        beside = {message_records.TRUNK: self.shared.arrays, message_records.ROWS: [self.shared.rows]}
        return dict.fromkeys(self.exchanges.connected(), (body, beside))

    def _add_up(self, arrived: Replies, length: int) -> tuple[np.ndarray, int, dict[str, float]]:
        """Sum of the words, number of partners in it, and mean metrics.

        Raises:
            RoundFailedError: Too few usable replies.
        """
        word = self.codec_of(np.empty(0, dtype=np.bool_)).quantiser(self.shared.value_range).word_type
        total, partners = np.zeros(length, dtype=word), 0
        metrics: dict[str, list[float]] = {}
        for node, body, vectors in arrived:
            with arrived.accepting(node):
                reply = wire.decode(PlainReply, body)
                self._check(reply.metrics)
                if length:
                    if not vectors or vectors[0].shape != total.shape or vectors[0].dtype != total.dtype:
                        raise MalformedMessageError(f"a reply with other words than {length} of {total.dtype}")
                    total += vectors[0]
                partners += 1
                for metric in reply.metrics:
                    metrics.setdefault(metric.name, []).append(metric.value)
        asked = arrived.asked
        if partners < self.exchanges.least:
            self.exchanges.note(arrived)
            raise RoundFailedError(
                f"round {asked.round}: {partners} of {len(asked.nodes)} partners replied, and a round needs {self.exchanges.least}"
            )
        return total, partners, {name: fsum(values) / len(values) for name, values in metrics.items()}

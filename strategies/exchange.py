"""One exchange: the same step asked of several partners, their replies taken or left out, a line in the journal."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from logging import INFO

import numpy as np
from flwr.app import Message, MessageType
from flwr.common import log
from flwr.serverapp import Grid

from strategies import records
from strategies.journal import Exchange, Journal
from strategies.secagg.errors import SecAggError

POLL = 0.2  # seconds
SILENT = "no reply"
Vectors = Mapping[str, list[np.ndarray]]


class RoundFailedError(Exception):
    """A round ended without the replies it needs."""


class Asked:
    """What went out, until its replies are noted.

    Attributes:
        round, step: Of the exchange.
        nodes: Who was asked.
        bytes_down: To all of them together.
        started: Monotonic seconds.
    """

    def __init__(self, number: int, step: str, nodes: tuple[int, ...], bytes_down: int) -> None:
        self.round, self.step, self.nodes, self.bytes_down = number, step, nodes, bytes_down
        self.started = time.monotonic()


class Replies:
    """The replies of an exchange, taken one by one as they arrive; a failed or missing one is left out with its reason.

    Attributes:
        left_out: Node to reason; true when all were taken, as is what follows.
        away: Nodes that went away before they replied, as Flower says in their place without naming them; none if the time ran out.
        bytes_up: Of all replies together.
    """

    def __init__(self, asked: Asked, messages: Iterable[Message]) -> None:
        self.asked, self._messages = asked, messages
        self.left_out: dict[int, str] = dict.fromkeys(asked.nodes, SILENT)
        self.away: set[int] = set()
        self.bytes_up = 0

    def __iter__(self) -> Iterator[tuple[int, bytes, list[np.ndarray]]]:
        """Node, body and vectors of each reply, in the order in which they come; each is let go of before the next is taken."""
        heard = 0
        for message in self._messages:
            heard += 1
            node, held = message.metadata.src_node_id, message.content if message.has_content() else None
            del message
            if self.left_out.get(node) != SILENT:  # Flower's own word for a node is no reply
                continue
            del self.left_out[node]
            if held is None:
                self.left_out[node] = "it could not answer"
                continue
            self.bytes_up += records.payload_bytes(held)
            with self.accepting(node):
                body = records.value(held, records.BODY)
                name = records.HANDOVER if records.HANDOVER in held.array_records else records.WORDS
                vectors = records.vectors(held, name)
                if not isinstance(body, bytes):
                    raise ValueError("a reply without a body")
            del held
            if node not in self.left_out:
                yield node, body, vectors
                del vectors
        silent = {node for node, reason in self.left_out.items() if reason == SILENT}
        self.away = silent if heard >= len(self.asked.nodes) else set()

    @contextmanager
    def accepting(self, node: int) -> Iterator[None]:
        """Leave this node's reply out if what happens inside refuses it."""
        try:
            yield
        except (SecAggError, ValueError) as error:
            self.left_out[node] = f"{type(error).__name__}: {error}"
            log(INFO, "%s: a reply is left out: %s", self.asked.step, self.left_out[node])


class Exchanges:
    """The way to the partners.

    Args:
        grid: Flower's.
        journal: Receives one line per exchange.
        partners: Nodes to wait for; once some of them did not come in time, for as many as there were.
        least: Nodes that are enough when the time is up.
        connect_timeout, round_timeout: Seconds to wait for nodes, and for replies.
    """

    def __init__(self, grid: Grid, journal: Journal, partners: int, least: int, connect_timeout: float, round_timeout: float) -> None:
        self.grid, self.journal, self.partners, self.least = grid, journal, partners, least
        self.connect_timeout, self.round_timeout = connect_timeout, round_timeout
        self.known: set[int] = set()
        self._expected = partners
        self._asked: Asked | None = None

    def connected(self) -> list[int]:
        """The partners' nodes, ascending, when as many as last time are there or the time is up.

        Raises:
            RoundFailedError: Too few.
        """
        deadline = time.monotonic() + self.connect_timeout
        while len(nodes := sorted(self.grid.get_node_ids())) < self._expected and time.monotonic() < deadline:
            time.sleep(POLL)
        if len(nodes) < self.least:
            raise RoundFailedError(f"{len(nodes)} of {self.partners} partners are connected, and a round needs {self.least}")
        self.known = set(nodes)
        self._expected = len(nodes)
        return nodes

    def forget_away(self, replies: Replies) -> None:
        """Nodes that went away when they were asked will be newcomers when they are back."""
        self.known -= replies.away

    def newcomers(self) -> set[int]:
        """Nodes that have connected since `connected` was last called."""
        return set(self.grid.get_node_ids()) - self.known

    def messages(
        self, step: str, number: int, requests: Mapping[int, tuple[bytes, Vectors]], message_type: str = MessageType.QUERY
    ) -> list[Message]:
        """The messages of one exchange, by node; `replies` takes what comes back.

        Args:
            number: The federated round, for the journal; 0 before the first.
            requests: Body and vectors for each node.
        """
        contents = {node: records.content(step, {records.BODY: body}, dict(vectors)) for node, (body, vectors) in requests.items()}
        self._asked = Asked(number, step, tuple(requests), sum(map(records.payload_bytes, contents.values())))
        return [Message(held, dst_node_id=node, message_type=message_type, group_id=str(number)) for node, held in contents.items()]

    def replies(self, messages: Iterable[Message]) -> Replies:
        """The replies to the last `messages`."""
        assert self._asked is not None
        return Replies(self._asked, messages)

    def ask(self, step: str, number: int, requests: Mapping[int, tuple[bytes, Vectors]], message_type: str = MessageType.QUERY) -> Replies:
        """A whole exchange."""
        return self.replies(self.grid.send_and_receive(self.messages(step, number, requests, message_type), timeout=self.round_timeout))

    def note(self, replies: Replies, metrics: Mapping[str, float] | None = None) -> None:
        """Write an exchange into the journal, its replies worked on."""
        asked = replies.asked
        self.journal.append(
            Exchange(
                round=asked.round,
                phase=str(asked.step),
                asked=len(asked.nodes),
                replied=len(asked.nodes) - len(replies.left_out),
                bytes_down=asked.bytes_down,
                bytes_up=replies.bytes_up,
                seconds=time.monotonic() - asked.started,
                metrics=dict(metrics or {}),
                left_out=sorted(replies.left_out.values()),
            )
        )

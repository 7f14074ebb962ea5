"""One exchange: the same step asked of several partners, their replies taken or left out, a line in the journal."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from logging import INFO

import numpy as np
from flwr.app import Message, MessageType
from flwr.common import log
from flwr.serverapp import Grid

from strategies import message_records
from strategies.coordinator.journal import Awaited, Exchange, Journal
from strategies.secagg.errors import MalformedMessageError, SecAggError
from strategies.secagg.phases import Step

POLL = 0.2  # seconds
SILENT, AWAY, FAILED = "no reply", "it went away", "it could not answer"
NODE_UNAVAILABLE = 5  # what Flower answers in the place of a node that is gone
CONNECTING = "connecting"
SHORT = (Step.ADVERTISE_KEYS, Step.SHARE_KEYS, Step.CONSISTENCY, Step.UNMASK)  # nobody trains, and no trunk travels
LONGEST_REASON = 300  # characters; parts of it may be what a partner wrote
Vectors = Mapping[str, list[np.ndarray]]


class RoundFailedError(Exception):
    """A round ended without the replies it needs."""


class Names:
    """What the partners behind Flower's nodes are called.

    Args:
        names: Of all partners in the roster; none where there is no roster.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.everybody = tuple(names)
        self._of: dict[int, str] = {}

    def call(self, node: int, name: str) -> None:
        """Give a node its partner's name."""
        self._of[node] = name

    def of(self, node: int) -> str:
        """The partner's name; the node's number while nobody knows whose it is."""
        return self._of.get(node, f"node {node}")

    def absent(self, connected: Iterable[int]) -> list[str]:
        """Who is not connected, as far as it is known: nobody while a connected node has no name yet."""
        there = {self._of.get(node) for node in connected}
        return [] if None in there else [name for name in self.everybody if name not in there]


class Asked:
    """What went out, until its replies are noted.

    Attributes:
        round, step: Of the exchange.
        nodes: Who was asked.
        bytes_down: To all of them together.
        started: Monotonic seconds.
    """

    def __init__(self, number: int, step: str, messages: Sequence[Message], bytes_down: int) -> None:
        self._sent = [message.metadata for message in messages]
        self.round, self.step, self.bytes_down = number, step, bytes_down
        self.nodes = tuple(each.dst_node_id for each in self._sent)
        self.started = time.monotonic()

    def node(self, message_id: str) -> int | None:
        """To whom a message went; it has its name only since it was sent."""
        return next((each.dst_node_id for each in self._sent if each.message_id == message_id), None)


class Replies:
    """The replies of an exchange, taken one by one as they arrive; a failed or missing one is left out with its reason.

    Attributes:
        left_out: Node to reason; true when all were taken, as is what follows.
        away: Nodes that went away before they replied, as Flower says in their place.
        bytes_up: Of all replies together.
    """

    def __init__(self, asked: Asked, messages: Iterable[Message], names: Names, journal: Journal) -> None:
        self.asked, self._messages, self._names, self._journal = asked, messages, names, journal
        self.left_out: dict[int, str] = dict.fromkeys(asked.nodes, SILENT)
        self.away: set[int] = set()
        self.bytes_up = 0

    def __iter__(self) -> Iterator[tuple[int, bytes, list[np.ndarray]]]:
        """Node, body and vectors of each reply, in the order in which they come; each is let go of before the next is taken."""
        self._await()
        for message in self._messages:
            node, content = message.metadata.src_node_id, message.content if message.has_content() else None
            gone = self.asked.node(message.metadata.reply_to_message_id) if node not in self.asked.nodes and _is_gone(message) else None
            del message
            if gone is not None and self.left_out.get(gone) == SILENT:
                self.left_out[gone] = AWAY
                self.away.add(gone)
                self._await()
            if self.left_out.get(node) != SILENT:  # Flower's own word for a node is no reply
                continue
            del self.left_out[node]
            self._await()
            if content is None:
                self.left_out[node] = FAILED
                continue
            with self.accepting(node):
                self.bytes_up += message_records.payload_bytes(content)
                step, body = message_records.step_and_body(content)
                vectors = message_records.vectors(
                    content, message_records.HANDOVER if self.asked.step == Step.HANDOVER else message_records.WORDS
                )
                if step != self.asked.step:
                    raise MalformedMessageError(f"a reply to {message_records.quoted(step)}, which was not asked")
                if len(vectors) > 1 or len(content) > 1 + len(vectors):
                    raise MalformedMessageError(f"{len(vectors)} vectors in {len(content) - 1} records, where there is one at most")
            del content
            if node not in self.left_out:
                yield node, body, vectors
                del vectors

    @contextmanager
    def accepting(self, node: int) -> Iterator[None]:
        """Leave this node's reply out if what happens inside refuses it."""
        try:
            yield
        except (SecAggError, ValueError) as error:
            self.leave_out(node, error)

    def leave_out(self, node: int, error: Exception) -> None:
        """Say why what a node replied does not count."""
        self.left_out[node] = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
        log(INFO, "%s: the reply of %s is left out: %s", self.asked.step, self._names.of(node), self.left_out[node])

    def could_not_answer(self, node: int, remark: str) -> bool:
        """Whether a node said so; its reason then has the remark, too."""
        if self.left_out.get(node) != FAILED:
            return False
        self.left_out[node] = f"{FAILED}; {remark}"
        return True

    def unheard(self) -> set[int]:
        """Nodes that are left out because nothing of theirs arrived, for whatever reason."""
        return {node for node, reason in self.left_out.items() if reason in (SILENT, AWAY, FAILED)}

    def _silent(self) -> list[int]:
        return [node for node, reason in self.left_out.items() if reason == SILENT]

    def _await(self) -> None:
        names = sorted(map(self._names.of, self._silent()))
        self._journal.wait(Awaited(self.asked.round, self.asked.step, names))


def _is_gone(message: Message) -> bool:
    return message.has_error() and message.error.code == NODE_UNAVAILABLE


class Exchanges:
    """The way to the partners.

    Args:
        grid: Flower's.
        journal: Receives one line per exchange.
        partners: Nodes to wait for; once some of them did not come in time, for as many as there were.
        least: Nodes that are enough when the time is up.
        connect_timeout, exchange_timeout, round_timeout: Seconds to wait for nodes, for replies that are ready at once, and for those
            that wait for training or for a trunk on its way.
        names: Of all partners in the roster, if there is one.
    """

    def __init__(  # noqa: PLR0913 - three people and three times to wait, called with keywords
        self,
        grid: Grid,
        journal: Journal,
        partners: int,
        least: int,
        connect_timeout: float,
        exchange_timeout: float,
        round_timeout: float,
        names: Sequence[str] = (),
    ) -> None:
        self.grid, self.journal, self.partners, self.least = grid, journal, partners, least
        self.connect_timeout, self.exchange_timeout, self.round_timeout = connect_timeout, exchange_timeout, round_timeout
        self.names = Names(names)
        self.known: set[int] = set()
        self._expected = partners
        self._asked: Asked | None = None
        self._missed: list[str] = []

    def connected(self) -> list[int]:
        """The partners' nodes, ascending, when as many as last time are there or the time is up.

        Raises:
            RoundFailedError: Too few.
        """
        deadline = time.monotonic() + self.connect_timeout
        reported: list[int] | None = None
        while len(nodes := sorted(self.grid.get_node_ids())) < self._expected and time.monotonic() < deadline:
            if nodes != reported:
                reported = nodes
                self.journal.wait(Awaited(0, CONNECTING, self._absent(nodes) or [f"{self._expected - len(nodes)} of {self.partners}"]))
            time.sleep(POLL)
        self._missed = absent = self._absent(nodes)
        if len(nodes) < self.least:
            raise RoundFailedError(
                f"{len(nodes)} of {self.partners} partners are connected, and a round needs {self.least}{self.not_connected()}"
            )
        if absent:
            log(INFO, "not connected: %s", ", ".join(absent))
        self.known = set(nodes)
        self._expected = len(nodes)
        return nodes

    def not_connected(self) -> str:
        """Who was not there when `connected` was last called, to be put behind a sentence; empty if nobody is known to be missed."""
        return f"; not connected: {', '.join(self._missed)}" if self._missed else ""

    def _absent(self, nodes: list[int]) -> list[str]:
        """Who is not connected; across sites Flower knows each node by the name under which its key was registered."""
        for node in self.grid.get_nodes():
            if node.name in self.names.everybody:
                self.names.call(node.node_id, node.name)
        return self.names.absent(nodes)

    def forget(self, nodes: AbstractSet[int]) -> None:
        """These, which the session began without, will be newcomers when they are there."""
        self.known -= nodes

    def newcomers(self) -> set[int]:
        """Nodes that have connected since `connected` was last called."""
        return set(self.grid.get_node_ids()) - self.known

    def messages(
        self, step: str, number: int, requests: Mapping[int, tuple[bytes, Vectors]], message_type: str = MessageType.QUERY
    ) -> list[Message]:
        """The messages of one exchange, by node; `replies` takes what comes back.

        Each is valid as long as its reply is waited for: who asks for it later is not told of it, since it would be out of turn then.

        Args:
            number: The federated round, for the journal; 0 before the first.
            requests: Body and vectors for each node.
        """
        contents = {
            node: message_records.content(step, {message_records.BODY: body}, dict(vectors)) for node, (body, vectors) in requests.items()
        }
        messages = [
            Message(content, dst_node_id=node, message_type=message_type, group_id=str(number), ttl=self.seconds(step))
            for node, content in contents.items()
        ]
        self._asked = Asked(number, str(step), messages, sum(map(message_records.payload_bytes, contents.values())))
        return messages

    def replies(self, messages: Iterable[Message]) -> Replies:
        """The replies to the last `messages`."""
        assert self._asked is not None
        return Replies(self._asked, messages, self.names, self.journal)

    def ask(self, step: str, number: int, requests: Mapping[int, tuple[bytes, Vectors]], message_type: str = MessageType.QUERY) -> Replies:
        """A whole exchange."""
        return self.replies(self.grid.send_and_receive(self.messages(step, number, requests, message_type), timeout=self.seconds(step)))

    def seconds(self, step: str) -> float:
        """How long the replies to a step are waited for; the first of a session may have to wait for partners' processes to start."""
        if step not in SHORT:
            return self.round_timeout
        return self.exchange_timeout + (self.connect_timeout if step == Step.ADVERTISE_KEYS else 0)

    def note(self, replies: Replies, metrics: Mapping[str, float] | None = None) -> None:
        """Write an exchange into the journal, its replies worked on."""
        asked = replies.asked
        self.journal.append(
            Exchange(
                round=asked.round,
                phase=asked.step,
                asked=len(asked.nodes),
                replied=len(asked.nodes) - len(replies.left_out),
                bytes_down=asked.bytes_down,
                bytes_up=replies.bytes_up,
                seconds=time.monotonic() - asked.started,
                metrics=dict(metrics or {}),
                left_out=sorted(f"{self.names.of(node)}: {reason}" for node, reason in replies.left_out.items()),
            )
        )

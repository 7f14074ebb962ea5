"""Flower's grid, asked more often: the stock one looks for replies every 3 s, longer than a short phase takes."""

import time
from collections.abc import Callable, Iterable, Iterator
from logging import WARNING
from math import inf
from typing import TYPE_CHECKING

from flwr.app import Message, RecordDict
from flwr.common import log
from flwr.serverapp import Grid
from google.protobuf.message import DecodeError

if TYPE_CHECKING:  # Flower's Grid, which is public, has methods with these types, which are not
    from flwr.proto.node_pb2 import NodeInfo
    from flwr.supercore.run import Run

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.2  # seconds
GROWTH = 1.3
LONGEST_REASON = 300  # characters
# What Flower raises for objects that make no message: it takes them in from partners, and checks little of what is in them.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, EOFError, OverflowError, RecursionError, DecodeError)


class PollingGrid(Grid):
    """Passes everything on to `grid`, except that it takes replies in as they come.

    Args:
        grid: Flower's.
        pull: Brings what has come of replies to the messages of these ids, without waiting for more; by default `grid` does.
    """

    def __init__(self, grid: Grid, pull: Callable[[set[str]], Iterable[Message]] | None = None) -> None:
        self.grid, self.pull = grid, pull or grid.pull_messages

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Send messages now; the replies, each as it arrives, until `timeout` seconds have passed, without limit if it is None.

        Sending counts, as it does for how long a message is valid.
        """
        deadline = inf if timeout is None else time.monotonic() + timeout
        return self._replies(set(self.grid.push_messages(list(messages))), deadline)

    def _replies(self, waiting: set[str], deadline: float) -> Iterator[Message]:
        pause = FIRST_PAUSE
        while waiting and time.monotonic() < deadline:
            arrived = self._pulled(waiting)
            waiting -= {message.metadata.reply_to_message_id for message in arrived}
            while arrived:
                yield arrived.pop()
            if waiting:
                time.sleep(pause)
                pause = min(pause * GROWTH, LONGEST_PAUSE)

    def _pulled(self, waiting: set[str]) -> list[Message]:
        """What has come. A reply that Flower cannot put together again is none: its sender is awaited until the time is up."""
        arrived: list[Message] = []
        try:
            for message in self.pull(waiting):
                arrived.append(message)
        except UNREADABLE as error:
            log(WARNING, "a reply cannot be read: %s: %s", type(error).__name__, str(error)[:LONGEST_REASON])
        return arrived

    @property
    def run(self) -> "Run":
        return self.grid.run

    def set_run(self, run: "Run") -> None:
        self.grid.set_run(run)

    def create_message(self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None) -> Message:
        return self.grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        return self.grid.get_node_ids()

    def get_nodes(self) -> "Iterable[NodeInfo]":
        return self.grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self.grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self.grid.pull_messages(message_ids)

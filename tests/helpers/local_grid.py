"""An in-memory network: the real server app and the real client apps, without processes between them."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

RUN_ID = 7
Hook = Callable[[int, Message], Message | None]


class PartnerKilledError(BaseException):
    """A partner's process ends at once; nothing in it may catch this."""


def unchanged(partition: int, message: Message) -> Message:
    """Delivers everything as it is."""
    return message


@dataclass
class LocalGrid(Grid):
    """Delivers each message to the client app of its node at once, and keeps both directions for a test to look at.

    Args:
        client_app: Answers for every node; node 101 is partition 0, node 102 partition 1, …
        partners: Number of nodes, all connected at first.
        run_config: As Flower would hand it to the apps.
        down, up: Called with the partition and a request to it, or its reply: may alter or lose it (None), or end the
            coordinator's process there (by raising a `KeyboardInterrupt`).
        registered: Names under which nodes' keys were registered, as across sites.
        timeouts: Of each exchange, seconds.
    """

    client_app: ClientApp
    partners: int
    run_config: dict[str, str]
    down: Hook = unchanged
    up: Hook = unchanged
    registered: dict[int, str] = field(default_factory=dict)
    timeouts: list[float | None] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)
    messages_sent: int = 0

    def __post_init__(self) -> None:
        TaskIdentity.task_id = 1
        TaskIdentity.run_id = RUN_ID
        TaskIdentity.node_id = 1
        self.contexts: dict[int, Context] = {}
        for partition in range(self.partners):
            self.connect(partition)

    @staticmethod
    def node(partition: int) -> int:
        return 101 + partition

    def connect(self, partition: int) -> None:
        """Let a partner come to the coordinator's notice."""
        config = {"partition-id": partition, "num-partitions": self.partners}
        self.contexts[self.node(partition)] = Context(RUN_ID, self.node(partition), config, RecordDict(), dict(self.run_config))

    def disconnect(self, partition: int) -> None:
        """The opposite."""
        del self.contexts[self.node(partition)]

    def get_node_ids(self) -> list[int]:
        return sorted(self.contexts)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = []
        self.timeouts.append(timeout)
        for message in messages:
            self.messages_sent += 1
            message.metadata.__dict__["_message_id"] = f"message-{self.messages_sent}"  # as Flower does when it sends one
            self.sent.append(message)
            partition = message.metadata.dst_node_id - self.node(0)
            arrived = self.down(partition, copy.deepcopy(message))
            if arrived is not None and (reply := self.up(partition, self.answer(arrived))) is not None:
                self.received.append(reply)
                replies.append(reply)
        return replies[::-1]  # replies come in any order

    def answer(self, request: Message) -> Message:
        """What the client app replies to a request; a failure ends where Flower's own simulation engine ends it."""
        node = request.metadata.dst_node_id
        if node not in self.contexts:
            return self.unavailable(request)
        asked = copy.deepcopy(request)  # the client app changes the message in place
        try:
            reply = self.client_app(asked, self.contexts[node])
        except (Exception, PartnerKilledError) as error:
            reply = Message(Error(code=2, reason=f"{type(error)}:<'{error}'>"), reply_to=request)
        reply.metadata.__dict__["_src_node_id"] = node
        return reply

    @staticmethod
    def unavailable(request: Message) -> Message:
        """What Flower itself says in the place of a node that is gone."""
        reply = Message(Error(ErrorCode.NODE_UNAVAILABLE, "gone"), reply_to=request)
        reply.metadata.__dict__["_src_node_id"] = SUPERLINK_NODE_ID
        return reply

    @property
    def run(self) -> Run:
        raise AssertionError("not used")

    def set_run(self, run: Run) -> None:
        raise AssertionError("not used")

    def create_message(self, *args: object, **kwargs: object) -> Message:
        raise AssertionError("not used")

    def get_nodes(self) -> list[NodeInfo]:
        return [NodeInfo(node_id=node, name=self.registered.get(node, "")) for node in self.get_node_ids()]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise AssertionError("not used")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise AssertionError("not used")

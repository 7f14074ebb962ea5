"""An in-memory network: the real server app and the real client apps, without processes between them."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

RUN_ID = 7


@dataclass
class LocalGrid(Grid):
    """Delivers each message to the client app of its node at once, and keeps both directions for a test to look at.

    Args:
        client_app: Answers for every node; node 101 is partition 0, node 102 partition 1, …
        partners: Number of nodes.
        run_config: As Flower would hand it to the apps.
        before: Called with the partition and the message before delivery; raising there is a failing partner.
        silent: Partitions whose replies never arrive.
    """

    client_app: ClientApp
    partners: int
    run_config: dict[str, str]
    before: Callable[[int, Message], None] = lambda partition, message: None
    silent: set[int] = field(default_factory=set)
    sent: list[Message] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        TaskIdentity.task_id = 1
        TaskIdentity.run_id = RUN_ID
        TaskIdentity.node_id = 1
        self.contexts = {self.node(index): self._context(index) for index in range(self.partners)}

    @staticmethod
    def node(partition: int) -> int:
        return 101 + partition

    def _context(self, partition: int) -> Context:
        config = {"partition-id": partition, "num-partitions": self.partners}
        return Context(RUN_ID, self.node(partition), config, RecordDict(), dict(self.run_config))

    def get_node_ids(self) -> list[int]:
        return sorted(self.contexts)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        replies = []
        for message in messages:
            self.sent.append(message)
            answer = self._deliver(message)
            self.received.append(answer)
            if message.metadata.dst_node_id - 101 not in self.silent:
                replies.append(answer)
        return replies[::-1]  # replies come in any order

    def _deliver(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        delivered = copy.deepcopy(message)
        try:
            self.before(node - 101, delivered)
            answer = self.client_app(delivered, self.contexts[node])
        except Exception as error:  # as Flower's own simulation engine does
            answer = Message(Error(code=2, reason=f"{type(error)}:<'{error}'>"), reply_to=message)
        answer.metadata.__dict__["_src_node_id"] = node
        return answer

    @property
    def run(self) -> Run:
        raise AssertionError("not used")

    def set_run(self, run: Run) -> None:
        raise AssertionError("not used")

    def create_message(self, *args: object, **kwargs: object) -> Message:
        raise AssertionError("not used")

    def get_nodes(self) -> Iterable[NodeInfo]:
        raise AssertionError("not used")

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise AssertionError("not used")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise AssertionError("not used")

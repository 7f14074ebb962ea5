"""Flower's grid, asked more often: every reply is taken in once, and nothing is waited for that came or whose time is up."""

import time
from collections.abc import Iterable

import pytest
from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from google.protobuf.message import DecodeError

from strategies.coordinator.polling_grid import PollingGrid
from tests.helpers.local_grid import RUN_ID, LocalGrid


class LateGrid(LocalGrid):
    """Replies that come one by one, each at its own time after the request.

    Args:
        delays: Seconds, by position of the request; None: never.
    """

    def __init__(self, delays: list[float | None]) -> None:
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, 1
        self.delays, self.contexts = delays, {}
        self.due: dict[str, tuple[float, Message]] = {}
        self.pulls: list[set[str]] = []

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        names = []
        for position, message in enumerate(messages):
            name = f"message-{position}"
            message.metadata.__dict__["_message_id"] = name
            names.append(name)
            delay = self.delays[position]
            if delay is not None:
                self.due[name] = (time.monotonic() + delay, Message(RecordDict(), reply_to=message))
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.pulls.append(set(message_ids))
        arrived = [name for name in message_ids if name in self.due and self.due[name][0] <= time.monotonic()]
        return [self.due.pop(name)[1] for name in arrived]


def requests(count: int) -> list[Message]:
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, 1
    return [Message(RecordDict(), dst_node_id=100 + position, message_type="query") for position in range(count)]


def test_each_reply_is_taken_in_once_as_it_comes() -> None:
    late = LateGrid([0.3, 0.0, 0.1])
    replies = PollingGrid(late).send_and_receive(requests(3), timeout=20)
    assert [reply.metadata.reply_to_message_id for reply in replies] == ["message-1", "message-2", "message-0"]
    assert late.pulls[0] == {"message-0", "message-1", "message-2"}
    assert late.pulls[-1] == {"message-0"}, "what has come is not asked for again"


@pytest.mark.parametrize("timeout", [0.0, 0.2])
def test_when_the_time_is_up_what_has_come_is_what_there_is(timeout: float) -> None:
    replies = PollingGrid(LateGrid([None, 0.0])).send_and_receive(requests(2), timeout=timeout)
    assert [reply.metadata.reply_to_message_id for reply in replies] == (["message-1"] if timeout else [])


def test_without_a_limit_it_waits_until_all_have_come() -> None:
    assert len(list(PollingGrid(LateGrid([0.4, 0.2])).send_and_receive(requests(2)))) == 2


def test_nobody_asked_is_nothing_to_wait_for() -> None:
    late = LateGrid([])
    assert list(PollingGrid(late).send_and_receive([])) == []
    assert late.pulls == []


def test_messages_leave_before_anybody_asks_for_replies_and_each_reply_is_there_while_others_are_on_their_way() -> None:
    late = LateGrid([None, 0.0])
    replies = PollingGrid(late).send_and_receive(requests(2), timeout=60)
    assert set(late.due) == {"message-1"}
    assert next(iter(replies)).metadata.reply_to_message_id == "message-1"


class Garbled(LateGrid):
    """One reply in which Flower finds no message; taking it in fails once, and it is gone then."""

    def __init__(self, error: Exception) -> None:
        super().__init__([0.0, 0.1])
        self.error: Exception | None = error

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        if self.error is not None and "message-0" in self.due:
            del self.due["message-0"]
            error, self.error = self.error, None
            raise error
        return super().pull_messages(message_ids)


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("Array"), TypeError(), DecodeError("truncated"), AssertionError(), IndexError()]
)
def test_a_reply_that_flower_cannot_put_together_costs_nobody_else_theirs(error: Exception) -> None:
    replies = PollingGrid(Garbled(error)).send_and_receive(requests(2), timeout=0.4)
    assert [reply.metadata.reply_to_message_id for reply in replies] == ["message-1"]


def test_a_superlink_that_is_gone_is_no_reply_of_anybody() -> None:
    with pytest.raises(ConnectionError):
        list(PollingGrid(Garbled(ConnectionError())).send_and_receive(requests(2), timeout=0.4))

"""Time limits of exchanges as Flower's own SuperLink keeps them: its state in memory, its handlers, the coordinator's grid before it."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.common.constant import NOOP_FLWR_AID, ErrorCode
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, TaskType
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.supercore.run import Run
from flwr.superlink.federation.noop_federation_manager import NoOpFederationManager
from flwr.superlink.grid import HttpGrid
from flwr.superlink.servicer.runtime import runtime_handlers

from fedapp.runtime.flower_internals import as_task, set_message_id
from fedapp.runtime.prompt_pull import prompt_pull
from strategies.coordinator import exchange
from strategies.coordinator.polling_grid import PollingGrid
from tests.helpers.local_grid import LocalGrid

PATIENCE = 20.0  # seconds


class SuperLink:
    """Everything between coordinator and partners but the network.

    Attributes:
        grid: The coordinator's.
        nodes: The partners'.
    """

    def __init__(self, partners: int) -> None:
        self.state = InMemoryLinkState(NoOpFederationManager(), InMemoryObjectStore())
        self.run_id = self.state.create_run(None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)
        self.nodes = [self.state.create_node("us", "us", b"key %d" % number, 600.0) for number in range(partners)]
        for node in self.nodes:
            assert self.state.activate_node(node, 600.0)
        self.task: Any = SimpleNamespace(run_id=self.run_id)
        grid = HttpGrid(token="of this test")
        grid.set_run(Run.create_empty(self.run_id))
        grid.__dict__["_client"] = self
        self.grid = PollingGrid(grid, prompt_pull(grid))

    def __getattr__(self, verb: str) -> Any:
        """The Runtime API."""
        handler = getattr(runtime_handlers, "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in verb).strip("_"))
        return lambda request: handler(request, self.state, self.task)

    def request(self, number: int, word: str, seconds: float = PATIENCE) -> Message:
        content = RecordDict({word: ArrayRecord()})
        return Message(content, dst_node_id=self.nodes[number], message_type="query", group_id=word, ttl=seconds)

    def asked(self, number: int) -> list[str]:
        """What a partner that looks is asked."""
        return [each.metadata.group_id for each in self.state.get_message_ins(self.nodes[number], limit=1)]

    def answer(self, number: int, word: str, only: int | None = None) -> "Reply":
        """What a partner answers to the request that waits for it, or as many objects of it as it gets to send."""
        (request,) = self.state.get_message_ins(self.nodes[number], limit=1)
        reply = Reply(self, Message(RecordDict({word: ArrayRecord()}), reply_to=request))
        reply.send(only)
        return reply


class Reply:
    """A partner's, on its way."""

    def __init__(self, superlink: SuperLink, message: Message) -> None:
        self.superlink, self.session = superlink, superlink.state.start_session(superlink.run_id)
        set_message_id(message, message.object_id)
        self.objects = {name: each.deflate() for name, each in get_all_nested_objects(message).items()}
        self.taken, _ = superlink.state.store_message_and_object_tree(message, get_object_tree(message), self.session)

    def send(self, only: int | None = None) -> None:
        for name in list(self.objects)[:only]:
            self.superlink.state.store_object(self.superlink.run_id, self.session, name, self.objects.pop(name))


@pytest.fixture
def superlink() -> Any:
    link = SuperLink(partners=3)
    with as_task(1, link.run_id, 1):
        yield link


def words(messages: list[Message]) -> list[str]:
    return [next(iter(message.content)) for message in messages]


def test_a_reply_that_is_announced_and_does_not_come_holds_up_neither_the_others_nor_the_exchange(superlink: SuperLink) -> None:
    started = time.monotonic()
    replies = superlink.grid.send_and_receive([superlink.request(number, "ask") for number in range(3)], timeout=0.6)
    superlink.answer(0, "killed in the middle", only=1)
    superlink.answer(1, "whole")
    superlink.answer(2, "whole too")
    assert sorted(words(list(replies))) == ["whole", "whole too"]
    assert time.monotonic() - started < PATIENCE, "and not the three minutes after which Flower gives it up"


def test_a_reply_that_comes_in_pieces_arrives_whole(superlink: SuperLink) -> None:
    replies = superlink.grid.send_and_receive([superlink.request(number, "ask") for number in range(2)], timeout=PATIENCE)
    slow = superlink.answer(0, "slow", only=1)
    superlink.answer(1, "quick")
    assert words([next(replies)]) == ["quick"]
    slow.send()
    (arrived,) = replies
    assert words([arrived]) == ["slow"]
    assert (arrived.metadata.src_node_id, arrived.metadata.reply_to_message_id != "") == (superlink.nodes[0], True)


def test_a_reply_of_which_a_part_was_lost_is_none_and_its_exchange_ends(superlink: SuperLink) -> None:
    replies = superlink.grid.send_and_receive([superlink.request(0, "ask")], timeout=PATIENCE)
    reply = superlink.answer(0, "lost", only=1)
    (left, *_) = reply.objects
    superlink.state.object_store.delete(next(iter(superlink.state.message_res_store)))
    (arrived,) = replies
    assert arrived.has_error(), left


def test_nothing_of_a_reply_stays_at_the_superlink(superlink: SuperLink) -> None:
    for only in (None, 1):
        replies = superlink.grid.send_and_receive([superlink.request(0, f"ask {only}")], timeout=0.3)
        superlink.answer(0, "whole", only)
        list(replies)
    list(superlink.grid.send_and_receive([superlink.request(1, "the next exchange")], timeout=0.1))
    assert not [name for name, each in superlink.state.object_store.store.items() if b"whole" in each.content]


# How long a request is valid


def test_a_request_whose_time_is_up_is_not_delivered_before_or_after_a_newer_one(superlink: SuperLink) -> None:
    list(superlink.grid.send_and_receive([superlink.request(0, "old", seconds=0.2)], timeout=0.2))
    replies = superlink.grid.send_and_receive([superlink.request(0, "new")], timeout=PATIENCE)
    assert superlink.asked(0) == ["new"]
    assert superlink.asked(0) == []
    del replies


def test_a_reply_to_a_request_whose_time_is_up_is_not_taken(superlink: SuperLink) -> None:
    replies = superlink.grid.send_and_receive([superlink.request(0, "old", seconds=0.3)], timeout=0.5)
    (request,) = superlink.state.get_message_ins(superlink.nodes[0], limit=1)
    time.sleep(0.3)
    assert not Reply(superlink, Message(RecordDict(), reply_to=request)).taken
    assert not any(reply.has_content() for reply in replies)


def test_a_partner_that_is_gone_is_told_by_flower_in_words_that_we_know(superlink: SuperLink) -> None:
    assert exchange.NODE_UNAVAILABLE == ErrorCode.NODE_UNAVAILABLE
    superlink.state.deactivate_node(superlink.nodes[0])
    request = superlink.request(0, "ask")
    (reply,) = superlink.grid.send_and_receive([request], timeout=PATIENCE)
    assert reply.error.code == ErrorCode.NODE_UNAVAILABLE
    assert reply.metadata.reply_to_message_id == request.metadata.message_id


def test_a_grid_in_memory_is_asked_as_it_is(superlink: SuperLink) -> None:
    grid = LocalGrid(None, 0, {})  # type: ignore[arg-type]  # nobody answers
    assert prompt_pull(grid) == grid.pull_messages

"""One exchange with several partners: who is asked, whose reply is taken, and what the journal says of it."""

import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, MessageType
from flwr.clientapp import ClientApp

from fedapp.storage.json_file import read_json, read_sealed
from strategies import message_records
from strategies.coordinator.exchange import Exchanges, Replies, RoundFailedError
from strategies.coordinator.journal import Journal, read_journal
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.phases import Step
from tests.helpers.local_grid import LocalGrid

echo = ClientApp()


@echo.query()
def answer(message: Message, context: Context) -> Message:
    """The body backwards, and twice the words."""
    body = message.content[message_records.MESSAGE][message_records.BODY]
    words = message_records.vectors(message.content, message_records.WORDS)
    reply = message_records.content(
        message_records.step(message.content), {message_records.BODY: body[::-1]}, {message_records.WORDS: [2 * words[0]]} if words else {}
    )
    return Message(reply, reply_to=message)


class Way:
    """Exchanges with partners that echo."""

    def __init__(self, folder: Path, partners: int = 3, least: int = 2, names: tuple[str, ...] = ()) -> None:
        self.path, self.awaited = folder / "journal.jsonl", folder / "awaited.json"
        self.grid = LocalGrid(echo, partners, {})
        self.exchanges = Exchanges(
            self.grid, Journal(self.path), partners, least, connect_timeout=0.05, exchange_timeout=1, round_timeout=2, names=names
        )

    def ask(self) -> Replies:
        requests = {node: (b"abc%d" % node, {message_records.WORDS: [np.arange(3)]}) for node in self.exchanges.connected()}
        return self.exchanges.ask("Step", 7, requests)


@pytest.fixture
def way(tmp_path: Path) -> Way:
    return Way(tmp_path)


def test_every_reply_arrives(way: Way) -> None:
    taken = [(node, body, [words.tolist() for words in vectors]) for node, body, vectors in way.ask()]
    assert sorted(taken) == [(101, b"101cba", [[0, 2, 4]]), (102, b"201cba", [[0, 2, 4]]), (103, b"301cba", [[0, 2, 4]])]


def test_an_exchange_is_one_line_in_the_journal_when_its_replies_were_worked_on(way: Way) -> None:
    arrived = way.ask()
    assert read_journal(way.path) == []
    list(arrived)
    way.exchanges.note(arrived, {"loss": 0.5})
    (line,) = read_journal(way.path)
    sizes = [sum(message_records.payload_bytes(message.content) for message in held) for held in (way.grid.sent, way.grid.received)]
    assert (line.round, line.phase, line.asked, line.replied) == (7, "Step", 3, 3)
    assert [line.bytes_down, line.bytes_up] == sizes
    assert line.metrics == {"loss": 0.5}
    assert line.left_out == []
    assert 0 <= line.seconds < 5


Spoil = Callable[[Message], Message | None]


def without_body(message: Message) -> Message:
    del message.content[message_records.MESSAGE][message_records.BODY]
    return message


def without_message(message: Message) -> Message:
    del message.content[message_records.MESSAGE]
    return message


def with_another_body(message: Message) -> Message:
    message.content[message_records.MESSAGE][message_records.BODY] = 5
    return message


def with_another_name(message: Message) -> Message:
    message.content[message_records.WORDS]["words"] = message.content[message_records.WORDS]["0"]
    return message


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda message: None, "no reply"),
        (without_body, "MalformedMessageError: a message of ['step'], not of a step and a body"),
        (without_message, "MalformedMessageError: a message without its record 'message'"),
        (with_another_body, "MalformedMessageError: a step of str and a body of int, not a text and bytes"),
        (with_another_name, "MalformedMessageError: arrays are named 0 to 1, not ['0', 'words']"),
    ],
    ids=["lost", "no body", "no message", "body of another type", "wrong names"],
)
def test_a_reply_that_does_not_arrive_whole_is_left_out_with_its_reason(way: Way, spoil: Spoil, reason: str) -> None:
    way.grid.up = lambda partition, message: spoil(message) if partition == 1 else message
    arrived = way.ask()
    assert sorted(node for node, _, _ in arrived) == [101, 103]
    way.exchanges.note(arrived)
    (line,) = read_journal(way.path)
    assert (line.asked, line.replied, line.left_out) == (3, 2, [f"node 102: {reason}"])


def test_a_partner_that_fails_is_left_out_and_its_error_weighs_nothing(way: Way) -> None:
    way.grid.down = lambda partition, message: without_body(message) if partition == 2 else message
    arrived = way.ask()
    assert sorted(node for node, _, _ in arrived) == [101, 102]
    assert arrived.left_out == {103: "it could not answer"}
    assert arrived.bytes_up == sum(message_records.payload_bytes(message.content) for message in way.grid.received[:2])


@pytest.mark.parametrize("error", [ValueError("too long"), MalformedMessageError("truncated")])
def test_a_reply_that_its_reader_refuses_is_left_out(way: Way, error: Exception) -> None:
    arrived = way.ask()
    for node, _, _ in arrived:
        with arrived.accepting(node):
            if node == 102:
                raise error
    assert arrived.left_out == {102: f"{type(error).__name__}: {error}"}


def test_a_fault_of_our_own_is_nobodys_reply(way: Way) -> None:
    arrived = way.ask()
    list(arrived)
    with pytest.raises(ZeroDivisionError), arrived.accepting(101):
        raise ZeroDivisionError
    assert arrived.left_out == {}


def test_a_second_answer_of_a_node_changes_nothing(way: Way) -> None:
    first, second = (list(way.grid.send_and_receive(way.exchanges.messages("Step", 1, {101: (body, {})}))) for body in (b"1", b"2"))
    arrived = way.exchanges.replies([*first, *second])
    assert [body for _, body, _ in arrived] == [b"1"]
    assert arrived.bytes_up == message_records.payload_bytes(first[0].content)


def test_a_reply_is_let_go_of_before_the_next_one_is_taken(way: Way) -> None:
    """However many partners there are, the coordinator holds one vector beside the sum."""
    held: list[weakref.ref[Message]] = []

    def one_by_one(messages: list[Message]) -> Iterator[Message]:
        while messages:
            held.append(weakref.ref(messages[-1]))
            yield messages.pop()

    requests = {node: (b"x", {message_records.WORDS: [np.arange(3)]}) for node in way.exchanges.connected()}
    replies = list(way.grid.send_and_receive(way.exchanges.messages("Step", 7, requests)))
    way.grid.received.clear()
    for number, _ in enumerate(way.exchanges.replies(one_by_one(replies)), 1):
        assert [each() is None for each in held] == [True] * number


def test_messages_name_their_round_and_kind(way: Way) -> None:
    (message,) = way.exchanges.messages("Step", 4, {101: (b"x", {})}, MessageType.TRAIN)
    assert (message.metadata.group_id, message.metadata.message_type, message.metadata.dst_node_id) == ("4", MessageType.TRAIN, 101)


def test_enough_nodes_will_do_when_the_time_is_up(way: Way) -> None:
    assert way.exchanges.connected() == [101, 102, 103]
    way.grid.disconnect(1)
    assert way.exchanges.connected() == [101, 103]
    way.grid.disconnect(0)
    with pytest.raises(RoundFailedError, match="1 of 3 partners are connected, and a round needs 2"):
        way.exchanges.connected()


def test_nodes_that_did_not_come_are_not_waited_for_again(tmp_path: Path) -> None:
    """Those that came and went are, once; whoever comes later is a newcomer."""
    way = Way(tmp_path, partners=4)
    way.exchanges.connect_timeout = 0.3
    way.grid.disconnect(3)
    waited = []
    for lost in (None, None, 2, None):
        if lost is not None:
            way.grid.disconnect(lost)
        started = time.monotonic()
        way.exchanges.connected()
        waited.append(time.monotonic() - started >= 0.3)
    assert waited == [True, False, True, False]
    way.grid.connect(3)
    assert way.exchanges.newcomers() == {104}
    assert way.exchanges.connected() == [101, 102, 104]


def test_as_many_as_a_round_needs_are_waited_for_every_time(tmp_path: Path) -> None:
    way = Way(tmp_path, partners=3)
    way.exchanges.connect_timeout = 0.3
    for partition in (1, 2):
        way.grid.disconnect(partition)
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(RoundFailedError):
            way.exchanges.connected()
        assert time.monotonic() - started >= 0.3


def test_a_node_is_a_newcomer_until_it_was_connected(way: Way) -> None:
    way.grid.disconnect(2)
    assert way.exchanges.newcomers() == {101, 102}
    way.exchanges.connected()
    assert way.exchanges.newcomers() == set()
    way.grid.connect(2)
    assert way.exchanges.newcomers() == {103}
    way.grid.disconnect(0)
    way.exchanges.connected()
    way.grid.connect(0)
    assert way.exchanges.newcomers() == {101}, "it was not there when the session began"


def test_the_journal_names_who_did_not_answer(way: Way) -> None:
    for node, name in ((101, "Alder"), (103, "Cedar")):
        way.exchanges.names.call(node, name)
    way.grid.up = lambda partition, message: None if partition == 0 else without_body(message)
    arrived = way.ask()
    assert list(arrived) == []
    way.exchanges.note(arrived)
    reason = "MalformedMessageError: a message of ['step'], not of a step and a body"
    assert read_journal(way.path)[0].left_out == ["Alder: no reply", f"Cedar: {reason}", f"node 102: {reason}"]


def test_who_went_away_is_told_apart_from_who_did_not_answer_in_time_and_will_be_a_newcomer(tmp_path: Path) -> None:
    way = Way(tmp_path, partners=4)
    requests = {node: (b"x", {}) for node in way.exchanges.connected()}
    way.grid.disconnect(1)
    way.grid.up = lambda partition, message: None if partition == 2 else message
    arrived = way.exchanges.ask("Step", 7, requests)
    assert sorted(node for node, _, _ in arrived) == [101, 104]
    assert arrived.left_out == {102: "it went away", 103: "no reply"}
    way.exchanges.forget(arrived.away)
    way.grid.connect(1)
    assert way.exchanges.newcomers() == {102}


def test_a_partner_says_of_itself_that_it_went_away_and_of_nobody_else(way: Way) -> None:
    def in_its_own_name(partition: int, message: Message) -> Message:
        if partition != 0:
            return message
        reply = way.grid.unavailable(way.grid.sent[0])  # which went to another one
        reply.metadata.__dict__["_src_node_id"] = way.grid.node(partition)
        return reply

    way.grid.up = in_its_own_name
    requests = {node: (b"x", {}) for node in (101, 102, 103)}
    arrived = way.exchanges.ask("Step", 7, dict(reversed(requests.items())))
    assert sorted(node for node, _, _ in arrived) == [102, 103]
    assert arrived.left_out == {101: "it could not answer"}
    assert arrived.away == set()


def test_a_request_is_valid_as_long_as_its_reply_is_waited_for(way: Way) -> None:
    for asked in Step:
        (message,) = way.exchanges.messages(asked, 1, {101: (b"x", {})})
        assert message.metadata.ttl == way.exchanges.seconds(asked)


def test_while_replies_are_awaited_the_coordinator_says_whose(way: Way) -> None:
    told = []

    def one_by_one(messages: list[Message]) -> Iterator[Message]:
        for message in messages:
            told.append(read_json(way.awaited))
            yield message

    way.exchanges.names.call(102, "Birch")
    replies = list(way.grid.send_and_receive(way.exchanges.messages("Step", 7, {node: (b"x", {}) for node in (101, 102, 103)})))
    arrived = way.exchanges.replies(one_by_one(replies[::-1]))
    list(arrived)
    assert [each["names"] for each in told] == [["Birch", "node 101", "node 103"], ["Birch", "node 103"], ["node 103"]]
    assert {(each["round"], each["phase"]) for each in told} == {(7, "Step")}
    way.exchanges.note(arrived)
    assert not way.awaited.exists()


def test_an_exchange_that_is_noted_awaits_nobody_though_somebody_never_answered(way: Way) -> None:
    way.grid.up = lambda partition, message: None if partition == 1 else message
    arrived = way.ask()
    list(arrived)
    assert read_json(way.awaited)["names"] == ["node 102"]
    way.exchanges.note(arrived)
    assert not way.awaited.exists()


def test_who_is_not_connected_is_named_where_nodes_are_registered_by_name(tmp_path: Path) -> None:
    way = Way(tmp_path, names=("Alder", "Birch", "Cedar"))
    way.grid.registered = {101: "Alder", 102: "Birch", 103: "Cedar"}
    way.grid.disconnect(0)
    assert way.exchanges.connected() == [102, 103]
    assert read_sealed(way.awaited, {}) == {"round": 0, "phase": "connecting", "names": ["Alder"]}
    way.grid.disconnect(2)
    with pytest.raises(RoundFailedError, match="1 of 3 partners are connected, and a round needs 2; not connected: Alder, Cedar"):
        way.exchanges.connected()


def test_what_is_ready_at_once_is_not_waited_for_as_long_as_training(way: Way) -> None:
    """The first request of a session may meet a partner whose process starts: it has the time to connect on top."""
    for asked in Step:
        list(way.exchanges.ask(asked, 1, {101: (b"x", {})}))
    seconds = dict(zip(Step, way.grid.timeouts, strict=True))
    assert seconds.pop(Step.ADVERTISE_KEYS) == 1.05
    short = {Step.SHARE_KEYS, Step.CONSISTENCY, Step.UNMASK}
    assert seconds == {asked: 1 if asked in short else 2 for asked in seconds}


def test_a_reply_is_to_what_was_asked(way: Way) -> None:
    way.grid.up = lambda partition, message: renamed(message) if partition == 1 else message
    arrived = way.ask()
    assert sorted(node for node, _, _ in arrived) == [101, 103]
    assert arrived.left_out[102].startswith("MalformedMessageError: a reply to 'Another'")


def renamed(message: Message) -> Message:
    message.content[message_records.MESSAGE][message_records.STEP] = "Another"
    return message

"""Our own vectors: what the protocol computed when they were written it computes today. A change is a new version of the protocol."""

import json

import pytest

from strategies.secagg import consistency_messages, messages, wire
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.state import State
from strategies.secagg.verification import session_id
from tests.strategies.secagg.make_vectors import FOLDER, examples, text, vectors


def test_the_vectors_are_those_that_the_generator_writes() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(vectors())


@pytest.mark.parametrize("name", vectors())
def test_every_case_is_computed_as_written(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    for before, now in zip(json.loads(written), json.loads(text(vectors()[name])), strict=True):
        assert before == now
    assert written == text(vectors()[name])


@pytest.mark.parametrize("place", range(len(examples())), ids=lambda place: type(examples()[place]).__name__)
def test_a_written_message_is_read_as_it_was(place: int) -> None:
    example = examples()[place]
    held = json.loads((FOLDER / "messages.json").read_text(encoding="utf-8"))[place]
    assert held["message"] == type(example).__name__
    assert wire.decode(type(example), bytes.fromhex(held["bytes"])) == example


def test_a_written_reply_is_read_as_it_was_and_none_without_its_tag() -> None:
    replies = json.loads((FOLDER / "replies.json").read_text(encoding="utf-8"))
    assert [reply["message"] for reply in replies] == [kind.__name__ for kind in messages.COLLECT_REPLIES]
    for reply in replies:
        (example,) = (example for example in examples() if type(example).__name__ == reply["message"])
        data = bytes.fromhex(reply["bytes"])
        assert wire.decode_tagged(messages.COLLECT_REPLIES, data) == example
        with pytest.raises(MalformedMessageError):
            wire.decode_tagged(messages.COLLECT_REPLIES, data[1:])


def test_every_message_has_a_vector() -> None:
    travelling = {
        name
        for module in (messages, consistency_messages)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and kind.__module__ == module.__name__
    }
    inner = {"Advertisement", "KeyContributions", "DeliveredContribution", "LastRound", "Header", "SignedHeader", "SealedShares"}
    assert {type(example).__name__ for example in examples()} == travelling - inner | {State.__name__}


def test_bytes_that_are_no_message_are_refused() -> None:
    for held in json.loads((FOLDER / "malformed.json").read_text(encoding="utf-8")):
        with pytest.raises(MalformedMessageError):
            wire.decode(getattr(messages, held["message"]), bytes.fromhex(held["bytes"]))


def test_the_session_id_does_not_depend_on_the_order_of_advertisements_nor_on_signatures() -> None:
    parameters, advertisement, *_ = examples()
    other = messages.SignedAdvertisement(messages.Advertisement(1, bytes(1216), bytes(32), 3, bytes(32)), b"s")
    again = messages.SignedAdvertisement(other.body, b"t")
    assert session_id(parameters, (advertisement, other)) == session_id(parameters, (again, advertisement))

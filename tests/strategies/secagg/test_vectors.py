"""Our own vectors: what the protocol computed when they were written it computes today. A change is a new version of the protocol."""

import json

import numpy as np
import pytest

from strategies.secagg import consistency_messages, keys, messages, proofs, wire
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.keystream import add_streams
from strategies.secagg.masking import signed_view
from strategies.secagg.proofs import own_secrets
from strategies.secagg.roster import Roster
from strategies.secagg.state import State
from strategies.secagg.transcript import read
from strategies.secagg.verification import session_id, verify_answer, verify_header
from tests.strategies.secagg.make_vectors import FOLDER, RECORDED, text, vectors
from tests.strategies.secagg.refused_vectors import error_of
from tests.strategies.secagg.vector_cases import Case, examples


def test_the_vectors_are_those_that_the_generator_writes() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*vectors(), *RECORDED, "README.md"}


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


def recorded(name: str) -> tuple[Roster, list[Case]]:
    """The roster of a recorded file, and its other cases."""
    first, *cases = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return wire.decode(Roster, bytes.fromhex(first["roster"])), cases


def test_what_was_recorded_proves_what_it_says_and_nothing_else() -> None:
    roster, cases = recorded("proofs.json")
    for held in cases:
        assert proofs.proven(roster, bytes.fromhex(held["bytes"])) == held["accused"], held["why"]
    kinds = {kind.__name__ for kind in proofs.PROOFS}
    assert {held["proof"] for held in cases if held["accused"]} == {held["proof"] for held in cases if not held["accused"]} == kinds


def test_recorded_transcripts_are_read_or_broken_as_it_is_written() -> None:
    roster, cases = recorded("transcripts.json")
    for held in cases:
        assert error_of(read, held["lines"], roster.member(held["partner"]), roster.digest()) == held["error"], held["why"]


def test_a_recorded_session_gives_the_sum_that_is_written() -> None:
    """From the messages, and from the group key to the plain sum."""
    roster, (*log, outcome) = recorded("session.json")
    replies = {(each["step"], each["partner"]): each for each in log if "reply" in each}
    request = wire.decode(messages.ShareKeysRequest, next(bytes.fromhex(each["request"]) for each in log if each["step"] == "ShareKeys"))
    parameters = wire.decode(messages.SessionParameters, bytes.fromhex(log[0]["request"]))
    assert session_id(parameters, request.advertisements).hex() == outcome["session"]
    words, group = np.zeros(len(outcome["masked_sum"]) // 8, dtype="<u4"), bytes.fromhex(outcome["group_key"])
    for index in outcome["survivors"]:
        masked = wire.decode_tagged(messages.COLLECT_REPLIES, bytes.fromhex(replies["MaskedInputCollection", index]["reply"]))
        answer = wire.decode(consistency_messages.UnmaskReply, bytes.fromhex(replies["Unmasking", index]["reply"]))
        assert isinstance(masked, messages.MaskedInput)
        verify_header(roster, bytes.fromhex(outcome["session"]), 0, masked.header)
        verify_answer(roster, bytes.fromhex(outcome["session"]), 0, answer)
        own = own_secrets(bytes.fromhex(outcome["session"]), 0, (1, 2, 3, 4), masked.commitments, answer)
        words += np.frombuffer(bytes.fromhex(replies["MaskedInputCollection", index]["words"]), dtype="<u4")
        add_streams(words, [own[4]] if index > 4 else [], [own[index], *([own[4]] if index < 4 else [])])
    assert words.tobytes().hex() == outcome["masked_sum"]
    seeds = {index: keys.group_seed(group, 0, index) for index in (1, 2, 3, 4)}
    add_streams(words, [], [seeds[3]])  # masks of neighbours cancel: 1, 2 and 3 are left with the stream of 3
    assert signed_view(words)[:-3].tolist() == outcome["decoded"]


def test_every_message_has_a_vector() -> None:
    travelling = {
        name
        for module in (messages, consistency_messages, proofs)
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
    other = messages.SignedAdvertisement(messages.Advertisement(1, bytes(1216), bytes(32), 3, b"t" * 32, bytes(32)), b"s")
    again = messages.SignedAdvertisement(other.body, b"t")
    assert session_id(parameters, (advertisement, other)) == session_id(parameters, (again, advertisement))

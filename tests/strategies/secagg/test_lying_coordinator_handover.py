"""Lies about a trunk that one partner hands over to another through the coordinator."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strategies.secagg import handover, keys, wire
from strategies.secagg.errors import AlteredReplyError, HandoverError, OldSessionError, SecAggError, SignatureError, UnknownPartnerError
from strategies.secagg.messages import Handover, LastRound, SignedHeader
from strategies.secagg.phases import Step
from strategies.secagg.transcript import Fact
from strategies.secagg.verification import header_message
from tests.strategies.secagg.parties import entropy_from, identities
from tests.strategies.secagg.stages import PARTNERS, TRUNK, VERSION, Stage, before, flipped, refused

PLAIN, ROWS = b"content of " + TRUNK, b""


def handed_over(nonce: bytes = b"n" * 32) -> tuple[Stage, Handover, bytes]:
    """Partner 1 has handed over its trunk, and partner 2 has joined the session."""
    at = before(Step.ADVERTISE_KEYS)
    parameters = replace(at.parties.coordinator.parameters, nonce=nonce)
    at.parties.coordinator.parameters = parameters
    at.requests = dict.fromkeys(at.requests, wire.encode(parameters))
    at = at.on().on()
    request = at.parties.coordinator.handover_request(1, VERSION)
    offered = wire.decode(Handover, at.parties.sites[1].answer(Step.HANDOVER, request))
    at.partner(2).collect(at.requests[2])
    return at, offered, at.parties.sites[1].words


def refuses(at: Stage, offered: Handover, ciphertext: bytes, error: type[SecAggError]) -> None:
    with refused(error, by=at.partner(2)):
        at.partner(2).take_over(offered, ciphertext)


def test_the_honest_trunk_is_taken_over_and_cannot_be_read_on_the_way() -> None:
    at, offered, ciphertext = handed_over()
    assert at.partner(2).take_over(offered, ciphertext) == PLAIN
    assert PLAIN not in ciphertext
    assert len(ciphertext) == 12 + len(PLAIN) + 16


def test_one_bit_of_the_encrypted_trunk_anywhere() -> None:
    at, offered, ciphertext = handed_over()
    state = at.partner(2).state
    for place in range(len(ciphertext)):
        at.partner(2).state = state
        refuses(at, offered, flipped(ciphertext, place, place % 8), HandoverError)


@pytest.mark.parametrize("length", [0, 11, 12, 27, 28, -1])
def test_an_encrypted_trunk_cut_short(length: int) -> None:
    at, offered, ciphertext = handed_over()
    refuses(at, offered, ciphertext[:length], HandoverError)


@pytest.mark.parametrize(("name", "value"), [("holder", 3), ("trunk", b"x" * 32), ("ciphertext", b"x" * 32), ("signature", b"")])
def test_what_the_holder_did_not_sign(name: str, value: object) -> None:
    at, offered, ciphertext = handed_over()
    refuses(at, replace(offered, **{name: value}), ciphertext, SignatureError)


def test_a_trunk_signed_by_somebody_who_does_not_hold_it() -> None:
    at, offered, ciphertext = handed_over()
    body = (1).to_bytes(4, "big") + offered.trunk + offered.ciphertext
    tag = keys.tag(Step.HANDOVER, at.parties.roster.digest(), at.parties.coordinator.session, 0)
    refuses(at, replace(offered, signature=identities(5)[-1].sign(tag + body)), ciphertext, SignatureError)


@pytest.mark.parametrize("holder", [0, 5])
def test_a_holder_outside_the_roster(holder: int) -> None:
    at, offered, ciphertext = handed_over()
    refuses(at, replace(offered, holder=holder), ciphertext, UnknownPartnerError)


def test_a_trunk_handed_over_in_another_session() -> None:
    at, _, _ = handed_over()
    _, offered, ciphertext = handed_over(nonce=b"m" * 32)
    refuses(at, offered, ciphertext, SignatureError)


@pytest.mark.parametrize("size", [0, 11, 12, 60])
def test_a_holder_that_signs_something_else_than_a_sealed_trunk(size: int) -> None:
    at, offered, _ = handed_over()
    holder = at.partner(1)
    made_up = b"x" * size
    digest = keys.hashlib.sha256(made_up).digest()
    signature = holder.identity.sign(handover.handover_message(at.parties.roster, holder.session.id, 1, TRUNK, digest))
    refuses(at, replace(offered, ciphertext=digest, signature=signature), made_up, HandoverError)


def test_a_holder_with_another_group_key() -> None:
    at, _, _ = handed_over()
    holder = at.partner(1)
    other = replace(holder.session, group=b"x" * 32)
    offered, ciphertext = handover.seal(holder.identity, at.parties.roster, other, TRUNK, PLAIN, entropy_from(0))
    refuses(at, offered, ciphertext, HandoverError)


def test_another_trunk_sealed_by_a_member_that_helps_the_coordinator() -> None:
    """Every member can make a ciphertext that opens; the holder signed another one."""
    at, offered, _ = handed_over()
    accomplice = at.partner(2).session
    _, forged = handover.seal(identities(4)[2], at.parties.roster, replace(accomplice, index=1), TRUNK, b"x" * len(PLAIN), entropy_from(0))
    refuses(at, offered, forged, HandoverError)


# At a coordinator that does not lie


def test_a_coordinator_passes_on_what_its_holder_signed() -> None:
    at, offered, ciphertext = handed_over()
    at.parties.coordinator.check_handover(1, offered, np.frombuffer(ciphertext, dtype=np.uint8))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"holder": 3}, AlteredReplyError),
        ({"trunk": b"x" * 32}, SignatureError),
        ({"ciphertext": b"x" * 32}, SignatureError),
        ({"signature": b""}, SignatureError),
    ],
)
def test_a_coordinator_passes_nothing_on_that_its_holder_did_not_sign(changes: dict[str, Any], error: type[SecAggError]) -> None:
    at, offered, ciphertext = handed_over()
    with pytest.raises(SecAggError) as caught:
        at.parties.coordinator.check_handover(1, replace(offered, **changes), np.frombuffer(ciphertext, dtype=np.uint8))
    assert caught.type is error


def test_a_coordinator_passes_nothing_on_in_another_partners_name() -> None:
    """What partner 1 signed, answered by partner 2."""
    at, offered, ciphertext = handed_over()
    with pytest.raises(AlteredReplyError, match="partner 2 hands over in the name of partner 1"):
        at.parties.coordinator.check_handover(2, offered, np.frombuffer(ciphertext, dtype=np.uint8))


# What is in it


def takes(at: Stage, offered: Handover, name: bytes, last: LastRound | None = None, headers: tuple[SignedHeader, ...] = ()) -> None:
    """Partner 2 finds that what was handed over has this name."""
    at.partner(2).check_taken(offered, name, ROWS, last, headers)


def after_a_round() -> tuple[Stage, Handover, tuple[SignedHeader, ...]]:
    """Partner 4 of four missed the first round, from which partner 1 hands its trunk over; the headers of the three survivors."""
    at = before(Step.FINISH, dropped=(4,))
    request = at.parties.coordinator.handover_request(1, VERSION)
    offered = wire.decode(Handover, at.parties.sites[1].answer(Step.HANDOVER, request))
    assert at.collection is not None
    return at, offered, tuple(at.collection.inputs[index].header for index in at.collection.survivors)


def holds(at: Stage, offered: Handover, headers: tuple[SignedHeader, ...], error: type[SecAggError] | None, /, **changes: object) -> None:
    """Partner 4 takes the trunk over by these headers, or refuses."""
    given = {"name": TRUNK, "rows": b"", "last": LastRound(0, (1, 2, 3), False), "headers": headers} | changes
    if error is None:
        at.partner(4).check_taken(offered, **given)  # type: ignore[arg-type]
        return
    with refused(error, by=at.partner(4)):
        at.partner(4).check_taken(offered, **given)  # type: ignore[arg-type]


def vouching(at: Stage, index: int, number: int = 0, session: bytes = b"", **changes: object) -> SignedHeader:
    """A header of a partner that works with the coordinator: it signs what it likes."""
    assert at.collection is not None
    partner = at.partner(index)
    body = replace(at.collection.inputs[1].header.body, index=index, **changes)
    message = header_message(at.parties.roster, session or partner.session.id, number, body)
    return SignedHeader(body, partner.identity.sign(message))


def test_at_the_beginning_the_trunk_is_taken_that_a_quorum_advertised() -> None:
    at, offered, _ = handed_over()
    takes(at, offered, TRUNK)
    takes(at, offered, TRUNK, LastRound(0, PARTNERS, True))


@pytest.mark.parametrize("last", [None, LastRound(0, PARTNERS, True)])
def test_at_the_beginning_a_trunk_of_another_content(last: LastRound | None) -> None:
    """A name that its content does not have is found by whoever reads it, and one that it has is another one."""
    at, offered, _ = handed_over()
    with refused(HandoverError, by=at.partner(2)):
        takes(at, offered, b"x" * 32, last)


def test_at_the_beginning_headers_vouch_for_nothing() -> None:
    at, offered, headers = after_a_round()
    holds(at, offered, headers, HandoverError, name=b"x" * 32, last=None)


def test_later_the_trunk_is_taken_that_a_quorum_trained_from() -> None:
    at, offered, headers = after_a_round()
    assert at.parties.roster.quorum() == 2
    for chosen in (headers, headers[:2], headers[1:], (headers[2], headers[0])):
        holds(at, offered, chosen, None)


@pytest.mark.parametrize("chosen", [(), (0,), (2,), (1, 1), (0, 0, 0)])
def test_a_trunk_for_which_fewer_partners_signed_than_a_quorum(chosen: tuple[int, ...]) -> None:
    at, offered, headers = after_a_round()
    holds(at, offered, tuple(headers[place] for place in chosen), HandoverError)


@pytest.mark.parametrize("changes", [{"name": b"x" * 32}, {"rows": b"x" * 32}])
def test_a_trunk_of_another_content_or_row_list_than_the_round_was_trained_from(changes: dict[str, object]) -> None:
    at, offered, headers = after_a_round()
    holds(at, offered, headers, HandoverError, **changes)


def test_a_trunk_for_which_one_colluding_partner_signs() -> None:
    """One of four may misbehave, which is fewer than a quorum, however often it signs."""
    at, offered, headers = after_a_round()
    other = at.partner(3).basis(b"x" * 32, b"")
    holds(at.copy(), offered, (vouching(at, 3, trunk=other), *headers[:2]), HandoverError, name=b"x" * 32)
    holds(at, offered, (vouching(at, 3, trunk=other), vouching(at, 3, trunk=other, words=5)), HandoverError, name=b"x" * 32)


def test_headers_of_another_round() -> None:
    at, offered, headers = after_a_round()
    holds(at, offered, headers, SignatureError, last=LastRound(1, (1, 2, 3), False))


def test_headers_of_another_session() -> None:
    at, offered, headers = after_a_round()
    elsewhere = tuple(vouching(at, index, session=b"s" * 32) for index in (1, 2))
    holds(at, offered, (*elsewhere, headers[2]), SignatureError)


@pytest.mark.parametrize("changes", [{"index": 2}, {"trunk": b"x" * 32}])
def test_headers_that_their_partners_did_not_sign(changes: dict[str, object]) -> None:
    at, offered, (first, *others) = after_a_round()
    holds(at, offered, (replace(first, body=replace(first.body, **changes)), *others), SignatureError)


@pytest.mark.parametrize("index", [0, 5])
def test_headers_of_nobody(index: int) -> None:
    at, offered, (first, *others) = after_a_round()
    holds(at, offered, (replace(first, body=replace(first.body, index=index)), *others), UnknownPartnerError)


def test_headers_of_a_partner_that_is_not_in_the_session_count_for_nothing() -> None:
    at, offered, headers = after_a_round()
    held = at.partner(4)
    assert held.state.session is not None
    alone = replace(held.state.session, members=(1, 3, 4), pairs=(b"", b"", b""))
    held.state = replace(held.state, session=alone)
    assert at.parties.roster.quorum() == 2
    holds(at, offered, headers[:2], HandoverError)


def test_the_basis_of_a_row_list_is_none_that_a_trunk_could_be_taken_by() -> None:
    """Its headers name the session's trunk alone, and nothing says of which row list."""
    at, offered, _ = after_a_round()
    assert at.partner(1).session.trunk == TRUNK
    listing = tuple(vouching(at, index, trunk=TRUNK) for index in (1, 2, 3))
    holds(at, offered, listing, HandoverError)


def test_what_was_handed_over_is_in_the_transcript_also_if_it_is_refused() -> None:
    at, offered, _ = handed_over()
    with refused(HandoverError, by=at.partner(2)):
        takes(at, offered, b"x" * 32)
    assert at.partner(2).facts[-1] == Fact("handed over 1", b"x" * 32)


def test_a_trunk_for_a_partner_without_a_session() -> None:
    _, offered, ciphertext = handed_over()
    refuses(before(Step.ADVERTISE_KEYS), offered, ciphertext, OldSessionError)


def test_a_request_to_hand_over_in_another_session() -> None:
    at = before(Step.HANDOVER)
    with refused(OldSessionError, by=at.partner(1)):
        at.send(1, session=b"x" * 32)

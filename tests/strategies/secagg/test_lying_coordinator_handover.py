"""Lies about a trunk that one partner hands over to another through the coordinator."""

from dataclasses import replace

import pytest

from strategies.secagg import handover, keys, wire
from strategies.secagg.errors import HandoverError, OldSessionError, SecAggError, SignatureError, UnknownPartnerError
from strategies.secagg.messages import Handover
from strategies.secagg.phases import Step
from tests.strategies.secagg.parties import entropy_from, identities
from tests.strategies.secagg.stages import TRUNK, Stage, before, flipped, refused

PLAIN = b"content of " + TRUNK


def handed_over(nonce: bytes = b"n" * 32) -> tuple[Stage, Handover, bytes]:
    """Partner 1 has handed over its trunk, and partner 2 has joined the session."""
    at = before(Step.ADVERTISE_KEYS)
    parameters = replace(at.parties.coordinator.parameters, nonce=nonce)
    at.parties.coordinator.parameters = parameters
    at.requests = dict.fromkeys(at.requests, wire.encode(parameters))
    at = at.on().on()
    request = at.parties.coordinator.handover_request(1)
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
    signature = holder.identity.sign(handover._signed(at.parties.roster, holder.session, 1, TRUNK, digest))
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


def test_a_trunk_for_a_partner_without_a_session() -> None:
    _, offered, ciphertext = handed_over()
    refuses(before(Step.ADVERTISE_KEYS), offered, ciphertext, OldSessionError)


def test_a_request_to_hand_over_in_another_session() -> None:
    at = before(Step.HANDOVER)
    with refused(OldSessionError, by=at.partner(1)):
        at.send(1, session=b"x" * 32)

"""A partner that lies, or a coordinator that lies in its name with its help: the others refuse, and say who it was."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from strategies.secagg import keys, session, shamir, shares, verification, wire
from strategies.secagg.errors import AlteredSumError, ContributionError, KeyConfirmationError, SecAggError
from strategies.secagg.messages import ShareKeysReply, cohort_digest
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from strategies.secagg.session import Shared
from tests.strategies.secagg.parties import identities
from tests.strategies.secagg.stages import PARTNERS, Stage, before, refused

LIAR = 3


def advertising(kem: bytes) -> Stage:
    """Everybody has advertised, the liar a key of its own choice."""
    at = before(Step.SHARE_KEYS)
    listed = list(at.request().advertisements)
    body = replace(listed[LIAR - 1].body, kem=kem)
    tag = keys.tag(Step.ADVERTISE_KEYS, at.parties.roster.digest(), at.parties.coordinator.parameters.digest(), 0)
    listed[LIAR - 1] = replace(listed[LIAR - 1], body=body, signature=identities(4)[LIAR - 1].sign(tag + wire.encode(body)))
    at.requests[1] = wire.encode(replace(at.request(1), advertisements=tuple(listed)))
    return at


@pytest.mark.parametrize("kem", [b"\xff" * 1216, None], ids=["no lattice point", "no curve point"])
def test_an_advertised_key_that_cannot_be_used(kem: bytes | None) -> None:
    honest = before(Step.SHARE_KEYS).request().advertisements[LIAR - 1].body.kem
    at = advertising(honest[:1184] + bytes(32) if kem is None else kem)
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1)
    assert caught.value.partner == LIAR


def contributing(change: Callable[[Shared, int], bytes]) -> Stage:
    """Everybody has contributed, the liar ciphertexts of its own choice, properly signed.

    Args:
        change: From the liar's state and the recipient to a ciphertext.
    """
    at = before(Step.SHARE_KEYS)
    for index in PARTNERS:
        reply = at.send(index)
        if index == LIAR:
            state = at.partner(LIAR).state.shared
            assert state is not None
            crafted = tuple(change(state, other) for other in state.recipients)
            digests = b"".join(hashlib.sha256(each).digest() for each in crafted)
            message = verification.contributions_message(at.parties.roster, state.id, LIAR, state.recipients, digests)
            held = wire.decode(ShareKeysReply, reply).contributions
            signed = replace(held, digests=digests, signature=identities(4)[LIAR - 1].sign(message))
            reply = wire.encode(ShareKeysReply(signed, crafted))
        at.taken(index, reply)
    return at.next()


def sealed_to(recipient: int, plain: bytes, said: int | None = None) -> Callable[[Shared, int], bytes]:
    """Ciphertexts for one recipient's key, and as `said` for another one."""
    bodies = {each.body.index: each.body for each in before(Step.SHARE_KEYS).request().advertisements}
    return lambda state, other: session._seal(state.id, LIAR, replace(bodies[recipient], index=said or other), plain)


@pytest.mark.parametrize(
    "change",
    [
        lambda state, other: b"",
        lambda state, other: b"x" * 1200,
        sealed_to(2, b"x" * 64),
        sealed_to(1, b"x" * 64, said=2),
        sealed_to(1, b"x" * 63),
        sealed_to(1, b"x" * 65),
    ],
    ids=["nothing", "noise", "to another key", "to another partner", "too short", "too long"],
)
def test_a_contribution_that_does_not_open(change: Callable[[Shared, int], bytes]) -> None:
    at = contributing(change)
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1)
    assert caught.value.partner == LIAR


def test_a_list_of_contributions_that_leaves_the_recipient_out() -> None:
    at = before(Step.COLLECT)
    first, second, third = at.request().contributions
    listed = replace(second.contributions, recipients=(2, 4), digests=bytes(64))
    message = verification.contributions_message(at.parties.roster, at.parties.coordinator.session, LIAR, listed.recipients, listed.digests)
    signed = replace(listed, signature=identities(4)[LIAR - 1].sign(message))
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1, contributions=(first, replace(second, contributions=signed), third))
    assert caught.value.partner == LIAR


def test_other_contributions_to_the_group_key_for_another_partner() -> None:
    bodies = {each.body.index: each.body for each in before(Step.SHARE_KEYS).request().advertisements}

    def change(state: Shared, other: int) -> bytes:
        own = state.sent[state.recipients.index(other)]
        return session._seal(state.id, LIAR, bodies[other], own + (state.group if other != 1 else b"x" * 32))

    at = contributing(change).on()
    with refused(KeyConfirmationError, by=at.partner(2)) as caught:
        at.send(2)
    assert caught.value.partner == 1
    with refused(KeyConfirmationError, by=at.partner(1)):
        at.send(1)


def dealing(at: Stage, count: int) -> Stage:
    """The liar dealt partner 1 another number of shares, under the right key."""
    liar: Participant = at.partner(LIAR)
    key = keys.share_key(liar.session.pair(1), 0, LIAR, 1, cohort_digest(PARTNERS))
    ciphertext = shares.seal([bytes(32)] * count, key, liar.session.id)
    held = tuple(replace(each, ciphertext=ciphertext) if each.dealer == LIAR else each for each in at.request(1).shares)
    at.requests[1] = wire.encode(replace(at.request(1), shares=held))
    return at


@pytest.mark.parametrize("count", [0, 3, 5])
def test_another_number_of_shares(count: int) -> None:
    at = dealing(before(Step.UNMASK), count)
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1)
    assert caught.value.partner == LIAR


@pytest.mark.parametrize("dropped", [(), (4,)])
def test_wrong_shares_spoil_the_sum_and_everybody_notices(dropped: tuple[int, ...]) -> None:
    at = dealing(before(Step.UNMASK, dropped), 4).on()
    for index in PARTNERS:
        with refused(AlteredSumError, by=at.partner(index)):
            at.send(index)


def test_a_share_beyond_the_field_is_reduced() -> None:
    assert shamir.combine((1,), (2**256 - 1,)) == 188


def test_errors_name_the_partner_without_its_secrets() -> None:
    at = before(Step.UNMASK)
    secrets = {at.partner(1).session.group.hex(), *(pair.hex() for pair in at.partner(1).session.pairs if pair)}
    with pytest.raises(SecAggError) as caught:
        dealing(at, 3).send(1)
    assert str(caught.value).startswith(f"partner {LIAR}: ")
    assert not any(secret[:8] in str(caught.value) for secret in secrets)

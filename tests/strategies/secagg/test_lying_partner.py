"""Partners that misbehave while a session is set up: whoever it was is named, and the coordinator and the others can show it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from strategies.secagg import contributions, keys, proofs, wire
from strategies.secagg.errors import (
    AlteredReplyError,
    ContributionError,
    ContributionsMismatchError,
    ExcludedPartnerError,
    GuiltyPartnerError,
    KeyConfirmationError,
    MalformedMessageError,
    SecAggError,
    UnequalContributionError,
    UnusableKeyError,
)
from strategies.secagg.messages import Complaint, DeliveredContribution, SignedAdvertisement
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Phase, Step
from strategies.secagg.proofs import UnequalContribution, UnusableKey
from strategies.secagg.transcript import Fact
from tests.strategies.secagg.misbehaving import (
    NO_CURVE_POINT,
    NO_LATTICE_POINT,
    Seal,
    advertising,
    contributing,
    masking_as,
    relisted,
    sealing,
    unchecked,
    unusable,
)
from tests.strategies.secagg.stages import PARTNERS, Stage, before, ends_well, refused, written_reply

LIAR, VICTIM = 3, 1

# Keys that cannot be used


def unusable_advertisement(at: Stage, kind: str) -> bytes:
    """What the liar advertises."""
    honest = at.deliver(LIAR, at.requests[LIAR])
    kem = unusable(wire.decode(SignedAdvertisement, honest).body.kem, kind)
    return advertising(at.partner(LIAR), at.parties.coordinator.parameters, honest, kem=kem)


@pytest.mark.parametrize("kind", [NO_LATTICE_POINT, NO_CURVE_POINT])
def test_an_advertised_key_that_cannot_be_used_is_left_out_and_the_session_goes_on(kind: str) -> None:
    at = before(Step.ADVERTISE_KEYS)
    with pytest.raises(UnusableKeyError) as caught:
        at.taken(LIAR, unusable_advertisement(at, kind))
    assert caught.value.partner == LIAR
    for index in set(PARTNERS) - {LIAR}:
        at.taken(index, at.send(index))
    (proof,) = at.parties.coordinator.proofs
    assert isinstance(proof, UnusableKey)
    assert proofs.proven(at.parties.roster, proofs.encode(proof)) == LIAR
    at = at.next().on()
    for index in at.requests:
        at.taken(index, at.send(index))
    del at.parties.sites[LIAR]
    ends_well(at, survivors=(1, 2, 4))


@pytest.mark.parametrize("kind", [NO_LATTICE_POINT, NO_CURVE_POINT])
@pytest.mark.parametrize("partner", [1, 2, 4])
def test_an_advertised_key_that_cannot_be_used_is_refused_where_the_coordinator_passes_it_on(kind: str, partner: int) -> None:
    at = before(Step.SHARE_KEYS)
    listed = list(at.request().advertisements)
    body = replace(listed[LIAR - 1].body, kem=unusable(listed[LIAR - 1].body.kem, kind))
    forged = advertising(at.partner(LIAR), at.parties.coordinator.parameters, wire.encode(listed[LIAR - 1]), kem=body.kem)
    listed[LIAR - 1] = wire.decode(SignedAdvertisement, forged)
    with refused(UnusableKeyError, by=at.partner(partner)) as caught:
        at.send(partner, advertisements=tuple(listed))
    assert caught.value.partner == LIAR


def test_whoever_was_proven_guilty_takes_part_no_more() -> None:
    at = before(Step.ADVERTISE_KEYS)
    with pytest.raises(ExcludedPartnerError) as caught:
        at.parties.coordinator.add_advertisement(at.send(LIAR), excluded={LIAR: "it was proven to misbehave, and takes part no more"})
    assert caught.value.partner == LIAR
    assert at.parties.coordinator.add_advertisement(at.send(1), excluded={LIAR: "it was proven to misbehave, and takes part no more"}) == 1


# Contributions


def lied(make: Callable[[Stage], Seal], recipients: tuple[int, ...] = (VICTIM,), committed: bytes | None = None) -> Stage:
    """Everybody has contributed, the liar ciphertexts of its own making for some, properly signed."""
    at = before(Step.SHARE_KEYS)
    for index in PARTNERS:
        reply = at.send(index)
        if index == LIAR:
            reply = contributing(at.partner(LIAR), reply, make(at), recipients, committed)
        at.taken(index, reply)
    return at.next()


def other_group(at: Stage) -> Seal:
    """Another contribution to the group key than was committed to."""
    return sealing(at.parties.coordinator.session, LIAR, at.request().advertisements, b"x" * 32)


def made_of(plain: bytes, to: int | None = None, said: int | None = None, session: bytes | None = None) -> Callable[[Stage], Seal]:
    """Ciphertexts of something else: for another key, as if for another partner, or of another session."""

    def make(at: Stage) -> Seal:
        bodies = {each.body.index: each.body for each in at.request().advertisements}

        def seal(recipient: int, pair: bytes, group: bytes) -> bytes:
            body = replace(bodies[to or recipient], index=said or recipient)
            return contributions.seal(session or at.parties.coordinator.session, LIAR, body, plain, b"")

        return seal

    return make


LIES: dict[str, Callable[[Stage], Seal]] = {
    "another group contribution": other_group,
    "noise": lambda at: lambda recipient, pair, group: b"x" * 1200,
    "for another key": made_of(b"x" * 64, to=2),
    "for another partner": made_of(b"x" * 64, said=2),
    "of another session": made_of(b"x" * 64, session=b"s" * 32),
}


@pytest.mark.parametrize("length", [0, 1199, 1201, 9 << 20])
def test_a_contribution_of_another_length_leaves_its_sender_out_before_anybody_could_complain(length: int) -> None:
    """A proof that has it would be longer than a transcript takes, and the honest one that complains be left out."""
    with pytest.raises(MalformedMessageError, match=f"ciphertext has {length} bytes, not 1200"):
        lied(lambda at: lambda recipient, pair, group: b"x" * length)


@pytest.mark.parametrize("length", [0, 1199, 1201])
def test_a_contribution_of_another_length_from_a_lying_coordinator_is_none(length: int) -> None:
    at = before(Step.COLLECT)
    first, *others = at.request(VICTIM).contributions
    longer = unchecked(DeliveredContribution, contributions=first.contributions, ciphertext=b"x" * length)
    with refused(MalformedMessageError, by=at.partner(VICTIM)):
        at.send(VICTIM, contributions=(longer, *others))


@pytest.mark.parametrize("lie", LIES)
def test_a_contribution_that_is_not_what_its_sender_signed_for_everybody(lie: str) -> None:
    at = lied(LIES[lie])
    with refused(UnequalContributionError, by=at.partner(VICTIM)) as caught:
        at.send(VICTIM)
    assert caught.value.partner == LIAR


@pytest.mark.parametrize("lie", LIES)
def test_a_complaint_proves_it_and_ends_the_session_before_anything_is_masked(lie: str) -> None:
    at = lied(LIES[lie])
    reply = complaint(at)
    assert at.partner(VICTIM).phase is Phase.FAILED
    assert at.partner(VICTIM).state.session is None
    with pytest.raises(GuiltyPartnerError) as caught:
        at.taken(VICTIM, reply)
    assert caught.value.partner == LIAR
    (proof,) = at.parties.coordinator.proofs
    assert isinstance(proof, UnequalContribution)
    assert proofs.proven(at.parties.roster, proofs.encode(proof)) == LIAR
    bystander = at.partner(2)
    assert bystander.take_proofs((proofs.encode(proof), b"", b"\x02")) == (LIAR,)
    assert bystander.facts[-1] == Fact(f"proof against partner {LIAR}", proofs.encode(proof))


def complaint(at: Stage, index: int = VICTIM) -> bytes:
    """The answer of a partner whose contribution is not right."""
    partner = at.partner(index)
    with pytest.raises(UnequalContributionError) as caught:
        partner.collect(at.requests[index])
    return partner.complain(at.requests[index], caught.value)


def test_a_commitment_to_another_contribution_than_everybody_got_is_as_bad() -> None:
    at = lied(lambda at: lambda recipient, pair, group: b"", recipients=(), committed=b"x" * 32)
    for index in (1, 2, 4):
        reply = complaint(at.copy(), index)
        with pytest.raises(GuiltyPartnerError) as caught:
            at.taken(index, reply)
        assert caught.value.partner == LIAR


# Complaints that prove nothing


def false_complaints(at: Stage) -> dict[str, Complaint]:
    """Of partner 1, which got nothing but honest contributions."""
    own = at.partner(VICTIM).state.shared
    assert own is not None
    other = before(Step.ADVERTISE_KEYS)
    other.parties.coordinator.parameters = replace(other.parties.coordinator.parameters, nonce=b"m" * 32)
    elsewhere = dict.fromkeys(PARTNERS, wire.encode(other.parties.coordinator.parameters))
    theirs = replace(other, requests=elsewhere).on().on().partner(VICTIM).state.shared
    assert theirs is not None
    return {
        "an honest sender": Complaint(VICTIM, LIAR, own.secret),
        "a wrong secret": Complaint(VICTIM, LIAR, own.secret[::-1]),
        "another session's secret": Complaint(VICTIM, LIAR, theirs.secret),
        "no secret": Complaint(VICTIM, LIAR, b""),
        "a secret too long": Complaint(VICTIM, LIAR, own.secret + b"x"),
        "about itself": Complaint(VICTIM, VICTIM, own.secret),
        "about nobody": Complaint(VICTIM, 5, own.secret),
    }


@pytest.mark.parametrize("kind", false_complaints(before(Step.COLLECT)))
def test_a_false_complaint_proves_nothing_and_leaves_out_who_makes_it(kind: str) -> None:
    at = before(Step.COLLECT)
    with pytest.raises(AlteredReplyError, match="proves nothing"):
        at.taken(VICTIM, written_reply(Step.COLLECT, false_complaints(at)[kind]))
    assert at.parties.coordinator.proofs == []
    for index in (2, 3, 4):
        at.taken(index, at.send(index))
    ends_well(at, survivors=(2, 3, 4))


def test_a_complaint_in_another_partners_name() -> None:
    at = lied(other_group)
    held = wire.decode_tagged((Complaint,), bytes([1]) + complaint(at)[1:])
    with pytest.raises(AlteredReplyError):
        at.taken(2, written_reply(Step.COLLECT, held))


def test_a_complaint_with_which_the_coordinator_replaced_what_its_sender_signed() -> None:
    """The ciphertext is not the signed one: that ends the session at the partner, and names the coordinator as well as the sender."""
    at = before(Step.COLLECT)
    first, *others = at.request().contributions
    with refused(ContributionError, by=at.partner(VICTIM)):
        at.send(VICTIM, contributions=(replace(first, ciphertext=b"x" * 1200), *others))


def test_a_list_of_contributions_that_leaves_the_recipient_out() -> None:
    at = before(Step.COLLECT)
    first, second, third = at.request().contributions
    listed = replace(second.contributions, recipients=(2, 4), digests=bytes(64))
    signed = relisted(at.partner(LIAR), at.parties.coordinator.session, listed)
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1, contributions=(first, replace(second, contributions=signed), third))
    assert caught.value.partner == LIAR


# Different lists to different partners


def test_other_lists_of_contributions_to_another_partner() -> None:
    """The liar signs two lists, each in order by itself, and the coordinator shows partner 1 the other one: other keys, and named so."""
    at = before(Step.COLLECT)
    session, liar = at.parties.coordinator.session, at.partner(LIAR)
    delivered = list(at.request(VICTIM).contributions)
    place = next(place for place, each in enumerate(delivered) if each.contributions.sender == LIAR)
    held = delivered[place].contributions
    bodies = {each.body.index: each.body for each in before(Step.SHARE_KEYS).request().advertisements}
    ciphertext = contributions.seal(session, LIAR, bodies[VICTIM], b"p" * 32, b"x" * 32)
    digest = hashlib.sha256(ciphertext).digest()
    second = replace(held, group=keys.group_commitment(session, LIAR, b"x" * 32), digests=digest + held.digests[32:])
    delivered[place] = replace(delivered[place], contributions=relisted(liar, session, second), ciphertext=ciphertext)
    at.requests[VICTIM] = wire.encode(replace(at.request(VICTIM), contributions=tuple(delivered)))
    for site in at.parties.sites.values():  # in a round over the row list; else what they train from differs by name, too
        site.listing = True
    at = at.on()
    assert at.collection is not None
    assert VICTIM not in at.collection.survivors, "an honest coordinator sees it, too"
    headers = tuple(at.collection.inputs[index].header for index in PARTNERS)
    shown = wire.encode(replace(at.request(2), survivors=PARTNERS, dropped=(), headers=headers))
    for index, other in ((VICTIM, 2), (2, VICTIM)):
        with refused(ContributionsMismatchError, by=at.partner(index)) as caught:
            at.deliver(index, shown)
        assert caught.value.partner == other


def test_a_partner_that_says_it_was_shown_other_lists_than_the_others_is_left_out_of_the_sum() -> None:
    """Else all others would refuse the round."""
    at = before(Step.COLLECT)
    for index in PARTNERS:
        reply = at.send(index)
        at.taken(index, masking_as(at.partner(LIAR), reply, contributions=b"x" * 32) if index == LIAR else reply)
    at = at.next()
    assert at.collection is not None
    assert at.collection.survivors == tuple(index for index in PARTNERS if index != LIAR)
    at = at.on()
    assert at.step is Step.UNMASK


def test_a_partner_that_says_it_was_shown_what_we_were_and_has_another_key() -> None:
    at = before(Step.COLLECT)
    for index in PARTNERS:
        reply = at.send(index)
        at.taken(index, masking_as(at.partner(LIAR), reply, confirmation=b"x" * 32) if index == LIAR else reply)
    at = at.next()
    with refused(KeyConfirmationError, by=at.partner(1)) as caught:
        at.send(1)
    assert caught.value.partner == LIAR


def test_errors_name_the_partner_without_its_secrets() -> None:
    at = lied(other_group)
    shared = at.partner(1).state.shared
    assert shared is not None
    with pytest.raises(SecAggError) as caught:
        at.send(1)
    assert str(caught.value).startswith(f"partner {LIAR}: ")
    assert not any(secret.hex()[:8] in str(caught.value) for secret in (shared.group, shared.secret, *shared.sent))


def test_a_complaint_gives_nothing_away_but_the_keys_of_this_session() -> None:
    at = lied(other_group)
    partner: Participant = at.partner(VICTIM)
    shared = partner.state.shared
    assert shared is not None
    reply = complaint(at)
    assert shared.secret in reply
    assert not any(secret in reply for secret in (shared.group, *shared.sent))

"""Lies of the coordinator while a session is set up. Each ends in its own named error, and the partner forgets its keys."""

from dataclasses import replace

import pytest

from strategies.secagg import coordinator, keys, wire
from strategies.secagg.errors import (
    OwnMessageAlteredError,
    PolicyError,
    RepeatedPartnerError,
    SignatureError,
    TooFewPartnersError,
    UnknownPartnerError,
)
from strategies.secagg.identity import Identity
from strategies.secagg.messages import (
    NO_TRUNK,
    SignedAdvertisement,
)
from strategies.secagg.participant import Participant
from strategies.secagg.phases import Step
from tests.strategies.secagg.parties import entropy_from, identities, policy_for, roster_of
from tests.strategies.secagg.stages import Stage, before, flipped, refused

STRANGER = identities(5)[-1]  # has no place in the roster


def advertisements(at: Stage, partner: int, /, signer: Identity | None = None, **changes: object) -> tuple[SignedAdvertisement, ...]:
    """The advertisements with one partner's body changed, and signed anew by `signer`."""

    def altered(each: SignedAdvertisement) -> SignedAdvertisement:
        body = replace(each.body, **changes)
        tag = keys.tag(Step.ADVERTISE_KEYS, at.parties.roster.digest(), at.parties.coordinator.parameters.digest(), 0)
        return SignedAdvertisement(body, signer.sign(tag + wire.encode(body)) if signer else each.signature)

    return tuple(altered(each) if each.body.index == partner else each for each in at.request().advertisements)


# AdvertiseKeys: what a partner's policy forbids

POLICY = [
    ("roster", b"x" * 32),
    ("configuration", b"x" * 32),
    ("layout", "4x2,3"),
    ("word_bits", 8),
    ("row_guard", 9),
    ("least_supporters", 2),
    ("rounds", 101),
    ("metrics", ("loss", "auc")),
]


@pytest.mark.parametrize(("name", "value"), POLICY)
def test_parameters_outside_the_partners_policy(name: str, value: object) -> None:
    at = before(Step.ADVERTISE_KEYS)
    with refused(PolicyError, by=at.partner(1)) as caught:
        at.send(1, **{name: value})
    assert name.replace("_", " ").removesuffix("s") in str(caught.value)


def test_what_is_stricter_than_the_policy_is_accepted() -> None:
    at = before(Step.ADVERTISE_KEYS)
    at.send(1, word_bits=16, row_guard=11, least_supporters=4, rounds=99, metrics=())


def test_a_policy_for_another_roster_than_the_one_at_hand() -> None:
    roster, other = roster_of(4), roster_of(4, threshold=4)
    with pytest.raises(PolicyError):
        Participant(identities(4)[0], roster, policy_for(other), entropy_from(0))


def test_fewer_partners_than_the_partners_own_policy_demands() -> None:
    at = before(Step.SHARE_KEYS)
    strict = replace(at.partner(1).policy, least_survivors=4)
    at.parties.sites[1].participant = Participant(identities(4)[0], at.parties.roster, strict, entropy_from(0), at.partner(1).state)
    with refused(TooFewPartnersError, by=at.partner(1)):
        at.send(1, advertisements=at.request().advertisements[:3])


def test_an_identity_that_is_not_in_the_roster() -> None:
    roster = roster_of(4)
    with pytest.raises(UnknownPartnerError):
        Participant(STRANGER, roster, policy_for(roster), entropy_from(0))


# ShareKeys: advertisements


def test_an_unsigned_advertisement() -> None:
    at = before(Step.SHARE_KEYS)
    unsigned = tuple(replace(each, signature=b"") if each.body.index == 3 else each for each in at.request().advertisements)
    with refused(SignatureError, by=at.partner(1)) as caught:
        at.send(1, advertisements=unsigned)
    assert caught.value.partner == 3


def test_an_advertisement_signed_by_a_wrong_key() -> None:
    at = before(Step.SHARE_KEYS)
    with refused(SignatureError, by=at.partner(1)) as caught:
        at.send(1, advertisements=advertisements(at, 3, STRANGER))
    assert caught.value.partner == 3


@pytest.mark.parametrize("place", [0, 1183, 1184, 1215])
def test_an_altered_kem_key(place: int) -> None:
    at = before(Step.SHARE_KEYS)
    kem = next(each.body.kem for each in at.request().advertisements if each.body.index == 2)
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, advertisements=advertisements(at, 2, kem=flipped(kem, place)))


@pytest.mark.parametrize(("name", "value"), [("nonce", b"x" * 32), ("version", 99), ("trunk", b"x" * 32), ("before", b"x" * 32)])
def test_an_altered_advertisement(name: str, value: object) -> None:
    at = before(Step.SHARE_KEYS)
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, advertisements=advertisements(at, 2, **{name: value}))


def test_an_advertisement_under_another_partners_name() -> None:
    at = before(Step.SHARE_KEYS)
    renamed = advertisements(at, 4, index=2)
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, advertisements=(renamed[0], renamed[2], renamed[3]))


def test_an_advertisement_of_another_session() -> None:
    at, other = before(Step.SHARE_KEYS), before(Step.ADVERTISE_KEYS)
    replayed = wire.decode(SignedAdvertisement, other.send(3, nonce=b"x" * 32))
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, advertisements=(*at.request().advertisements[:2], replayed))


def test_other_parameters_to_another_partner() -> None:
    at = before(Step.ADVERTISE_KEYS)
    at.requests[2] = wire.encode(replace(at.request(2), metrics=()))
    with pytest.MonkeyPatch.context() as lying:  # an honest coordinator would leave partner 2 out
        lying.setattr(coordinator, "verify_advertisement", lambda *_: None)
        at = at.on()
    with refused(SignatureError, by=at.partner(1)) as caught:
        at.send(1)
    assert caught.value.partner == 2
    with refused(SignatureError, by=at.partner(2)):
        at.send(2)


@pytest.mark.parametrize("name", ["kem", "nonce"])
def test_the_partners_own_advertisement_altered(name: str) -> None:
    at = before(Step.SHARE_KEYS)
    own = next(each.body for each in at.request().advertisements if each.body.index == 1)
    with refused(OwnMessageAlteredError, by=at.partner(1)):
        at.send(1, advertisements=advertisements(at, 1, **{name: flipped(getattr(own, name))}))


def test_the_partners_own_advertisement_left_out() -> None:
    at = before(Step.SHARE_KEYS)
    with refused(OwnMessageAlteredError, by=at.partner(1)):
        at.send(1, advertisements=at.request().advertisements[1:])


def test_the_partners_own_advertisement_of_an_earlier_set_up() -> None:
    old = before(Step.SHARE_KEYS)
    at = replace(old, requests=dict(old.requests))
    old.parties.partner(1).advertise(before(Step.ADVERTISE_KEYS).requests[1], 0, NO_TRUNK, NO_TRUNK)
    with refused(OwnMessageAlteredError, by=at.partner(1)):
        at.send(1)


def test_an_advertisement_twice() -> None:
    at = before(Step.SHARE_KEYS)
    with refused(RepeatedPartnerError, by=at.partner(1)):
        at.send(1, advertisements=(*at.request().advertisements, at.request().advertisements[2]))


@pytest.mark.parametrize("index", [0, 5, 2**32 - 1])
def test_an_advertisement_of_somebody_outside_the_roster(index: int) -> None:
    at = before(Step.SHARE_KEYS)
    with refused(UnknownPartnerError, by=at.partner(1)):
        at.send(1, advertisements=advertisements(at, 3, STRANGER, index=index))


def test_advertisements_of_too_few_partners() -> None:
    at = before(Step.SHARE_KEYS)
    with refused(TooFewPartnersError, by=at.partner(1)):
        at.send(1, advertisements=at.request().advertisements[:2])

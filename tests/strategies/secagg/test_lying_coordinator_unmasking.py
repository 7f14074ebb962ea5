"""Lies of the coordinator when it asks for shares. No partner ever reveals both kinds of share for one peer."""

from dataclasses import replace

import pytest

from strategies.secagg import keys, wire
from strategies.secagg.consistency_messages import SealedShares, SurvivorsSignature, UnmaskReply
from strategies.secagg.errors import (
    OldRoundError,
    OldSessionError,
    OutOfOrderError,
    RepeatedPartnerError,
    SecondUnmaskingError,
    SignatureError,
    SurvivorsDisagreeError,
    TooFewPartnersError,
    TooFewSignaturesError,
    UnknownPartnerError,
)
from strategies.secagg.messages import cohort_digest
from strategies.secagg.phases import Step
from tests.strategies.secagg.stages import PARTNERS, Stage, before, refused

# Signatures


def other_lists(at: Stage) -> dict[int, SurvivorsSignature]:
    """Signatures of partners 1 and 2 on all four survivors, and of 3 on a list without partner 4."""
    replies = [at.send(1), at.send(2), at.send(3, survivors=(1, 2, 3), dropped=(4,), headers=at.request().headers[:3])]
    return {index: wire.decode(SurvivorsSignature, reply) for index, reply in enumerate(replies, 1)}


def test_other_survivors_to_another_partner() -> None:
    signed, at = other_lists(early := before(Step.CONSISTENCY)), replace(before(Step.UNMASK), parties=early.parties)
    with refused(SurvivorsDisagreeError, by=at.partner(1)):
        at.send(1, signatures=tuple(signed.values()))
    with refused(SurvivorsDisagreeError, by=at.partner(3)):
        at.send(3, signatures=tuple(signed.values()))


def test_other_survivors_to_another_partner_whose_signature_is_then_held_back() -> None:
    signed, at = other_lists(early := before(Step.CONSISTENCY)), replace(before(Step.UNMASK), parties=early.parties)
    with refused(TooFewSignaturesError, by=at.partner(1)):
        at.send(1, signatures=(signed[1], signed[2]))
    with refused(TooFewSignaturesError, by=at.partner(3)):
        at.send(3, signatures=(signed[3],))


def test_another_list_under_an_honest_signature() -> None:
    at = before(Step.UNMASK)
    first, *others = at.request().signatures
    with refused(SignatureError, by=at.partner(2)):
        at.send(2, signatures=(replace(first, survivors=b"x" * 32), *others))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_signatures_than_the_threshold(count: int) -> None:
    at = before(Step.UNMASK)
    with refused(TooFewSignaturesError, by=at.partner(1)):
        at.send(1, signatures=at.request().signatures[:count])


def test_a_signature_twice() -> None:
    at = before(Step.UNMASK)
    first, second, *_ = at.request().signatures
    with refused(RepeatedPartnerError, by=at.partner(1)):
        at.send(1, signatures=(first, second, second))


@pytest.mark.parametrize("index", [0, 4, 5])
def test_a_signature_of_somebody_who_did_not_survive(index: int) -> None:
    at = before(Step.UNMASK, dropped=(4,))
    first, *others = at.request().signatures
    with refused(UnknownPartnerError, by=at.partner(2)):
        at.send(2, signatures=(replace(first, index=index), *others))


@pytest.mark.parametrize("changes", [{"signature": b""}, {"index": 4}])
def test_an_altered_signature(changes: dict[str, object]) -> None:
    at = before(Step.UNMASK)
    first, second, third, _ = at.request().signatures
    with refused(SignatureError, by=at.partner(2)):
        at.send(2, signatures=(replace(first, **changes), second, third))


def test_a_signature_on_the_survivors_of_an_earlier_round() -> None:
    old = before(Step.UNMASK).request().signatures
    at = before(Step.FINISH).another_round().on().on()
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, signatures=(old[1], *at.request().signatures[2:]))


# Shares


def test_a_second_request_to_unmask() -> None:
    at = before(Step.UNMASK)
    at.send(1)
    first, *others = at.request().signatures
    with refused(SecondUnmaskingError, by=at.partner(1)):
        at.send(1, signatures=(replace(first, survivors=b"x" * 32), *others))


def test_a_second_request_to_unmask_on_the_same_list_changes_nothing() -> None:
    """Its answer would be the same; the network may have brought it late."""
    at = before(Step.UNMASK)
    at.send(1)
    with refused(OutOfOrderError, by=at.partner(1)):
        at.send(1, signatures=at.request().signatures[:3])


@pytest.mark.parametrize("change", [{"number": 7}, {"session": b"x" * 32}])
def test_a_second_request_to_unmask_of_another_round_or_session_changes_nothing(change: dict[str, object]) -> None:
    at = before(Step.UNMASK)
    at.send(1)
    other = tuple(replace(each, survivors=b"x" * 32) for each in at.request().signatures)
    with refused(OldRoundError if "number" in change else OldSessionError, by=at.partner(1)):
        at.send(1, signatures=other, **change)


def test_the_same_request_to_unmask_gets_the_same_bytes() -> None:
    at = before(Step.UNMASK, dropped=(4,))
    assert at.send(1) == at.send(1)


def leaves_out(at: Stage, delivered: tuple[SealedShares, ...], unopened: tuple[int, ...]) -> None:
    """Partner 1 says which dealers' shares do not open, gives zeros in their place, and all others as it would have."""
    honest = wire.decode(UnmaskReply, at.copy().send(1))
    answer = wire.decode(UnmaskReply, at.send(1, shares=delivered))
    survivors = at.partner(1).state.round.survivors
    each = len(honest.shares) // len(survivors)
    assert answer.unopened == unopened
    for place, dealer in enumerate(survivors):
        part = answer.shares[place * each : (place + 1) * each]
        assert part == (bytes(each) if dealer in unopened else honest.shares[place * each : (place + 1) * each])
    assert (answer.own, answer.dropped) == (honest.own, honest.dropped)


def test_two_dealers_shares_exchanged() -> None:
    at = before(Step.UNMASK)
    one, other = at.request().shares
    leaves_out(at, (replace(one, ciphertext=other.ciphertext), replace(other, ciphertext=one.ciphertext)), (2, 3))


def test_shares_meant_for_another_holder() -> None:
    at = before(Step.UNMASK)
    meant_for_four = next(each for each in at.request(4).shares if each.dealer == 2)
    kept = tuple(each for each in at.request(1).shares if each.dealer != 2)
    leaves_out(at, (meant_for_four, *kept), (2,))


def test_shares_of_an_earlier_round() -> None:
    old = before(Step.UNMASK).request().shares
    at = before(Step.FINISH).another_round().on().on()
    leaves_out(at, old, (2, 3))


@pytest.mark.parametrize("ciphertext", [b"", b"x" * 31, b"x" * 144])
def test_shares_of_the_coordinators_own_making(ciphertext: bytes) -> None:
    at = before(Step.UNMASK, dropped=(4,))
    first, *others = at.request().shares
    leaves_out(at, (replace(first, ciphertext=ciphertext), *others), (first.dealer,))


def test_no_lie_about_shares_opens_the_other_kind_of_anybodys_seeds() -> None:
    """Whatever is delivered: of survivors their self mask and what they have with the dropped, of the dropped nothing."""
    at = before(Step.UNMASK, dropped=(4,))
    held = at.partner(1).state.round
    pairwise = [keys.pairwise_seed(at.partner(1).session.pair(j), 0, cohort_digest(PARTNERS), held.trunk) for j in (2, 3)]
    answer = at.send(1, shares=tuple(replace(each, ciphertext=b"") for each in at.request().shares))
    assert not any(seed in answer for seed in pairwise)


def test_a_dealers_shares_left_out() -> None:
    at = before(Step.UNMASK)
    with refused(TooFewPartnersError, by=at.partner(1)):
        at.send(1, shares=at.request().shares[1:])


def test_a_dealers_shares_twice() -> None:
    at = before(Step.UNMASK)
    with refused(RepeatedPartnerError, by=at.partner(1)):
        at.send(1, shares=(*at.request().shares, at.request().shares[0]))


def test_shares_of_somebody_nobody_asked_about_change_nothing() -> None:
    at = before(Step.UNMASK, dropped=(4,))
    honest = wire.decode(UnmaskReply, at.copy().send(1))
    answer = wire.decode(UnmaskReply, at.send(1, shares=(*at.request().shares, SealedShares(4, b"x" * 144))))
    assert replace(answer, signature=b"") == replace(honest, signature=b"")

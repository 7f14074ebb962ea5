"""Lies of the coordinator when it asks for masked inputs: about the session's keys, and about the round."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from strategies.secagg import wire
from strategies.secagg.consistency_messages import ConsistencyRequest
from strategies.secagg.contributions import seal
from strategies.secagg.errors import (
    CohortError,
    ContributionError,
    MalformedMessageError,
    OldRoundError,
    OldSessionError,
    RepeatedPartnerError,
    SecAggError,
    SignatureError,
    TooFewPartnersError,
    TrunkMismatchError,
    UnknownPartnerError,
)
from strategies.secagg.messages import DeliveredContribution, KeyContributions
from strategies.secagg.phases import Phase, Step
from strategies.secagg.verification import session_id
from tests.strategies.secagg.stages import Stage, before, flipped, read_reply, refused

# The session's keys


def contributions(at: Stage, index: int = 1) -> list[DeliveredContribution]:
    return list(at.request(index).contributions)


def test_a_contribution_with_an_altered_ciphertext() -> None:
    at = before(Step.COLLECT)
    first, *others = contributions(at)
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1, contributions=(replace(first, ciphertext=flipped(first.ciphertext, len(first.ciphertext) - 1)), *others))
    assert caught.value.partner == 2


def test_two_partners_contributions_exchanged() -> None:
    at = before(Step.COLLECT)
    first, second, third = contributions(at)
    swapped = replace(first, ciphertext=second.ciphertext), replace(second, ciphertext=first.ciphertext), third
    with refused(ContributionError, by=at.partner(1)):
        at.send(1, contributions=swapped)


def test_a_contribution_meant_for_another_partner() -> None:
    at = before(Step.COLLECT)
    meant_for_two = next(each for each in contributions(at, 2) if each.contributions.sender == 3)
    first, _, third = contributions(at)
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1, contributions=(first, meant_for_two, third))
    assert caught.value.partner == 3


def test_a_contribution_that_the_coordinator_encrypted_itself() -> None:
    """Everybody can: the partner's key is public."""
    at = before(Step.COLLECT)
    own = next(each.body for each in before(Step.SHARE_KEYS).request().advertisements if each.body.index == 1)
    first, *others = contributions(at)
    forged = seal(at.parties.coordinator.session, 2, own, b"x" * 32, b"x" * 32)
    with refused(ContributionError, by=at.partner(1)) as caught:
        at.send(1, contributions=(replace(first, ciphertext=forged), *others))
    assert caught.value.partner == 2


def test_a_contribution_that_the_coordinator_put_into_a_signed_list() -> None:
    at = before(Step.COLLECT)
    first, *others = contributions(at)
    forged = b"x" * len(first.ciphertext)
    listed = replace(first.contributions, digests=hashlib.sha256(forged).digest() + first.contributions.digests[32:])
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, contributions=(DeliveredContribution(listed, forged), *others))


@pytest.mark.parametrize(
    "changes", [{"recipients": (2, 3, 4)}, {"signature": b""}, {"digests": bytes(96)}, {"group": bytes(32)}, {"sender": 3}]
)
def test_a_list_of_contributions_that_its_sender_did_not_sign(changes: dict[str, object]) -> None:
    at = before(Step.COLLECT)
    first, _, third = contributions(at)
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, contributions=(replace(first, contributions=replace(first.contributions, **changes)), third))


def test_a_contribution_twice() -> None:
    at = before(Step.COLLECT)
    with refused(RepeatedPartnerError, by=at.partner(1)):
        at.send(1, contributions=(*contributions(at), contributions(at)[0]))


@pytest.mark.parametrize("sender", [0, 1, 5])
def test_a_contribution_of_somebody_who_did_not_advertise(sender: int) -> None:
    at = before(Step.COLLECT)
    listed = KeyContributions(sender, (1,), b"x" * 32, b"x" * 32, b"")
    with refused(UnknownPartnerError, by=at.partner(1)):
        at.send(1, contributions=(*contributions(at), DeliveredContribution(listed, bytes(1200))))


def test_contributions_of_too_few_partners() -> None:
    at = before(Step.COLLECT)
    with refused(TooFewPartnersError, by=at.partner(1)):
        at.send(1, contributions=contributions(at)[:1])


def shown_other_advertisements() -> Stage:
    """Partner 1 was shown the advertisements of 1, 2 and 3 alone; the others those of everybody."""
    at = before(Step.SHARE_KEYS)
    at.requests[1] = wire.encode(replace(at.request(1), advertisements=at.request(1).advertisements[:3]))
    for index in (2, 3, 4):
        at.taken(index, at.deliver(index, at.requests[index]))
    at.deliver(1, at.requests[1])
    return at


def test_other_advertisements_to_another_partner_make_another_session() -> None:
    at = shown_other_advertisements()
    request = at.parties.coordinator.collect_request(1, 0, (1, 2, 3), False, 3, None, None)
    with refused(OldSessionError, by=at.partner(1)):
        at.parties.sites[1].answer(Step.COLLECT, request)


def test_other_advertisements_to_another_partner_whose_session_is_then_spoken_of() -> None:
    at = shown_other_advertisements()
    own = session_id(at.parties.coordinator.parameters, at.request(1).advertisements)
    coordinator = at.parties.coordinator
    coordinator.session = own
    with refused(SignatureError, by=at.partner(1)):
        at.parties.sites[1].answer(Step.COLLECT, coordinator.collect_request(1, 0, (1, 2, 3), False, 3, None, None))


@pytest.mark.parametrize("version", [3, 0])
def test_other_members_to_another_partner(version: int) -> None:
    """Partner 1 gets no contribution of partner 4. What it trains from, named under the group key, differs as well."""
    at = before(Step.ADVERTISE_KEYS)
    for site in at.parties.sites.values():
        site.version = version
    at = at.on().on()
    replies = {}
    for index in (1, 2, 3):
        delivered = contributions(at, index)[:2] if index == 1 else contributions(at, index)
        replies[index] = read_reply(Step.COLLECT, at.send(index, cohort=(1, 2, 3), version=version, contributions=tuple(delivered))).header
    request = ConsistencyRequest(at.parties.coordinator.session, 0, (1, 2, 3), (), tuple(replies.values()))
    with refused(TrunkMismatchError, by=at.partner(1)):
        at.partner(1).confirm(wire.encode(request))
    with refused(TrunkMismatchError, by=at.partner(2)) as caught:
        at.partner(2).confirm(wire.encode(request))
    assert caught.value.partner == 1


# The round


@pytest.mark.parametrize(
    ("cohort", "error"),
    [
        ((2, 3, 4), CohortError),
        ((1, 2, 2, 3), CohortError),
        ((2, 1, 3), CohortError),
        ((1, 2, 3, 5), CohortError),
        ((0, 1, 2, 3), CohortError),
        ((), CohortError),
        ((1, 2), TooFewPartnersError),
    ],
    ids=["without us", "a partner twice", "out of order", "an unknown partner", "nobody's number", "nobody", "too few"],
)
def test_a_cohort_that_cannot_be(cohort: tuple[int, ...], error: type[SecAggError]) -> None:
    at = before(Step.COLLECT)
    with refused(error, by=at.partner(1)):
        at.send(1, cohort=cohort)


def test_a_cohort_with_a_partner_who_contributed_no_key() -> None:
    at = before(Step.COLLECT)
    without_four = tuple(each for each in at.request().contributions if each.contributions.sender != 4)
    with refused(CohortError, by=at.partner(1)):
        at.send(1, contributions=without_four)


def test_a_round_of_another_session() -> None:
    at = before(Step.COLLECT)
    with refused(OldSessionError, by=at.partner(1)):
        at.send(1, session=b"x" * 32)


def test_a_round_number_for_the_second_time() -> None:
    at = before(Step.FINISH).another_round()
    with refused(OldRoundError, by=at.partner(1)):
        at.send(1, number=0)


def test_the_round_in_progress_once_more_with_another_cohort() -> None:
    """Refused before the partner trains."""
    at = before(Step.COLLECT)
    at.send(1)
    with refused(OldRoundError, by=at.partner(1)):
        at.partner(1).collect(wire.encode(replace(at.request(1), cohort=(1, 2, 3))))


def test_a_round_number_for_the_second_time_to_a_caller_that_forgot_to_ask() -> None:
    at = before(Step.CONSISTENCY)
    request = before(Step.COLLECT).requests[1]
    with refused(OldRoundError, by=at.partner(1)):
        at.partner(1).mask(request, b"t" * 32, np.zeros(9, dtype="<u4"), np.zeros(1, dtype="<u4"))


def test_a_round_after_which_there_can_be_no_other() -> None:
    at = before(Step.COLLECT)
    with pytest.raises(MalformedMessageError, match="after which there can be no other"):
        at.send(1, number=2**32 - 1)
    assert at.partner(1).phase is Phase.KEYED
    at.send(1, number=2**32 - 2)

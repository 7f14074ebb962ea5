"""Lies of the coordinator about who survived, and what they sent."""

from dataclasses import replace

import numpy as np
import pytest

from strategies.secagg import keys, wire
from strategies.secagg.consistency_messages import ConsistencyRequest, survivors_digest
from strategies.secagg.errors import (
    AliveAndDroppedError,
    CohortError,
    CohortMismatchError,
    FormMismatchError,
    OldRoundError,
    OldSessionError,
    OutOfOrderError,
    OwnMessageAlteredError,
    RepeatedPartnerError,
    SecAggError,
    SecondSurvivorListError,
    SelfDroppedError,
    SignatureError,
    TooFewPartnersError,
    TrunkMismatchError,
    UnknownPartnerError,
)
from strategies.secagg.keystream import add_streams
from strategies.secagg.masking import group_masks, signed_view
from strategies.secagg.messages import SignedHeader
from strategies.secagg.phases import Step
from strategies.secagg.transcript import Fact
from tests.strategies.secagg.parties import identities
from tests.strategies.secagg.stages import Stage, before, read_reply, refused

STRANGER = identities(5)[-1]  # has no place in the roster

# Survivors


@pytest.mark.parametrize(
    ("survivors", "dropped", "error"),
    [
        ((1, 2, 3, 4), (4,), AliveAndDroppedError),
        ((1, 2, 3), (3, 4), AliveAndDroppedError),
        ((1, 2, 3, 4), (1,), AliveAndDroppedError),
        ((2, 3, 4), (1,), SelfDroppedError),
        ((2, 3, 4), (), SelfDroppedError),
        ((1, 2, 2, 3), (4,), RepeatedPartnerError),
        ((1, 2, 3), (4, 4), RepeatedPartnerError),
        ((1, 2, 3, 5), (4,), UnknownPartnerError),
        ((1, 2, 3), (4, 5), UnknownPartnerError),
        ((1, 2, 3), (), CohortError),
        ((2, 1, 3), (4,), CohortError),
        ((1, 2), (4, 3), CohortError),
        ((1, 2), (3, 4), TooFewPartnersError),
        ((1,), (2, 3, 4), TooFewPartnersError),
    ],
)
def test_survivors_that_cannot_be(survivors: tuple[int, ...], dropped: tuple[int, ...], error: type[SecAggError]) -> None:
    at = before(Step.CONSISTENCY)
    headers = tuple(header for header in at.request().headers if header.body.index in survivors)
    with refused(error, by=at.partner(1)):
        at.send(1, survivors=survivors, dropped=dropped, headers=headers)


def test_a_second_list_of_survivors() -> None:
    at = before(Step.CONSISTENCY)
    at.send(1)
    with refused(SecondSurvivorListError, by=at.partner(1)):
        at.send(1, survivors=(1, 2, 3), dropped=(4,), headers=at.request().headers[:3])


def test_a_second_list_of_survivors_after_the_shares_were_revealed() -> None:
    at, honest = before(Step.FINISH), before(Step.CONSISTENCY).request()
    request = replace(honest, survivors=(1, 2, 3), dropped=(4,), headers=honest.headers[:3])
    with refused(SecondSurvivorListError, by=at.partner(1)):
        at.partner(1).confirm(wire.encode(request))


@pytest.mark.parametrize("phase", [Step.UNMASK, Step.FINISH])
def test_the_same_list_of_survivors_late_changes_nothing(phase: Step) -> None:
    """A network delivers late and twice; whoever can do that may not end a session with it."""
    at, list_again = before(phase), before(Step.CONSISTENCY).requests[1]
    with refused(OutOfOrderError, by=at.partner(1)):
        at.partner(1).confirm(list_again)


@pytest.mark.parametrize("change", [{"number": 7}, {"session": b"x" * 32}])
def test_another_list_of_another_round_or_session_changes_nothing(change: dict[str, object]) -> None:
    at, honest = before(Step.UNMASK), before(Step.CONSISTENCY).request()
    request = replace(honest, survivors=(1, 2, 3), dropped=(4,), headers=honest.headers[:3], **change)
    with refused(OldRoundError if "number" in change else OldSessionError, by=at.partner(1)):
        at.partner(1).confirm(wire.encode(request))


def test_both_lists_are_in_the_transcript_of_a_partner_that_was_shown_two() -> None:
    at, honest = before(Step.UNMASK), before(Step.CONSISTENCY).request()
    request = replace(honest, survivors=(1, 2, 3), dropped=(4,), headers=honest.headers[:3])
    with refused(SecondSurvivorListError, by=at.partner(1)):
        at.partner(1).confirm(wire.encode(request))
    assert at.partner(1).facts == (Fact("survivors", survivors_digest(request)),)


@pytest.mark.parametrize("step", [Step.CONSISTENCY, Step.UNMASK])
def test_a_question_about_another_round(step: Step) -> None:
    at = before(step)
    with refused(OldRoundError, by=at.partner(1)):
        at.send(1, number=1)


@pytest.mark.parametrize("step", [Step.CONSISTENCY, Step.UNMASK])
def test_a_question_about_another_session(step: Step) -> None:
    at = before(step)
    with refused(OldSessionError, by=at.partner(1)):
        at.send(1, session=b"x" * 32)


# Headers


def headers(at: Stage, index: int, **changes: object) -> tuple[SignedHeader, ...]:
    """The headers with one body changed."""
    return tuple(replace(each, body=replace(each.body, **changes)) if each.body.index == index else each for each in at.request().headers)


FIELDS = [
    ("cohort", b"x" * 32),
    ("trunk", b"x" * 32),
    ("contributions", b"x" * 32),
    ("confirmation", b"x" * 32),
    ("secrets", b"x" * 32),
    ("words", 9),
    ("input", b"x" * 32),
    ("bundle", b"x" * 32),
]


@pytest.mark.parametrize(("name", "value"), FIELDS)
def test_an_altered_header(name: str, value: object) -> None:
    at = before(Step.CONSISTENCY)
    with refused(SignatureError, by=at.partner(1)) as caught:
        at.send(1, headers=headers(at, 3, **{name: value}))
    assert caught.value.partner == 3


@pytest.mark.parametrize(("name", "value"), FIELDS)
def test_the_partners_own_header_altered(name: str, value: object) -> None:
    at = before(Step.CONSISTENCY)
    with refused(OwnMessageAlteredError, by=at.partner(1)):
        at.send(1, headers=headers(at, 1, **{name: value}))


def test_a_header_signed_by_a_wrong_key() -> None:
    at = before(Step.CONSISTENCY)
    body = at.request().headers[2].body
    tag = keys.tag(Step.COLLECT, at.parties.roster.digest(), at.parties.coordinator.session, 0)
    forged = SignedHeader(body, STRANGER.sign(tag + wire.encode(body)))
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, headers=(*at.request().headers[:2], forged, at.request().headers[3]))


def test_a_header_of_an_earlier_round() -> None:
    old = before(Step.CONSISTENCY).request().headers
    at = before(Step.FINISH).another_round().on()
    new = at.request().headers
    with refused(SignatureError, by=at.partner(1)) as caught:
        at.send(1, headers=(*new[:2], old[2], new[3]))
    assert caught.value.partner == 3


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 1, 2, 2), (0, 1, 3, 2), (0, 1, 2, 3, 3), ()])
def test_headers_left_out_repeated_or_out_of_order(order: tuple[int, ...]) -> None:
    at = before(Step.CONSISTENCY)
    with refused(RepeatedPartnerError, by=at.partner(1)):
        at.send(1, headers=tuple(at.request().headers[place] for place in order))


def answered(at: Stage, cohorts: dict[int, tuple[int, ...]]) -> dict[int, SignedHeader]:
    """Headers of partners that were told different cohorts."""
    return {index: read_reply(Step.COLLECT, at.send(index, cohort=cohort)).header for index, cohort in cohorts.items()}


def test_another_cohort_to_another_partner() -> None:
    at = before(Step.COLLECT)
    held = answered(at, {1: (1, 2, 3), 2: (1, 2, 3), 3: (1, 2, 3, 4)})
    request = ConsistencyRequest(at.parties.coordinator.session, 0, (1, 2, 3), (), tuple(held.values()))
    with refused(CohortMismatchError, by=at.partner(1)) as caught:
        at.partner(1).confirm(wire.encode(request))
    assert caught.value.partner == 3


def test_another_kind_of_round_to_another_partner() -> None:
    """A vector of another length; what is in it the caller decides by `rows`."""
    at = before(Step.COLLECT)
    at.parties.sites[3].values = np.zeros(5, dtype=np.int64)
    held = answered(at, dict.fromkeys((1, 2, 3), (1, 2, 3)))
    request = ConsistencyRequest(at.parties.coordinator.session, 0, (1, 2, 3), (), tuple(held.values()))
    with refused(FormMismatchError, by=at.partner(1)) as caught:
        at.partner(1).confirm(wire.encode(request))
    assert caught.value.partner == 3


@pytest.mark.parametrize("alike", [True, False])
def test_another_trunk_to_another_partner_leaves_masks_that_do_not_cancel(alike: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    at = before(Step.COLLECT)
    if not alike:
        monkeypatch.setattr(at.parties.sites[3], "basis", lambda: at.partner(3).basis(b"x" * 32, b""))
    held, total = {}, np.zeros(7, dtype="<u4")
    for index in (1, 2, 3):
        held[index] = read_reply(Step.COLLECT, at.send(index, cohort=(1, 2, 3))).header
        partner = at.partner(index)
        total += at.parties.sites[index].words
        hidden, cancelled = group_masks(partner.session, 0, (index,))
        add_streams(total, cancelled, [partner.state.round.self_seed, *hidden])
    cancelled = np.array_equal(signed_view(total[:4]), sum(at.parties.sites[index].values for index in (1, 2, 3)))
    assert cancelled == alike
    if not cancelled:
        request = ConsistencyRequest(at.parties.coordinator.session, 0, (1, 2, 3), (), tuple(held.values()))
        with refused(TrunkMismatchError, by=at.partner(1)) as caught:
            at.partner(1).confirm(wire.encode(request))
        assert caught.value.partner == 3

"""A coordinator that works with a partner abandons rounds and repeats them, in other cohorts and sessions, as far as others let it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg.collection import Collection
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.errors import RepetitionError, SecAggError
from strategies.secagg.messages import LastRound
from strategies.secagg.phases import Step
from strategies.secagg.repetition import Repetition, RepetitionLimits, RoundCount
from tests.strategies.secagg.parties import Parties, parameters_for
from tests.strategies.secagg.stages import PARTNERS, VALUES, VERSION, before, refused

ROUND = VERSION + 1
LIMITS = RepetitionLimits(survivor_lists=2, sessions=3, cohort_changes=4)
SUPPORTED = {1: np.array([1, 0, 1, 0]), 2: np.array([1, 1, 0, 0]), 3: np.array([0, 1, 1, 0]), 4: np.array([1, 1, 0, 1])}


def parties(**limits: int) -> Parties:
    """Four partners in a session, with these limits."""
    made = before(Step.COLLECT).parties
    allow(made, **limits)
    return made


def allow(held: Parties, **limits: int) -> None:
    for site in held.sites.values():
        site.participant.policy = replace(site.participant.policy, repetition=RepetitionLimits(**limits))


def abandoned(held: Parties, number: int, cohort: tuple[int, ...] = PARTNERS) -> np.ndarray:
    """A round that is carried through to its masked sum, which no partner gets to see."""
    collection = held.collect(number, {index: VALUES[index] for index in cohort})
    held.agree(collection)
    return held.reveal(collection)[0]


def another_session(held: Parties, count: int) -> None:
    held.coordinator = Coordinator(held.roster, parameters_for(held.roster, nonce=bytes([count]) * 32))
    held.set_up()


def ask_to_collect(held: Parties, index: int, number: int, *, rows: bool = False, cohort: tuple[int, ...] = PARTNERS) -> None:
    request = held.coordinator.collect_request(index, number, cohort, rows, VERSION, None, None)
    held.sites[index].answer(Step.COLLECT, request)


# Lists of one round


def test_a_round_is_repeated_once_and_not_for_a_third_time_in_whatever_cohort() -> None:
    held = parties()
    everybody = abandoned(held, 0)
    without_four = abandoned(held, 1, (1, 2, 3))
    assert len(everybody) == len(without_four), "two sums that differ by one partner: so much, and no more, is let happen"
    for index, cohort in ((1, PARTNERS), (2, (1, 2, 3)), (3, (1, 2, 3))):
        with refused(RepetitionError, by=held.partner(index)) as caught:
            ask_to_collect(held, index, 2, cohort=cohort)
        assert str(caught.value).startswith("2 lists of survivors of round 4 were signed, and this partner's policy allows 2")
        assert "survivor_lists" in caught.value.hint and "policy.yaml" in caught.value.hint


def test_a_new_session_begins_no_new_count() -> None:
    held = parties()
    abandoned(held, 0)
    another_session(held, 1)
    abandoned(held, 0, (1, 2, 4))
    another_session(held, 2)
    with pytest.raises(RepetitionError):
        ask_to_collect(held, 1, 0)
    ask_to_collect(held, 3, 0)  # it was in one of the two sums


def test_another_name_of_the_trunk_begins_no_new_count() -> None:
    """A first trunk that is drawn from the common secret of each session has another name in each."""
    held = parties()
    for number, name in enumerate((b"a" * 32, b"b" * 32)):
        for site in held.sites.values():
            site.trunk, site.began = name, held.coordinator.session
        abandoned(held, number)
    held.sites[1].trunk = b"c" * 32
    with refused(RepetitionError, by=held.partner(1)):
        ask_to_collect(held, 1, 2)


def test_a_round_of_which_nothing_was_signed_is_tried_as_often_as_it_takes() -> None:
    held = parties()
    for number in range(5):
        held.collect(number, VALUES)
    assert held.partner(1).repetition.of_round(ROUND) == RoundCount(trainings=5)
    assert np.array_equal(held.round(5, VALUES)[1], sum(VALUES.values()))


def test_who_refuses_one_round_takes_the_others_sum_in_and_goes_on_with_the_next() -> None:
    held = parties()
    abandoned(held, 0)
    abandoned(held, 1)
    with refused(RepetitionError, by=held.partner(1)):
        ask_to_collect(held, 1, 2)
    for index in (2, 3, 4):
        held.partner(index).repetition = Repetition()
    masked = abandoned(held, 2, (2, 3, 4))
    for site in held.sites.values():
        site.finish(LastRound(2, (2, 3, 4), False), masked)
    assert np.array_equal(held.sites[1].decoded, sum(VALUES[index] for index in (2, 3, 4)))
    held.round(3, VALUES)
    assert held.partner(1).repetition.of_round(ROUND + 1) == RoundCount(1, 1)


def test_who_allows_less_meanwhile_signs_no_list_that_it_masked_for() -> None:
    held = parties()
    abandoned(held, 0)
    collection = held.collect(1, VALUES)
    allow(held, survivor_lists=1)
    with refused(RepetitionError, by=held.partner(1)):
        held.exchange(Step.CONSISTENCY, 1, collection.consistency_request())
    allow(held, survivor_lists=2)
    held.agree(collection)
    assert collection.signers() == PARTNERS


def test_as_many_sums_of_one_round_as_signatures_allow_and_no_more() -> None:
    """Who signs needs not be who is in the sum: partner 4, which works with the coordinator, signs all, and of the others two are asked."""
    held = parties()
    held.partner(4).policy = replace(held.partner(4).policy, repetition=RepetitionLimits(survivor_lists=99))
    for number, (asked, cohort) in enumerate((((1, 2), PARTNERS), ((1, 3), PARTNERS), ((2, 3), (2, 3, 4)))):
        collection = held.collect(number, {index: VALUES[index] for index in cohort})
        request = collection.consistency_request()
        for index in (*asked, 4):
            collection.add_signature(index, held.exchange(Step.CONSISTENCY, index, request) or b"")
        held.reveal(collection)
    assert [held.partner(index).repetition.of_round(ROUND).survivor_lists for index in PARTNERS] == [2, 2, 2, 3]
    for index in (1, 2, 3):
        with refused(RepetitionError, by=held.partner(index)):
            ask_to_collect(held, index, 3)


# Sessions


def test_as_many_sessions_are_joined_as_are_allowed() -> None:
    held = parties(sessions=3)
    for count in (1, 2):
        another_session(held, count)
    held.coordinator = Coordinator(held.roster, parameters_for(held.roster, nonce=b"3" * 32))
    for index in held.sites:
        held.coordinator.add_advertisement(held.exchange(Step.ADVERTISE_KEYS, index, held.coordinator.advertise_request()) or b"")
    with refused(RepetitionError, by=held.partner(1)) as caught:
        held.exchange(Step.SHARE_KEYS, 1, held.coordinator.share_keys_request())
    assert str(caught.value) == "3 sessions of this run were joined, and this partner's policy allows 3"
    assert held.partner(1).repetition.sessions == 3
    allow(held, sessions=4)
    assert held.exchange(Step.SHARE_KEYS, 1, held.coordinator.share_keys_request())


def test_a_session_that_is_only_offered_is_not_joined() -> None:
    held = parties()
    for count in range(5):
        held.coordinator = Coordinator(held.roster, parameters_for(held.roster, nonce=bytes([count]) * 32))
        held.exchange(Step.ADVERTISE_KEYS, 1, held.coordinator.advertise_request())
    assert held.partner(1).repetition.sessions == 1


def test_a_session_whose_keys_are_refused_is_not_joined() -> None:
    at = before(Step.SHARE_KEYS)
    with pytest.raises(SecAggError):
        at.send(1, advertisements=at.request().advertisements[:2])
    assert at.partner(1).repetition.sessions == 0


# Cohorts


def survivors_of(held: Parties, number: int, alive: tuple[int, ...]) -> Collection:
    """A round of everybody, of whom these survive; nobody has signed."""
    collection = held.collect(number, VALUES)
    for index in set(PARTNERS) - set(alive):
        del collection.inputs[index]
    return collection


def test_the_cohort_changes_as_often_as_is_allowed() -> None:
    held = parties(cohort_changes=1, survivor_lists=9)
    abandoned(held, 0)
    abandoned(held, 1, (1, 2, 3))
    abandoned(held, 2, (1, 2, 3))
    collection = held.collect(3, VALUES)
    with refused(RepetitionError, by=held.partner(1)) as caught:
        held.exchange(Step.CONSISTENCY, 1, collection.consistency_request())
    assert str(caught.value) == (
        "the survivors changed 1 times in this run, from (1, 2, 3) to (1, 2, 3, 4) they would once more, and this partner's policy allows 1"
    )
    assert held.partner(1).repetition.of_round(ROUND).survivor_lists == 3
    allow(held, cohort_changes=2, survivor_lists=9)
    held.agree(collection)
    assert collection.signers() == PARTNERS
    assert held.partner(1).repetition.cohort_changes == 2


def test_a_row_list_counts_where_its_survivors_are_others_and_for_no_round() -> None:
    held = parties()
    abandoned(held, 0)
    for count, cohort in ((1, PARTNERS), (2, (1, 2, 3)), (3, (1, 2, 3))):
        another_session(held, count)
        collection = Collection(held.coordinator, 0, cohort)
        for index in cohort:
            ask_to_collect(held, index, 0, rows=True, cohort=cohort)
            collection.add_input(index, held.partner(index).state.reply, held.sites[index].words)
        held.agree(collection)
        assert collection.signers() == cohort
    assert held.partner(1).repetition == Repetition({ROUND: RoundCount(1, 1)}, sessions=4, cohort_changes=1, survivors=(1, 2, 3))
    assert held.partner(4).repetition == Repetition({ROUND: RoundCount(1, 1)}, sessions=4, survivors=PARTNERS)


def row_list_sum(held: Parties, cohort: tuple[int, ...], reader: int) -> np.ndarray:
    """The row list of the session, over this cohort, as one of its partners reads it."""
    collection = Collection(held.coordinator, 0, cohort)
    for index in cohort:
        held.sites[index].values, held.sites[index].listing = SUPPORTED[index], True
        ask_to_collect(held, index, 0, rows=True, cohort=cohort)
        collection.add_input(index, held.partner(index).state.reply, held.sites[index].words)
    held.agree(collection)
    masked = held.reveal(collection)[0]
    site = held.sites[reader]
    return site.participant.finish(LastRound(0, cohort, True), masked.copy(), site.basis())


def test_row_lists_over_changing_cohorts_tell_one_curious_partner_who_supports_each_row() -> None:
    held = parties()
    default = replace(held.partner(4).policy, repetition=RepetitionLimits())
    others = (1, 2, 3)
    pairs = {}
    for count, missing in enumerate(others, 1):  # everybody is honest, and each of the others misses one session
        for site in held.sites.values():
            site.participant.policy = default
        another_session(held, count)
        cohort = tuple(index for index in PARTNERS if index != missing)
        pairs[missing] = row_list_sum(held, cohort, reader=4) - SUPPORTED[4]
    for index in others:
        found = sum(pairs.values()) // 2 - pairs[index]
        assert np.array_equal(found, SUPPORTED[index])
    assert held.partner(4).repetition.cohort_changes == 2 < RepetitionLimits.of_run(1, 1).cohort_changes


def test_a_partner_that_allows_one_change_of_cohort_signs_no_third_row_list_of_other_survivors() -> None:
    held = parties(cohort_changes=1)
    for count, cohort in enumerate(((2, 3, 4), (1, 3, 4)), 1):
        another_session(held, count)
        row_list_sum(held, cohort, reader=4)
    another_session(held, 3)
    with pytest.raises(RepetitionError):
        row_list_sum(held, (1, 2, 4), reader=4)


# The counts alone


def test_trainings_are_numbered_for_each_round_by_itself_and_all_of_them_are_remembered() -> None:
    counted = Repetition()
    for number, attempt in ((8, 0), (8, 1), (9, 0), (8, 2), (7, 0), (9, 1)):
        assert counted.attempt(number) == attempt
        counted = counted.trained(number)
    assert replace(counted, first_attempt=100).attempt(8) == 103
    assert Repetition(first_attempt=100).attempt(1) == 100


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(((1, 2, 3), (1, 2, 4), PARTNERS)))))
def test_no_order_of_requests_gets_more_signed_than_is_allowed(asked: list[tuple[int, tuple[int, ...]]]) -> None:
    counted, signed = Repetition(), []
    for number, survivors in asked:
        before_it = counted
        try:
            counted = counted.signing(number, survivors, LIMITS)
        except RepetitionError:
            assert counted == before_it
            continue
        signed.append((number, survivors))
    assert all(sum(number == each for each, _ in signed) <= LIMITS.survivor_lists for number in (1, 2))
    changes = sum(one[1] != other[1] for one, other in zip(signed, signed[1:], strict=False))
    assert counted.cohort_changes == changes <= LIMITS.cohort_changes


def test_who_lowers_a_limit_below_what_has_happened_signs_what_changes_nothing() -> None:
    counted = Repetition(cohort_changes=9, survivors=PARTNERS)
    assert counted.signing(1, PARTNERS, LIMITS).of_round(1).survivor_lists == 1
    with pytest.raises(RepetitionError):
        counted.signing(1, (1, 2, 3), LIMITS)


@pytest.mark.parametrize(("name", "most", "least"), [("survivor_lists", 0, 1), ("sessions", 0, 1), ("cohort_changes", -1, 0)])
def test_a_limit_that_allows_nothing_is_refused(name: str, most: int, least: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is {most}, not {least} or more"):
        RepetitionLimits(**{name: most})


def test_a_partner_that_allows_no_other_cohort_signs_for_the_first_alone() -> None:
    limits = RepetitionLimits(survivor_lists=1, sessions=1, cohort_changes=0)
    signed = Repetition().signing(0, (1, 2, 3), limits).signing(1, (1, 2, 3), limits)
    with pytest.raises(RepetitionError, match="the survivors changed 0 times"):
        signed.signing(2, (1, 2, 4), limits)
    assert signed.signing(2, (1, 2, 3), limits).cohort_changes == 0


@pytest.mark.parametrize(("rounds", "session_rounds", "sessions", "changes"), [(20, 50, 31, 50), (20, 7, 33, 50), (100, 1, 210, 210)])
def test_usual_limits_follow_from_the_rounds_of_a_run(rounds: int, session_rounds: int, sessions: int, changes: int) -> None:
    assert RepetitionLimits.of_run(rounds, session_rounds) == RepetitionLimits(2, sessions, changes)

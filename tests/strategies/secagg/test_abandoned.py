"""A session or a round that too few partners answer is given up by name; nothing is revealed, and the next one ends well."""

import pytest

from strategies.secagg.errors import RoundAbandonedError
from strategies.secagg.phases import Step
from tests.strategies.secagg.parties import roster_of
from tests.strategies.secagg.stages import PARTNERS, before, collecting, ends_well


def test_a_session_that_too_few_partners_join() -> None:
    at = before(Step.ADVERTISE_KEYS)
    with pytest.raises(RoundAbandonedError, match="2 partners advertised, and 3 are needed"):
        at.on(lost=(1, 2))


def test_a_session_to_whose_keys_too_few_partners_contribute() -> None:
    at = before(Step.SHARE_KEYS)
    with pytest.raises(RoundAbandonedError, match="2 partners contributed keys, and 3 are needed"):
        at.on(lost=(3, 4))


@pytest.mark.parametrize(
    ("step", "reason"),
    [(Step.COLLECT, "sent a masked input"), (Step.CONSISTENCY, "signed the survivors"), (Step.UNMASK, "answered the unmasking")],
)
def test_a_round_that_too_few_partners_answer_is_abandoned_and_the_next_one_ends_well(step: Step, reason: str) -> None:
    at = before(step)
    with pytest.raises(RoundAbandonedError, match=f"2 partners {reason}.* and 3 are needed"):
        at.on(lost=(2, 4))
    again = collecting(at.parties, 1)
    for index in again.requests:
        again.taken(index, again.deliver(index, again.requests[index]))
    ends_well(again, survivors=PARTNERS)


def test_nobody_at_all_abandons_a_round() -> None:
    with pytest.raises(RoundAbandonedError, match="0 partners"):
        before(Step.COLLECT).on(lost=PARTNERS)


def test_the_minimum_counts_where_it_is_larger_than_the_threshold() -> None:
    at = before(Step.ADVERTISE_KEYS)
    at.parties.coordinator.roster = roster_of(4, minimum=4)
    with pytest.raises(RoundAbandonedError, match="3 partners advertised, and 4 are needed"):
        at.on(lost=(1,))

"""Which message a partner expects when: the table, its picture, and partners that keep to it."""

from dataclasses import replace

import pytest

from strategies.secagg import wire
from strategies.secagg.errors import (
    MalformedMessageError,
    OldRoundError,
    OldSessionError,
    OutOfOrderError,
    PolicyError,
    RepetitionError,
    SelfDroppedError,
    SumOutOfRangeError,
)
from strategies.secagg.phases import HARMLESS, TRANSITIONS, Phase, Step, after, diagram
from strategies.secagg.state import State, dump, load
from tests.strategies.secagg.stages import Stage, before, flipped, refused

# A partner that waits for a step stands in this phase.
STANDS = {
    Step.ADVERTISE_KEYS: Phase.IDLE,
    Step.SHARE_KEYS: Phase.ADVERTISED,
    Step.COLLECT: Phase.KEYED,
    Step.CONSISTENCY: Phase.MASKED,
    Step.UNMASK: Phase.SIGNED,
    Step.FINISH: Phase.REVEALED,
}
CASES = [(phase, step) for phase in Phase for step in Step]


def standing(phase: Phase) -> Stage:
    """Parties whose partner 1 stands in a phase."""
    if phase is Phase.FAILED:
        at = before(Step.CONSISTENCY)
        with refused(SelfDroppedError, by=at.partner(1)):
            at.send(1, survivors=(2, 3, 4), dropped=(1,))
        return at
    return before(next(step for step, held in STANDS.items() if held is phase))


def asks(at: Stage, step: Step) -> bytes:
    """An honest request for a step, whatever the phase: of this session, and of the next round."""
    coordinator = at.parties.coordinator
    if at.step is step:
        return at.requests[1]
    if len(coordinator.contributions) < 3 or step not in (Step.COLLECT, Step.FINISH, Step.HANDOVER):
        return before(step).requests[1]
    if step is Step.COLLECT:
        return coordinator.collect_request(1, 7, coordinator.members(), False, 3, None, None)
    return coordinator.finish_request(1, 3, None, None) if step is Step.FINISH else coordinator.handover_request(1, 3)


# The table


def test_every_phase_is_reached_and_left() -> None:
    reached = {Phase.IDLE}
    for _ in Phase:
        reached |= {following for phase in reached for following in TRANSITIONS[phase].values()}
    assert reached == set(Phase) - {Phase.FAILED}, "a refusal leads to FAILED, and no step does"
    assert all(TRANSITIONS[phase] for phase in Phase)


def test_a_failed_or_new_partner_expects_nothing_but_a_new_session() -> None:
    assert TRANSITIONS[Phase.FAILED] == TRANSITIONS[Phase.IDLE] == {Step.ADVERTISE_KEYS: Phase.ADVERTISED}


def test_a_new_session_may_begin_in_every_phase() -> None:
    assert {TRANSITIONS[phase].get(Step.ADVERTISE_KEYS) for phase in Phase} == {Phase.ADVERTISED}


def test_shares_are_revealed_only_after_a_signature_which_only_follows_a_masked_input() -> None:
    for step, only in ((Step.UNMASK, Phase.SIGNED), (Step.CONSISTENCY, Phase.MASKED), (Step.SHARE_KEYS, Phase.ADVERTISED)):
        assert [phase for phase in Phase if step in TRANSITIONS[phase]] == [only]


@pytest.mark.parametrize(("phase", "step"), CASES)
def test_a_step_leads_where_the_table_says_or_is_refused(phase: Phase, step: Step) -> None:
    if step in TRANSITIONS[phase]:
        assert after(phase, step) is TRANSITIONS[phase][step]
        return
    with pytest.raises(OutOfOrderError):
        after(phase, step)


def test_what_proves_nothing_ends_no_session() -> None:
    assert set(HARMLESS) == {OutOfOrderError, MalformedMessageError, OldSessionError, OldRoundError, RepetitionError}


def test_the_diagram_is_the_table() -> None:
    first, start, *lines = diagram().splitlines()
    assert (first, start.strip()) == ("stateDiagram-v2", "[*] --> idle")
    arrows = {f"{phase} --> {following}: {step}" for phase, expected in TRANSITIONS.items() for step, following in expected.items()}
    refusals = {f"{phase} --> failed: refusal" for phase in Phase if phase not in (Phase.IDLE, Phase.FAILED)}
    assert len(lines) == len(arrows | refusals)
    assert {line.strip() for line in lines} == arrows | refusals


# Partners that keep to it


@pytest.mark.parametrize(("phase", "step"), [case for case in CASES if case[1] not in TRANSITIONS[case[0]]])
def test_a_partner_refuses_what_its_phase_does_not_expect_and_stays_as_it_is(phase: Phase, step: Step) -> None:
    at = standing(phase)
    at.partner(1).state = replace(at.partner(1).state, request=b"")  # a repeated request would get its answer again
    with refused(OutOfOrderError, by=at.partner(1)) as caught:
        at.parties.sites[1].answer(step, asks(at, step))
    assert f"{step} is not expected in phase {phase}" in str(caught.value)


@pytest.mark.parametrize(("phase", "step"), [case for case in CASES if case[1] in TRANSITIONS[case[0]]])
def test_a_partner_answers_what_its_phase_expects_and_moves_on(phase: Phase, step: Step) -> None:
    at = standing(phase)
    assert at.partner(1).phase is phase
    at.parties.sites[1].answer(step, asks(at, step), at.beside)
    assert at.partner(1).phase is TRANSITIONS[phase][step]


def test_a_partner_whose_first_request_is_refused_can_still_join_a_session() -> None:
    at = before(Step.ADVERTISE_KEYS)
    with refused(PolicyError, by=at.partner(1)):
        at.send(1, rounds=10**6)
    at.send(1)
    assert at.partner(1).phase is Phase.ADVERTISED


def test_a_caller_that_finds_a_lie_itself_ends_the_session() -> None:
    at = before(Step.FINISH)
    with refused(SumOutOfRangeError, by=at.partner(1)):
        raise at.partner(1).refuse(SumOutOfRangeError("a survivor left the agreed range"))


def test_a_new_session_forgets_the_keys_of_the_last_one() -> None:
    at = before(Step.FINISH)
    held = at.partner(1).session
    at.parties.sites[1].answer(Step.ADVERTISE_KEYS, at.parties.coordinator.advertise_request())
    written = wire.encode(at.partner(1).state)
    assert not any(secret in written for secret in (held.group, *held.pairs[1:], held.id))
    assert at.partner(1).state.round is None


def test_a_partner_without_a_session_has_no_keys_to_use() -> None:
    partner = before(Step.SHARE_KEYS).partner(1)
    for use in (partner.initial_seed, lambda: partner.trunk_blind(None), lambda: partner.basis(b"t" * 32, b""), lambda: partner.session):
        with refused(OldSessionError, by=partner):
            use()


def test_all_members_draw_the_same_first_trunk() -> None:
    at = before(Step.CONSISTENCY)
    assert len({at.partner(index).initial_seed() for index in (1, 2, 3, 4)}) == 1
    assert len({at.partner(index).trunk_blind(None) for index in (1, 2, 3, 4)}) == 1


# What a partner writes down


@pytest.mark.parametrize("phase", Phase)
def test_a_state_comes_back_as_it_was_written(phase: Phase) -> None:
    state = standing(phase).partner(1).state
    assert load(dump(state)) == state


def test_a_flipped_bit_of_a_state_is_found_where_it_lies_and_blamed_on_nobody() -> None:
    held = dump(before(Step.CONSISTENCY).partner(1).state)
    for place in [*range(60), *range(60, len(held), 97)]:
        with pytest.raises(MalformedMessageError):
            load(flipped(held, place, place % 8))


def test_a_state_of_version_1_is_refused() -> None:
    """It was the encoded state alone."""
    with pytest.raises(MalformedMessageError, match="version 2"):
        load(wire.encode(State()))


def test_a_damaged_state_is_refused() -> None:
    whole = dump(State())
    for damaged in (dump(State(phase="asleep")), whole[:-1], whole + b"\x00", whole[1:], b""):
        with pytest.raises(MalformedMessageError):
            load(damaged)


def test_a_partner_answers_the_last_request_again_and_no_earlier_one() -> None:
    at = before(Step.UNMASK)
    earlier = before(Step.CONSISTENCY).requests[1]
    reply = at.send(1)
    assert at.partner(1).state.repeated(Step.UNMASK, at.requests[1]) == reply
    assert at.partner(1).state.repeated(Step.CONSISTENCY, earlier) is None
    assert standing(Phase.FAILED).partner(1).state.repeated(Step.UNMASK, at.requests[1]) is None


@pytest.mark.parametrize("step", STANDS)
def test_the_last_request_under_another_step_is_no_repetition(step: Step) -> None:
    at = before(step)
    at.send(1)
    assert [other for other in Step if at.partner(1).state.repeated(other, at.requests[1]) is not None] == [step]


@pytest.mark.parametrize("step", [step for step in STANDS if step is not Step.COLLECT])
def test_the_session_and_round_of_a_request_are_known_before_it_is_checked(step: Step) -> None:
    at = before(step)
    session, number = at.partner(1).state.place(step, at.requests[1])
    expected = at.parties.coordinator.parameters.nonce if step in (Step.ADVERTISE_KEYS, Step.SHARE_KEYS) else at.parties.coordinator.session
    assert (session, number) == (expected, 0)


def test_the_session_and_round_of_what_cannot_be_read_are_zero() -> None:
    at = before(Step.ADVERTISE_KEYS)
    for step in Step:
        assert at.partner(1).state.place(step, b"x") == (bytes(32), 0)
    late = before(Step.CONSISTENCY)
    assert late.partner(1).state.place(Step.CONSISTENCY, wire.encode(replace(late.request(), session=b"x"))) == (bytes(32), 0)
    collect, ahead = before(Step.COLLECT), before(Step.HANDOVER)
    request = wire.encode(replace(collect.request(), number=7))
    assert collect.partner(1).state.place(Step.COLLECT, request) == (collect.parties.coordinator.session, 7)
    assert ahead.partner(1).state.place(Step.HANDOVER, ahead.requests[1]) == (ahead.parties.coordinator.session, 0)
    end = before(Step.FINISH)
    assert end.partner(1).state.place(Step.FINISH, wire.encode(replace(end.request(), last=None))) == (end.parties.coordinator.session, 0)

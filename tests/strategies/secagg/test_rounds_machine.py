"""Rounds in a world where messages get lost, arrive twice or late, processes die at any moment, and sessions begin anew.

Whatever happens, a finished round is the sum over its survivors, and no partner says twice what it may say once.
"""

import copy
import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strategies.secagg import wire
from strategies.secagg.collection import Collection
from strategies.secagg.consistency_messages import UnmaskReply
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.errors import RoundAbandonedError, SecAggError
from strategies.secagg.messages import CollectRequest, FinishRequest, Handover, LastRound, MaskedInput
from strategies.secagg.phases import Phase, Step
from strategies.secagg.state import State
from tests.helpers.sweeps import examples
from tests.strategies.secagg.parties import Parties, parameters_for, roster_of
from tests.strategies.secagg.stages import read_reply

PARTNERS = (1, 2, 3, 4, 5)
ROSTER = roster_of(5, threshold=3)
FAULTS = ("never asked", "reply lost", "twice", "dies before it writes", "dies after it wrote", "late")
TROUBLE = st.dictionaries(st.sampled_from(PARTNERS), st.sampled_from(FAULTS), min_size=1, max_size=3)


@dataclass(frozen=True)
class Letter:
    """A request on its way, with what travels beside it."""

    step: Step
    index: int
    request: bytes
    beside: np.ndarray | bytes | None


def input_of(session: bytes, number: int, index: int) -> np.ndarray:
    """What a partner would contribute to a round: nothing like any other input."""
    seed = hashlib.sha256(session + bytes([number, index])).digest()
    return np.random.default_rng(list(seed)).integers(-(2**28), 2**28, 5)


class Rounds(RuleBasedStateMachine):
    """One coordinator, five partners, threshold 3."""

    @initialize()
    def begin(self) -> None:
        self.parties = Parties(ROSTER)
        self.sessions = self.finished = 0
        self.collection: Collection | None = None
        self.consistent = False
        self.sent: list[Letter] = []
        self.late: list[Letter] = []
        self.masked: dict[tuple, set] = defaultdict(set)  # partner, session, round: what left
        self.revealed: dict[tuple, set] = defaultdict(set)
        self.kinds: dict[tuple, dict[str, set]] = defaultdict(lambda: defaultdict(set))  # session, round: whose shares of each kind
        self.sums: dict[tuple, np.ndarray] = {}  # session, round: sum over its survivors
        self.digests: dict[tuple, set] = defaultdict(set)
        self.new_session({})

    def exchange(self, letter: Letter, trouble: dict[int, str]) -> bytes | None:
        """One request and its reply, if it arrives."""
        self.sent.append(letter)
        fault = trouble.get(letter.index)
        if fault == "never asked":
            return None
        if fault == "late":
            self.late.append(letter)
            return None
        if fault == "dies before it writes":
            earlier = copy.copy(self.parties.sites[letter.index])
            earlier.restart()
            self.arrives(letter, leaves=False)
            self.parties.sites[letter.index] = earlier
            return None
        reply = self.arrives(letter)
        if fault == "twice":
            again = self.arrives(letter)
            assert again in (None, reply)
        if fault == "dies after it wrote":
            again = self.arrives(letter)
            assert again == reply, "a partner that answered gives the same answer to the same request"
        return None if fault == "reply lost" else reply

    def arrives(self, letter: Letter, leaves: bool = True) -> bytes | None:
        """What a partner answers, restarted afterwards; None for a refusal."""
        site = self.parties.sites[letter.index]
        if letter.step is Step.COLLECT:
            parsed = wire.decode(CollectRequest, letter.request)
            site.values = input_of(parsed.session, parsed.number, letter.index)
        version = site.version
        try:
            reply = site.answer(letter.step, letter.request, letter.beside)
        except SecAggError:
            reply = None
        if site.version == version + 1 and isinstance(letter.beside, np.ndarray):
            self.took_in(letter)
        if reply is not None and leaves:
            self.left(letter, reply)
        site.restart()
        return reply

    def took_in(self, letter: Letter) -> None:
        """A partner finished a round."""
        site, session = self.parties.sites[letter.index], self.parties.sites[letter.index].participant.session.id
        last = wire.decode(CollectRequest if letter.step is Step.COLLECT else FinishRequest, letter.request).last
        assert last is not None
        assert np.array_equal(site.decoded, self.sums[session, last.number]), "the sum over the survivors"
        self.digests[session, last.number].add(site.trunk)

    def left(self, letter: Letter, reply: bytes) -> None:
        """Note what a reply says."""
        partner = self.parties.partner(letter.index)
        state = partner.state
        if letter.step is Step.COLLECT and state.round is not None and is_masked(reply):
            said = reply, self.parties.sites[letter.index].words.tobytes()
            self.masked[letter.index, partner.session.id, state.round.number].add(said)
        if letter.step is Step.UNMASK and state.round is not None:
            place = partner.session.id, state.round.number
            alive, dropped = state.round.survivors, state.round.dropped
            assert len(wire.decode(UnmaskReply, reply).shares) == 32 * len(alive) * (1 + len(dropped))
            self.revealed[letter.index, *place].add(reply)
            self.kinds[place]["self mask"] |= set(alive)
            self.kinds[place]["pairwise masks"] |= set(dropped)

    # What the coordinator does

    @precondition(lambda self: self.number > 1 or not self.members)
    @rule(trouble=TROUBLE)
    def new_session(self, trouble: dict[int, str]) -> None:
        """It starts or restarts, with nothing of the last session."""
        self.collection, self.last, self.blinded, self.offered, self.number = None, None, None, None, 0
        self.sessions += 1
        parameters = parameters_for(ROSTER, nonce=bytes([self.sessions]) * 32)
        coordinator = self.parties.coordinator = Coordinator(ROSTER, parameters)
        try:
            for index in PARTNERS:
                reply = self.exchange(Letter(Step.ADVERTISE_KEYS, index, coordinator.advertise_request(), None), trouble)
                if reply is not None:
                    coordinator.add_advertisement(reply)
            request = coordinator.share_keys_request()
            for index in sorted(coordinator.advertisements):
                reply = self.exchange(Letter(Step.SHARE_KEYS, index, request, None), trouble)
                if reply is not None:
                    coordinator.add_contributions(index, reply)
            self.members = coordinator.members()
        except RoundAbandonedError:
            self.members = ()
            return
        self.version, holders = coordinator.agreed_trunk()
        for holder in holders[:1]:
            reply = self.exchange(Letter(Step.HANDOVER, holder, coordinator.handover_request(holder, self.version), None), {})
            if reply is not None:
                self.offered = wire.decode(Handover, reply), self.parties.sites[holder].words

    @rule()
    def the_next_step_goes_well(self) -> None:
        self.go_on(set(), {})

    @rule(away=st.sets(st.sampled_from(PARTNERS), max_size=2), trouble=TROUBLE)
    def the_next_step_meets_trouble(self, away: set[int], trouble: dict[int, str]) -> None:
        self.go_on(away, trouble)

    def go_on(self, away: set[int], trouble: dict[int, str]) -> None:
        """Whatever is due."""
        if not self.members:
            self.new_session(trouble)
        elif self.collection is None:
            self.collect(away, trouble)
        elif not self.consistent:
            self.agree(self.collection, trouble)
        else:
            self.reveal(self.collection, trouble)

    def collect(self, away: set[int], trouble: dict[int, str]) -> None:
        """MaskedInputCollection, with the sum of the last round or, before the first one, a trunk for those who lack it."""
        cohort = tuple(index for index in self.members if index not in away)
        if len(cohort) < 3:
            return
        coordinator = self.parties.coordinator
        self.collection, self.consistent = Collection(coordinator, self.number, cohort), False
        offered, beside = self.offered if self.offered and self.last is None else (None, self.blinded)
        for index in cohort:
            request = coordinator.collect_request(index, self.number, cohort, False, self.version, self.last, offered)
            reply = self.exchange(Letter(Step.COLLECT, index, request, beside), trouble)
            if reply is not None and is_masked(reply):
                self.collection.add_input(index, reply, self.parties.sites[index].words)
        self.number += 1

    def agree(self, collection: Collection, trouble: dict[int, str]) -> None:
        """ConsistencyCheck."""
        try:
            request = collection.consistency_request()
        except RoundAbandonedError:
            self.collection = None
            return
        self.consistent = True
        for index in collection.survivors:
            reply = self.exchange(Letter(Step.CONSISTENCY, index, request, None), trouble)
            if reply is not None:
                collection.add_signature(index, reply)

    def reveal(self, collection: Collection, trouble: dict[int, str]) -> None:
        """Unmasking."""
        self.collection = None
        try:
            for index in collection.survivors:
                reply = self.exchange(Letter(Step.UNMASK, index, collection.unmask_request(index), None), trouble)
                if reply is not None:
                    collection.add_answer(index, reply)
            self.blinded, _ = collection.unmask()
        except RoundAbandonedError:
            return
        session, number = self.parties.coordinator.session, collection.number
        self.sums[session, number] = sum(input_of(session, number, index) for index in collection.survivors)
        self.last, self.version, self.finished = LastRound(number, collection.survivors, False), self.version + 1, self.finished + 1

    @precondition(lambda self: self.members and self.collection is None)
    @rule(trouble=TROUBLE)
    def finish(self, trouble: dict[int, str]) -> None:
        """The end of a run, after which another may follow."""
        for index in self.members:
            request = self.parties.coordinator.finish_request(index, self.version, self.last, None)
            self.exchange(Letter(Step.FINISH, index, request, self.blinded), trouble)

    @precondition(lambda self: self.collection)
    @rule()
    def abandon(self) -> None:
        """It gives a round up, and begins the next one."""
        self.collection = None
        self.go_on(set(), {})

    # What the world does

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def late_arrival(self, data: st.DataObject) -> None:
        self.arrives(self.late.pop(data.draw(st.integers(0, len(self.late) - 1))))
        self.go_on(set(), {})

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Anything that was ever sent, mostly of late, arrives once more."""
        newest = len(self.sent) - 1
        self.arrives(self.sent[newest - data.draw(st.integers(0, min(newest, 60)))])
        self.go_on(set(), {})

    def teardown(self) -> None:
        event(f"{min(self.finished, 3)} rounds or more were finished")

    @invariant()
    def no_partner_masks_twice_for_one_round(self) -> None:
        assert all(len(said) == 1 for said in self.masked.values())

    @invariant()
    def no_partner_reveals_twice_and_nobodys_two_kinds_of_share_ever_leave(self) -> None:
        assert all(len(said) == 1 for said in self.revealed.values())
        assert all(not kinds["self mask"] & kinds["pairwise masks"] for kinds in self.kinds.values())

    @invariant()
    def all_who_finished_a_round_hold_the_same_trunk(self) -> None:
        assert all(len(digests) == 1 for digests in self.digests.values())

    @invariant()
    def a_partner_that_refused_has_no_key_left(self) -> None:
        for index in PARTNERS:
            state = self.parties.partner(index).state
            assert state.phase != Phase.FAILED or state == State(phase=Phase.FAILED)


def is_masked(reply: bytes) -> bool:
    return isinstance(read_reply(Step.COLLECT, reply), MaskedInput)


Rounds.TestCase.settings = examples(40, suppress_health_check=list(HealthCheck))
TestRounds = Rounds.TestCase


def test_without_trouble_every_round_is_finished_and_with_some_they_still_are() -> None:
    world = Rounds()
    world.begin()
    for trouble in ({}, {2: "dies after it wrote", 4: "reply lost"}, {1: "twice", 5: "never asked"}, {3: "dies before it writes"}):
        world.go_on(set(), trouble)
        world.go_on(set(), {})
        world.go_on(set(), {})
    world.finish({4: "never asked"})
    assert world.finished == 4
    world.new_session({5: "never asked"})
    for trouble in ({}, {1: "late"}, {}):
        world.go_on(set(), trouble)
    world.finish({})
    assert world.finished == 5
    assert sorted(map(len, world.digests.values())) == [1] * 5

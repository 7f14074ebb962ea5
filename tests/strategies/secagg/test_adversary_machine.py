"""A coordinator that lies and a partner that works with it, in whatever order: what the other partners hold all the same.

The two may advertise any trunk, hand over anything, deal and reveal what they like, tell each partner other lists, cohorts, members and
sums, write sums that pass every check (they have the group key), complain, repeat and abandon. What honest partners sign they cannot make.
"""

import copy
import hashlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import HealthCheck, event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strategies.secagg import aggregate_check, digits, handover, keys, proofs, wire
from strategies.secagg.collection import Collection
from strategies.secagg.consistency_messages import ConsistencyRequest, UnmaskRequest
from strategies.secagg.coordinator import Coordinator
from strategies.secagg.errors import GuiltyPartnerError, HandoverError, SecAggError, UnequalContributionError
from strategies.secagg.keystream import add_streams
from strategies.secagg.masking import group_masks, tag_words
from strategies.secagg.messages import (
    NO_TRUNK,
    CollectRequest,
    Complaint,
    FinishRequest,
    Handover,
    LastRound,
    ShareKeysRequest,
    SignedAdvertisement,
    SignedHeader,
)
from strategies.secagg.phases import Phase, Step
from tests.helpers.sweeps import examples
from tests.strategies.secagg.misbehaving import advertising, answering, contributing, dealing, masking_as, sealing, signed_header, spoiled
from tests.strategies.secagg.parties import CONTENT, Parties, Site, parameters_for, roster_of, unlimited

LIAR, HONEST = 4, (1, 2, 3)
EVERYBODY = (*HONEST, LIAR)
ROSTER = roster_of(4)  # threshold 3, one may misbehave, a quorum is two


@dataclass(frozen=True)
class Trunk:
    """What a partner has on disk."""

    blind: bytes
    version: int
    content: bytes
    before: bytes

    @property
    def name(self) -> bytes:
        return keys.trunk_name(self.blind, self.version, self.content, self.before)


@dataclass(frozen=True)
class Beside:
    """What travels beside a request."""

    words: np.ndarray | None = None
    ciphertext: bytes = b""


NOTHING = Beside()
KINDS = {Step.COLLECT: CollectRequest, Step.FINISH: FinishRequest}


@dataclass
class Keeper(Site):
    """A partner that keeps what its trunks are, and holds what it is handed against its name.

    Attributes:
        kept: Trunks by name.
        took: Names of those that it took over.
    """

    kept: dict[bytes, Trunk] = field(default_factory=dict)
    took: list[bytes] = field(default_factory=list)

    def answer(self, step: Step, request: bytes, beside: Beside = NOTHING) -> bytes:  # type: ignore[override]
        if step is Step.HANDOVER:
            version = self.participant.asked_to_hand_over(request)
            self.begin()
            name = self.trunk if version == self.version else self.before
            reply, self.words = self.participant.hand_over(name, wire.encode(self.kept[name]))
            return reply
        try:
            return super().answer(step, request, beside)  # type: ignore[arg-type]
        except UnequalContributionError as error:
            if step is not Step.COLLECT:
                raise
            return self.participant.complain(request, error)

    def catch_up(self, parsed: CollectRequest | FinishRequest, beside: Beside) -> None:  # type: ignore[override]
        self.begin()
        session, last = self.participant.session, parsed.last
        behind = self.began != session.id if last is None else self.version not in (parsed.version, parsed.version - 1)
        if parsed.handover is not None and (behind or self.began != session.id):
            self.take_over(parsed, parsed.handover, beside.ciphertext)
        if last is not None and beside.words is not None and self.began == session.id and self.version + 1 == parsed.version:
            self.finish(last, beside.words)

    def take_over(self, parsed: CollectRequest | FinishRequest, offered: Handover, ciphertext: bytes) -> None:
        plain = self.participant.take_over(offered, ciphertext)
        try:
            taken = wire.decode(Trunk, plain)
        except SecAggError as error:
            raise self.participant.refuse(HandoverError(offered.holder, str(error))) from error
        self.participant.check_taken(offered, taken.name, b"", parsed.last, parsed.headers)
        self.took.append(taken.name)
        self.kept[taken.name] = taken
        self.version, self.trunk, self.before, self.began = taken.version, taken.name, NO_TRUNK, parsed.session

    def begin(self) -> None:
        super().begin()
        if self.version == 0 and self.began == self.participant.session.id:
            first = Trunk(self.participant.trunk_blind(None), 0, CONTENT, NO_TRUNK)
            assert self.trunk == first.name
            self.kept[first.name] = first

    def finish(self, last: LastRound, blinded: np.ndarray) -> np.ndarray:
        self.decoded = self.participant.finish(last, blinded.copy(), self.basis())
        before = self.kept[self.trunk]
        content = hashlib.sha256(before.content + self.decoded.tobytes()).digest()
        after = Trunk(self.participant.trunk_blind(last.number), self.version + 1, content, self.trunk)
        self.kept[after.name] = after
        self.before, self.trunk, self.version = self.trunk if self.version else NO_TRUNK, after.name, after.version
        return self.decoded


def input_of(session: bytes, number: int, index: int) -> np.ndarray:
    """What a partner contributes to a round: nothing like any other input."""
    seed = hashlib.sha256(session + bytes([number, index])).digest()
    return np.random.default_rng(list(seed)).integers(-(2**28), 2**28, 3)


def lies(most: int) -> st.SearchStrategy[dict[int, int]]:
    """Which honest partners are lied to, and how; mostly nobody, since rounds are to be finished."""
    return st.dictionaries(st.sampled_from(HONEST), st.integers(1, most), max_size=1) | st.just({})


class Adversary(RuleBasedStateMachine):
    """Four partners, of whom one lies, and a coordinator that lies with it."""

    @initialize()
    def begin(self) -> None:
        self.parties = Parties(ROSTER, restarting=False)
        self.parties.sites = {index: Keeper(site.participant) for index, site in self.parties.sites.items()}
        unlimited(self.parties)
        self.sites: dict[int, Keeper] = self.parties.sites  # type: ignore[assignment]
        self.sessions = self.finished = 0
        self.accused: list[int | None] = []
        self.contents: dict[bytes, bytes] = {}  # of every trunk that an honest partner ever held, by name
        self.masked: dict[tuple[int, bytes, int], set[bytes]] = defaultdict(set)
        self.trained: dict[tuple[int, bytes, int], bytes] = {}  # partner, session, round: name of the trunk
        self.lists: dict[tuple[bytes, int], set[tuple[int, ...]]] = defaultdict(set)  # for which honest partners revealed
        self.sums: dict[tuple[bytes, int], tuple[tuple[int, ...], np.ndarray]] = {}
        self.written: set[tuple[bytes, int]] = set()  # sums that the adversary wrote for somebody
        self.results: dict[tuple[bytes, int], set[bytes]] = defaultdict(set)
        self.new_session({}, 0, CONTENT, 0)

    # Partners

    def ask(self, step: Step, index: int, request: bytes, beside: Beside = NOTHING) -> bytes | None:
        """A partner's reply; None for a refusal."""
        site = self.sites[index]
        version, taken = site.version, len(site.took)
        try:
            reply = site.answer(step, request, beside)
        except SecAggError:
            reply = None
        if index in HONEST:
            assert set(site.took[taken:]) <= set(self.contents), "a trunk that no honest partner ever held"
            for name, trunk in site.kept.items():
                assert self.contents.setdefault(name, trunk.content) == trunk.content, "one name, two contents"
            if site.version == version + 1 and len(site.took) == taken and step in KINDS:
                self.took_in(site, wire.decode(KINDS[step], request).last)
        return reply

    def took_in(self, site: Keeper, last: LastRound | None) -> None:
        """An honest partner finished a round."""
        assert last is not None
        place = site.participant.session.id, last.number
        self.finished += 1
        if place not in self.written:
            survivors, total = self.sums[place]
            assert last.survivors == survivors
            assert np.array_equal(site.decoded, total)
            self.results[place].add(site.trunk)

    @property
    def liar(self) -> Keeper:
        return self.sites[LIAR]

    # What is due

    @rule()
    def the_next_steps_go_well(self) -> None:
        self.goes_well(3)

    @rule(told=lies(6), liar=st.integers(0, 4), holder=st.sampled_from(EVERYBODY))
    def the_next_step_meets_lies(self, told: dict[int, int], liar: int, holder: int) -> None:
        self.go_on(told, liar, holder)

    def goes_well(self, steps: int) -> None:
        for _ in range(steps):
            self.go_on({}, 0, 1)

    def go_on(self, told: dict[int, int], liar: int, holder: int) -> None:
        """Go on with the round, or with a new session once too few are left in this one."""
        left = [index for index in self.members if self.sites[index].participant.phase is not Phase.FAILED]
        if len(left) < ROSTER.least():
            self.new_session({}, 0, CONTENT, 0)
        elif self.collection is None:
            self.collect(told, liar, holder)
        elif not self.collection.signatures:
            self.agree(self.collection, told)
        else:
            self.reveal(self.collection, told, liar)

    # A session

    @rule(shown=lies(1), lie=st.integers(0, 4), content=st.sampled_from([CONTENT, b"bad"]), unequal=st.sampled_from([0, 0, 0, 1, 2, 3]))
    def new_session(self, shown: dict[int, int], lie: int, content: bytes, unequal: int) -> None:
        """The liar advertises a trunk of its own making, and sends one partner another contribution than it signed."""
        self.sessions += 1
        self.number, self.last, self.sum, self.headers = 0, None, None, ()
        self.collection: Collection | None = None
        self.members: tuple[int, ...] = ()
        coordinator = self.coordinator = Coordinator(ROSTER, parameters_for(ROSTER, nonce=self.sessions.to_bytes(32, "big")))
        self.forged = Trunk(b"b" * 32, self.sites[1].version + lie - 1, content, self.sites[1].before) if lie else None
        for index in EVERYBODY:
            reply = self.ask(Step.ADVERTISE_KEYS, index, coordinator.advertise_request())
            assert reply is not None
            coordinator.add_advertisement(self.advertised(reply) if index == LIAR else reply)
        request = coordinator.share_keys_request()
        for index in EVERYBODY:
            others = tuple(coordinator.advertisements[each] for each in EVERYBODY if each != 1 + index % 3 or each == index)
            reply = self.ask(Step.SHARE_KEYS, index, wire.encode(ShareKeysRequest(others)) if index in shown else request)
            if reply is None or index in shown:
                continue
            if index == LIAR and unequal:
                made = sealing(coordinator.session, LIAR, coordinator.advertisements.values(), b"x" * 32)
                reply = contributing(self.liar.participant, reply, made, (unequal,))
            coordinator.add_contributions(index, reply)
        if len(coordinator.contributions) >= ROSTER.least():
            self.members = coordinator.members()
            self.version, _ = coordinator.agreed_trunk()

    def advertised(self, reply: bytes) -> bytes:
        """What the liar says it holds."""
        partner = self.liar.participant
        if self.forged is not None and self.forged.version > 0:
            held = {"version": self.forged.version, "trunk": self.forged.name, "before": self.forged.before}
            reply = advertising(partner, self.coordinator.parameters, reply, **held)
            own = wire.decode(SignedAdvertisement, reply)
            assert partner.state.advertised is not None
            partner.state = replace(partner.state, advertised=replace(partner.state.advertised, own=own))
        return reply

    # A round

    def collect(self, told: dict[int, int], liar: int, holder: int) -> None:
        """MaskedInputCollection: other cohorts, versions, sums and trunks for some."""
        self.number += 1
        number, cohort = self.number, self.members
        self.collection = Collection(self.coordinator, number, cohort)
        offer = self.offered(holder)
        for index in cohort:
            lie = told.get(index, 0)
            asked = tuple(each for each in cohort if each == index or each != 1 + index % 3) if lie == 1 else cohort
            request, beside = self.request(index, lie, offer)
            request = replace(request, number=number, cohort=asked)
            self.sites[index].values = input_of(self.coordinator.session, number, index)
            reply = self.ask(Step.COLLECT, index, wire.encode(request), beside)
            if reply is not None:
                self.arrived(index, reply if index in HONEST else self.as_liar(reply, liar))

    def request(self, index: int, lie: int, offer: tuple[Handover, bytes] | None) -> tuple[CollectRequest, Beside]:
        """What one partner is asked."""
        words, headers, version = self.sum, self.headers, self.version
        if lie == 2:
            version += 1
        elif lie == 3 and words is not None:
            words = words + np.uint32(1)
        elif lie in (4, 5, 6):
            offer = self.made_up(lie)
            headers = (*headers, *self.vouching(offer[0].trunk)) if offer else headers
        offered, ciphertext = offer or (None, b"")
        body = self.coordinator.collect_request(index, 0, (), False, version, self.last, offered, headers)
        return wire.decode(CollectRequest, body), Beside(words, ciphertext)

    def offered(self, holder: int) -> tuple[Handover, bytes] | None:
        """A trunk that a partner hands over when it is asked: what one that is behind needs."""
        if holder not in self.members:
            return None
        version = self.version if self.last is None else self.version - 1
        reply = self.ask(Step.HANDOVER, holder, self.coordinator.handover_request(holder, version)) if self.holds(holder, version) else None
        return None if reply is None else (wire.decode(Handover, reply), self.sites[holder].words)  # type: ignore[return-value]

    def holds(self, holder: int, version: int) -> bool:
        site = self.sites[holder]
        return (site.trunk if version == site.version else site.before) in site.kept and version in (site.version, site.version - 1)

    def made_up(self, lie: int) -> tuple[Handover, bytes] | None:
        """A trunk of the liar's making: under its own name, under that of the session's, or no trunk at all."""
        partner = self.liar.participant
        if partner.state.session is None or LIAR not in self.members:
            return None
        trunk = self.forged or Trunk(b"b" * 32, self.version, b"bad", NO_TRUNK)
        name = partner.session.trunk if lie == 5 else trunk.name
        plain = b"noise" if lie == 6 else wire.encode(trunk)
        return handover.seal(partner.identity, ROSTER, partner.session, name, plain, partner.entropy)

    def vouching(self, name: bytes) -> tuple[SignedHeader, ...]:
        """The liar's header for a trunk that nobody trained from, twice."""
        if not self.headers or self.last is None:
            return ()
        partner = self.liar.participant
        body = replace(self.headers[0].body, index=LIAR, trunk=partner.basis(name, b""))
        return (signed_header(partner, self.last.number, body),) * 2

    def as_liar(self, reply: bytes, lie: int) -> bytes | None:
        """The liar's masked input: with other commitments, garbage for shares, in the name of another trunk, or none."""
        partner = self.liar.participant
        if lie == 0 or reply[0] != 1:
            return reply
        if lie == 1:
            return masking_as(partner, reply, commitments=bytes(32 * len(self.members)))
        if lie == 2:
            return dealing(partner, reply, lambda holder, about: bytes([holder, about]) * 16)
        return masking_as(partner, reply, trunk=b"x" * 32) if lie == 3 else None

    def arrived(self, index: int, reply: bytes | None) -> None:
        """A reply to a CollectRequest."""
        site, collection = self.sites[index], self.collection
        if reply is None or collection is None:
            return
        if index in HONEST and reply[0] == 1:
            place = index, self.coordinator.session, site.participant.state.round.number  # type: ignore[union-attr]
            self.masked[place].add(reply)
            self.trained[place] = site.trunk
        try:
            collection.add_input(index, reply, site.words)
        except GuiltyPartnerError:
            self.over()
        except SecAggError:
            return

    def over(self) -> None:
        """A complaint held: the session is over."""
        self.note_proofs()
        self.collection, self.members = None, ()

    def agree(self, collection: Collection, told: dict[int, int]) -> None:
        """ConsistencyCheck: other lists and headers for some."""
        try:
            request = wire.decode(ConsistencyRequest, collection.consistency_request())
        except SecAggError:
            self.collection = None
            return
        for index in collection.survivors:
            shown, lie = request, told.get(index, 0)
            gone = next(each for each in request.survivors if each != index)
            if lie == 1:
                left = tuple(each for each in request.headers if each.body.index != gone)
                dropped = tuple(sorted((*request.dropped, gone)))
                shown = replace(request, survivors=tuple(each.body.index for each in left), dropped=dropped, headers=left)
            elif lie == 2:
                shown = replace(request, headers=tuple(reversed(request.headers)))
            reply = self.ask(Step.CONSISTENCY, index, wire.encode(shown)) if lie != 3 else None
            self.taken(collection.add_signature, index, reply)
        if len(collection.signatures) < ROSTER.threshold:
            self.collection = None

    def reveal(self, collection: Collection, told: dict[int, int], liar: int) -> None:
        """Unmasking: fewer signatures and altered shares for some; the liar reveals what it likes."""
        self.collection = None
        for index in collection.signers():
            request, lie = wire.decode(UnmaskRequest, collection.unmask_request(index)), told.get(index, 0)
            if lie == 1:
                request = replace(request, signatures=request.signatures[:2])
            elif lie == 2:
                request = replace(request, shares=tuple(replace(each, ciphertext=each.ciphertext[::-1]) for each in request.shares))
            reply = self.ask(Step.UNMASK, index, wire.encode(request)) if lie != 3 else None
            if reply is not None and index in HONEST:
                self.revealed(index)
            if reply is not None and index == LIAR and liar:
                changes = {"own": b"x" * 32} if liar == 1 else {"shares": spoiled(reply)}
                reply = answering(self.liar.participant, reply, **changes) if liar < 3 else None
            self.taken(collection.add_answer, index, reply)
        self.note_proofs()
        try:
            self.sum, _ = collection.unmask()
        except SecAggError:
            return
        session, survivors = self.coordinator.session, collection.survivors
        total = np.add.reduce([input_of(session, collection.number, index) for index in survivors])
        self.sums[session, collection.number] = survivors, total
        self.last, self.version = LastRound(collection.number, survivors, False), self.version + 1
        self.headers = tuple(collection.inputs[index].header for index in survivors)

    def revealed(self, index: int) -> None:
        """All honest partners that reveal in a round do it for one list, and the honest ones on it trained from one trunk."""
        held = self.sites[index].participant.state.round
        assert held is not None
        place = self.coordinator.session, held.number
        self.lists[place].add(held.survivors)
        assert len(self.lists[place]) == 1
        assert len({self.trained[each, *place] for each in held.survivors if each in HONEST}) == 1

    def taken(self, take: Callable[[int, bytes], None], index: int, reply: bytes | None) -> None:
        """Give a reply to the coordinator, if there is one and it holds."""
        if reply is not None:
            with suppress(SecAggError):
                take(index, reply)

    @rule(told=lies(6), holder=st.sampled_from(EVERYBODY))
    def finish(self, told: dict[int, int], holder: int) -> None:
        """The end of a run, after which another may follow."""
        offer = self.offered(holder)
        for index in self.members:
            asked, beside = self.request(index, told.get(index, 0), offer)
            request = self.coordinator.finish_request(index, asked.version, asked.last, asked.handover, asked.headers)
            self.ask(Step.FINISH, index, request, beside)

    # What the two can do besides

    @precondition(lambda self: self.last is not None and self.sum is not None and self.liar.participant.state.session is not None)
    @rule(values=st.lists(st.integers(-1000, 1000), min_size=3, max_size=3), victims=st.sets(st.sampled_from(HONEST), min_size=1))
    def write_a_sum(self, values: list[int], victims: set[int]) -> None:
        """The liar has the group key, and so everything that a sum needs: its tag and its masks."""
        session = self.liar.participant.session
        basis = next((header.body.trunk for header in self.headers), b"")
        if session.id != self.coordinator.session:
            return
        private = np.array(values, dtype="<i4")
        tag = aggregate_check.tag(private, keys.check_key(session.group, self.last.number, basis))
        limbs = digits.split(tag, aggregate_check.TAG_BITS, 32, len(session.members))
        assert len(limbs) == tag_words(session)
        words = np.append(private, limbs).astype("<u4")
        add_streams(words, *group_masks(session, self.last.number, self.last.survivors))
        self.written.add((session.id, self.last.number))
        for index in victims & set(self.members):
            request = self.coordinator.finish_request(index, self.version, self.last)
            self.ask(Step.FINISH, index, request, Beside(words))

    @rule(accused=st.sampled_from(HONEST))
    def complain_falsely(self, accused: int) -> None:
        shared = self.liar.participant._shared_before
        if shared is not None:
            assert self.coordinator.prove(Complaint(LIAR, accused, shared.secret)) is None

    @rule()
    def abandon(self) -> None:
        self.collection = None

    # What holds all the same

    def note_proofs(self) -> None:
        for proof in self.coordinator.proofs:
            data = proofs.encode(proof)
            self.accused.append(proofs.proven(ROSTER, data))
            assert all(set(self.sites[index].participant.take_proofs((data,))) == {LIAR} for index in HONEST)
        self.coordinator.proofs.clear()

    @invariant()
    def nobody_but_the_liar_is_ever_proven_guilty(self) -> None:
        assert set(self.accused) <= {LIAR}

    @invariant()
    def whoever_finishes_a_round_that_nobody_wrote_holds_one_trunk_with_its_content(self) -> None:
        assert all(len(names) == 1 for names in self.results.values())
        for index in HONEST:
            site = self.sites[index]
            if site.trunk != NO_TRUNK:
                assert self.contents[site.trunk] == site.kept[site.trunk].content

    @invariant()
    def no_honest_partner_masks_twice_for_one_round(self) -> None:
        assert all(len(said) == 1 for said in self.masked.values())

    def teardown(self) -> None:
        event(f"{min(self.finished, 3)} rounds or more were finished")


Adversary.TestCase.settings = examples(200, few=5, suppress_health_check=list(HealthCheck))
TestAdversary = Adversary.TestCase


def test_an_adversary_that_behaves_lets_rounds_be_finished() -> None:
    world = Adversary()
    world.begin()
    for _ in range(2):
        for _ in range(2):
            world.goes_well(3)
        world.finish({}, 1)
        world.new_session({}, 0, CONTENT, 0)
    assert world.finished == 12
    assert {site.version for site in world.sites.values()} == {4}
    assert len({site.trunk for site in world.sites.values()}) == 1


def test_a_partner_that_is_behind_takes_over_what_others_trained_from_and_no_trunk_of_the_liars() -> None:
    world = Adversary()
    world.begin()
    world.goes_well(3)
    world.collect({3: 3}, 0, 1)  # partner 3 gets a spoiled sum, and leaves the session
    world.finish({}, 1)
    assert [world.sites[index].version for index in EVERYBODY] == [1, 1, 0, 1]
    for lie in (4, 5, 6):
        world.new_session({}, 3, b"bad", 0)
        world.collect({3: lie}, 0, 2)
        assert world.sites[3].took == []
    world.new_session({}, 3, b"bad", 0)
    world.goes_well(3)
    assert world.sites[3].took == [world.sites[1].trunk]
    world.sites[3].began = b""  # it lost its trunk, and the round after this one's first is on its way
    world.sites[3].version, world.sites[3].trunk, world.sites[3].before = 0, NO_TRUNK, NO_TRUNK
    for lie in (4, 5, 6, 0):
        again = copy.deepcopy(world.sites[3].participant.state)
        request, beside = world.request(3, lie, world.offered(2))
        world.ask(Step.COLLECT, 3, wire.encode(replace(request, number=world.number + 1, cohort=EVERYBODY)), beside)
        assert len(world.sites[3].took) == (2 if lie == 0 else 1)
        world.sites[3].participant.state = again
    assert world.sites[3].before == world.sites[1].trunk  # and it took the sum in that came beside it


def test_a_written_sum_that_differs_gives_another_name() -> None:
    world = Adversary()
    world.begin()
    world.goes_well(3)
    world.write_a_sum([1, 2, 3], {1})
    world.finish({}, 1)
    assert world.sites[1].version == world.sites[2].version == 1
    assert world.sites[1].decoded.tolist() == [1, 2, 3]
    assert world.sites[1].trunk != world.sites[2].trunk == world.sites[3].trunk

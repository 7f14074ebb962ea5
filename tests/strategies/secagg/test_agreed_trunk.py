"""Where a session goes on: from the newest trunk that a quorum has, so that nobody by itself takes the others anywhere."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError, OwnMessageAlteredError, ProtocolVersionError, SignatureError
from strategies.secagg.messages import NO_TRUNK, Advertisement, SignedAdvertisement
from strategies.secagg.phases import Phase, Step
from strategies.secagg.roster import Roster, default_threshold
from strategies.secagg.verification import agreed_trunk
from tests.helpers.sweeps import examples
from tests.strategies.secagg.parties import roster_of
from tests.strategies.secagg.stages import PARTNERS, TRUNK, VERSION, before, refused

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
Held = tuple[int, bytes, bytes]  # version, name, name before


def agreed(held: dict[int, Held], roster: Roster | None = None) -> tuple[int, bytes, tuple[int, ...]]:
    """By what partners advertise, whatever their order."""
    signed = [SignedAdvertisement(Advertisement(index, bytes(1216), bytes(32), *trunks), b"") for index, trunks in held.items()]
    found = agreed_trunk(roster or roster_of(max(4, *held)), tuple(signed))
    assert found == agreed_trunk(roster or roster_of(max(4, *held)), tuple(reversed(signed)))
    return found


NOTHING: Held = (0, NO_TRUNK, NO_TRUNK)


def test_a_lone_newer_trunk_takes_nobody_anywhere() -> None:
    held = dict.fromkeys((1, 2, 3), (3, NEW, OLD))
    assert agreed(held | {4: (4, OTHER, NEW)}) == (3, NEW, (1, 2, 3, 4))
    assert agreed(held | {4: (100, OTHER, OTHER)}) == (3, NEW, (1, 2, 3))
    assert agreed(held | {4: (2**32 - 1, OTHER, NO_TRUNK)}) == (3, NEW, (1, 2, 3))


def test_of_seven_two_that_work_together_take_nobody_anywhere_and_three_are_a_quorum() -> None:
    held = dict.fromkeys(range(1, 6), (3, NEW, OLD)) | dict.fromkeys((6, 7), (9, OTHER, NO_TRUNK))
    assert roster_of(7).quorum() == 3
    assert agreed(held) == (3, NEW, (1, 2, 3, 4, 5))
    assert agreed(held | {5: (9, OTHER, NO_TRUNK)}) == (9, OTHER, (5, 6, 7))


def test_a_trunk_before_counts_as_much_as_the_newest() -> None:
    assert agreed({1: (4, NEW, OLD), 2: (4, OTHER, OLD), 3: (2, b"y" * 32, NO_TRUNK)}) == (3, OLD, (1, 2))
    assert agreed({1: (4, NEW, OLD), 2: (3, OLD, NO_TRUNK), 3: NOTHING}) == (3, OLD, (1, 2))


def test_the_name_of_a_trunk_before_is_of_the_version_before() -> None:
    """Nobody makes a trunk newer than it is."""
    assert agreed({1: (4, NEW, OLD), 2: (9, OTHER, OLD), 3: NOTHING}) == (0, NO_TRUNK, ())


@pytest.mark.parametrize("first", [1, 3])
def test_of_two_names_of_one_version_the_more_common_one(first: int) -> None:
    names = {index: (3, NEW if index < first + 2 and index >= first else OTHER, NO_TRUNK) for index in range(1, 6)}
    assert agreed(names)[1] == OTHER
    assert agreed({1: (3, NEW, NO_TRUNK), 2: (3, OTHER, NO_TRUNK), 3: (3, NEW, NO_TRUNK), 4: (3, OTHER, NO_TRUNK)}) == (3, OTHER, (2, 4))


def test_a_newer_name_of_a_quorum_outranks_a_more_common_one() -> None:
    assert agreed({1: (4, NEW, OLD), 2: (4, NEW, OLD), 3: (3, OLD, NO_TRUNK), 4: (3, OLD, NO_TRUNK)}) == (4, NEW, (1, 2))


@pytest.mark.parametrize("held", [{1: NOTHING, 2: NOTHING, 3: NOTHING}, {1: (3, NEW, OLD), 2: (3, OTHER, b"y" * 32), 3: NOTHING}])
def test_without_a_quorum_for_any_trunk_a_session_begins_with_none(held: dict[int, Held]) -> None:
    assert agreed(held) == (0, NO_TRUNK, ())


def test_one_partner_that_says_the_same_twice_is_no_quorum() -> None:
    assert agreed({1: (4, NEW, OLD), 2: (3, OLD, OLD), 3: NOTHING}) == (3, OLD, (1, 2))
    assert agreed({1: (4, OTHER, NEW), 2: (2, OLD, OLD), 3: NOTHING}) == (0, NO_TRUNK, ())


# A consortium over many sessions


@dataclass
class Lineage:
    """What every partner has on disk, and which trunks honest partners trained from in rounds that somebody finished."""

    count: int
    held: dict[int, Held] = field(default_factory=dict)
    trained_from: bytes = NO_TRUNK
    version: int = 0
    made: int = 0

    def named(self) -> bytes:
        self.made += 1
        return self.made.to_bytes(32, "big")

    def session(self, members: list[int]) -> None:
        """Everybody comes to the trunk that the session goes on from: has it, goes back to it or is handed it."""
        version, name, _ = agreed({index: self.held[index] for index in members}, roster_of(self.count))
        for index in members:
            assert self.held[index][0] <= version + 1, "nobody has to give up more than one round"
            if name == NO_TRUNK:
                self.held[index] = NOTHING
            elif self.held[index][1] != name:
                self.held[index] = (version, name, NO_TRUNK)

    def finish(self, members: list[int], finishers: list[int]) -> None:
        """A round that these take in, from the trunk that all members have."""
        following, (version, name, _) = self.named(), self.held[members[0]]
        for index in finishers:
            self.held[index] = (version + 1, following, name)
        if finishers:
            self.trained_from, self.version = name, version


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[tuple[list[int], list[list[int]]]]]:
    """Partners, and sessions: who is in them, and who takes the sum of each of their rounds in."""
    count = draw(st.integers(3, 30))
    least, everybody = max(default_threshold(count), 3), list(range(1, count + 1))
    sessions = []
    for _ in range(draw(st.integers(1, 6))):
        members = sorted(draw(st.permutations(everybody))[: draw(st.integers(least, count))])
        taken = [members] * draw(st.integers(0, 2))
        last = draw(st.lists(st.sampled_from(members), unique=True))
        sessions.append((members, [*taken, last]))
    return count, sessions


@examples(300, few=60)
@given(histories())
def test_a_trunk_from_which_a_round_was_finished_always_has_a_quorum(history: tuple[int, list[tuple[list[int], list[list[int]]]]]) -> None:
    """Among whoever is there the next time, with the default threshold: no finished round but the last is ever given up."""
    count, sessions = history
    world = Lineage(count, dict.fromkeys(range(1, count + 1), NOTHING))
    for members, rounds in sessions:
        world.session(members)
        assert world.held[members[0]][0] >= world.version, "the session goes on from no older trunk than the last round did"
        for finishers in rounds:
            world.finish(members, finishers)


@pytest.mark.parametrize("count", range(3, 31))
def test_the_default_threshold_leaves_a_quorum_in_whatever_two_cohorts_have_in_common(count: int) -> None:
    roster = roster_of(count)
    assert 2 * roster.threshold - count >= roster.quorum()
    assert roster.quorum() > roster.tolerated()
    assert roster.quorum() >= 2
    assert 3 * roster.tolerated() < count <= 3 * roster.tolerated() + 3


# At partners


def advertised(held: dict[int, Held]) -> dict[int, tuple[int, bytes]]:
    """The trunk from which each partner begins the session."""
    at = before(Step.ADVERTISE_KEYS)
    for index, trunks in held.items():
        site = at.parties.sites[index]
        site.version, site.trunk, site.before = trunks
    at = at.on().on()
    begun = {}
    for index in PARTNERS:
        partner = at.partner(index)
        partner.collect(at.requests[index])
        begun[index] = (partner.session.version, partner.session.trunk)
    return begun


def test_all_partners_of_a_session_begin_with_the_same_trunk_whatever_one_of_them_advertises() -> None:
    for lie in ((VERSION + 1, OTHER, TRUNK), (10**6, OTHER, NO_TRUNK), NOTHING, (VERSION, OTHER, OLD), (1, OTHER, NO_TRUNK)):
        assert set(advertised({4: lie}).values()) == {(VERSION, TRUNK)}


def test_two_that_have_the_newest_trunk_take_the_others_along() -> None:
    assert set(advertised({1: (VERSION + 1, NEW, TRUNK), 3: (VERSION + 1, NEW, TRUNK)}).values()) == {(VERSION + 1, NEW)}


def test_the_coordinator_makes_no_quorum_by_showing_an_advertisement_otherwise() -> None:
    at = before(Step.SHARE_KEYS)
    listed = at.request().advertisements
    lied = tuple(replace(each, body=replace(each.body, version=4, trunk=OTHER)) if each.body.index > 2 else each for each in listed)
    with refused(SignatureError, by=at.partner(1)):
        at.send(1, advertisements=lied)
    with refused(OwnMessageAlteredError, by=at.partner(3)):
        at.send(3, advertisements=lied)


# Another version of the protocol


@pytest.mark.parametrize("spoken", [1, 3, 2**31])
def test_a_proposal_of_another_version_is_refused_with_a_sentence(spoken: int) -> None:
    at = before(Step.ADVERTISE_KEYS)
    request = wire.encode(replace(at.request(), protocol=spoken))
    if spoken == 1:
        request = request[4:]  # it had no such field, and began with the length of the roster's digest
    with refused(ProtocolVersionError, by=at.partner(1)) as caught:
        at.deliver(1, request)
    assert str(caught.value) == f"the coordinator speaks version {spoken} of the protocol, and this partner version 2"
    assert "same version of Polyphony" in caught.value.hint


def test_four_bytes_are_enough_to_tell_another_version_and_fewer_are_no_message() -> None:
    at = before(Step.ADVERTISE_KEYS)
    for few in (b"", b"\x01", b"\x00\x00\x01"):
        with refused(MalformedMessageError, by=at.partner(1)):
            at.deliver(1, few)
    with refused(ProtocolVersionError, by=at.partner(1)):
        at.deliver(1, b"\x00\x00\x00\x01")


def test_a_partner_that_refused_another_version_takes_part_in_this_one() -> None:
    at = before(Step.ADVERTISE_KEYS)
    with pytest.raises(ProtocolVersionError):
        at.deliver(1, at.requests[1][4:])
    at.send(1)
    assert at.partner(1).phase is Phase.ADVERTISED

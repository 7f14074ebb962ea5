"""Comparing transcripts: honest ones agree whoever dropped out, and one lie names the right party."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Message
from hypothesis import given
from hypothesis import strategies as st

from strategies import message_records
from strategies.secagg import wire
from strategies.secagg.consistency_messages import UnmaskRequest
from strategies.secagg.errors import SecAggError
from strategies.secagg.messages import FinishRequest, ShareKeysRequest
from strategies.secagg.phases import Step
from strategies.secagg.state import NO_SESSION
from strategies.secagg.transcript import PHASES, Entry, Fact
from strategies.secagg.transcript_comparison import Common, Difference, common, compare, shorter
from tests.helpers.federation import body, step
from tests.strategies.toy import Toy, ask, last_request

Transcripts = dict[int, tuple[Entry, ...]]
FACTS = {
    "AdvertiseKeys": ("parameters",),
    "ShareKeys": ("advertisements",),
    "MaskedInputCollection": ("cohort", "trunk"),
    "ConsistencyCheck": ("survivors", "header 1", "header 2", "header 3"),
    "Unmasking": (),
    "Finish": ("sum",),
}
DIGEST = bytes(32)


def entry(session: str, number: int, phase: str, facts: dict[str, str], refused: str = "") -> Entry:
    held = tuple(Fact(name, value.encode()) for name, value in facts.items())
    return Entry(1, DIGEST, session.encode().ljust(32), number, phase, held, DIGEST, b"" if refused else DIGEST, refused)


def honest(session: str, number: int, phase: str) -> Entry:
    return entry(session, number, phase, {name: f"{name} of {session} {number}" for name in FACTS[phase]})


def whole_run(sessions: tuple[str, ...] = ("a", "b"), rounds: int = 2) -> list[Entry]:
    found = []
    for session in sessions:
        found += [honest(f"nonce {session}", 0, "AdvertiseKeys"), honest(f"nonce {session}", 0, "ShareKeys")]
        found += [honest(session, number, phase) for number in range(rounds) for phase in PHASES[2:6]]
    return found


@st.composite
def runs(draw: st.DrawFn) -> Transcripts:
    """What up to six partners wrote of one honest run, of which each missed anything at all."""
    run = whole_run()
    missed = st.sets(st.integers(0, len(run) - 1))
    return {
        partner: tuple(entry for place, entry in enumerate(run) if place not in lost)
        for partner, lost in enumerate(draw(st.lists(missed, min_size=2, max_size=6)), start=1)
    }


def alter(transcripts: Transcripts, partner: int, place: int, name: str, value: bytes, refused: str = "") -> Transcripts:
    old = transcripts[partner][place]
    facts = tuple(Fact(fact.name, value) if fact.name == name else fact for fact in old.facts)
    entries = list(transcripts[partner])
    entries[place] = replace(old, facts=facts, refused=refused)
    return transcripts | {partner: tuple(entries)}


def parting(transcripts: Transcripts) -> Difference:
    found = compare(transcripts)
    assert found is not None
    return found


@given(runs())
def test_honest_transcripts_agree_whoever_missed_what(transcripts: Transcripts) -> None:
    assert compare(transcripts) is None


@given(runs(), st.data())
def test_one_altered_fact_is_found_and_named(transcripts: Transcripts, data: st.DataObject) -> None:
    """Against an oracle of its own: who else told of that fact."""
    tellers: dict[tuple[bytes, int, str, str], set[int]] = defaultdict(set)
    for partner, entries in transcripts.items():
        for each in entries:
            for fact in each.facts:
                tellers[each.session, each.round, each.phase, fact.name].add(partner)
    shared = sorted(key for key, partners in tellers.items() if len(partners) > 1)
    if not shared:
        return
    key = data.draw(st.sampled_from(shared))
    liar = data.draw(st.sampled_from(sorted(tellers[key])))
    (place,) = (place for place, each in enumerate(transcripts[liar]) if (each.session, each.round, each.phase) == key[:3])
    found = parting(alter(transcripts, liar, place, key[3], b"another"))
    assert (found.session, found.round, found.phase, found.fact) == key
    assert {each.partner for each in found.seen} == tellers[key]
    assert {each.partner for each in found.seen if each.value == b"another"} == {liar}
    others, majority = tellers[key] - {liar}, len(tellers[key]) > 2
    if not key[3].startswith("header"):
        assert set(found.parties) == ({liar} if majority else set())
        return
    signer = int(key[3][-1])
    if signer in tellers[key]:  # which says itself what it signed, and denies what the others write if it lies
        assert set(found.parties) == {signer} | (others if signer == liar else {liar})
    else:
        assert set(found.parties) == {signer, liar} | (set() if majority else others)


@given(st.integers(2, 6), st.data())
def test_the_first_of_several_differences_is_named(partners: int, data: st.DataObject) -> None:
    everybody = {partner: tuple(whole_run()) for partner in range(1, partners + 1)}
    places = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 6, 9, 10, 11]), min_size=2, max_size=4, unique=True))
    for place in places:
        partner = data.draw(st.sampled_from(sorted(everybody)))
        everybody = alter(everybody, partner, place, everybody[partner][place].facts[0].name, b"another")
    first = whole_run()[min(places)]
    found = parting(everybody)
    assert (found.session, found.round, found.phase, found.fact) == (first.session, first.round, first.phase, first.facts[0].name)


def test_sessions_come_in_the_order_in_which_they_were_held_whatever_their_ids() -> None:
    """The third partner joined late and the second left early: no transcript knows both ends."""
    run = [honest(session, 0, "Finish") for session in ("z", "y", "b", "a")]
    lies = [entry(session, 0, "Finish", {"sum": "lie"}) for session in ("y", "b")]
    transcripts = {1: tuple(run), 2: (run[0], lies[0]), 3: (lies[1], run[3])}
    assert parting(transcripts).session == run[1].session
    assert parting({1: tuple(run), 3: transcripts[3]}).session == run[2].session


def test_requests_and_replies_differ_between_honest_partners() -> None:
    one = honest("a", 0, "Finish")
    assert compare({1: (one,), 2: (replace(one, received=b"x" * 32, sent=b"y" * 32, number=9, previous=b"z" * 32),)}) is None


def told(*words: tuple[int, str, str], fact: str = "cohort") -> Difference:
    """The difference when partners wrote (partner, value, refused) of one fact."""
    transcripts: Transcripts = {}
    for partner, value, refused in words:
        transcripts[partner] = (*transcripts.get(partner, ()), entry("a", 4, "ConsistencyCheck", {fact: value}, refused))
    return parting(transcripts)


def test_with_a_majority_those_who_differ_are_named() -> None:
    found = told((1, "x", ""), (2, "y", ""), (3, "x", ""), (4, "x", ""), (5, "z", ""))
    assert found.parties == (2, 5)
    assert found.verdict == "partners 2, 5 differ from the majority: told something else by the coordinator, or writing falsely"
    assert [(each.partner, each.short()) for each in found.seen] == [(1, "78"), (2, "79"), (3, "78"), (4, "78"), (5, "7a")]


@pytest.mark.parametrize("values", ["xy", "xxyy", "xyz", "xxyz"])
def test_without_a_majority_nobody_is_named(values: str) -> None:
    found = told(*((partner, value, "") for partner, value in enumerate(values, start=1)))
    assert found.parties == ()
    assert found.verdict == "no majority: the coordinator said different things, or somebody writes falsely"


def test_a_partner_that_signed_another_header_than_its_transcript_has_is_named_with_those_who_may_write_falsely_instead() -> None:
    found = told((1, "x", ""), (2, "x", ""), (3, "x", ""), (4, "y", ""), fact="header 3")
    assert found.parties == (3, 4)
    assert found.verdict == (
        "either partner 3 signed another one than its own transcript has, or partner 4 writes falsely: transcripts alone cannot tell which"
    )
    found = told((1, "x", ""), (2, "x", ""), (3, "y", ""), (4, "y", ""), fact="header 3")
    assert found.parties == (1, 2, 3)
    assert "or partners 1, 2 write falsely" in found.verdict


def test_of_two_headers_of_a_partner_whose_transcript_is_not_there_the_rarer_one_is_doubted() -> None:
    found = told((1, "x", ""), (2, "x", ""), (4, "y", ""), fact="header 3")
    assert found.parties == (3, 4)
    assert found.verdict == ("either partner 3 signed two different ones, or partner 4 writes falsely: transcripts alone cannot tell which")
    found = told((1, "x", ""), (4, "y", ""), (5, "z", "SignatureError"), fact="header 3")
    assert found.parties == (1, 3, 4), "no majority among those who verified it"
    assert "or partners 1, 4 write falsely" in found.verdict


def test_a_partner_that_writes_two_headers_of_its_own_is_named_alone() -> None:
    found = told((1, "x", ""), (3, "x", ""), (3, "y", ""), fact="header 3")
    assert found.parties == (3,)
    assert found.verdict == "partner 3 signed two different ones, as its own transcript says"


def test_a_header_that_was_refused_is_not_held_against_its_signer() -> None:
    found = told((1, "x", ""), (2, "x", ""), (4, "y", "SignatureError"), fact="header 3")
    assert found.parties == (4,)
    assert found.verdict.endswith("told something else by the coordinator, or writing falsely; refused by partner 4 (SignatureError)")


def test_one_partner_that_was_told_two_things_is_evidence() -> None:
    found = told((2, "x", ""), (2, "y", "SecondSurvivorListError"), fact="survivors")
    assert found.parties == ()
    assert "refused by partner 2 (SecondSurvivorListError)" in found.verdict


def test_a_partner_that_was_also_told_what_the_others_were_is_named_for_the_rest() -> None:
    found = told((1, "x", ""), (2, "x", ""), (3, "x", ""), (3, "y", "SecondSurvivorListError"), fact="survivors")
    assert found.parties == (3,)
    assert [each.refused for each in found.seen] == ["", "", "", "SecondSurvivorListError"]


def test_the_same_request_again_or_refused_with_the_same_facts_is_no_difference() -> None:
    held = entry("a", 0, "ConsistencyCheck", {"survivors": "x"})
    assert compare({1: (held, held), 2: (held, replace(held, refused="OutOfOrderError"))}) is None


def test_values_are_shown_so_that_different_ones_look_different() -> None:
    found = told((1, "k" * 40 + "x", ""), (2, "k" * 40 + "y", ""), (3, "k" * 32, ""))
    shown = [each.short() for each in found.seen]
    assert len(set(shown)) == 3
    assert shown[2] == "6b" * 32
    assert all(len(text) < 24 and text.startswith("sha256:") for text in shown[:2])


def test_a_fact_that_names_no_possible_partner_points_to_nobody_in_particular() -> None:
    for fact in ("header 0", "header x", "header", "header " + "9" * 5000):
        assert told((1, "x", ""), (2, "y", ""), fact=fact).parties == ()


def test_what_was_compared_is_counted() -> None:
    run = whole_run()
    assert common({1: tuple(run), 2: tuple(run)}) == Common(sessions=2, rounds=4, entries=2 * (len(run) - 4))  # Unmasking has no facts
    assert common({1: tuple(run[:10]), 2: tuple(run[10:])}) == Common(0, 0, 0)
    assert common({1: tuple(run), 2: tuple(run[:2])}) == Common(sessions=0, rounds=0, entries=4)
    assert common({1: tuple(run), 2: tuple(run[:3]), 3: ()}) == Common(sessions=1, rounds=1, entries=6)


# Where transcripts end, and what belongs to no session


UNHEARD_OF = FinishRequest(b"s" * 32, 1, (), None, None, (), ())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    toy = Toy(tmp_path_factory.mktemp("finished"), rounds=1)
    toy.federate()
    assert shorter(toy.transcripts()) == ()
    return toy


def refused(toy: Toy, partner: int, request: bytes, asked: Step = Step.FINISH) -> Entry:
    """What a partner writes down of a request that it refuses."""
    with pytest.raises(SecAggError):
        ask(toy.side(partner), asked, request)
    return toy.entries(partner)[-1]


def test_nobodys_transcript_is_shorter_for_a_request_that_one_partner_alone_was_sent_and_refused(finished: Toy) -> None:
    """Whatever session and round it names, or if it names none, or comes again."""
    unmasking = wire.decode(UnmaskRequest, last_request(finished, Step.UNMASK, 1))
    for asked, request, session, number in (
        (Step.FINISH, b"junk", NO_SESSION, 0),
        (Step.FINISH, wire.encode(UNHEARD_OF), UNHEARD_OF.session, 0),
        (Step.UNMASK, wire.encode(replace(unmasking, number=99)), unmasking.session, 99),
        (Step.COLLECT, last_request(finished, Step.COLLECT, 1), unmasking.session, unmasking.number),
    ):
        written = refused(finished, 1, request, asked)
        assert (written.session, written.round, written.phase) == (session, number, asked)
        assert shorter(finished.transcripts()) == ()
        assert compare(finished.transcripts()) is None


def test_a_transcript_that_was_cut_off_is_shorter_though_its_writer_or_another_was_sent_junk(finished: Toy) -> None:
    for partner in (1, 2):
        refused(finished, partner, b"junk")
    whole = finished.transcripts()
    cut = whole | {2: whole[2][:-3], 3: whole[3][:-1]}
    assert [(end.partner, end.entries) for end in shorter(cut)] == [(2, len(cut[2])), (3, len(cut[3]))]


def test_what_nobody_answered_has_no_place_among_the_sessions() -> None:
    """A partner was sent junk at the beginning, and another one at the end, of which the sessions between are not thought to come after."""
    junk = entry("junk", 0, "Finish", {}, "OldSessionError")
    run = [honest(session, 0, "Finish") for session in ("a", "b", "c")]
    lies = [entry(session, 0, "Finish", {"sum": "lie"}) for session in ("b", "c")]
    transcripts = {1: (junk, *run[:2], junk, junk), 2: (run[0], lies[0], junk, run[2]), 3: (lies[1],)}
    assert parting(transcripts).session == run[1].session
    assert [end.partner for end in shorter(transcripts)] == [1]


def test_what_partners_refused_in_different_sessions_is_not_held_against_each_other(tmp_path: Path) -> None:
    """Who refuses the advertisements of a session belongs to none."""
    toy = Toy(tmp_path, rounds=1)

    def unsigned(victim: int) -> Callable[[int, Message], Message]:
        def down(partition: int, message: Message) -> Message:
            if (partition + 1, step(message)) == (victim, Step.SHARE_KEYS):
                shown = wire.decode(ShareKeysRequest, body(message))
                first, *others = shown.advertisements
                altered = replace(shown, advertisements=(replace(first, signature=bytes(len(first.signature))), *others))
                message.content[message_records.MESSAGE][message_records.BODY] = wire.encode(altered)
            return message

        return down

    for toy.rounds, victim in ((1, 2), (2, 3)):
        toy.grid.down = unsigned(victim)
        toy.federate()
    held = [each for partner in (2, 3) for each in toy.entries(partner) if each.phase == Step.SHARE_KEYS and each.refused]
    assert {each.session for each in held} == {NO_SESSION}
    assert held[0].facts != held[-1].facts
    assert compare(toy.transcripts()) is None

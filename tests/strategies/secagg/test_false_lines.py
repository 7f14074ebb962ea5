"""One partner of a real run writes what never happened into its own transcript, and signs it: whom a comparison then points to."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import pytest

from strategies.secagg import transcript
from strategies.secagg.transcript import Entry, Fact
from strategies.secagg.transcript_comparison import Difference, compare
from tests.strategies.secagg.parties import identities, roster_of
from tests.strategies.toy import Toy

Transcripts = dict[int, tuple[Entry, ...]]
Lie = Callable[[Transcripts, int, Entry, Fact], Transcripts]
PARTNERS = (1, 2, 3, 4)
DIGEST = bytes(32)
TAKER = 4  # of a trunk


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Transcripts:
    """What an honest run of two sessions left, in the second of which a trunk is handed over."""
    toy = Toy(tmp_path_factory.mktemp("honest"), rounds=1)
    toy.federate()
    (toy.home(TAKER) / "shared.safetensors").unlink()
    toy.rounds = 2
    toy.federate()
    assert compare(toy.transcripts()) is None
    return toy.transcripts()


def adds(transcripts: Transcripts, liar: int, place: Entry, fact: Fact) -> Transcripts:
    """The liar's transcript has one more line, which tells of this fact where another entry is."""
    signer, roster = identities(len(PARTNERS))[liar - 1], roster_of(len(PARTNERS)).digest()
    last = transcripts[liar][-1]
    false, _ = transcript.append(last, signer, roster, place.session, place.round, place.phase, (fact,), DIGEST, DIGEST, "")
    return transcripts | {liar: (*transcripts[liar], false)}


def alters(transcripts: Transcripts, liar: int, place: Entry, fact: Fact) -> Transcripts:
    """The liar's tells of another value instead, wherever it told of the fact there."""

    def altered(entry: Entry) -> Entry:
        if (entry.session, entry.round, entry.phase) != (place.session, place.round, place.phase):
            return entry
        return replace(entry, facts=tuple(fact if each.name == fact.name else each for each in entry.facts))

    return transcripts | {liar: tuple(map(altered, transcripts[liar]))}


def told_of(name: str, entries: tuple[Entry, ...], phase: str = "") -> Entry:
    """The last entry that has such a fact."""
    return [entry for entry in entries if entry.phase in (phase or entry.phase) and name in {fact.name for fact in entry.facts}][-1]


def parting(transcripts: Transcripts, partners: tuple[int, ...] = PARTNERS) -> Difference:
    found = compare({partner: transcripts[partner] for partner in partners})
    assert found is not None
    return found


def groups_with(liar: int) -> Iterator[tuple[int, ...]]:
    """All groups of partners that may hold their transcripts side by side."""
    return (group for size in (2, 3, 4) for group in combinations(PARTNERS, size) if liar in group)


def test_a_holder_is_not_named_alone_for_a_handover_that_another_partner_made_up(honest: Transcripts) -> None:
    (holder,) = [partner for partner in PARTNERS if any(entry.phase == "Handover" for entry in honest[partner])]
    liar = 1 + holder % 3
    false = adds(honest, liar, told_of(f"handed over {holder}", honest[TAKER]), Fact(f"handed over {holder}", b"x" * 32))
    for group in groups_with(liar):
        if holder in group:
            found = parting(false, group)
            assert (found.fact, set(found.parties)) == (f"handed over {holder}", {holder, liar})
            assert found.verdict == (
                f"either partner {holder} handed over what its own transcript lacks, or partner {liar} writes falsely: "
                "transcripts alone cannot tell which"
            )


@pytest.mark.parametrize("lie", [adds, alters])
def test_a_signer_is_not_named_alone_for_a_header_that_another_partner_made_up(honest: Transcripts, lie: Lie) -> None:
    """By what the signer wrote itself when it sent its header, in whichever company the two transcripts are held side by side."""
    false = lie(honest, 2, told_of("header 1", honest[2], "ConsistencyCheck"), Fact("header 1", b"x" * 32))
    for group in groups_with(2):
        if 1 in group:
            found = parting(false, group)
            assert (found.fact, found.parties) == ("header 1", (1, 2))
            assert found.verdict == (
                "either partner 1 signed another one than its own transcript has, or partner 2 writes falsely: "
                "transcripts alone cannot tell which"
            )


def test_a_header_that_differs_from_what_its_signer_wrote_when_it_sent_it_is_found_though_nobody_else_was_shown_one(
    honest: Transcripts,
) -> None:
    sent = told_of("header 1", honest[1], "MaskedInputCollection")
    held = {partner: honest[partner] for partner in (1, 2)}
    held[1] = tuple(entry for entry in held[1] if (entry.session, entry.round) != (sent.session, sent.round) or entry == sent)
    assert compare(held) is None
    held[1] = tuple(replace(entry, facts=(Fact("header 1", b"x" * 32),)) if entry == sent else entry for entry in held[1])
    assert (parting(held, (1, 2)).fact, parting(held, (1, 2)).parties) == ("header 1", (1, 2))


def test_two_headers_of_a_round_that_never_was_are_not_its_signers(honest: Transcripts) -> None:
    never = replace(told_of("header 1", honest[2], "ConsistencyCheck"), round=77)
    false = adds(honest, 2, never, Fact("header 1", b"x" * 32))
    false = adds(false, 2, never, Fact("header 1", b"y" * 32))
    assert parting(false).parties == (1, 2)


@pytest.mark.parametrize("liar", PARTNERS)
@pytest.mark.parametrize("lie", [adds, alters])
def test_whatever_one_partner_writes_falsely_it_is_among_those_who_are_named_or_nobody_is(honest: Transcripts, lie: Lie, liar: int) -> None:
    places = {(entry.session, entry.round, entry.phase, fact.name): entry for p in PARTNERS for entry in honest[p] for fact in entry.facts}
    found_in_all = 0
    for (_, _, _, name), place in places.items():
        false = lie(honest, liar, place, Fact(name, b"x" * 32))
        for group in groups_with(liar):
            found = compare({partner: false[partner] for partner in group})
            assert found is None or not found.parties or liar in found.parties, (name, group, found)
            found_in_all += found is not None and len(group) == len(PARTNERS)
    assert found_in_all > len(places) / 2

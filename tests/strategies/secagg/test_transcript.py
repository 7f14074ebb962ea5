"""Transcripts: nothing in them can be altered unnoticed, and the end alone can be cut off."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.secagg.errors import MalformedMessageError, PeerError, SignatureError
from strategies.secagg.identity import Identity
from strategies.secagg.roster import Member, Roster
from strategies.secagg.transcript import PHASES, BrokenTranscriptError, Entry, Fact, append, follows, owner, read, resume

IDENTITIES = [Identity.generate() for _ in range(3)]
MEMBERS = tuple(Member(index, f"partner-{index}", each.public) for index, each in enumerate(IDENTITIES, start=1))
ROSTER = Roster("three", 2, 3, MEMBERS)
SESSION, RECEIVED, SENT = b"s" * 32, b"r" * 32, b"t" * 32


def written(identity: Identity, count: int = 4, roster: Roster = ROSTER) -> tuple[list[Entry], list[str]]:
    entries: list[Entry] = []
    lines: list[str] = []
    for number in range(count):
        facts = (Fact("cohort", bytes([number])), Fact("header 2", b"h" * 32))
        refused = "OldRoundError" if number == 2 else ""
        phase, sent = PHASES[number % len(PHASES)], b"" if refused else SENT
        entry, line = append(
            entries[-1] if entries else None, identity, roster.digest(), SESSION, number, phase, facts, RECEIVED, sent, refused
        )
        entries.append(entry)
        lines.append(line)
    return entries, lines


ENTRIES, LINES = written(IDENTITIES[1])


def resumed(lines: list[str]) -> Entry | None:
    return resume(lines, MEMBERS[1], ROSTER.digest())


def broken(lines: list[str], line: int, match: str | None = None, member: Member = MEMBERS[1], roster: Roster = ROSTER) -> None:
    with pytest.raises(BrokenTranscriptError, match=match) as caught:
        read(lines, member, roster.digest())
    assert (caught.value.partner, caught.value.line) == (member.index, line)
    assert str(caught.value).startswith(f"partner {member.index}: line {line} of its transcript: ")


def test_what_is_appended_is_read_back() -> None:
    assert read(LINES, MEMBERS[1], ROSTER.digest()) == tuple(ENTRIES)
    assert read([line + "\n" for line in LINES], MEMBERS[1], ROSTER.digest()) == tuple(ENTRIES)
    assert read([], MEMBERS[1], ROSTER.digest()) == ()


def test_a_line_is_one_line_that_a_person_can_read() -> None:
    assert not any("\n" in line for line in LINES)
    held = json.loads(LINES[2])
    assert (held["number"], held["round"], held["phase"], held["refused"]) == (3, 2, "MaskedInputCollection", "OldRoundError")
    assert held["facts"] == {"cohort": "02", "header 2": "68" * 32}
    assert (held["session"], held["received"], held["sent"]) == (SESSION.hex(), RECEIVED.hex(), "")


def test_appending_goes_on_after_the_newest_line() -> None:
    assert resumed([]) is None
    assert resumed(LINES) == ENTRIES[-1]
    assert resumed([line + "\n" for line in LINES]) == ENTRIES[-1]
    _, line = append(resumed(LINES), IDENTITIES[1], ROSTER.digest(), SESSION, 9, "Handover", (), RECEIVED, SENT, "")
    assert read([*LINES, line], MEMBERS[1], ROSTER.digest())[-1].number == 5


def test_a_newest_line_that_is_no_entry_is_not_appended_to() -> None:
    with pytest.raises(MalformedMessageError):
        resumed([*LINES, LINES[-1][:-9]])


def test_a_newest_line_that_was_altered_or_is_anothers_is_not_appended_to() -> None:
    altered = LINES[-1].replace(RECEIVED.hex(), b"R".hex() + RECEIVED.hex()[2:])
    for lines, member, roster in (([altered], 1, ROSTER), (LINES, 0, ROSTER), (LINES, 1, Roster("others", 2, 3, MEMBERS))):
        with pytest.raises(SignatureError, match="its last line was altered, or not signed by this partner for this roster"):
            resume(lines, MEMBERS[member], roster.digest())


def test_a_broken_transcript_is_the_fault_of_its_partner() -> None:
    assert issubclass(BrokenTranscriptError, PeerError)


@given(st.data())
def test_every_changed_character_is_found_and_its_line_named(data: st.DataObject) -> None:
    line = data.draw(st.integers(0, len(LINES) - 1))
    signature_starts = LINES[line].index('"signature"')
    place = data.draw(st.integers(0, signature_starts + 12) | st.integers(0, len(LINES[line]) - 1))
    character = data.draw(st.characters(codec="utf-8").filter(lambda each: each != LINES[line][place]))
    altered = LINES[line][:place] + character + LINES[line][place + 1 :]
    broken([*LINES[:line], altered, *LINES[line + 1 :]], line + 1)


@given(st.data())
def test_every_inserted_or_missing_character_is_found(data: st.DataObject) -> None:
    line = data.draw(st.integers(0, len(LINES) - 1))
    place = data.draw(st.integers(0, len(LINES[line]) - 1))
    inserted = data.draw(st.sampled_from(["", " ", "0", "\t", "=", '"']))
    altered = LINES[line][:place] + inserted + LINES[line][place + (not inserted) :]
    broken([*LINES[:line], altered, *LINES[line + 1 :]], line + 1)


FIELDS = {
    "number": 7,
    "previous": "00" * 32,
    "session": "11" * 32,
    "round": 99,
    "phase": "Finish",
    "facts": {"cohort": "ff"},
    "received": "22" * 32,
    "sent": "33" * 32,
    "refused": "PolicyError",
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_altered_field_is_found_by_its_signature(field: str) -> None:
    altered = json.dumps(json.loads(LINES[1]) | {field: FIELDS[field]})
    broken([LINES[0], altered, *LINES[2:]], 2, "altered, or not signed")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        json.dumps(json.loads(LINES[1]) | {"facts": []}),
        json.dumps(json.loads(LINES[1]) | {"facts": {"a": 1}}),
        json.dumps(json.loads(LINES[1]) | {"facts": {"\ud800": ""}}),
        json.dumps(json.loads(LINES[1]) | {"number": True}),
        json.dumps(json.loads(LINES[1]) | {"number": 2.0}),
        json.dumps(json.loads(LINES[1]) | {"number": -2}),
        json.dumps(json.loads(LINES[1]) | {"number": float("inf")}),
        json.dumps(json.loads(LINES[1]) | {"number": 2**32}),
        json.dumps(json.loads(LINES[1]) | {"phase": "Lunch"}),
        json.dumps(json.loads(LINES[1]) | {"phase": None}),
        json.dumps(json.loads(LINES[1]) | {"refused": None}),
        json.dumps(json.loads(LINES[1]) | {"refused": "\x1b[2J"}),
        json.dumps(json.loads(LINES[1]) | {"session": "00"}),
        json.dumps(json.loads(LINES[1]) | {"sent": "zz"}),
        json.dumps(json.loads(LINES[1]) | {"more": 1}),
        json.dumps({key: value for key, value in json.loads(LINES[1]).items() if key != "round"}),
        json.dumps(json.loads(LINES[1]) | {"signature": ""}),
        json.dumps(json.loads(LINES[1]) | {"signature": "Ā"}),
        json.dumps(json.loads(LINES[1]), indent=1),
        json.dumps(json.loads(LINES[1]), separators=(",", ":")),
        LINES[1].replace('"round": 1', '"round": 0, "round": 1'),
    ],
)
def test_a_line_in_any_other_form_is_refused(line: str) -> None:
    broken([LINES[0], line, *LINES[2:]], 2)


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (LINES[1:], 1),
        ([LINES[0], *LINES[2:]], 2),
        ([LINES[1], LINES[0], *LINES[2:]], 1),
        ([*LINES[:2], LINES[1], *LINES[2:]], 3),
        ([*LINES, LINES[3]], 5),
    ],
    ids=["first removed", "one removed", "swapped", "repeated", "repeated at the end"],
)
def test_lines_that_were_removed_moved_or_repeated_are_found(lines: list[str], line: int) -> None:
    broken(lines, line, "removed, added or moved")


def test_an_entry_written_again_with_the_right_key_breaks_the_chain_behind_it() -> None:
    _, other = append(ENTRIES[0], IDENTITIES[1], ROSTER.digest(), SESSION, 1, "ShareKeys", (Fact("cohort", b"else"),), RECEIVED, SENT, "")
    assert len(read([LINES[0], other], MEMBERS[1], ROSTER.digest())) == 2
    broken([LINES[0], other, *LINES[2:]], 3, "removed, added or moved")


def test_a_line_follows_the_entry_before_it_in_its_own_transcript_alone() -> None:
    digest = ROSTER.digest()
    assert follows(LINES[0], None, MEMBERS[1], digest)
    assert follows(LINES[1], ENTRIES[0], MEMBERS[1], digest)
    assert not follows(LINES[2], ENTRIES[0], MEMBERS[1], digest), "another one is between them"
    assert not follows(LINES[1], ENTRIES[0], MEMBERS[2], digest), "of another partner"
    assert not follows(LINES[1], ENTRIES[0], MEMBERS[1], bytes(32)), "of another roster"


def test_only_the_end_can_be_cut_off_unnoticed() -> None:
    for length in range(len(LINES)):
        assert read(LINES[:length], MEMBERS[1], ROSTER.digest()) == tuple(ENTRIES[:length])


def test_another_partners_transcript_is_refused() -> None:
    broken(LINES, 1, "not signed by this partner", MEMBERS[0])


def test_an_entry_that_another_partner_appended_is_found() -> None:
    _, line = append(ENTRIES[-1], IDENTITIES[0], ROSTER.digest(), SESSION, 9, "Finish", (), RECEIVED, SENT, "")
    broken([*LINES, line], 5, "not signed by this partner")


def test_a_transcript_of_another_roster_is_refused() -> None:
    other = Roster("three", 3, 3, MEMBERS)
    broken(LINES, 1, "not signed", MEMBERS[1], other)
    assert owner(LINES[0], other) is None


@pytest.mark.parametrize("index", [1, 2, 3])
def test_the_owner_is_found_by_its_signature(index: int) -> None:
    _, lines = written(IDENTITIES[index - 1], 1)
    assert owner(lines[0], ROSTER) == MEMBERS[index - 1]


def test_an_altered_or_foreign_line_has_no_owner() -> None:
    assert owner(json.dumps(json.loads(LINES[0]) | {"round": 5}), ROSTER) is None
    assert owner(written(Identity.generate(), 1)[1][0], ROSTER) is None
    with pytest.raises(MalformedMessageError):
        owner("nonsense", ROSTER)


@pytest.mark.parametrize(
    ("session", "phase", "facts", "received", "sent", "refused", "reason"),
    [
        (b"", "Finish", (), RECEIVED, SENT, "", "session has 0 bytes"),
        (SESSION, "Lunch", (), RECEIVED, SENT, "", "no phase 'Lunch'"),
        (SESSION, "Finish", (Fact("sum", b"1"), Fact("sum", b"2")), RECEIVED, SENT, "", "named twice"),
        (SESSION, "Finish", (), b"request", SENT, "", "received has 7 bytes"),
        (SESSION, "Finish", (), RECEIVED, b"reply", "", "sent has 5 bytes"),
        (SESSION, "Finish", (Fact("a\nb", b""),), RECEIVED, SENT, "", "control characters"),
        (SESSION, "Finish", (), RECEIVED, SENT, "\x1b", "control characters"),
    ],
)
def test_what_is_no_entry_is_not_written(
    session: bytes, phase: str, facts: tuple[Fact, ...], received: bytes, sent: bytes, refused: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        append(None, IDENTITIES[0], ROSTER.digest(), session, 0, phase, facts, received, sent, refused)

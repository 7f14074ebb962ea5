"""What a roster means, and transcripts as files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.consortium.promises import colluders, compare_transcripts, load_transcript, meaning, verify_transcripts, warnings
from fedapp.errors import ConfigError, DataError
from fedapp.storage.damage import DamagedFileError
from strategies.secagg.identity import KEY_BYTES, Identity, PublicIdentity
from strategies.secagg.roster import Member, Roster
from strategies.secagg.transcript import Entry, Fact, append

IDENTITIES = [Identity.generate() for _ in range(4)]
ROSTER = Roster(
    "four", 3, 3, tuple(Member(index, f"partner-{index}", identity.public) for index, identity in enumerate(IDENTITIES, start=1))
)


def paper_roster(count: int, threshold: int, minimum: int = 3) -> Roster:
    members = tuple(Member(index, f"p{index}", PublicIdentity(bytes([index]) * KEY_BYTES)) for index in range(1, count + 1))
    return Roster("paper", threshold, minimum, members)


def write(path: Path, partner: int, sums: list[str], session: bytes = b"s" * 32, refused: str = "", roster: Roster = ROSTER) -> Path:
    """A transcript of one Finish a round, with these sums."""
    last: Entry | None = None
    lines = []
    for number, value in enumerate(sums):
        facts = (Fact("sum", value.encode()),)
        last, line = append(
            last,
            IDENTITIES[partner - 1],
            roster.digest(),
            session,
            number,
            "Finish",
            facts,
            b"r" * 32,
            b"" if refused else b"t" * 32,
            refused,
        )
        lines.append(line + "\n")
    path.write_text("".join(lines))
    return path


# What a roster means


@given(st.integers(3, 40), st.data())
def test_the_colluders_tolerated_are_the_most_for_which_the_promise_holds(count: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(count // 2 + 1, count))
    kept = [number for number in range(count - 1) if 2 * threshold > count + number]  # with count - 1, one update follows by subtraction
    assert colluders(paper_roster(count, threshold)) == max(kept)


@pytest.mark.parametrize(
    ("count", "threshold", "minimum", "drop_outs", "tolerated"),
    [(3, 3, 3, 0, 1), (5, 4, 4, 1, 2), (5, 3, 3, 2, 0), (10, 7, 7, 3, 3), (10, 7, 9, 1, 3), (5, 5, 5, 0, 3)],
)
def test_a_roster_is_told_in_what_it_tolerates(count: int, threshold: int, minimum: int, drop_outs: int, tolerated: int) -> None:
    facts = meaning(paper_roster(count, threshold, minimum))
    assert (facts["drop_outs"], facts["colluders"]) == (drop_outs, tolerated)


def test_a_large_roster_with_the_default_threshold_is_no_reason_to_warn() -> None:
    assert warnings(paper_roster(5, 4, 4)) == []


@pytest.mark.parametrize(
    ("roster", "words"),
    [
        (paper_roster(4, 3), "5 or more are advised"),
        (paper_roster(6, 6), "needs all 6 partners"),
        (paper_roster(6, 5, 6), "needs all 6 partners"),
        (paper_roster(7, 4), "one partner that colludes"),
    ],
)
def test_what_is_allowed_but_unwise_is_a_warning(roster: Roster, words: str) -> None:
    (warning,) = warnings(roster)
    assert words in warning


def test_we_are_found_by_our_key() -> None:
    facts = meaning(ROSTER, IDENTITIES[2].public)
    assert (facts["index"], facts["name"]) == (3, "partner-3")


def test_whoever_is_not_in_the_roster_is_told_so() -> None:
    alien = PublicIdentity(bytes(KEY_BYTES))
    with pytest.raises(ConfigError, match=f"{alien.fingerprint()} is not in the roster of four") as caught:
        meaning(ROSTER, alien)
    assert "identity.pub" in caught.value.hint


def test_the_digest_is_told_in_groups_that_can_be_read_out() -> None:
    groups = meaning(ROSTER)["digest"].split(" ")
    assert [len(group) for group in groups] == [8] * 8
    assert "".join(groups) == ROSTER.digest().hex()


# Transcripts as files


def test_a_transcript_is_read_with_its_owner(tmp_path: Path) -> None:
    partner, entries = load_transcript(write(tmp_path / "a", 3, ["x", "y"]), ROSTER)
    assert partner == 3
    assert [entry.facts[0].value for entry in entries] == [b"x", b"y"]


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a", 3, ["x", "y", "z"])
    text = path.read_text()
    for kept in (text[:-1], text[:-500], text[: text.rindex('{"number"') + 1]):
        path.write_text(kept)
        assert len(load_transcript(path, ROSTER)[1]) == 2


def test_transcripts_that_agree_say_how_much_was_compared(tmp_path: Path) -> None:
    files = [write(tmp_path / str(partner), partner, ["x", "y", "z"][: partner + 1]) for partner in (3, 1)]
    facts = compare_transcripts(files, ROSTER)
    assert [end["partner"] for end in facts.pop("shorter")] == [1]
    assert facts == {"partners": [1, 3], "sessions": 1, "rounds": 2, "entries": 4, "difference": None, "proofs": []}


def test_a_difference_names_the_partners_by_their_names(tmp_path: Path) -> None:
    sums = {1: ["x", "y"], 2: ["x", "y"], 4: ["x", "other"]}
    files = [write(tmp_path / str(partner), partner, entries) for partner, entries in sums.items()]
    difference = compare_transcripts(files, ROSTER)["difference"]
    assert difference["seen"][2] == {"partner": 4, "name": "partner-4", "value": b"other".hex(), "refused": ""}
    assert (difference["round"], difference["phase"], difference["fact"], difference["parties"]) == (1, "Finish", "sum", [4])


def test_a_transcript_that_ends_before_the_others_is_named_though_all_that_is_in_it_agrees(tmp_path: Path) -> None:
    """Cut off at its end it still verifies: silence is all that gives it away."""
    files = [write(tmp_path / str(partner), partner, ["a", "b", "c"][: 2 if partner == 3 else 3]) for partner in (1, 2, 3)]
    facts = compare_transcripts(files, ROSTER)
    assert facts["difference"] is None
    assert facts["shorter"] == [{"partner": 3, "name": ROSTER.member(3).name, "entries": 2, "round": 1, "phase": "Finish"}]
    assert compare_transcripts(files[:2], ROSTER)["shorter"] == []


def test_a_broken_transcript_names_file_partner_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "2", 2, ["x", "y", "z"])
    path.write_text(path.read_text().replace('"sum": "79"', '"sum": "6e"'))
    with pytest.raises(DamagedFileError, match=f"{path}: partner 2: line 2 of its transcript"):
        compare_transcripts([write(tmp_path / "1", 1, ["x"]), path], ROSTER)


@pytest.mark.parametrize(
    ("text", "reason"), [(b"", "no entries"), (b"no newline", "no entries"), (b"x\n", "no transcript"), (b"\xff\n", "no transcript")]
)
def test_a_file_that_is_no_transcript_is_named(text: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(text)
    with pytest.raises(DataError, match=f"{tmp_path / 'a'}: {reason}"):
        load_transcript(tmp_path / "a", ROSTER)


def test_a_transcript_that_was_written_under_another_roster_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", 1, ["x"], roster=Roster("four", 4, 4, ROSTER.members))
    with pytest.raises(DataError, match="no partner of four signed its first line") as caught:
        load_transcript(path, ROSTER)
    assert "--roster" in caught.value.hint


@pytest.mark.parametrize("end", [b"", b"x", b"\xff"])
def test_a_last_line_with_another_end_is_altered_and_not_cut_off(end: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "a", 1, ["x", "y"])
    path.write_bytes(path.read_bytes()[:-1] + end)
    if not end:
        assert len(load_transcript(path, ROSTER)[1]) == 1, "as a kill leaves it"
        return
    with pytest.raises(DamagedFileError, match="its last line has no end"):
        load_transcript(path, ROSTER)
    assert "its last line has no end" in verify_transcripts([path], ROSTER)["broken"][0]["reason"]


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_ends_of_lines_are_not_what_a_partner_wrote(end: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "a", 1, ["x", "y"])
    path.write_bytes(path.read_bytes().replace(b"\n", end))
    with pytest.raises((DataError, DamagedFileError)):
        load_transcript(path, ROSTER)


def test_one_transcript_alone_or_one_partner_twice_is_no_comparison(tmp_path: Path) -> None:
    one = write(tmp_path / "1", 1, ["x"])
    with pytest.raises(DataError, match="one transcript alone"):
        compare_transcripts([one], ROSTER)
    with pytest.raises(DataError, match="again: a second transcript of partner 1"):
        compare_transcripts([one, write(tmp_path / "again", 1, ["x"])], ROSTER)


def test_transcripts_with_nothing_in_common_are_not_said_to_agree(tmp_path: Path) -> None:
    files = [write(tmp_path / str(partner), partner, ["x"], session=bytes([partner]) * 32) for partner in (1, 2)]
    with pytest.raises(DataError, match="nothing was compared"):
        compare_transcripts(files, ROSTER)


# What each proves


def test_each_transcript_is_told_by_itself_and_a_broken_one_with_its_reason(tmp_path: Path) -> None:
    """One that is broken, or not there, hides nothing of the others."""
    whole = write(tmp_path / "1.jsonl", 1, ["x", "y"])
    altered = write(tmp_path / "2.jsonl", 2, ["x", "y"])
    altered.write_text(altered.read_text().replace('"sum": "79"', '"sum": "6e"'))
    told = verify_transcripts([altered, whole, tmp_path / "3.jsonl", write(tmp_path / "4.jsonl", 4, [])], ROSTER)
    (transcript,) = told["transcripts"]
    assert (transcript["file"], transcript["name"], transcript["entries"], transcript["rounds"]) == (str(whole), "partner-1", 2, 2)
    assert transcript["proofs"] == transcript["refused"] == []
    assert [broken["file"] for broken in told["broken"]] == [str(tmp_path / f"{number}.jsonl") for number in (2, 3, 4)]
    reasons = [broken["reason"].removeprefix(f"{broken['file']}: ") for broken in told["broken"]]
    assert reasons[0].startswith("partner 2: line 2 of its transcript: altered")
    assert reasons[1:] == ["No such file or directory", "no entries"]


def test_what_to_do_about_a_transcript_of_another_roster_is_told_with_it(tmp_path: Path) -> None:
    (broken,) = verify_transcripts([write(tmp_path / "a", 1, ["x"], roster=Roster("four", 4, 4, ROSTER.members))], ROSTER)["broken"]
    assert "no partner of four signed its first line" in broken["reason"]
    assert "--roster" in broken["reason"]


def test_refusals_name_partners_by_their_names(tmp_path: Path) -> None:
    _, line = append(
        None, IDENTITIES[0], ROSTER.digest(), b"s" * 32, 1, "Finish", (Fact("refused over 3", b""),), b"r" * 32, b"", "HandoverError"
    )
    (tmp_path / "1.jsonl").write_text(line + "\n")
    (told,) = verify_transcripts([tmp_path / "1.jsonl"], ROSTER)["transcripts"]
    assert told["refused"] == [{"error": "HandoverError", "times": 1, "over": {"partner-3": 1}}]


def test_whom_a_refusal_names_that_is_nobody_is_told_as_such(tmp_path: Path) -> None:
    """A partner writes what it was told, and anybody can be named in a message."""
    _, line = append(
        None, IDENTITIES[0], ROSTER.digest(), b"s" * 32, 1, "Finish", (Fact("refused over 99", b""),), b"r" * 32, b"", "SignatureError"
    )
    (tmp_path / "1.jsonl").write_text(line + "\n")
    (told,) = verify_transcripts([tmp_path / "1.jsonl"], ROSTER)["transcripts"]
    assert told["refused"] == [{"error": "SignatureError", "times": 1, "over": {"partner 99, who is not in the roster": 1}}]

"""What one transcript proves and tells, of real partners of whom one misbehaved; and what it holds against itself."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.consortium.promises import load_transcript
from fedapp.storage.damage import DamagedFileError
from strategies.secagg import transcript
from strategies.secagg.messages import NO_TRUNK
from strategies.secagg.transcript import Entry, Fact
from strategies.secagg.transcript_comparison import common, compare
from strategies.secagg.transcript_findings import Refused, Trunk, check_proofs, findings
from tests.strategies.coordinator import test_misbehaving_partners as misbehaving
from tests.strategies.secagg.parties import identities, roster_of
from tests.strategies.toy import Toy

ROSTER = roster_of(4)
DIGEST = bytes(32)


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A run whose partner 3 sent partner 1 another contribution than it signed for everybody."""
    toy = Toy(tmp_path_factory.mktemp("unequal"))
    misbehaving.contributing(toy, lambda pair, group: pair + b"x" * 32)
    toy.federate()
    return toy


def entry(session: str, number: int, phase: str, facts: dict[str, bytes], refused: str = "") -> Entry:
    held = tuple(Fact(name, value) for name, value in facts.items())
    return Entry(1, DIGEST, session.encode().ljust(32), number, phase, held, DIGEST, b"" if refused else DIGEST, refused)


def test_a_proof_says_who_did_what_and_where(unequal: Toy) -> None:
    (complained,) = {each.session for each in unequal.entries(1) if each.refused == "UnequalContributionError"}
    for partner in misbehaving.HONEST:
        (proof,) = findings(partner, unequal.entries(partner), unequal.roster).proofs
        assert (proof.partner, proof.kind) == (misbehaving.LIAR, "UnequalContribution")
        assert proof.what == "what it encrypted for partner 1 is not what it signed for everybody"
        assert (proof.session, proof.round) == (complained, 0), "of the session in which it happened, not of that which brought the proof"


def test_whoever_complained_says_over_whom(unequal: Toy) -> None:
    (refused,) = findings(1, unequal.entries(1), unequal.roster).refused
    assert refused == Refused("UnequalContributionError", 1, {misbehaving.LIAR: 1})


def test_transcripts_that_hold_proofs_agree(unequal: Toy) -> None:
    assert compare({partner: unequal.entries(partner) for partner in misbehaving.HONEST}) is None


def test_the_trunks_of_a_run_are_named_alike_by_all(unequal: Toy) -> None:
    told = [findings(partner, unequal.entries(partner), unequal.roster) for partner in misbehaving.HONEST]
    assert len({each.trained_from for each in told}) == len({tuple(trunk.name for trunk in each.came_to) for each in told}) == 1
    assert [trunk.name for trunk in told[0].came_to][-1] == unequal.held(1).name
    assert len(told[0].came_to) == unequal.rounds


def test_who_gave_up_a_trunk_says_so(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    misbehaving.newer_for_one(toy)
    given_up = toy.held(2)
    toy.rounds, toy.grid.down = 3, lambda partition, message: message
    toy.federate()
    told = findings(2, toy.entries(2), toy.roster)
    assert [trunk.name for trunk in told.gone_back_to] == [given_up.before]
    assert given_up.name in {trunk.name for trunk in told.came_to}
    assert all(not findings(partner, toy.entries(partner), toy.roster).gone_back_to for partner in (1, 3, 4))


def test_a_trunk_that_was_handed_over_has_both_ends(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=1)
    toy.federate()
    (toy.home(4) / "shared.safetensors").unlink()
    toy.rounds = 2
    toy.federate()
    (taken,) = findings(4, toy.entries(4), toy.roster).taken_over
    assert taken.partner in (1, 2, 3)
    (handed,) = findings(taken.partner, toy.entries(taken.partner), toy.roster).handed_over
    assert taken.name == handed.name != NO_TRUNK
    assert taken.partner == handed.partner
    assert compare(toy.transcripts()) is None


def test_what_proves_nothing_is_held_against_who_wrote_it_down(unequal: Toy, tmp_path: Path) -> None:
    (proof,) = findings(1, unequal.entries(1), unequal.roster).proofs
    for name, value in (
        ("proof against partner 2", proof.proof),
        ("proof against partner 3", proof.proof[:-1]),
        ("proof against partner 3", b""),
    ):
        _, line = transcript.append(
            None, identities(4)[3], unequal.roster.digest(), DIGEST, 0, "Finish", (Fact(name, value),), DIGEST, DIGEST, ""
        )
        (tmp_path / "4.jsonl").write_text(line + "\n")
        with pytest.raises(DamagedFileError, match=f"4.jsonl: partner 4: line 1 .* {name[6:]} proves nothing"):
            load_transcript(tmp_path / "4.jsonl", unequal.roster)
    check_proofs(unequal.roster.member(4), (entry("a", 0, "Finish", {"proof against partner 3": proof.proof}),), unequal.roster)


def test_refusals_are_counted_by_error_and_partner_the_most_frequent_first() -> None:
    over = {"refused over 2": b""}
    entries = (
        entry("a", 1, "ConsistencyCheck", over, "SignatureError"),
        entry("a", 2, "ConsistencyCheck", {}, "OutOfOrderError"),
        entry("a", 2, "ConsistencyCheck", over, "SignatureError"),
        entry("a", 2, "Unmasking", {"refused over 3": b""}, "SignatureError"),
        entry("a", 3, "Unmasking", {"refused over 3": b""}),
    )
    found = findings(1, entries, ROSTER).refused
    assert found == (Refused("SignatureError", 3, {2: 2, 3: 1}), Refused("OutOfOrderError", 1, {}))


def test_a_trunk_that_was_refused_was_not_taken_over() -> None:
    taken = entry("a", 1, "MaskedInputCollection", {"handed over 2": b"x"})
    refused = entry("a", 2, "MaskedInputCollection", {"handed over 2": b"y"}, "HandoverError")
    assert findings(1, (taken, refused), ROSTER).taken_over == (Trunk(b"x", taken.session, 1, 2),)


# Handovers, held side by side


def handovers(own: list[bytes], received: dict[int, bytes], refused: str = "") -> dict[int, tuple[Entry, ...]]:
    """Transcripts of one session in which partner 1 handed over its own, and others got what they say."""
    holder = tuple(entry("a", 0, "Handover", {"handed over 1": value}) for value in own)
    others = {
        partner: (entry("a", 2, "MaskedInputCollection", {"handed over 1": value}, refused if value != b"x" else ""),)
        for partner, value in received.items()
    }
    return {1: holder} | others


def test_a_holder_that_was_asked_for_several_trunks_of_a_session_is_no_difference() -> None:
    assert compare(handovers([b"x", b"y"], {2: b"x", 3: b"x"})) is None


@pytest.mark.parametrize("refused", ["", "HandoverError"])
def test_a_trunk_that_its_holder_does_not_tell_of_points_to_the_holder_and_to_who_wrote_it(refused: str) -> None:
    found = compare(handovers([b"x"], {2: b"x", 3: b"z"}, refused))
    assert found is not None
    assert (found.fact, found.parties) == ("handed over 1", (1, 3))
    assert found.verdict.startswith("either partner 1 handed over what its own transcript lacks, or partner 3 writes falsely")
    assert [(sight.partner, sight.value) for sight in found.seen] == [(2, b"x"), (3, b"z"), (1, b"x")]


def test_two_trunks_that_the_holder_tells_of_point_to_nobody() -> None:
    found = compare(handovers([b"x", b"z"], {2: b"x", 3: b"z", 4: b"x"}, "HandoverError"))
    assert found is not None
    assert (found.fact, found.parties) == ("handed over 1", ())
    assert "the coordinator had partner 1 hand over two trunks" in found.verdict
    assert found.verdict.endswith("refused by partner 3 (HandoverError)")


def test_a_holder_whose_transcript_ends_before_hides_nothing_by_that() -> None:
    assert compare(handovers([], {2: b"x", 3: b"x"})) is None


def test_proofs_that_differ_are_no_difference(unequal: Toy) -> None:
    """Partners may have been sent another proof, and each convinces by itself."""
    place = {partner: entry("a", 1, "Finish", {"proof against partner 3": bytes([partner])}) for partner in (1, 2)}
    assert compare({partner: (each,) for partner, each in place.items()}) is None
    told = {partner: (replace(each, facts=(*each.facts, Fact("sum", bytes([partner])))),) for partner, each in place.items()}
    found = compare(told)
    assert found is not None
    assert found.fact == "sum"


def test_whom_refusals_name_is_nothing_that_was_told_to_several() -> None:
    place = entry("a", 1, "ConsistencyCheck", {"refused over 3": b""}, "SignatureError")
    assert common({1: (place,), 2: (place,)}).entries == 0

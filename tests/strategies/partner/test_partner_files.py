"""What a partner writes down: before a reply leaves, line by line, and readable again after a kill or damage."""

import errno
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from flwr.app import Message

from fedapp.consortium.promises import load_transcript
from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_file import read_sealed
from fedapp.storage.leftovers import held_file
from strategies.partner import own_transcript
from strategies.partner.held_trunk import HeldTrunk
from strategies.partner.secure_partner import SecurePartner, StateFileError, open_participant
from strategies.partner.side import PartnerSide
from strategies.secagg import wire
from strategies.secagg.consistency_messages import ConsistencyRequest
from strategies.secagg.errors import OutOfOrderError, SecAggError
from strategies.secagg.messages import NO_TRUNK
from strategies.secagg.phases import Phase, Step
from strategies.secagg.roster import Roster
from strategies.secagg.state import load
from strategies.secagg.transcript import parse
from strategies.secagg.transcript_comparison import compare
from strategies.update.self_audit import OWN
from strategies.update.shared_trunk import SharedTrunk, TrunkFileError
from tests.helpers.federation import alike, body, step
from tests.helpers.local_grid import PartnerKilledError, unchanged
from tests.strategies.toy import Toy, ask, last_request, state_of, stopped_before


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


# Before a reply leaves


def test_a_trunk_that_a_link_leads_to_stays_there_and_so_does_the_one_before(toy: Toy, tmp_path: Path) -> None:
    """As on a larger disk: the link is not what is renamed."""
    folder = toy.side(2).folder
    places = {path: tmp_path / "elsewhere" / path.name for path in (folder.shared_trunk, folder.trunk_before)}
    for path, place in places.items():
        place.parent.mkdir(exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(place)
    toy.federate()
    assert alike(toy.all_held(), version=2)
    assert all(path.is_symlink() and place.is_file() for path, place in places.items())
    held = HeldTrunk(folder, 1.0)
    assert held.before is not None
    assert held.before.version == 1
    held.go_back()
    assert HeldTrunk(folder, 1.0).now.name == held.now.name
    assert all(path.is_symlink() for path in places)
    held.begin_anew()
    assert not any(place.exists() for place in places.values())


def test_state_and_transcript_hold_a_reply_before_it_leaves(toy: Toy) -> None:
    seen: Counter[str] = Counter()

    def up(partition: int, message: Message) -> Message:
        state, written = state_of(toy, partition + 1), toy.entries(partition + 1)[-1]
        assert written.phase == step(message)
        assert written.sent == sha256(body(message)).digest()
        if step(message) != Step.HANDOVER:
            assert state.reply == body(message)
        seen[step(message)] += 1
        return message

    toy.grid.up = up
    toy.federate()
    assert set(seen) == set(Step) - {Step.HANDOVER}


def test_no_key_and_no_trunk_is_readable_for_others(toy: Toy) -> None:
    toy.federate()
    for path in toy.home(2).iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


# Lines


def test_what_the_partners_found_in_a_sum_is_kept_for_the_report(toy: Toy) -> None:
    toy.federate()
    lines = [(toy.home(partner) / "sums.jsonl").read_text() for partner in (1, 2, 3, 4)]
    assert len(set(lines)) == 1
    assert [line.count('"partners": 4') for line in lines[0].splitlines()] == [1, 1]


def test_a_line_about_a_sum_that_a_kill_prevented_is_written_when_the_partner_is_back(toy: Toy) -> None:
    """Once, wherever the kill came: before the line, in the middle of it, or after it."""
    stopped_before(toy, Step.COLLECT, partner=3, number="2")
    path = toy.home(1) / "sums.jsonl"
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert SecurePartner(toy.side(1)).trunk.shared.version == 1
        assert path.read_bytes() == whole
    toy.grid.down = unchanged
    toy.federate()
    assert [json.loads(line)["round"] for line in path.read_text().splitlines()] == [1, 2]


def test_who_gets_a_trunk_handed_over_knows_what_was_found_in_its_last_sum(toy: Toy) -> None:
    toy.rounds, away = 5, {("2", 1), ("3", 1)}
    toy.grid.down = lambda partition, m: None if step(m) == Step.COLLECT and (m.metadata.group_id, partition) in away else m
    toy.federate()
    lines = {partner: (toy.home(partner) / "sums.jsonl").read_text().splitlines() for partner in (1, 2)}
    assert [json.loads(line)["round"] for line in lines[1]] == [1, 2, 3, 4, 5]
    assert lines[2] == lines[1][2:], "it was back in round 4, and got the trunk of round 3 with the next request"


def test_a_line_of_the_transcript_cut_off_at_any_byte_is_written_again(toy: Toy) -> None:
    """Whole, with what the request showed; and behind it the one about the same request again."""
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    before = path.read_bytes()
    ask(toy.side(2), Step.CONSISTENCY, request)
    whole, protocol = path.read_bytes(), PartnerFolder(toy.home(2)).protocol
    state, torn = protocol.read_bytes(), whole[len(before) :]
    for length in [*range(0, len(torn) - 1, 97), len(torn) - 1]:
        path.write_bytes(before + torn[:length])
        protocol.write_bytes(state)
        ask(toy.side(2), Step.CONSISTENCY, request)
        assert path.read_bytes().startswith(whole)
    assert len(toy.entries(2)) == before.count(b"\n") + 2
    assert toy.entries(2)[-2].facts == toy.entries(1)[-1].facts


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Toy, Step, bytes], None]:
    """Lets partner 2 be killed over a request between its state, which is written, and the transcript's line."""

    def kill(toy: Toy, asked: Step, request: bytes) -> None:
        def no_line(path: Path, line: str) -> None:
            raise PartnerKilledError

        with monkeypatch.context() as patch:
            patch.setattr(own_transcript, "append_line", no_line)
            with pytest.raises(PartnerKilledError):
                ask(toy.side(2), asked, request)

    return kill


Killed = Callable[[Toy, Step, bytes], None]


@pytest.mark.parametrize("asked", [Step.ADVERTISE_KEYS, Step.SHARE_KEYS, Step.CONSISTENCY, Step.UNMASK, Step.FINISH])
def test_a_kill_between_state_and_transcript_takes_nothing_from_what_a_comparison_needs(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, asked: Step
) -> None:
    """Partner 2 is killed there over every request of a step, which then arrives again."""
    write, lost = own_transcript.append_line, list[bytes]()

    def killed_once(path: Path, line: str) -> None:
        entry = parse(line)
        if path.parent == toy.home(2) and entry.phase == asked and entry.received not in lost:
            lost.append(entry.received)
            raise PartnerKilledError
        write(path, line)

    monkeypatch.setattr(own_transcript, "append_line", killed_once)
    toy.grid.up = lambda _, reply: toy.grid.answer(toy.grid.sent[-1]) if reply.has_error() else reply
    toy.federate()
    assert alike(toy.all_held(), version=2)
    assert compare(toy.transcripts()) is None
    seen = {(entry.session, entry.round, entry.phase): entry.facts for entry in toy.entries(1)}
    held = [entry for entry in toy.entries(2) if entry.phase == asked]
    assert [entry.received for entry in held[::2]] == [entry.received for entry in held[1::2]] == lost != []
    for first, again in zip(held[::2], held[1::2], strict=True):
        assert first.facts == seen[first.session, first.round, first.phase] != ()
        assert (again.sent, again.refused, again.facts) == (first.sent, "", ()), "a repetition"


def test_a_kill_behind_a_refusal_leaves_in_the_transcript_what_was_refused(toy: Toy, killed: Killed) -> None:
    request = stopped_before(toy, Step.UNMASK, partner=2)
    shown = wire.decode(ConsistencyRequest, last_request(toy, Step.CONSISTENCY, 2))
    killed(toy, Step.CONSISTENCY, wire.encode(replace(shown, survivors=(1, 2, 3), dropped=(4,), headers=shown.headers[:3])))
    assert state_of(toy, 2).phase == Phase.FAILED
    with pytest.raises(OutOfOrderError):
        ask(toy.side(2), Step.UNMASK, request)
    refused, later = toy.entries(2)[-2:]
    assert (refused.refused, later.refused) == ("SecondSurvivorListError", "OutOfOrderError")
    assert [fact.name for fact in refused.facts] == ["survivors"]


def test_a_line_that_a_kill_kept_away_is_of_no_other_transcript(toy: Toy, killed: Killed) -> None:
    request = stopped_before(toy, Step.ADVERTISE_KEYS, partner=2, number="0")
    killed(toy, Step.ADVERTISE_KEYS, request)
    side = under_another_roster(toy)
    with pytest.raises(SecAggError):
        ask(side, Step.UNMASK, b"")
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    assert side.membership is not None
    (entry,) = load_transcript(path, side.membership.roster)[1]
    assert entry.phase == Step.UNMASK


def test_a_transcript_that_was_moved_away_begins_anew_with_the_next_line(toy: Toy) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    path.rename(path.with_suffix(".moved"))
    ask(toy.side(2), Step.CONSISTENCY, request)
    assert [entry.phase for entry in toy.entries(2)] == [Step.CONSISTENCY]


def test_a_transcript_is_read_from_its_end_only(toy: Toy) -> None:
    """However long it has become, a message costs the same."""
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    last = path.read_bytes().splitlines(keepends=True)[-1]
    with path.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 40)
        file.write(b"\n" + last)
    ask(toy.side(2), Step.CONSISTENCY, request)
    with path.open("rb") as file:
        file.seek((1 << 40) + 1)
        assert [json.loads(line)["phase"] for line in file] == [Step.COLLECT, Step.CONSISTENCY]
    path.unlink()


# Damage at home


@pytest.mark.parametrize("length", [0, 3, 40, -1])
def test_a_damaged_state_is_named_and_never_answered_from(toy: Toy, length: int) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    path = toy.home(2) / "protocol.state"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StateFileError, match=r"partner-2/protocol\.state is damaged: ") as caught:
        ask(toy.side(2), Step.CONSISTENCY, request)
    assert isinstance(caught.value, SecAggError)
    assert "remove it" in caught.value.hint


def test_a_flipped_bit_of_a_state_is_found_at_home_before_anybody_is_blamed_for_it(toy: Toy) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    path = toy.home(2) / "protocol.state"
    whole, random = path.read_bytes(), Random(4)
    for place in [*range(0, 400, 7), *(random.randrange(8 * len(whole)) for _ in range(200))]:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(StateFileError):
            open_participant(toy.home(2), toy.side(2).membership)  # type: ignore[arg-type]
    path.write_bytes(whole)
    assert ask(toy.side(2), Step.CONSISTENCY, request)[0]


def test_a_state_of_version_1_is_named_and_never_answered_from(toy: Toy) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (toy.home(2) / "protocol.state").write_bytes(b"polyphony state\n" + bytes(40))
    with pytest.raises(StateFileError, match="does not begin as one of version 2 of the protocol does"):
        ask(toy.side(2), Step.CONSISTENCY, request)


ANEW = '{"cohort_changes": 0, "first_attempt": 1000, "furthest": 0, "rounds": {}, "sessions": 0, "survivors": []}'
LOST = (None, "{", ANEW.replace("[]", "[1.5]"), ANEW.replace("[]", '[], "round": 1'), ANEW[:-1] + ', "seal": "00"}')


@pytest.mark.parametrize("damage", LOST)
def test_a_partner_that_lost_what_was_repeated_answers_nothing_until_somebody_says_so(toy: Toy, damage: str | None) -> None:
    """One training, whose update left masked before its round was lost, would leave a second time under other masks."""
    request = stopped_before(toy, Step.UNMASK, partner=2)
    path = toy.home(2) / "repetition.json"
    assert read_sealed(path, {})["rounds"] == {"1": {"trainings": 1, "survivor_lists": 1}}
    path.unlink() if damage is None else path.write_text(damage)
    for _ in range(2):
        with pytest.raises(DamagedFileError, match=r"partner-2/repetition\.json is missing|damaged|altered") as caught:
            ask(toy.side(2), Step.UNMASK, request)
    toy.grid.down = unchanged
    toy.federate()
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=2), "the others go on without it"
    assert updates_of(toy, 2) == [(1, 0)]

    told = caught.value.hint.partition("write ")[2].removesuffix(" into it")
    first = json.loads(told)["first_attempt"]
    assert first >= 1000
    path.write_text(told)
    toy.rounds = 4
    toy.federate()
    assert alike(toy.all_held(), version=4)
    assert updates_of(toy, 2) == [(1, 0), (3, first), (4, first)]
    assert {*read_sealed(path, {}), "seal"} == json.loads(told).keys()


def updates_of(toy: Toy, partner: int) -> list[tuple[int, int]]:
    """Round and attempt of every update that a partner made."""
    lines = map(json.loads, PartnerFolder(toy.home(partner)).audits.open())
    return [(line["round"], line["attempt"]) for line in lines if line["vector"] == OWN]


REST = ("protocol.state", "shared.safetensors", "self_audit.jsonl")


@pytest.mark.parametrize("kept", REST)
def test_who_loses_what_was_repeated_and_nearly_all_else_masks_nothing_either(toy: Toy, kept: str) -> None:
    stopped_before(toy, Step.COLLECT, partner=2, number="2")
    for name in {"repetition.json", *REST} - {kept}:
        (toy.home(2) / name).unlink()
    toy.grid.down = unchanged
    toy.federate()
    assert not (toy.home(2) / "repetition.json").exists()
    assert {(toy.home(2) / name).exists() for name in set(REST) - {kept}} == {False}
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=2)


def test_a_last_line_of_a_transcript_that_is_whole_and_damaged_is_named(toy: Toy) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    path.write_bytes(path.read_bytes()[:-9] + b"nonsense\n")
    with pytest.raises(DamagedFileError, match=path.name) as caught:
        ask(toy.side(2), Step.CONSISTENCY, request)
    assert "move it away" in caught.value.hint
    path.rename(path.with_suffix(".damaged"))
    assert ask(toy.side(2), Step.CONSISTENCY, request)[0]


def test_a_bit_of_the_transcripts_last_line_that_flips_at_rest_is_named_and_nothing_is_built_upon_it(toy: Toy) -> None:
    """Another line over the altered one would read, to everybody who verifies it, as if this partner had forged the first."""
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    whole = path.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    digest = whole.rindex(b'"received": "') + 13
    digit = next(place for place in range(digest, digest + 64) if whole[place : place + 1].isdigit())  # is another digit, a bit further
    for place in [*range(last, len(whole) - 1, 401), len(whole) - 10, digit]:
        flipped = bytearray(whole)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(DamagedFileError, match=path.name) as caught:
            ask(toy.side(2), Step.CONSISTENCY, request)
        assert path.read_bytes() == flipped
    assert "its last line was altered" in str(caught.value)
    assert "move it away" in caught.value.hint
    path.write_bytes(whole)
    assert ask(toy.side(2), Step.CONSISTENCY, request)[0]
    assert toy.entries(2)[-1].phase == Step.CONSISTENCY


def killed_while_it_writes_its_state(toy: Toy, request: bytes) -> Path:
    """Ask partner 2 in a process of its own, which ends where the new state should take its place; what it left."""
    child = os.fork()
    if child == 0:
        sys.addaudithook(lambda event, names: os._exit(9) if event == "os.rename" and "protocol.state" in str(names[1]) else None)
        try:
            ask(toy.side(2), Step.UNMASK, request)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (left,) = toy.home(2).glob(".protocol.state.*.part")
    return left


def test_the_keys_in_a_state_that_a_kill_left_half_written_go_before_anything_else_is_answered(toy: Toy) -> None:
    request = stopped_before(toy, Step.UNMASK, partner=2)
    left = killed_while_it_writes_its_state(toy, request)
    keys = load(left.read_bytes()).session
    assert keys == state_of(toy, 2).session
    toy.grid.down = unchanged
    toy.federate()
    assert state_of(toy, 2).session != keys
    assert not list(toy.home(2).glob(".*")), "whoever reads the folder now finds nothing of the session that is over"


def test_they_go_from_beside_the_file_that_a_link_names_too(toy: Toy) -> None:
    """A site may keep its secrets on another disk."""
    request, folder = stopped_before(toy, Step.UNMASK, partner=2), PartnerFolder(toy.home(2))
    (toy.folder / "disk").mkdir()
    folder.protocol.rename(toy.folder / "disk" / "secrets")
    folder.protocol.symlink_to(toy.folder / "disk" / "secrets")
    left = toy.folder / "disk" / ".secrets.abcdefgh.part"
    left.write_bytes(folder.protocol.read_bytes())
    assert ask(toy.side(2), Step.UNMASK, request)[0]
    assert not left.exists()
    assert folder.protocol.is_symlink()


def test_a_refusal_leaves_no_keys_in_a_half_written_state_either(toy: Toy) -> None:
    left = killed_while_it_writes_its_state(toy, stopped_before(toy, Step.UNMASK, partner=2))
    with pytest.raises(SecAggError):
        ask(toy.side(2), Step.ADVERTISE_KEYS, b"\0\0\0\1")
    assert not left.exists()
    assert state_of(toy, 2).session is None


def test_a_state_that_a_living_process_is_writing_is_left_to_it(toy: Toy) -> None:
    request = stopped_before(toy, Step.UNMASK, partner=2)
    with held_file(PartnerFolder(toy.home(2)).protocol) as writing:
        assert ask(toy.side(2), Step.UNMASK, request)[0]
        assert writing.exists()


def test_a_partner_that_removed_its_damaged_state_takes_part_again_from_the_next_session_on(toy: Toy) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (toy.home(2) / "protocol.state").unlink()
    with pytest.raises(OutOfOrderError):
        ask(toy.side(2), Step.CONSISTENCY, request)
    toy.grid.down = unchanged
    toy.federate()
    assert alike(toy.all_held(), version=2)
    assert toy.held(2).found["partners"] == 4


def test_a_damaged_trunk_is_named(toy: Toy) -> None:
    request = stopped_before(toy, Step.COLLECT, partner=2, number="2")
    (toy.home(2) / "shared.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrunkFileError, match=r"partner-2/shared\.safetensors is damaged") as caught:
        ask(toy.side(2), Step.COLLECT, request)
    assert isinstance(caught.value, SecAggError)
    assert caught.value.hint.startswith("remove it: another partner then hands its trunk over; ")
    (toy.home(2) / "shared.safetensors").unlink()
    toy.grid.down = unchanged
    toy.federate()
    assert alike(toy.all_held(), version=2)


def under_another_roster(toy: Toy) -> PartnerSide:
    """Partner 2's side, of a consortium of another name."""
    member = toy.side(2).membership
    assert member is not None
    other = Roster("another", member.roster.threshold, member.roster.minimum, member.roster.members)
    return replace(toy.side(2), membership=replace(member, roster=other, policy=replace(member.policy, roster=other.digest())))


def test_another_roster_has_another_transcript(toy: Toy) -> None:
    toy.federate()
    with pytest.raises(SecAggError):
        ask(under_another_roster(toy), Step.UNMASK, b"")
    assert len(list(toy.home(2).glob("transcript-*.jsonl"))) == 2
    assert toy.entries(1)


def test_the_trunk_before_is_kept_on_a_file_system_without_hard_links_too(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    toy.federate()
    held = SecurePartner(toy.side(1)).trunk.held
    assert held.before is not None
    assert (held.now.version, held.before.version) == (2, 1)
    assert PartnerFolder(toy.home(1)).trunk_before.stat().st_mode & 0o777 == 0o600
    assert not list(toy.home(1).glob(".*"))


def test_after_a_kill_between_the_two_writes_of_a_sum_no_trunk_is_said_to_be_its_own_predecessor(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trunk lies in both places then, and the one before is gone: a partner that named it could be taken back to where it is."""
    keep, found, names = HeldTrunk.keep, list[tuple[int, bytes, bytes]](), dict[int, bytes]()

    def killed_once(held: HeldTrunk, shared: SharedTrunk) -> None:
        if held.folder.path == toy.home(2) and shared.version == 3 and not found:
            ours = HeldTrunk(held.folder, 1.0)
            assert PartnerFolder(toy.home(2)).trunk_before.read_bytes() == (toy.home(2) / "shared.safetensors").read_bytes()
            assert (ours.now.name, ours.now.before) == (names[2], names[1])
            found.append(ours.names())
            raise PartnerKilledError
        keep(held, shared)
        names[shared.version] = shared.name

    monkeypatch.setattr(HeldTrunk, "keep", killed_once)
    toy.rounds = 5
    toy.federate()
    assert found == [(2, names[2], NO_TRUNK)]
    assert alike(toy.all_held(), version=5)

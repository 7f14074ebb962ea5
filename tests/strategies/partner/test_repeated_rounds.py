"""A coordinator and one partner abandon rounds and repeat them from the same trunk: real partners, whose processes live for a message."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Message

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.damage import DamagedFileError
from fedapp.storage.json_file import read_sealed, write_json
from strategies.coordinator.exchange import RoundFailedError
from strategies.partner.repetition import counted_anew, read_repetition, write_repetition
from strategies.secagg.phases import Step
from strategies.secagg.repetition import Repetition, RepetitionLimits, RoundCount
from strategies.update.self_audit import OWN
from tests.helpers.federation import alike, step
from tests.helpers.local_grid import unchanged
from tests.strategies.toy import Toy

ATTACKER = 4  # it works with the coordinator, and refuses nothing


def allow(toy: Toy, partner: int, **limits: int) -> None:
    """Give a partner other limits than the default ones."""
    member = toy.side(partner).membership
    assert member is not None
    toy.changed[partner] = {"membership": replace(member, policy=replace(member.policy, repetition=RepetitionLimits(**limits)))}


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    made = Toy(tmp_path, rounds=1)
    allow(made, ATTACKER, survivor_lists=99)
    return made


def abandon(toy: Toy, without: int | None = None) -> None:
    """Start the coordinator, carry a round through to its sum, which the attacker has then, and take it to nobody.

    Args:
        without: A partner that is left out of the cohort.
    """

    def leave_out(partition: int, message: Message) -> Message | None:
        if message.metadata.message_type == "evaluate":
            raise KeyboardInterrupt
        return None if partition + 1 == without else message

    toy.grid.down = leave_out
    with pytest.raises(KeyboardInterrupt):
        toy.federate()
    toy.grid.down = unchanged


def counted(toy: Toy, partner: int) -> Repetition:
    return read_repetition(PartnerFolder(toy.home(partner)))


def trainings(toy: Toy, partner: int) -> int:
    """Updates that a partner made."""
    return sum(json.loads(line)["vector"] == OWN for line in PartnerFolder(toy.home(partner)).audits.open())


def test_a_round_is_repeated_in_two_cohorts_and_for_the_third_sum_nobody_trains_whatever_was_restarted(toy: Toy) -> None:
    """Each sum is of another session, each message meets a fresh process, and the state of one partner is deleted in between."""
    abandon(toy)
    abandon(toy, without=3)
    (toy.home(1) / "protocol.state").unlink()
    with pytest.raises(RoundFailedError, match="2 partners sent a masked input"):
        toy.federate()
    assert [trainings(toy, partner) for partner in (1, 2)] == [2, 2]
    assert [counted(toy, partner).of_round(1) for partner in (1, 2)] == [RoundCount(2, 2)] * 2
    assert counted(toy, 3).of_round(1).survivor_lists == 1
    for partner in (1, 2):
        refusals = [(entry.phase, entry.refused) for entry in toy.entries(partner) if entry.refused]
        assert refusals == [(Step.COLLECT, "RepetitionError")] * 2, "once for each attempt of the coordinator"


def test_a_person_that_looked_at_it_lets_the_run_go_on(toy: Toy) -> None:
    abandon(toy)
    abandon(toy)
    with pytest.raises(RoundFailedError):
        toy.federate()
    for partner in (1, 2, 3):
        allow(toy, partner, survivor_lists=3)
    toy.federate()
    assert alike(toy.all_held(), version=1)
    assert counted(toy, 1).of_round(1) == RoundCount(3, 3)


def test_a_trunk_that_was_rolled_back_by_a_round_is_not_trained_under_a_number_that_left(toy: Toy) -> None:
    """What round 1 gave gets lost at everybody, after they trained for round 2; its number goes on from where it was."""
    toy.federate()
    earlier = {partner: (toy.home(partner) / "shared.safetensors").read_bytes() for partner in range(1, 5)}
    toy.rounds = 2
    toy.federate()
    for partner, content in earlier.items():
        (toy.home(partner) / "shared.safetensors").write_bytes(content)
    toy.federate()
    made = [json.loads(line) for line in PartnerFolder(toy.home(1)).audits.open()]
    assert [(line["round"], line["attempt"]) for line in made if line["vector"] == OWN] == [(1, 0), (2, 0), (2, 1)]
    assert counted(toy, 1).rounds == {1: RoundCount(1, 1), 2: RoundCount(2, 2)}


def test_sessions_without_end_are_joined_as_often_as_is_allowed(toy: Toy) -> None:
    for partner in (1, 2, 3):
        allow(toy, partner, sessions=2)
    abandon(toy)
    toy.federate()
    toy.rounds = 2
    with pytest.raises(RoundFailedError, match="contributed keys"):
        toy.federate()
    assert [counted(toy, partner).sessions for partner in (1, 2, 3)] == [2] * 3
    assert [entry.phase for entry in toy.entries(1) if entry.refused] == [Step.SHARE_KEYS] * 2
    assert alike(toy.all_held(), version=1)


def test_a_run_without_trouble_counts_one_list_a_round_and_no_change(toy: Toy) -> None:
    toy.rounds = 3
    toy.federate()
    once = RoundCount(1, 1)
    for partner in (1, 2, 3, 4):
        assert counted(toy, partner) == Repetition({1: once, 2: once, 3: once}, sessions=1, survivors=(1, 2, 3, 4))


def test_what_was_repeated_is_on_disk_before_a_reply_leaves(toy: Toy) -> None:
    seen: list[tuple[str, int, RoundCount]] = []

    def looking(partition: int, message: Message) -> Message:
        if partition == 0:
            held = counted(toy, 1)
            seen.append((step(message), held.sessions, held.of_round(1)))
        return message

    toy.grid.up = looking
    toy.federate()
    assert seen[1] == (Step.SHARE_KEYS, 1, RoundCount())
    assert [counts for asked, _, counts in seen if asked == Step.COLLECT] == [RoundCount(), RoundCount(1, 0)]
    assert [counts for asked, _, counts in seen if asked == Step.CONSISTENCY] == [RoundCount(), RoundCount(1, 1)]


def test_the_file_says_what_was_written(tmp_path: Path) -> None:
    folder = PartnerFolder(tmp_path)
    assert read_repetition(folder) == Repetition(), "in a new folder nothing was repeated yet"
    for said in (Repetition(), Repetition({8: RoundCount(2, 1), 10: RoundCount(1, 1)}, 3, 2, (1, 4, 5), 1000)):
        write_repetition(folder, said)
        assert read_repetition(folder) == said
    assert read_sealed(folder.repetition, {})["rounds"] == {
        "8": {"trainings": 2, "survivor_lists": 1},
        "10": {"trainings": 1, "survivor_lists": 1},
    }


BY_HAND_AND_WRONG = {
    "a round under two keys": {"rounds": {"1": {"trainings": 2, "survivor_lists": 2}, "01": {"trainings": 0, "survivor_lists": 0}}},
    "a round under a key of another form": {"rounds": {" 1": {"trainings": 0, "survivor_lists": 0}}},
    "a round without one of its counts": {"rounds": {"1": {"trainings": 2}}},
    "a count below nothing": {"sessions": -1},
    "a count that is true": {"cohort_changes": True},
    "a count of a round that is a fraction": {"rounds": {"1": {"trainings": 1.5, "survivor_lists": 0}}},
    "a survivor that is true": {"survivors": [True, 2, 3]},
    "a survivor below nothing": {"survivors": [-1, 2, 3]},
    "a survivor that is a fraction": {"survivors": [1.0, 2, 3]},
    "a survivor by name": {"survivors": ["1", 2, 3]},
    "one key more": {"round": 1},
}


@pytest.mark.parametrize("change", BY_HAND_AND_WRONG.values(), ids=BY_HAND_AND_WRONG)
def test_what_a_person_wrote_that_can_be_read_in_two_ways_counts_as_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    """A person's word stands in for the digest: what the file says is then all that there is to go by."""
    folder = PartnerFolder(tmp_path)
    told = json.loads(counted_anew())
    write_json(folder.repetition, told)
    assert read_repetition(folder) == Repetition(first_attempt=told["first_attempt"])
    write_json(folder.repetition, told | change)
    with pytest.raises(DamagedFileError, match=r"repetition\.json is damaged") as caught:
        read_repetition(folder)
    assert "write {" in caught.value.hint

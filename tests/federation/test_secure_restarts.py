"""Processes that are killed, anywhere, and started again: the coordinator with everybody, or one partner in the middle of its work."""

import shutil
from collections import Counter
from itertools import count
from pathlib import Path

import pytest
from flwr.app import Message

from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from strategies import message_records
from strategies.secagg.phases import Step
from strategies.secagg.transcript_comparison import compare
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import alike, all_held, body, equal, federate, grid_for, held, step, transcripts
from tests.helpers.killed_writes import watch_writes
from tests.helpers.small_run import small_run
from tests.helpers.sweeps import every

SHORT = ("federation.rounds=2",)
MESSAGES = 3 * (2 + 3 * 3 + 1)  # three partners: set-up, row list and two rounds, the end
FIRST_TRAINING = 3 * (2 + 3)  # before this one nobody has trained
LAST = MESSAGES - 2  # from this one on, a quorum has the last sum


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], SharedTrunk]:
    """The run folder as each message of a run finds it, and how that run ended."""
    base = tmp_path_factory.mktemp("stopped")
    run, copies = small_run(base / "run", *SHORT), []

    def down(partition: int, message: Message) -> Message:
        copies.append(Path(shutil.copytree(run.path, base / f"{len(copies)}")))
        return message

    federate(run, grid_for(run, down))
    assert len(copies) == MESSAGES
    return copies, held(run, "partner-1")


@pytest.mark.parametrize("killed_at", every(range(MESSAGES)))
def test_a_run_killed_at_any_message_resumes(stopped: tuple[list[Path], SharedTrunk], killed_at: int) -> None:
    """To the same bits, if no masked update had left or a quorum had the last sum; else what was under way is trained afresh."""
    copies, undisturbed = stopped
    run = RunFolder.open(copies[killed_at])
    federate(run)
    assert read_json(run.coordinator / "outcome.json")["state"] == "finished"
    assert alike(all_held(run), version=2)
    assert compare(transcripts(run)) is None, "nobody was told anything else, and nobody looks as if"
    for name in run.partners():
        assert sorted(path.stem for path in (run.partner(name) / "metrics").iterdir()) == ["round-0001", "round-0002"]
    same = killed_at <= FIRST_TRAINING or killed_at > LAST
    assert equal(held(run, "partner-1").arrays, undisturbed.arrays) == same


@pytest.mark.parametrize("overrides", [("federation.initial_trunk=group_key",), ("privacy.row_guard=0",)], ids=" ".join)
@pytest.mark.parametrize(("number", "partition"), [("1", 1), ("1", 2), ("2", 1)])
def test_partners_of_whom_some_have_a_trunk_agree_on_it(tmp_path: Path, overrides: tuple[str, ...], number: str, partition: int) -> None:
    """Killed when one partner had drawn the first trunk, or taken in the first sum, and then when two had: all must take part."""
    run = small_run(tmp_path / "run", *SHORT, *overrides)

    def kill(where: int, message: Message) -> Message:
        if (step(message), message.metadata.group_id, where) == (Step.COLLECT, number, partition):
            raise KeyboardInterrupt
        return message

    with pytest.raises(KeyboardInterrupt):
        federate(run, grid_for(run, kill))
    federate(run)
    assert alike(all_held(run), version=2)


def test_a_run_killed_again_and_again_ends(tmp_path: Path) -> None:
    run, kills = small_run(tmp_path / "run", *SHORT), 0
    for name in run.partners():  # so often is a round lost only in tests: a person would have been asked
        path = PartnerFolder(run.partner(name)).policy
        path.write_text(path.read_text().replace("survivor_lists: 2", "survivor_lists: 9"))
    for patience in (4, 11, 17, 20, 29, 24, 23, 13):
        left = iter(range(patience))

        def kill(partition: int, message: Message) -> Message:
            if next(left, None) is None:  # noqa: B023
                raise KeyboardInterrupt
            return message

        try:
            federate(run, grid_for(run, kill))
        except KeyboardInterrupt:
            kills += 1
    assert kills == 8
    federate(run)
    assert alike(all_held(run), version=2)


@pytest.mark.parametrize("guard", [0, 3])
def test_a_partner_killed_before_any_of_its_writes_never_answers_in_two_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: int
) -> None:
    """Each message finds it dying before its first write, then before its second, and so on, until it lives to answer or refuse.

    Once its mask is written down it answers no more, so that in three of four rounds it dies no later than that.
    """
    overrides = (f"privacy.row_guard={guard}", "data.partners=4", "federation.min_partners=3", "federation.rounds=4")
    run, death = small_run(tmp_path / "run", *overrides), watch_writes(monkeypatch)
    grid, deaths, left = grid_for(run), Counter[str](), dict[tuple[str, bytes], set[bytes]]()
    answer = grid.answer

    def dying(message: Message) -> Message:
        if message.metadata.dst_node_id != grid.node(1):
            return answer(message)
        spared = "transcript" if step(message) == Step.COLLECT and message.metadata.group_id != "2" else ""
        for at in count():
            with death.living(at, spared):
                reply = answer(message)
            if not death.dead:
                break
            deaths[step(message)] += 1
            assert reply.has_error()
        again = answer(message)
        for each in (reply, again):
            if not each.has_error():
                left.setdefault((step(message), body(message)), set()).add(body(each) + b"".join(words(each)))
        return reply

    grid.answer = dying  # type: ignore[method-assign]
    federate(run, grid)
    assert alike(all_held(run), version=4)
    assert all(len(replies) == 1 for (asked, _), replies in left.items() if asked != Step.HANDOVER)
    assert {asked for asked, _ in left} == set(Step) - {Step.HANDOVER}
    assert deaths[Step.COLLECT] > 20
    assert min(deaths[each] for each in set(Step) - {Step.HANDOVER}) >= 2
    assert not list(run.partner("partner-1").rglob("*.part"))
    assert compare(transcripts(run)) is None


def test_a_damaged_trunk_is_named_at_home_and_replaced_by_another_partners(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "data.partners=4", "federation.min_partners=3", "federation.rounds=1")
    federate(run)
    folder = run.partner("partner-2")
    path = folder / "shared.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    federate(run)
    told = read_json(folder / "error.json")
    assert told["error"].startswith(f"TrunkFileError: {path} is damaged: ")
    assert "\n" not in told["error"]
    assert told["hint"].startswith("remove it: another partner then hands its trunk over; after a finished run ")
    path.unlink()
    federate(run)
    assert alike(all_held(run), version=1)


def words(message: Message) -> list[bytes]:
    return [vector.tobytes() for vector in message_records.vectors(message.content, message_records.WORDS)]

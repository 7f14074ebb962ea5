"""Partners that drop out, come back, join late, or hear everything twice."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json, read_sealed
from strategies import message_records
from strategies.coordinator.exchange import RoundFailedError
from strategies.secagg import wire
from strategies.secagg.messages import CollectRequest
from strategies.secagg.phases import Step
from strategies.secagg.transcript_comparison import compare
from tests.helpers.federation import (
    alike,
    all_held,
    body,
    equal,
    exchanges,
    federate,
    grid_for,
    held,
    phases,
    step,
    transcripts,
    unmasked,
    write_policy,
)
from tests.helpers.local_grid import Hook, LocalGrid
from tests.helpers.small_run import small_run
from tests.helpers.sweeps import every

FIVE = ("data.partners=5", "federation.min_partners=3")  # of five, four are the threshold
FOUR = ("data.partners=4", "federation.min_partners=3")  # of four, three
OCCURRENCES = {Step.ADVERTISE_KEYS: 1, Step.SHARE_KEYS: 1, Step.COLLECT: 2, Step.CONSISTENCY: 2, Step.UNMASK: 2, Step.FINISH: 1}
ANYWHERE = [(each, number, way) for each, count in OCCURRENCES.items() for number in range(count) for way in ("request", "reply")]
LOST = 1  # the partition that a test loses


class Lose:
    """Loses messages of some partitions in one exchange: the step's so-and-so-manieth, from 0, or all from there on."""

    def __init__(self, step: Step, occurrence: int, partitions: tuple[int, ...], for_good: bool = False) -> None:
        self.step, self.occurrence, self.partitions, self.for_good = step, occurrence, partitions, for_good
        self.seen: Counter[int] = Counter()

    def __call__(self, partition: int, message: Message) -> Message | None:
        if message.has_error() or step(message) != self.step:
            return message
        self.seen[partition] += 1
        here = self.seen[partition] - 1
        meant = here >= self.occurrence if self.for_good else here == self.occurrence
        return None if meant and partition in self.partitions else message


def behind(run: RunFolder, version: int) -> set[str]:
    """Partners that do not hold the trunk of that round."""
    kept = {name: run.partner(name) / "shared.safetensors" for name in run.partners()}
    return {name for name, path in kept.items() if not path.is_file() or held(run, name).version != version}


@pytest.mark.parametrize(("lost", "occurrence", "direction"), every(ANYWHERE))
def test_one_partner_may_drop_out_anywhere(tmp_path: Path, lost: Step, occurrence: int, direction: str) -> None:
    """The run goes on without it, and it has the trunk at the end of this run or, if it did not get the last sum, of the next."""
    run, lose = small_run(tmp_path / "run", *FOUR, "federation.rounds=1"), Lose(lost, occurrence, (LOST,))
    federate(run, grid_for(run, down=lose) if direction == "request" else grid_for(run, up=lose))
    missing = {(each.round, each.phase): each.left_out for each in exchanges(run) if any("no reply" in line for line in each.left_out)}
    who = "node 102" if lost is Step.ADVERTISE_KEYS else "partner-2"  # nobody knows yet whose node it is
    assert missing == {(1 if lost is Step.FINISH else occurrence, lost): [f"{who}: no reply"]}
    without = lost is Step.FINISH and direction == "request"
    assert behind(run, 1) == ({"partner-2"} if without else set())
    if without:
        federate(run)
    assert alike(all_held(run), version=1)
    assert compare(transcripts(run)) is None


def test_somebody_may_drop_out_of_every_round(tmp_path: Path) -> None:
    """Each time somebody else, elsewhere. Who missed a request to train lacks the last sum, and gets the trunk one round later."""
    down = {("2", Step.COLLECT): 1, ("5", Step.CONSISTENCY): 2, ("7", Step.UNMASK): 0}
    up = {("4", Step.COLLECT): 3, ("6", Step.CONSISTENCY): 4, ("8", Step.UNMASK): 1}

    def losing(lost: dict[tuple[str, Step], int]) -> Hook:
        return lambda partition, m: None if not m.has_error() and lost.get((m.metadata.group_id, Step(step(m)))) == partition else m

    run = small_run(tmp_path / "run", *FIVE, "federation.rounds=8")
    federate(run, grid_for(run, losing(down), losing(up)))
    assert [len(exchange.left_out) for exchange in exchanges(run) if exchange.phase == Step.COLLECT] == [0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert [line.split(": ")[0] for each in exchanges(run) for line in each.left_out if line.endswith(": no reply")] == [
        f"partner-{number}" for number in (2, 4, 3, 5, 1, 2)
    ]
    assert alike(all_held(run), version=8)
    assert compare(transcripts(run)) is None


def test_a_partner_that_was_away_for_several_rounds_gets_the_trunk_handed_over(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FIVE, "federation.rounds=5")

    def down(partition: int, message: Message) -> Message | None:
        return None if partition == LOST and message.metadata.group_id in ("2", "3") else message

    grid = federate(run, grid_for(run, down))
    assert alike(all_held(run), version=5)
    away = {exchange.round: exchange.left_out for exchange in exchanges(run) if exchange.phase == Step.COLLECT and exchange.left_out}
    assert away == {
        2: ["partner-2: no reply"],
        3: ["partner-2: no reply"],
        4: ["partner-2: BehindError: it holds the trunk of round 0, and gets the newest first"],
    }
    assert [number for number, phase in phases(run) if phase == Step.HANDOVER] == [4]
    carried = [message for message in grid.sent if message_records.HANDOVER in message.content]
    assert [message.metadata.dst_node_id for message in carried] == [LocalGrid.node(LOST)], "one message to one partner"
    assert {path.stem for path in (run.partner("partner-2") / "loss").iterdir()} == {"round-0001", "round-0005"}


def test_a_trunk_is_handed_over_by_a_partner_that_surely_has_it(tmp_path: Path) -> None:
    """Two missed round 2; one of them comes back in round 3, when the other, still away, may not be asked for what it lacks."""
    run = small_run(tmp_path / "run", "data.partners=7", "federation.min_partners=5", "federation.rounds=4")

    def down(partition: int, message: Message) -> Message | None:
        away = {("2", 0), ("2", 2), ("3", 0)}
        return None if step(message) == Step.COLLECT and (message.metadata.group_id, partition) in away else message

    grid = federate(run, grid_for(run, down))
    assert alike(all_held(run), version=4)
    first, second = [message.metadata.dst_node_id for message in grid.sent if step(message) == Step.HANDOVER]
    assert first not in {LocalGrid.node(0), LocalGrid.node(2)}
    assert second != LocalGrid.node(0), "the other one has it again by then"
    assert [len(exchange.left_out) for exchange in exchanges(run) if exchange.phase == Step.COLLECT] == [0, 0, 2, 2, 1]


@pytest.mark.parametrize("guard", [0, 3])
def test_a_partner_that_connects_in_the_second_round_joins_a_new_session(tmp_path: Path, guard: int) -> None:
    run = small_run(tmp_path / "run", *FOUR, f"privacy.row_guard={guard}", "federation.rounds=3")

    def down(partition: int, message: Message) -> Message:
        if (step(message), message.metadata.group_id) == (Step.UNMASK, "2") and grid.node(3) not in grid.contexts:
            grid.connect(3)
        return message

    grid = grid_for(run, down)
    grid.disconnect(3)
    federate(run, grid)
    assert [exchange.asked for exchange in exchanges(run) if exchange.phase == Step.ADVERTISE_KEYS] == [3, 4]
    assert [(exchange.round, exchange.asked) for exchange in exchanges(run) if exchange.phase == Step.FINISH] == [(2, 3), (3, 4)]
    assert alike(all_held(run), version=3)
    assert (run.partner("partner-4") / "loss" / "round-0003.json").is_file()


@pytest.mark.parametrize("lost", [Step.ADVERTISE_KEYS, Step.SHARE_KEYS])
def test_a_partner_that_goes_away_while_a_session_begins_joins_a_new_one_when_it_is_back(tmp_path: Path, lost: Step) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=3")

    def trained() -> bool:
        return any(not reply.has_error() and step(reply) == Step.UNMASK for reply in grid.received)

    def down(partition: int, message: Message) -> Message:
        if (step(message), partition) == (lost, 3) and not trained():
            grid.disconnect(3)
        if (step(message), message.metadata.group_id) == (Step.UNMASK, "2") and grid.node(3) not in grid.contexts:
            grid.connect(3)
        return message

    grid = grid_for(run, down)
    federate(run, grid)
    assert [exchange.replied for exchange in exchanges(run) if exchange.phase == Step.SHARE_KEYS] == [3, 4]
    assert alike(all_held(run), version=3)


def test_a_partner_that_is_there_and_does_not_answer_is_asked_once_more_and_brings_no_new_session_every_round(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=3")
    grid = grid_for(run, lambda partition, message: None if partition == 3 else message)
    federate(run, grid)
    assert [exchange.replied for exchange in exchanges(run) if exchange.phase == Step.ADVERTISE_KEYS] == [3, 3]


def test_a_partner_that_connects_right_after_a_restart_stops_nobody(tmp_path: Path) -> None:
    """The others have trained a round that was never added up, and are asked for it once more."""
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=3")

    def kill(partition: int, message: Message) -> Message:
        if (step(message), message.metadata.group_id) == (Step.CONSISTENCY, "2"):
            raise KeyboardInterrupt
        return message

    def connect(partition: int, message: Message) -> Message:
        if step(message) == Step.UNMASK and grid.node(3) not in grid.contexts:
            grid.connect(3)
        return message

    with pytest.raises(KeyboardInterrupt):
        federate(run, grid_for(run, kill))
    grid = grid_for(run, connect)
    grid.disconnect(3)
    federate(run, grid)
    assert alike(all_held(run), version=3)


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (Step.COLLECT, "2 partners sent a masked input, and 3 are needed"),
        (Step.CONSISTENCY, "2 partners signed the survivors, and 3 are needed"),
        (Step.UNMASK, "2 partners answered the unmasking, and 3 are needed"),
    ],
)
def test_too_few_partners_end_the_run_with_a_named_error_and_it_resumes(tmp_path: Path, lost: Step, words: str) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=1")
    with pytest.raises(RoundFailedError, match=words):
        federate(run, grid_for(run, Lose(lost, 1, (0, LOST), for_good=True)))
    outcome = read_json(run.coordinator / "outcome.json")
    assert outcome["state"] == "failed"
    assert outcome["error"] == f"round 1: {words}"
    twice = [exchange.phase for exchange in exchanges(run) if exchange.round == 1]
    assert twice.count(lost) == 2
    assert all(exchange.left_out == ["partner-1: no reply", "partner-2: no reply"] for exchange in exchanges(run)[-1:])
    if lost is not Step.COLLECT:  # two lists of this round were signed; that a third one may be, a person has to say
        with pytest.raises(RoundFailedError, match="sent a masked input, and 3 are needed"):
            federate(run)
        for name in run.partners():
            write_policy(run, name, "survivor_lists", 3)
    federate(run)
    assert alike(all_held(run), version=1)


def test_too_few_partners_to_begin_with_say_so(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR)
    with pytest.raises(RoundFailedError, match="2 partners advertised, and 3 are needed"):
        federate(run, grid_for(run, Lose(Step.ADVERTISE_KEYS, 0, (0, 1), for_good=True)))
    grid = grid_for(run, Lose(Step.ADVERTISE_KEYS, 0, (0,), for_good=True))
    grid.registered = {grid.node(partition): name for partition, name in enumerate(run.partners())}
    grid.disconnect(1)
    with pytest.raises(RoundFailedError, match=f"2 partners advertised, and 3 are needed; not connected: {run.partners()[1]}$"):
        federate(run, grid)
    grid = grid_for(run)
    for partition in (0, 1):
        grid.disconnect(partition)
    with pytest.raises(RoundFailedError, match="2 of 4 partners are connected, and a round needs 3"):
        federate(run, grid)


@pytest.mark.parametrize("lost", [Step.CONSISTENCY, Step.UNMASK])
def test_an_abandoned_round_is_trained_afresh(tmp_path: Path, lost: Step) -> None:
    """Every vector that leaves has words of its own, so that no two sums are of one update under different cohorts."""
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=1")
    sent: dict[str, list[np.ndarray]] = {}

    def up(partition: int, message: Message) -> Message:
        if step(message) == Step.COLLECT and message.metadata.group_id == "1":
            (words,) = message_records.vectors(message.content, message_records.WORDS)
            name = run.partners()[partition]
            sent.setdefault(name, []).append(unmasked(run.partner(name), words))
        return message

    federate(run, grid_for(run, Lose(lost, 1, (0, LOST)), up))
    assert alike(all_held(run), version=1)
    for name, (first, second) in sent.items():
        assert len(first) == len(second)
        assert (first != second).mean() > 0.5
        assert read_sealed(run.partner(name) / "repetition.json", {})["rounds"]["1"]["trainings"] == 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = small_run(tmp_path_factory.mktemp("undisturbed") / "run", "federation.rounds=2")
    federate(run)
    return run


def test_a_partner_masks_once_for_each_number_and_numbers_only_rise(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=2")
    grid = federate(run, grid_for(run, up=Lose(Step.UNMASK, 1, (0, LOST))))
    numbers: dict[int, list[int]] = {}
    for message in grid.sent:
        if step(message) == Step.COLLECT:
            numbers.setdefault(message.metadata.dst_node_id, []).append(wire.decode(CollectRequest, body(message)).number)
    assert list(numbers.values()) == [[1, 2, 3, 4]] * 4, "the row list, a round that was abandoned, and two that were not"


def test_everything_delivered_twice_is_answered_once(tmp_path: Path, undisturbed: RunFolder) -> None:
    """A repeated request gets the same bytes or a refusal, and changes nothing."""
    run = small_run(tmp_path / "run", "federation.rounds=2")
    repeated: Counter[tuple[str, bool]] = Counter()

    def up(partition: int, message: Message) -> Message:
        again = grid.answer(grid.sent[-1])
        assert again.has_error() or body(again) == body(message)
        repeated[step(message), again.has_error()] += 1
        return message

    grid = grid_for(run, up=up)
    federate(run, grid)
    assert set(repeated) == {(each, each == Step.COLLECT) for each in OCCURRENCES}
    assert alike(all_held(run), version=2)
    assert equal(held(run, "partner-1").arrays, held(undisturbed, "partner-1").arrays)


def stale(grid: LocalGrid) -> Hook:
    """Before each message one of the earlier ones arrives again, a little later each time; a new session is not begun again."""

    def down(partition: int, message: Message) -> Message:
        older = [each for each in grid.sent[:-1] if step(each) != Step.ADVERTISE_KEYS]
        if older:
            again = grid.answer(older[len(grid.sent) * 7 % len(older)])
            assert again.has_error() or step(again) != Step.COLLECT
        return message

    return down


def test_messages_that_arrive_again_much_later_change_nothing(tmp_path: Path, undisturbed: RunFolder) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=2")
    grid = grid_for(run)
    grid.down = stale(grid)
    federate(run, grid)
    assert alike(all_held(run), version=2)
    assert equal(held(run, "partner-1").arrays, held(undisturbed, "partner-1").arrays)


def test_a_request_that_arrives_when_its_round_is_over_is_refused_or_answered_in_vain(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=3")
    waiting: list[Message] = []

    def down(partition: int, message: Message) -> Message | None:
        if (partition, step(message), message.metadata.group_id) == (LOST, Step.COLLECT, "2"):
            waiting.append(message)
            return None
        if (partition, step(message)) == (LOST, Step.COLLECT) and waiting:
            late = grid.answer(waiting.pop())
            assert not late.has_error(), "it masks for a round that is over, which nobody adds up"
        return message

    grid = grid_for(run, down)
    federate(run, grid)
    assert alike(all_held(run), version=3)

"""A coordinator that lies, or somebody on the way: who refuses what, what the others do, and how transcripts tell of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from strategies import message_records
from strategies.coordinator.exchange import RoundFailedError
from strategies.secagg import wire
from strategies.secagg.consistency_messages import ConsistencyRequest
from strategies.secagg.messages import CollectRequest
from strategies.secagg.phases import Phase, Step
from strategies.secagg.state import State, load
from strategies.secagg.transcript_comparison import common, compare
from tests.helpers.federation import alike, all_held, body, exchanges, federate, grid_for, held, step, transcripts
from tests.helpers.local_grid import LocalGrid
from tests.helpers.small_run import small_run

FOUR = ("data.partners=4", "federation.min_partners=3")
FIVE = ("data.partners=5", "federation.min_partners=3")
VICTIM = 1  # the partition that is lied to: partner 2
Lie = Callable[[Message], Message | None]


def told(run: RunFolder, lie: Lie, asked: str, round_number: str, victims: tuple[int, ...] = (VICTIM,)) -> LocalGrid:
    """A network in which one request to the victims is another one."""

    def down(partition: int, message: Message) -> Message | None:
        meant = partition in victims and (step(message), message.metadata.group_id) == (asked, round_number)
        return lie(message) if meant else message

    return grid_for(run, down)


def refusals(run: RunFolder, name: str) -> list[tuple[str, str]]:
    """Phase and error of every request that a partner refused, from its transcript."""
    index = run.partners().index(name) + 1
    return [(entry.phase, entry.refused) for entry in transcripts(run)[index] if entry.refused]


def state_of(run: RunFolder, name: str) -> State:
    return load((run.partner(name) / "protocol.state").read_bytes())


def altered(message: Message) -> Message:
    """One bit of the sum."""
    words = message_records.vectors(message.content, message_records.WORDS)[0].copy()
    words[17] ^= 1
    message.content[message_records.WORDS] = message_records.array_record([words])
    return message


def test_transcripts_of_an_honest_run_agree(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    grid = federate(run, grid_for(run))
    found = common(transcripts(run))
    assert (found.sessions, found.rounds) == (1, 4)
    assert found.entries == len(grid.sent)
    assert compare(transcripts(run)) is None
    assert not any(refusals(run, name) for name in run.partners())


def test_a_partner_that_is_given_an_altered_sum_refuses_and_the_others_go_on(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR)
    grid = told(run, altered, Step.COLLECT, "2")
    federate(run, grid)
    assert read_json(run.partner("partner-2") / "error.json")["error"].startswith("AlteredSumError: the masked sum was altered")
    first, *later = refusals(run, "partner-2")
    assert first == (Step.COLLECT, "AlteredSumError")
    assert {error for _, error in later} == {"OutOfOrderError"}, "it has no session any more"
    assert held(run, "partner-2").version == 0
    assert alike([held(run, name) for name in run.partners() if name != "partner-2"], version=3)

    found = compare(transcripts(run))
    assert found is not None
    assert (found.phase, found.fact, found.parties) == (Step.COLLECT, "sum", (2,))
    assert found.verdict.endswith("refused by partner 2 (AlteredSumError)")

    federate(run)  # a new session, with new keys
    assert alike(all_held(run), version=3)


def test_a_refusal_reveals_nothing_but_that_there_is_one(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=2")
    grid = federate(run, told(run, altered, Step.COLLECT, "2"))
    after = [message for message in grid.received if message.metadata.src_node_id == LocalGrid.node(VICTIM)][8:]
    assert len(after) == 2, "to the altered sum, and at the end"
    assert all(message.has_error() and not message.has_content() for message in after)
    assert len({message.error.reason for message in after}) == 1
    assert "own log" in after[0].error.reason
    state = state_of(run, "partner-2")
    assert state == State(phase=Phase.FAILED.value), "every key of the session is gone"


def test_the_reason_of_a_refusal_is_named_at_home(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=1")
    with pytest.raises(RoundFailedError):
        federate(run, told(run, altered, Step.FINISH, "1", victims=(0, 1, 2)))
    for name in run.partners():
        assert read_json(run.partner(name) / "error.json")["error"].startswith("AlteredSumError: the masked sum was altered")
        assert refusals(run, name) == [(Step.FINISH, "AlteredSumError")]
        assert held(run, name).version == 0
    assert read_json(run.coordinator / "outcome.json")["error"] == "0 partners took in the sum of round 1, and 3 are needed"
    federate(run)
    assert alike(all_held(run), version=1)


@pytest.mark.parametrize("earlier", ["rows", "round 1"])
def test_an_earlier_sum_in_place_of_the_last_one_is_refused(tmp_path: Path, earlier: str) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=3", "privacy.row_guard=0")

    def again(message: Message) -> Message:
        older = next(each for each in grid.sent if step(each) == Step.COLLECT and each.metadata.group_id == "2")
        if earlier == "rows":
            parsed = wire.decode(CollectRequest, body(message))
            assert parsed.last is not None
            lie = wire.encode(replace(parsed, last=replace(parsed.last, rows=True)))
            message.content[message_records.MESSAGE][message_records.BODY] = lie
        else:
            message.content[message_records.WORDS] = older.content[message_records.WORDS]
        return message

    grid = told(run, again, Step.COLLECT, "3")
    federate(run, grid)
    assert alike([held(run, name) for name in run.partners() if name != "partner-2"], version=3)
    if earlier == "rows":  # it has the rows already and takes nothing in: a partner behind, which gets the trunk at the end
        assert refusals(run, "partner-2") == []
        assert alike(all_held(run), version=3)
    else:
        assert refusals(run, "partner-2")[0] == (Step.COLLECT, "AlteredSumError")
        assert held(run, "partner-2").version == 1


def test_a_partner_that_is_told_other_survivors_signs_alone_and_reveals_nothing(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FIVE, "federation.rounds=2")

    def other_survivors(message: Message) -> Message:
        honest = wire.decode(ConsistencyRequest, body(message))
        lie = replace(honest, survivors=honest.survivors[:-1], dropped=honest.survivors[-1:], headers=honest.headers[:-1])
        message.content[message_records.MESSAGE][message_records.BODY] = wire.encode(lie)
        return message

    federate(run, told(run, other_survivors, Step.CONSISTENCY, "1"))
    first = refusals(run, "partner-2")[0]
    assert first == (Step.COLLECT, "SurvivorsDisagreeError"), "it was not asked to unmask, and refuses the sum of the others"
    (left_out,) = (exchange.left_out for exchange in exchanges(run) if (exchange.round, exchange.phase) == (1, Step.CONSISTENCY))
    assert left_out == ["partner-2: AlteredReplyError: partner 2 signed other survivors than it was shown"]
    assert alike([held(run, name) for name in run.partners() if name != "partner-2"], version=2)
    found = compare(transcripts(run))
    assert found is not None
    assert (found.phase, found.fact, found.parties) == (Step.CONSISTENCY, "survivors", (2,))
    assert found.verdict.startswith("partner 2 differs from the majority: told something else by the coordinator")


def test_an_altered_handover_is_refused(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=4")

    def down(partition: int, message: Message) -> Message | None:
        if partition == VICTIM and step(message) == Step.COLLECT and message.metadata.group_id == "2":
            return None
        if message_records.HANDOVER in message.content:
            (ciphertext,) = message_records.vectors(message.content, message_records.HANDOVER)
            changed = ciphertext.copy()
            changed[-1] ^= 1
            message.content[message_records.HANDOVER] = message_records.array_record([changed])
        return message

    federate(run, grid_for(run, down))
    assert refusals(run, "partner-2")[0] == (Step.COLLECT, "HandoverError")
    assert held(run, "partner-2").version == 0
    assert alike([held(run, name) for name in run.partners() if name != "partner-2"], version=4)


def test_masked_words_altered_on_their_way_are_left_out(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=1")

    def up(partition: int, message: Message) -> Message:
        return altered(message) if partition == VICTIM and (step(message), message.metadata.group_id) == (Step.COLLECT, "1") else message

    federate(run, grid_for(run, up=up))
    (left_out,) = (exchange.left_out for exchange in exchanges(run) if (exchange.round, exchange.phase) == (1, Step.COLLECT))
    assert left_out == ["partner-2: AlteredReplyError: the vector or the shares of partner 2 were altered on their way"]
    assert alike(all_held(run), version=1)


@pytest.mark.parametrize("form", ["no words", "floats", "junk"])
def test_a_reply_of_another_form_is_left_out(tmp_path: Path, form: str) -> None:
    run = small_run(tmp_path / "run", *FOUR, "federation.rounds=1")

    def up(partition: int, message: Message) -> Message:
        if partition == VICTIM and (step(message), message.metadata.group_id) == (Step.COLLECT, "1"):
            if form == "no words":
                del message.content[message_records.WORDS]
            elif form == "floats":
                message.content[message_records.WORDS] = message_records.array_record([np.zeros(5, dtype=np.float32)])
            else:
                message.content[message_records.MESSAGE][message_records.BODY] = b"junk"
        return message

    federate(run, grid_for(run, up=up))
    assert [len(exchange.left_out) for exchange in exchanges(run) if exchange.round == 1] == [1, 0, 0, 0]
    assert alike(all_held(run), version=1)

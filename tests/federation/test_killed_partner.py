"""A partner killed at any of its writes, and back for the next message."""

import json
from collections import Counter
from pathlib import Path

import pytest
from flwr.app import Message

from fedapp.partner_folder import PartnerFolder
from fedapp.storage.json_file import read_sealed
from strategies.secagg.phases import Step
from strategies.secagg.transcript_comparison import compare
from strategies.update.self_audit import OWN
from tests.helpers.federation import alike, step
from tests.helpers.killed_writes import watch_writes
from tests.helpers.local_grid import LocalGrid
from tests.helpers.sweeps import every
from tests.strategies.toy import Toy

SET_UP = 3 * 2 + 2 + 3 + 2  # advertise, share keys; mask rows, sign, reveal: what was repeated where that changes, state and transcript
ROUND = 8 + 3 + 2  # rows with their audit, and first trunk; rows to train, self-audit; as above
WRITES = SET_UP + ROUND + 6  # of a partner in a run of one round; at the end the trunk before, and the last sum with its audit and its line
IN_ONE_ROUND = [(at, 1) for at in range(WRITES + 1)]
IN_THE_SECOND = [(at, 2) for at in range(SET_UP + ROUND, SET_UP + ROUND + 8)]  # the last sum, with its audit and its line; as in the first


@pytest.mark.parametrize(("at", "rounds"), every(IN_ONE_ROUND) + every(IN_THE_SECOND, drawn=1))
def test_a_partner_killed_at_any_of_its_writes_is_back_for_the_next_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, rounds: int
) -> None:
    """Its reply is missing where it died; the others go on, and in the end all have one trunk, at the latest in the next session."""
    toy, death, left = Toy(tmp_path, rounds=rounds), watch_writes(monkeypatch), [at]
    answer, killed = toy.grid.answer, Counter[str]()

    def dying(message: Message) -> Message:
        if message.metadata.dst_node_id != LocalGrid.node(1):
            return answer(message)
        with death.living(left[0]):
            reply = answer(message)
        left[0] -= death.writes
        killed[step(message)] += death.dead
        return reply

    toy.grid.answer = dying  # type: ignore[method-assign]
    toy.federate()
    assert killed.total() == (1 if at < WRITES or rounds > 1 else 0)
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=rounds)
    toy.federate()
    assert alike(toy.all_held(), version=rounds)
    assert compare(toy.transcripts()) is None
    assert {entry.refused for entry in toy.entries(2)} <= {"", "OutOfOrderError"}, "it takes nothing for a lie"
    masked = [(entry.session, entry.round) for entry in toy.entries(2) if entry.phase == Step.COLLECT and entry.sent]
    assert len(masked) == len(set(masked))
    counted = read_sealed(toy.home(1) / "repetition.json", {})["rounds"]
    assert {number: each["trainings"] for number, each in counted.items()} == {str(number): 1 for number in range(1, rounds + 1)}
    audited = [(each["round"], each["vector"], each["attempt"]) for each in map(json.loads, PartnerFolder(toy.home(1)).audits.open())]
    assert len(audited) == len(set(audited)), "a line is written once"
    assert {(number, OWN) for number in range(1, rounds + 1)} <= {(number, vector) for number, vector, _ in audited}

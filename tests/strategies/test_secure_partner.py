"""A partner between two messages: what it answers, what it refuses, and what it writes down first."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from strategies import records
from strategies.exchange import RoundFailedError
from strategies.house import House
from strategies.secagg import participant, wire
from strategies.secagg.errors import MalformedMessageError, OldRoundError, OutOfOrderError, SecAggError
from strategies.secagg.messages import CollectRequest, FinishRequest, Handover, Holding
from strategies.secagg.phases import Phase, Step
from strategies.secagg.roster import Roster
from strategies.secure_partner import Arrived, SecurePartner
from strategies.shared_trunk import TrunkFileError
from tests.federation import alike, body, equal, step
from tests.local_grid import LocalGrid
from tests.strategies.toy import ROWS, Toy, expected

NOTHING = Arrived([], [])


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def no_training(*args: object) -> tuple[list[np.ndarray], dict[str, float]]:
    raise AssertionError("nothing is trained here")


def no_evaluation(*args: object) -> dict[str, float]:
    raise AssertionError("nothing is evaluated here")


def ask(house: House, step: Step, request: bytes) -> tuple[bytes, list[np.ndarray]]:
    """The answer of a partner's fresh process to a request that trains nothing."""
    return SecurePartner(house).answer(step, request, NOTHING, no_training, no_evaluation)


def state_of(toy: Toy, partner: int) -> participant.State:
    return participant.load((toy.home(partner) / "protocol.state").read_bytes())


@pytest.mark.parametrize("guard", [0, 10])
def test_the_trunk_is_what_arithmetic_says(tmp_path: Path, guard: int) -> None:
    toy = Toy(tmp_path, rounds=5, guard=guard)
    toy.federate()
    assert alike(toy.all_held(), version=5)
    assert equal(toy.held(1).arrays, expected([1, 2, 3, 4], rounds=5))
    assert toy.held(1).rows.tolist() == (ROWS if guard else np.ones(4, dtype=np.bool_)).tolist()


def test_a_row_that_one_partner_alone_supports_is_not_listed(tmp_path: Path) -> None:
    own = np.array([True, True, True, True])
    toy = Toy(tmp_path, changed={3: {"support": lambda: own}})
    toy.federate()
    assert toy.held(3).rows.tolist() == ROWS.tolist()
    assert np.load(toy.home(3) / "rows.npy").tolist() == ROWS.tolist()


def test_a_partner_trains_only_listed_rows_that_it_supports_itself(tmp_path: Path) -> None:
    own = np.array([True, False, True, True])
    toy = Toy(tmp_path, changed={3: {"support": lambda: own}})
    toy.federate()
    assert toy.held(3).rows.tolist() == ROWS.tolist()
    assert np.load(toy.home(3) / "rows.npy").tolist() == [True, False, False, True]


def test_what_the_partners_found_in_a_sum_is_kept_for_the_report(toy: Toy) -> None:
    toy.federate()
    lines = [(toy.home(partner) / "sums.jsonl").read_text() for partner in (1, 2, 3, 4)]
    assert len(set(lines)) == 1
    assert [line.count('"partners": 4') for line in lines[0].splitlines()] == [1, 1]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_partner_whose_training_fails_takes_part_again(tmp_path: Path, number: int) -> None:
    """It has not the sum of the round that it missed, and gets the trunk from somebody else."""
    toy = Toy(tmp_path, rounds=4, ill=frozenset({(2, number)}))
    toy.federate()
    assert alike(toy.all_held(), version=4)
    assert [len(exchange.left_out) for exchange in toy.journal() if (exchange.round, exchange.phase) == (number, Step.COLLECT)] == [1]
    assert {entry.refused for entry in toy.entries(2)} == {""}


# Handed-over trunks


def test_an_older_trunk_than_its_own_is_no_help_and_no_lie(tmp_path: Path) -> None:
    """In round 4 partner 5 gets the trunk it missed, and its answer is lost; so is the request to the holder, who is then behind it."""
    lost = {("2", Step.COLLECT, 4), ("4", Step.COLLECT, 0)}
    toy, answers = Toy(tmp_path, partners=5, rounds=4), [(4, "4")]

    def down(partition: int, message: Message) -> Message | None:
        what = (message.metadata.group_id, Step(step(message)), partition)
        if what not in lost:
            return message
        lost.remove(what)
        return None

    def up(partition: int, message: Message) -> Message | None:
        if (partition, message.metadata.group_id) not in answers or step(message) != Step.COLLECT:
            return message
        return answers.clear()

    toy.grid.down, toy.grid.up = down, up
    toy.federate()
    assert [exchange.replied for exchange in toy.journal() if (exchange.round, exchange.phase) == (4, Step.COLLECT)] == [3, 5]
    assert alike(toy.all_held(), version=4)
    assert {entry.refused for entry in toy.entries(5)} == {""}


def test_a_coordinator_cannot_take_a_partner_back_to_an_earlier_trunk(tmp_path: Path) -> None:
    toy, kept = Toy(tmp_path, rounds=5), dict[str, bytes]()

    def down(partition: int, message: Message) -> Message | None:
        if partition == 3 and (message.metadata.group_id, step(message)) == ("2", Step.COLLECT):
            return None
        if records.HANDOVER in message.content and step(message) == Step.COLLECT:
            kept["handover"] = wire.encode(wire.decode(CollectRequest, body(message)).handover)
            kept["ciphertext"] = records.vectors(message.content, records.HANDOVER)[0].tobytes()
        if partition == 1 and step(message) == Step.FINISH:
            asked = replace(wire.decode(FinishRequest, body(message)), version=2, handover=wire.decode(Handover, kept["handover"]))
            message.content[records.MESSAGE][records.BODY] = wire.encode(asked)
            message.content[records.HANDOVER] = records.array_record([np.frombuffer(kept["ciphertext"], dtype=np.uint8)])
        return message

    toy.grid.down = down
    toy.federate()
    assert kept
    assert [toy.held(partner).version for partner in (1, 2, 3, 4)] == [5, 4, 5, 5]


# Before a reply leaves


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


# Repeated and foreign requests


def last_request(toy: Toy, asked: Step, partner: int) -> bytes:
    node = LocalGrid.node(partner - 1)
    return next(body(m) for m in reversed(toy.grid.sent) if (step(m), m.metadata.dst_node_id) == (asked, node))


def stopped_before(toy: Toy, asked: Step, partner: int, number: str = "1") -> bytes:
    """Run until that partner would get such a request; the request."""

    def kill(partition: int, message: Message) -> Message:
        if (partition + 1, step(message), message.metadata.group_id) == (partner, asked, number):
            raise KeyboardInterrupt
        return message

    toy.grid.down = kill
    with pytest.raises(KeyboardInterrupt):
        toy.federate()
    return body(toy.grid.sent[-1])


@pytest.mark.parametrize("asked", [Step.CONSISTENCY, Step.UNMASK])
def test_the_same_request_again_gets_the_same_bytes_and_another_line_in_the_transcript(toy: Toy, asked: Step) -> None:
    """Also if the first line was never written, since its writer was killed."""
    request = stopped_before(toy, asked, partner=2)
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    before = path.read_text()
    first, _ = ask(toy.house(2), asked, request)
    for written in (path.read_text(), before, before + "half a li"):
        path.write_text(written)
        again, _ = ask(toy.house(2), asked, request)
        assert again == first
        last = toy.entries(2)[-1]
        assert (last.phase, last.received, last.sent, last.refused) == (asked, sha256(request).digest(), sha256(first).digest(), "")


def test_a_second_row_list_in_one_session_is_refused(toy: Toy) -> None:
    """Two lists of different cohorts would tell partners which rows a single one supports."""
    stopped_before(toy, Step.COLLECT, partner=2)
    parsed = wire.decode(CollectRequest, last_request(toy, Step.COLLECT, 1))
    again = replace(parsed, number=9, rows=True, last=None, cohort=(1, 2, 3))
    with pytest.raises(OldRoundError, match="row list of this session was sent already"):
        ask(toy.house(2), Step.COLLECT, wire.encode(again))
    assert toy.entries(2)[-1].refused == "OldRoundError"
    assert state_of(toy, 2).session is not None


def test_a_message_that_is_none_changes_nothing_but_the_transcript(toy: Toy) -> None:
    stopped_before(toy, Step.CONSISTENCY, partner=2)
    before = state_of(toy, 2)
    for junk in (b"", b"junk", bytes(500)):
        with pytest.raises(MalformedMessageError):
            ask(toy.house(2), Step.CONSISTENCY, junk)
    with pytest.raises(OutOfOrderError):
        ask(toy.house(2), Step.UNMASK, b"")
    assert state_of(toy, 2) == before
    assert [entry.refused for entry in toy.entries(2)[-4:]] == ["MalformedMessageError"] * 3 + ["OutOfOrderError"]


def test_a_partner_that_lacks_the_trunk_says_which_it_has_and_trains_nothing(toy: Toy) -> None:
    request = stopped_before(toy, Step.COLLECT, partner=2)
    ahead = replace(wire.decode(CollectRequest, request), version=5)
    reply, vectors = ask(toy.house(2), Step.COLLECT, wire.encode(ahead))
    assert (wire.decode(Holding, reply), vectors) == (Holding(2, 0), [])


# A partner that leaves the agreed range


def test_a_sum_that_no_allowed_words_have_is_refused_by_everybody(tmp_path: Path) -> None:
    """The sum is genuine; partner 3 gave itself a weight that nobody else allows."""
    toy = Toy(tmp_path, partners=3, rounds=1, changed={3: {"weight": lambda: 2, "largest_weight": 2}})
    with pytest.raises(RoundFailedError, match="partners took in the sum of round 1"):
        toy.federate()
    for partner in (1, 2):
        assert toy.held(partner).version == 0
        assert toy.entries(partner)[-1].refused == "SumOutOfRangeError"
        assert state_of(toy, partner).phase == Phase.FAILED


# Damage at home


def test_a_damaged_state_is_named_and_never_answered_from(toy: Toy) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    path = toy.home(2) / "protocol.state"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SecAggError):
        ask(toy.house(2), Step.CONSISTENCY, request)


def test_a_damaged_trunk_is_named(toy: Toy) -> None:
    request = stopped_before(toy, Step.CONSISTENCY, partner=2)
    (toy.home(2) / "shared.safetensors").write_bytes(b"damaged")
    with pytest.raises(TrunkFileError, match=r"partner-2/shared\.safetensors is damaged"):
        ask(toy.house(2), Step.CONSISTENCY, request)


def test_another_roster_has_another_transcript(toy: Toy) -> None:
    toy.federate()
    member = toy.house(2).membership
    assert member is not None
    other = Roster("another", member.roster.threshold, member.roster.minimum, member.roster.members)
    house = replace(toy.house(2), membership=replace(member, roster=other, policy=replace(member.policy, roster=other.digest())))
    with pytest.raises(SecAggError):
        ask(house, Step.UNMASK, b"")
    assert len(list(toy.home(2).glob("transcript-*.jsonl"))) == 2
    assert toy.entries(1)

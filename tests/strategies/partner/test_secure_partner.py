"""A partner between two messages: what it answers, what it refuses, and what it writes down first."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message

from strategies import message_records
from strategies.coordinator.exchange import RoundFailedError
from strategies.partner.secure_partner import SecurePartner
from strategies.partner.trunk_in_session import Arrived
from strategies.secagg import masking, wire
from strategies.secagg.consistency_messages import ConsistencyRequest
from strategies.secagg.errors import (
    HandoverError,
    MalformedMessageError,
    OldRoundError,
    OutOfOrderError,
    ProtocolVersionError,
    SumOutOfRangeError,
)
from strategies.secagg.keystream import add_streams
from strategies.secagg.messages import COLLECT_REPLIES, CollectRequest, FinishRequest, Handover, HandoverRequest, Holding
from strategies.secagg.phases import Phase, Step
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import alike, body, equal, step
from tests.helpers.local_grid import LocalGrid
from tests.strategies.record_forms import UNREADABLE, array_of
from tests.strategies.toy import ROWS, Toy, ask, expected, last_request, no_evaluation, no_training, state_of, stopped_before


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


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


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_partner_whose_training_fails_takes_part_again(tmp_path: Path, number: int) -> None:
    """It has not the sum of the round that it missed, and gets the trunk from somebody else."""
    toy = Toy(tmp_path, rounds=4, ill=frozenset({(2, number)}))
    toy.federate()
    assert alike(toy.all_held(), version=4)
    assert [len(exchange.left_out) for exchange in toy.journal() if (exchange.round, exchange.phase) == (number, Step.COLLECT)] == [1]
    assert {entry.refused for entry in toy.entries(2)} == {""}


@pytest.mark.parametrize("way", ["down", "up"])
def test_only_those_whose_signature_arrived_are_asked_to_unmask(toy: Toy, way: str) -> None:
    """Whoever missed the list has nothing to answer, and is spared an error for it."""

    def lose(partition: int, message: Message) -> Message | None:
        return None if (partition, step(message), message.metadata.group_id) == (1, Step.CONSISTENCY, "1") else message

    setattr(toy.grid, way, lose)
    toy.federate()
    assert alike(toy.all_held(), version=2)
    asked = [m.metadata.dst_node_id for m in toy.grid.sent if (step(m), m.metadata.group_id) == (Step.UNMASK, "1")]
    assert asked == [LocalGrid.node(partition) for partition in (0, 2, 3)]
    assert {entry.refused for entry in toy.entries(2)} == {""}
    assert [e.left_out for e in toy.journal() if (e.round, e.phase) == (1, Step.CONSISTENCY)] == [["partner-2: no reply"]]
    assert [e.left_out for e in toy.journal() if (e.round, e.phase) == (1, Step.UNMASK)] == [[]]


def test_a_partner_that_is_behind_is_named_so_in_the_journal(toy: Toy) -> None:
    toy.rounds, away = 4, {("2", 1)}
    toy.grid.down = lambda partition, m: None if step(m) == Step.COLLECT and (m.metadata.group_id, partition) in away else m
    toy.federate()
    reasons = [reason for exchange in toy.journal() for reason in exchange.left_out]
    assert reasons == [
        "partner-2: no reply",
        "partner-2: BehindError: it holds the trunk of round 0, and gets the newest first",
    ]


@pytest.mark.parametrize("name", [message_records.WORDS, message_records.HANDOVER])
def test_a_request_whose_vectors_cannot_be_read_is_in_the_transcript_as_what_was_refused(toy: Toy, name: str) -> None:
    """As any other refusal: what came, by its digest, and why; and the partner takes part again."""
    spoiled: list[bytes] = []

    def spoil(partition: int, message: Message) -> Message:
        if (partition, step(message), message.metadata.group_id) == (1, Step.COLLECT, "2"):
            message.content[name] = ArrayRecord({"0": array_of(UNREADABLE["a pickle"])})
            spoiled.append(body(message))
        return message

    toy.rounds, toy.grid.down = 4, spoil
    toy.federate()
    (request,) = spoiled
    (refused,) = [entry for entry in toy.entries(2) if entry.refused]
    assert (refused.phase, refused.refused, refused.sent) == (Step.COLLECT, "MalformedMessageError", b"")
    assert refused.received == sha256(request).digest()
    assert alike(toy.all_held(), version=4)


# Handed-over trunks


def behind_and_offered(toy: Toy, change: Callable[[SharedTrunk], bytes]) -> tuple[bytes, Arrived]:
    """Partner 2 missed the sum of round 2, and in round 3 it is offered what partner 1 makes of the trunk that the others trained from.

    Args:
        change: From that trunk to the bytes that partner 1 signs and encrypts as it should.
    """

    def down(partition: int, message: Message) -> Message | None:
        place = (partition, message.metadata.group_id, step(message))
        if place == (1, "3", Step.COLLECT):
            raise KeyboardInterrupt
        return None if place == (1, "2", Step.COLLECT) else message

    toy.rounds, toy.grid.down = 3, down
    with pytest.raises(KeyboardInterrupt):
        toy.federate()
    request = wire.decode(CollectRequest, body(toy.grid.sent[-1]))
    assert request.handover is None
    (shown, *_) = [body(message) for message in toy.grid.sent if (step(message), message.metadata.group_id) == (Step.CONSISTENCY, "2")]
    headers = wire.decode(ConsistencyRequest, shown).headers[:2]
    holder = SecurePartner(toy.side(1))
    trained_from = holder.trunk.held.of(1)
    assert trained_from is not None
    offered, ciphertext = holder.protocol.hand_over(trained_from.name, change(trained_from))
    asked = replace(request, handover=wire.decode(Handover, offered), headers=headers)
    (words,) = message_records.vectors(toy.grid.sent[-1].content, message_records.WORDS)
    return wire.encode(asked), Arrived([words], [np.frombuffer(ciphertext, dtype=np.uint8)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda trunk: b"junk", "a handed-over trunk is damaged"),
        (lambda trunk: replace(trunk, version=9).to_bytes(), "its content is not what its name says"),
        (lambda trunk: replace(trunk, arrays=[2 * each for each in trunk.arrays]).to_bytes(), "its content is not what its name says"),
        (lambda trunk: replace(trunk, arrays=[2 * each for each in trunk.arrays]).named(trunk.blind).to_bytes(), "0 partners name it"),
        (lambda trunk: replace(trunk, rows=np.ones(4, dtype=np.bool_)).to_bytes(), "0 partners name it"),
        (lambda trunk: replace(trunk, session=b"x" * 32).to_bytes(), "0 partners name it"),
    ],
    ids=["junk", "another version", "other values", "other values of that name", "other rows", "rows of another session"],
)
def test_a_handed_over_trunk_of_other_content_is_its_holders_fault(toy: Toy, change: Callable[[SharedTrunk], bytes], words: str) -> None:
    """Signed and encrypted as it should be: nothing of it is taken, the session goes on, and the transcript names the error."""
    request, arrived = behind_and_offered(toy, change)
    before = toy.held(2)
    with pytest.raises(HandoverError, match=f"partner 1: .*{words}"):
        SecurePartner(toy.side(2)).answer(Step.COLLECT, request, arrived, no_training, no_evaluation)
    assert toy.entries(2)[-1].refused == "HandoverError"
    assert state_of(toy, 2).phase != Phase.FAILED, "another one may be handed over next"
    assert alike([toy.held(2), before], version=0)


def test_the_trunk_that_the_others_trained_from_is_taken_and_their_sum_after_it(toy: Toy) -> None:
    request, arrived = behind_and_offered(toy, SharedTrunk.to_bytes)
    masked: list[object] = []

    def fit(arrays: list[np.ndarray], config: dict[str, int]) -> tuple[list[np.ndarray], dict[str, float]]:
        masked.append(config["round"])
        return [array.copy() for array in arrays], {"loss": 0.5}

    SecurePartner(toy.side(2)).answer(Step.COLLECT, request, arrived, fit, no_evaluation)
    assert masked == [3]
    assert toy.held(2).version == 2


@pytest.mark.parametrize("missing", [0, 1])
def test_a_trunk_for_which_fewer_than_a_quorum_signed_is_not_taken(toy: Toy, missing: int) -> None:
    request, arrived = behind_and_offered(toy, SharedTrunk.to_bytes)
    asked = wire.decode(CollectRequest, request)
    few = replace(asked, headers=(asked.headers[0],) * (2 - missing))  # once more the same one is no second
    with pytest.raises(HandoverError, match="1 partners name it, and 2 are needed"):
        SecurePartner(toy.side(2)).answer(Step.COLLECT, wire.encode(few), arrived, no_training, no_evaluation)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arrays": [np.ones((1, 1), dtype=np.float32)]}, "a trunk of"),
        ({"arrays": [np.ones((4, 2)), np.ones(2)]}, "a trunk of"),
        ({"arrays": [np.full((4, 2), np.nan, dtype=np.float32), np.ones(2, dtype=np.float32)]}, "values that are not finite"),
        ({"value_range": float("nan")}, "a range of nan"),
        ({"value_range": 0.3}, "a range of 0.3"),
        ({"rows": np.ones(9, dtype=np.bool_)}, "a row list of"),
        ({"rows": np.ones(4, dtype=np.float32)}, "a row list of"),
        ({"name": b"x"}, "without a version, a name and a session"),
        ({"session": b"x" * 7}, "without a version, a name and a session"),
        ({"found": {"loss": "high"}}, "no numbers"),
        ({"found": {"round": 10**400}}, "no numbers"),
        ({"found": {"few": {"0": "two"}}}, "no numbers"),
        ({"found": {"few": [1, 2]}}, "no numbers"),
    ],
)
def test_a_handed_over_trunk_that_this_experiment_cannot_have_is_not_stored(toy: Toy, change: dict[str, Any], words: str) -> None:
    def lie(trunk: SharedTrunk) -> bytes:
        changed = replace(trunk, **change).named(trunk.blind)
        return replace(changed, **{key: value for key, value in change.items() if key == "name"}).to_bytes()

    request, arrived = behind_and_offered(toy, lie)
    before = toy.held(2)
    with pytest.raises(HandoverError, match=f"partner 1: .*({words}|not what its name says)"):
        SecurePartner(toy.side(2)).answer(Step.COLLECT, request, arrived, no_training, no_evaluation)
    assert alike([toy.held(2), before], version=0)


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
        if message_records.HANDOVER in message.content and step(message) == Step.COLLECT:
            kept["handover"] = wire.encode(wire.decode(CollectRequest, body(message)).handover)
            kept["ciphertext"] = message_records.vectors(message.content, message_records.HANDOVER)[0].tobytes()
        if partition == 1 and step(message) == Step.FINISH:
            asked = replace(wire.decode(FinishRequest, body(message)), version=2, handover=wire.decode(Handover, kept["handover"]))
            message.content[message_records.MESSAGE][message_records.BODY] = wire.encode(asked)
            message.content[message_records.HANDOVER] = message_records.array_record([np.frombuffer(kept["ciphertext"], dtype=np.uint8)])
        return message

    toy.grid.down = down
    toy.federate()
    assert kept
    assert [toy.held(partner).version for partner in (1, 2, 3, 4)] == [5, 4, 5, 5]


@pytest.mark.parametrize("vouched", [False, True])
def test_a_handover_of_an_earlier_round_of_its_session_takes_no_partner_back(tmp_path: Path, vouched: bool) -> None:
    """What a session began from, or a quorum trained from in an earlier round of it, is genuine; and older than what the partner has."""
    toy, kept = Toy(tmp_path), list[tuple[CollectRequest, tuple[bytes, list[np.ndarray]]]]()
    toy.federate()
    toy.rounds = 6

    def down(partition: int, message: Message) -> Message:
        if (partition, step(message), message.metadata.group_id) == (0, Step.COLLECT, "4" if vouched else "3"):
            asked = wire.decode(CollectRequest, body(message))
            request = wire.encode(HandoverRequest(asked.session, 2, asked.contributions))
            kept.append((asked, ask(toy.side(1), Step.HANDOVER, request)))
        if (step(message), message.metadata.group_id) == (Step.COLLECT, "6"):
            raise KeyboardInterrupt
        return message

    toy.grid.down = down
    with pytest.raises(KeyboardInterrupt):
        toy.federate()
    ((asked, (offered, vectors)),) = kept
    (shown, *_) = [body(message) for message in toy.grid.sent if (step(message), message.metadata.group_id) == (Step.CONSISTENCY, "3")]
    headers = wire.decode(ConsistencyRequest, shown).headers
    number = 100 if vouched else asked.number + 100
    replayed = replace(asked, number=number, version=99, last=asked.last if vouched else None, headers=headers if vouched else ())
    held, state = toy.held(2), state_of(toy, 2)
    with pytest.raises(OldRoundError, match="the trunk of round 2 is handed over, and ours is that of 4"):
        SecurePartner(toy.side(2)).answer(
            Step.COLLECT,
            wire.encode(replace(replayed, handover=wire.decode(Handover, offered))),
            Arrived([], vectors),
            no_training,
            no_evaluation,
        )
    assert alike([held, toy.held(2)], version=4)
    assert state_of(toy, 2) == state


@pytest.mark.parametrize("length", [3, 7])
def test_a_row_list_of_another_length_that_a_partner_wrote_for_the_coordinator_is_refused_by_name(toy: Toy, length: int) -> None:
    request = wire.decode(CollectRequest, stopped_before(toy, Step.COLLECT, partner=1))
    session, last = SecurePartner(toy.side(4)).protocol.session, request.last
    assert last is not None
    words = np.full(length + masking.tag_words(session), 4, dtype=np.uint32)
    masking._write_tag(session, last.number, session.trunk, words)
    add_streams(words, *masking.group_masks(session, last.number, last.survivors))
    with pytest.raises(SumOutOfRangeError, match=f"{length} words, not 4"):
        SecurePartner(toy.side(1)).answer(Step.COLLECT, wire.encode(request), Arrived([words], []), no_training, no_evaluation)
    assert not toy.side(1).folder.shared_trunk.exists()


# Repeated and foreign requests


@pytest.mark.parametrize("asked", [Step.CONSISTENCY, Step.UNMASK])
def test_the_same_request_again_gets_the_same_bytes_and_another_line_in_the_transcript(toy: Toy, asked: Step) -> None:
    """Also if the first line was never written, since its writer was killed."""
    request = stopped_before(toy, asked, partner=2)
    (path,) = toy.home(2).glob("transcript-*.jsonl")
    before = path.read_text()
    first, _ = ask(toy.side(2), asked, request)
    for written in (path.read_text(), before, before + "half a li"):
        path.write_text(written)
        again, _ = ask(toy.side(2), asked, request)
        assert again == first
        last = toy.entries(2)[-1]
        assert (last.phase, last.received, last.sent, last.refused) == (asked, sha256(request).digest(), sha256(first).digest(), "")


@pytest.mark.parametrize("asked", [Step.SHARE_KEYS, Step.CONSISTENCY, Step.UNMASK])
def test_the_last_request_again_under_another_step_is_refused(toy: Toy, asked: Step) -> None:
    toy.federate()
    held = state_of(toy, 1)
    with pytest.raises(OutOfOrderError, match="is not expected in phase keyed"):
        ask(toy.side(1), asked, last_request(toy, Step.FINISH, 1))
    last = toy.entries(1)[-1]
    assert (last.phase, last.sent, last.refused) == (asked, b"", "OutOfOrderError")
    assert state_of(toy, 1) == held


def test_the_last_request_again_as_a_proposal_is_refused(toy: Toy) -> None:
    toy.federate()
    with pytest.raises(ProtocolVersionError):
        ask(toy.side(1), Step.ADVERTISE_KEYS, last_request(toy, Step.FINISH, 1))
    assert not toy.entries(1)[-1].sent


def test_a_second_row_list_in_one_session_is_refused(toy: Toy) -> None:
    """Two lists of different cohorts would tell partners which rows a single one supports."""
    stopped_before(toy, Step.COLLECT, partner=2)
    parsed = wire.decode(CollectRequest, last_request(toy, Step.COLLECT, 1))
    again = replace(parsed, number=9, rows=True, last=None, cohort=(1, 2, 3))
    with pytest.raises(OldRoundError, match="row list of this session was sent already"):
        ask(toy.side(2), Step.COLLECT, wire.encode(again))
    assert toy.entries(2)[-1].refused == "OldRoundError"
    assert state_of(toy, 2).session is not None


def test_a_message_that_is_none_changes_nothing_but_the_transcript(toy: Toy) -> None:
    stopped_before(toy, Step.CONSISTENCY, partner=2)
    before = state_of(toy, 2)
    for junk in (b"", b"junk", bytes(500)):
        with pytest.raises(MalformedMessageError):
            ask(toy.side(2), Step.CONSISTENCY, junk)
    with pytest.raises(OutOfOrderError):
        ask(toy.side(2), Step.UNMASK, b"")
    assert state_of(toy, 2) == before
    assert [entry.refused for entry in toy.entries(2)[-4:]] == ["MalformedMessageError"] * 3 + ["OutOfOrderError"]


def test_a_partner_that_lacks_the_trunk_says_which_it_has_and_trains_nothing(toy: Toy) -> None:
    request = stopped_before(toy, Step.COLLECT, partner=2)
    ahead = replace(wire.decode(CollectRequest, request), version=5)
    reply, vectors = ask(toy.side(2), Step.COLLECT, wire.encode(ahead))
    assert (wire.decode_tagged(COLLECT_REPLIES, reply), vectors) == (Holding(2, 0), [])


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

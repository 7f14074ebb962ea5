"""Whatever comes over the network is the one form there is, or one named error: at the coordinator it leaves its sender out, by name."""

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from hypothesis import example, given
from hypothesis import strategies as st

from fedapp.server_app import conclude
from fedapp.storage.json_file import read_json
from strategies import message_records
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.phases import Step
from strategies.secagg.state import State
from tests.helpers.federation import alike, body, step
from tests.helpers.local_grid import LocalGrid
from tests.helpers.sweeps import examples
from tests.strategies.record_forms import UNREADABLE, Spoil, array_of, bad_arrays, malformed, with_value
from tests.strategies.toy import Toy, state_of

OFTEN = examples(300)
SELDOM = examples(8)
MEGABYTE = 1 << 20


def a_message() -> RecordDict:
    return message_records.content("Step", {message_records.BODY: b"body"}, {message_records.WORDS: [np.arange(6, dtype=np.uint32)]})


def read(held: RecordDict) -> tuple[str, bytes, list[np.ndarray]]:
    return (*message_records.step_and_body(held), message_records.vectors(held, message_records.WORDS))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint16, np.uint8, np.float32, np.bool_, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (0, 7), (2, 3, 4)])
def test_what_is_sent_is_what_is_read_and_it_is_writable(dtype: type, shape: tuple[int, ...]) -> None:
    sent = np.asarray(np.random.default_rng(1).random(shape) * 200).astype(dtype)
    for array in (sent, sent.T.copy().T):
        (found,) = message_records.arrays_from(message_records.array_record([array]))
        assert (found.dtype, found.shape, found.tolist()) == (sent.dtype, sent.shape, sent.tolist())
        found[...] = 0


@OFTEN
@given(malformed())
def test_a_message_of_another_form_is_one_named_error(spoil: Spoil) -> None:
    held = a_message()
    spoil(held)
    with pytest.raises(MalformedMessageError):
        read(held)


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_an_array_that_cannot_be_read_is_one_named_error_and_takes_no_memory(name: str) -> None:
    array = array_of(UNREADABLE[name])
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessageError):
            message_records.array_from(array)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()


@OFTEN
@given(bad_arrays())
def test_an_array_is_what_it_says_or_a_named_error_that_is_short(array: object) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        message_records.array_from(array)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


EMPTY = [
    with_value(message_records.BODY, b""),
    with_value(message_records.BODY, []),
    with_value(message_records.STEP, ""),
    with_value("more", []),
]
ANOTHER = st.one_of(malformed(), st.just(with_value(message_records.STEP, "Another")), st.sampled_from(EMPTY))


@SELDOM
@example(asked=Step.COLLECT, spoil=EMPTY[0])
@example(asked=Step.COLLECT, spoil=EMPTY[1])
@given(asked=st.sampled_from(list(Step)), spoil=ANOTHER)
def test_a_reply_of_another_form_leaves_its_sender_out_by_name_and_the_others_finish(asked: Step, spoil: Spoil) -> None:
    with TemporaryDirectory() as folder:
        toy = Toy(Path(folder), rounds=1)

        def up(partition: int, message: Message) -> Message:
            if partition == 1 and message.has_content() and step(message) == asked:
                spoil(message.content)
            return message

        toy.grid.up = up
        toy.federate()
        assert alike([toy.held(partner) for partner in (1, 3, 4)], version=1)
        who = "node 102: " if asked is Step.ADVERTISE_KEYS else "partner-2: "
        left_out = [line for exchange in toy.journal() if exchange.phase == asked for line in exchange.left_out]
        assert all(line.startswith(f"{who}MalformedMessageError: ") for line in left_out)
        assert bool(left_out) == any(exchange.phase == asked for exchange in toy.journal())


def held(toy: Toy) -> State | None:
    """What partner 2 is in the middle of."""
    return state_of(toy, 2) if (toy.home(2) / "protocol.state").is_file() else None


@SELDOM
@example(asked=Step.COLLECT, spoil=EMPTY[0])
@example(asked=Step.COLLECT, spoil=EMPTY[1])
@given(asked=st.sampled_from(list(Step)), spoil=ANOTHER)
def test_a_request_of_another_form_is_one_named_error_at_the_partner_and_changes_nothing_there(asked: Step, spoil: Spoil) -> None:
    with TemporaryDirectory() as folder:
        toy, refused = Toy(Path(folder), rounds=1), []

        def down(partition: int, message: Message) -> Message:
            if partition == 1 and step(message) == asked and not refused:
                before = held(toy)
                spoil(message.content)
                reply = toy.grid.answer(message)
                refused.append((reply.error.reason if reply.has_error() else "answered", before in (held(toy), None)))
            return message

        toy.grid.down = down
        toy.federate()
        assert all("MalformedMessageError" in reason and unchanged for reason, unchanged in refused), refused
        assert alike([toy.held(partner) for partner in (1, 3, 4)], version=1)


@pytest.mark.parametrize("kind", ["floats", "columns", "wide", "short", "empty"])
@pytest.mark.parametrize("asked", [Step.COLLECT, Step.FINISH])
def test_a_sum_of_another_kind_is_refused_by_name_and_is_in_the_transcript(tmp_path: Path, kind: str, asked: Step) -> None:
    toy = Toy(tmp_path, rounds=2)

    def down(partition: int, message: Message) -> Message:
        if partition == 1 and step(message) == asked and message_records.WORDS in message.content:
            (words,) = message_records.vectors(message.content, message_records.WORDS)
            wrong = {
                "floats": words.astype(np.float32),
                "columns": words[:, None],
                "wide": words.astype(np.uint64),
                "short": words[:2],
                "empty": words[:0],
            }
            message.content[message_records.WORDS] = message_records.array_record([wrong[kind]])
        return message

    toy.grid.down = down
    toy.federate()
    assert {entry.refused for entry in toy.entries(2) if entry.phase == asked} - {""} <= {"MalformedMessageError", "OutOfOrderError"}
    assert "MalformedMessageError" in {entry.refused for entry in toy.entries(2)}
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=2)


@pytest.mark.parametrize("lacking", [False, True], ids=["a masked input", "which trunk it holds"])
def test_a_partner_of_a_former_version_whose_replies_have_no_tag_is_left_out_by_name(tmp_path: Path, lacking: bool) -> None:
    toy = Toy(tmp_path, rounds=3)

    def down(partition: int, message: Message) -> Message | None:
        missed = lacking and partition == 1 and step(message) == Step.COLLECT and message.metadata.group_id == "1"
        return None if missed else message

    def up(partition: int, message: Message) -> Message:
        if partition == 1 and message.has_content() and step(message) == Step.COLLECT and message.metadata.group_id == "2":
            message.content[message_records.MESSAGE][message_records.BODY] = body(message)[1:]
        return message

    toy.grid.down, toy.grid.up = down, up
    toy.federate()
    (reason,) = [line for each in toy.journal() if (each.round, each.phase) == (2, Step.COLLECT) for line in each.left_out]
    assert reason.startswith("partner-2: MalformedMessageError: a message of kind 0, and there are 1 MaskedInput, 2 Holding, 3 Complaint: ")
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=3)


def test_a_masked_input_without_words_is_its_senders_fault_alone(tmp_path: Path) -> None:
    toy = Toy(tmp_path, rounds=1)

    def up(partition: int, message: Message) -> Message:
        if partition == 1 and message.has_content() and step(message) == Step.COLLECT and message.metadata.group_id == "1":
            message.content[message_records.WORDS] = message_records.array_record([np.empty(0, dtype=np.uint32)])
        return message

    toy.grid.up = up
    toy.federate()
    assert [line.split(": ")[0] for each in toy.journal() for line in each.left_out] == ["partner-2"]
    assert alike([toy.held(partner) for partner in (1, 3, 4)], version=1)


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), MemoryError(), AssertionError("y"), EOFError(), KeyError("z")])
def test_whatever_ends_the_coordinator_leaves_an_outcome_that_names_it(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "awaited.json").write_text("{}")

    def open_desk() -> object:
        raise error

    with pytest.raises(type(error)):
        conclude(LocalGrid(None, 0, {}), tmp_path, open_desk)  # type: ignore[arg-type]
    outcome = read_json(tmp_path / "outcome.json")
    assert outcome["state"] == "failed"
    assert outcome["error"].startswith(type(error).__name__)
    assert not (tmp_path / "awaited.json").exists()

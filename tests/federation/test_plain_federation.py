"""Plain aggregation: the coordinator and its partners together, over an in-memory network."""

import logging
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Message, MessageType

from fedapp import client_app, server_app
from fedapp.errors import RunError
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json, read_sealed
from strategies import message_records
from strategies.coordinator.exchange import RoundFailedError
from strategies.plain_messages import PlainReply, PlainRequest
from strategies.secagg import wire
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import body, equal, exchanges, federate, grid_for, kept, phases, step
from tests.helpers.local_grid import LocalGrid
from tests.helpers.small_run import small_run

PLAIN = ("aggregation=plain",)
WHOLE = [(0, "rows"), (1, "train"), (2, "train"), (3, "train"), (3, "final")]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return small_run(tmp_path / "run", *PLAIN)


def asked(message: Message) -> tuple[str, int]:
    """Step and round of a request."""
    return step(message), wire.decode(PlainRequest, body(message)).number


def metrics_in(message: Message) -> dict[str, float]:
    return {metric.name: metric.value for metric in wire.decode(PlainReply, body(message)).metrics}


def test_every_round_is_trained_evaluated_and_journalled(run: RunFolder) -> None:
    federate(run)
    assert read_sealed(run.coordinator / "outcome.json", {}) == {"state": "finished", "error": ""}
    assert phases(run) == WHOLE
    for name in run.partners():
        assert sorted(path.stem for path in (run.partner(name) / "metrics").iterdir()) == ["round-0001", "round-0002", "round-0003"]
        assert (run.partner(name) / "model.safetensors").is_file()


def test_it_says_loudly_that_it_is_for_comparison_only(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    federate(run)
    (warning,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert "the coordinator sees every partner's update in the clear; for comparison only" in warning


def test_the_new_trunk_is_the_mean_of_the_partners_updates_on_top_of_the_old_one(tmp_path: Path) -> None:
    """Against an arithmetic of its own: 24-bit values in 32-bit words, whose unit is range / 2^23."""
    run = small_run(tmp_path / "run", *PLAIN, "privacy.row_guard=0", "federation.server_learning_rate=0.5")
    grid = federate(run, grid_for(run))
    first, second = (next(m for m in grid.sent if asked(m) == ("train", number)) for number in (1, 2))
    words = [message_records.vectors(m.content, message_records.WORDS)[0] for m in grid.received if step(m) == "train"][:3]
    unit = wire.decode(PlainRequest, body(first)).value_range / 2**23
    update = np.mean([each[: 256 * 8 + 8].astype(np.int32) for each in words], axis=0) * unit
    assert np.abs(update).max() > 100 * unit
    for old, new, change in zip(
        message_records.vectors(first.content, message_records.TRUNK),
        message_records.vectors(second.content, message_records.TRUNK),
        (update[: 256 * 8].reshape(256, 8), update[256 * 8 :]),
        strict=True,
    ):
        np.testing.assert_allclose(new, old + 0.5 * change, rtol=1e-6, atol=1e-7)


def test_the_order_of_replies_does_not_change_a_bit(tmp_path: Path) -> None:
    first, second = small_run(tmp_path / "a", *PLAIN), small_run(tmp_path / "b", *PLAIN)
    federate(first)
    grid = grid_for(second)
    grid.contexts = dict(reversed(grid.contexts.items()))
    deliver = grid.send_and_receive
    grid.send_and_receive = lambda messages, timeout=None: deliver(messages, timeout=timeout)[::-1]  # type: ignore[method-assign]
    federate(second, grid)
    assert equal(kept(first).arrays, kept(second).arrays)


def test_nothing_but_trunk_rows_range_and_round_goes_down_and_nothing_but_words_up(run: RunFolder) -> None:
    grid = federate(run, grid_for(run))
    rows = int(kept(run).rows.sum())
    assert 0 < rows <= 256
    for message in grid.sent:
        beside = set() if step(message) == "rows" else {message_records.TRUNK, message_records.ROWS}
        assert set(message.content) == {message_records.MESSAGE} | beside
        assert set(message.content[message_records.MESSAGE]) == {message_records.STEP, message_records.BODY}
        assert [array.shape for array in message_records.vectors(message.content, message_records.TRUNK)] == (
            [(256, 8), (8,)] if beside else []
        )
    words = {"rows": [(256,)], "train": [(rows * 8 + 8 + 2 + 2,)], "final": []}  # counters of 32 and 40 bits, two words each
    for message in grid.received:
        assert set(message.content) == {message_records.MESSAGE} | ({message_records.WORDS} if words[step(message)] else set())
        assert set(message.content[message_records.MESSAGE]) == {message_records.STEP, message_records.BODY}
        assert metrics_in(message) == {}
        assert [array.shape for array in message_records.vectors(message.content, message_records.WORDS)] == words[step(message)]
    assert all(not context.state for context in grid.contexts.values())


def test_a_metric_leaves_a_partner_only_when_configuration_shows_it(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *PLAIN, "federation.metrics_shown=[loss]")
    grid = federate(run, grid_for(run))
    assert [set(metrics_in(message)) for message in grid.received if step(message) == "train"] == [{"loss"}] * 9
    for exchange in exchanges(run):
        folders = [run.partner(name) / "loss" / f"round-{exchange.round:04d}.json" for name in run.partners()]
        expected = {"loss": float(np.mean([read_json(path)["loss"] for path in folders]))} if exchange.phase == "train" else {}
        assert exchange.metrics == pytest.approx(expected)


def test_a_failing_partner_ends_the_run_with_a_named_error_and_its_reason_stays_at_home(run: RunFolder) -> None:
    grid = grid_for(run)
    (run.partner("partner-2") / "dataset" / "x_indices.npy").unlink()
    with pytest.raises(RoundFailedError, match="round 0: 2 of 3 partners replied, and a round needs 3"):
        federate(run, grid)
    assert read_json(run.coordinator / "outcome.json")["state"] == "failed"
    reason = read_json(run.partner("partner-2") / "error.json")["error"]
    assert "x_indices.npy" in reason
    errors = [message.error.reason for message in grid.received if message.has_error()]
    assert len(errors) == 1
    assert "own log" in errors[0]
    assert "x_indices" not in errors[0]
    assert str(run.path) not in errors[0]


def test_with_min_partners_a_round_goes_on_without_the_missing(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *PLAIN, "federation.min_partners=2")
    federate(run, grid_for(run, up=lambda partition, message: None if partition == 2 else message))
    assert [exchange.replied for exchange in exchanges(run)] == [2] * 5
    assert {reason for exchange in exchanges(run) for reason in exchange.left_out} == {"node 103: no reply"}


def test_a_partner_that_missed_rounds_comes_back(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", *PLAIN, "federation.min_partners=2")
    federate(run, grid_for(run, lambda partition, message: None if partition == 2 and asked(message) == ("train", 2) else message))
    assert [exchange.replied for exchange in exchanges(run)] == [3, 3, 2, 3, 3]
    assert (run.partner("partner-3") / "loss" / "round-0003.json").is_file()


@pytest.mark.parametrize("lie", ["shape", "type", "absent", "two", "body"])
def test_words_that_do_not_fit_are_left_out(tmp_path: Path, lie: str) -> None:
    run = small_run(tmp_path / "run", *PLAIN, "federation.min_partners=2", "federation.rounds=1")

    def up(partition: int, message: Message) -> Message:
        if partition == 0 and step(message) == "train":
            (words,) = message_records.vectors(message.content, message_records.WORDS)
            wrong = {"shape": [words[:5]], "type": [words.astype(np.float32)], "absent": [], "two": [words[:, None]], "body": [words]}
            message.content[message_records.WORDS] = message_records.array_record(wrong[lie])
            if lie == "body":
                del message.content[message_records.MESSAGE][message_records.BODY]
        return message

    grid = federate(run, grid_for(run, up=up))
    assert [exchange.replied for exchange in exchanges(run)] == [3, 2, 3]
    assert exchanges(run)[1].left_out[0].startswith("node 101: MalformedMessageError: ")
    alone = small_run(tmp_path / "alone", *PLAIN, "federation.min_partners=2", "federation.rounds=1")
    federate(alone, grid_for(alone, lambda partition, message: None if partition == 0 and step(message) == "train" else message))
    assert equal(kept(run).arrays, kept(alone).arrays)
    assert len(grid.sent) == 9


def test_a_sum_that_no_allowed_words_have_ends_the_run_with_a_named_error(run: RunFolder) -> None:
    def up(partition: int, message: Message) -> Message:
        if partition == 0 and step(message) == "train":
            (words,) = message_records.vectors(message.content, message_records.WORDS)
            message.content[message_records.WORDS] = message_records.array_record([np.full_like(words, 1000)])
        return message

    with pytest.raises(RoundFailedError, match="round 1: a sum over 3 partners"):
        federate(run, grid_for(run, up=up))
    assert read_json(run.coordinator / "outcome.json")["state"] == "failed"


def test_the_coordinator_asks_nobody_before_the_process_that_started_it_says_that_partners_lie_ready(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.update(prepared=False)
    waited = []

    def sleep(seconds: float) -> None:
        assert not phases(run)
        waited.append(seconds)
        run.update(prepared=len(waited) == 3)

    monkeypatch.setattr(server_app, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    federate(run)
    assert len(waited) == 3
    assert run.federated()


def test_a_run_with_too_few_partners_says_so(run: RunFolder) -> None:
    grid = grid_for(run)
    grid.disconnect(1)
    with pytest.raises(RoundFailedError, match="2 of 3 partners are connected"):
        federate(run, grid)


TRAINED = [("train", 1, 0), ("train", 2, 2), ("train", 3, 1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = small_run(tmp_path_factory.mktemp("whole") / "run", *PLAIN)
    federate(run)
    return run


@pytest.mark.parametrize("killed_at", [("rows", 0, 1), *TRAINED, ("final", 3, 0), ("final", 3, 2)])
def test_a_run_killed_anywhere_resumes_to_the_same_bits(tmp_path: Path, whole: RunFolder, killed_at: tuple[str, int, int]) -> None:
    broken = small_run(tmp_path / "broken", *PLAIN)

    def kill(partition: int, message: Message) -> Message:
        if (*asked(message), partition) == killed_at:
            raise KeyboardInterrupt
        return message

    with pytest.raises(KeyboardInterrupt):
        federate(broken, grid_for(broken, kill))
    federate(broken)
    assert equal(kept(whole).arrays, kept(broken).arrays)
    for name in whole.partners():
        model = "model.safetensors"
        assert (whole.partner(name) / model).read_bytes() == (broken.partner(name) / model).read_bytes()


def test_a_resumed_run_asks_for_no_row_list_again_and_trains_no_round_twice(run: RunFolder) -> None:
    def kill(partition: int, message: Message) -> Message:
        if message.metadata.message_type == MessageType.EVALUATE:
            raise KeyboardInterrupt
        return message

    with pytest.raises(KeyboardInterrupt):
        federate(run, grid_for(run, kill))
    federate(run)
    assert phases(run) == WHOLE
    assert (run.partner("partner-1") / "metrics" / "round-0003.parquet").is_file()


def test_the_coordinator_keeps_the_last_two_trunks_whole(run: RunFolder) -> None:
    federate(run)
    stored = sorted(run.coordinator.glob("trunk-*.safetensors"))
    assert [path.name for path in stored] == ["trunk-0002.safetensors", "trunk-0003.safetensors"]
    assert [SharedTrunk.read(path).version for path in stored] == [2, 3]
    assert not list(run.coordinator.glob(".*"))


def test_a_bare_flower_run_needs_three_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = LocalGrid(client_app.app, 2, {"run-dir": "", "conf": "demo"})
    with pytest.raises(RunError, match="2 partners are connected, and a federation has at least 3") as error:
        federate(RunFolder(tmp_path), grid)
    assert "num-supernodes" in error.value.hint

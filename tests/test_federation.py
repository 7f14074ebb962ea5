"""The coordinator and its partners together, over an in-memory network."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, MessageType, RecordDict
from safetensors.numpy import load_file

from fedapp import client_app, server_app
from fedapp.errors import RunError
from fedapp.files import read_json
from fedapp.run_folder import RunFolder
from strategies import records
from strategies.journal import read_journal
from strategies.plain_trunk import RoundFailedError
from tests.local_grid import RUN_ID, LocalGrid
from tests.small_run import small_run


def grid_for(run: RunFolder) -> LocalGrid:
    return LocalGrid(client_app.app, len(run.partners()), {"run-dir": str(run.path), "conf": "demo"})


def federate(run: RunFolder, grid: LocalGrid) -> None:
    server_app.app(grid, Context(RUN_ID, 0, {}, RecordDict(), dict(grid.run_config)))


def final_trunk(run: RunFolder) -> list[np.ndarray]:
    arrays = load_file(sorted(run.coordinator.glob("trunk-*.safetensors"))[-1])
    return [arrays[name] for name in sorted(arrays)]


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return small_run(tmp_path / "run")


def test_every_round_is_trained_evaluated_and_journalled(run: RunFolder) -> None:
    federate(run, grid_for(run))
    assert read_json(run.coordinator / "outcome.json") == {"state": "finished", "error": ""}
    assert [(exchange.round, exchange.phase) for exchange in read_journal(run.coordinator / "journal.jsonl")] == [
        (1, "train"),
        (2, "train"),
        (3, "train"),
        (3, "final"),
    ]
    for name in run.partners():
        assert sorted(path.stem for path in (run.partner(name) / "metrics").iterdir()) == ["round-0001", "round-0002", "round-0003"]
        assert (run.partner(name) / "model.safetensors").is_file()


def test_the_new_trunk_is_the_mean_of_the_partners_trunks(run: RunFolder) -> None:
    grid = grid_for(run)
    federate(run, grid)
    trained = [message.content for message in grid.received if message.content.array_records][:3]
    expected = [
        np.mean(arrays, axis=0, dtype=np.float64) for arrays in zip(*(records.trunk_from(c[records.TRUNK]) for c in trained), strict=True)
    ]
    second = next(message for message in grid.sent if message.content[records.CONFIG][records.ROUND] == 2)
    for ours, theirs in zip(expected, records.trunk_from(second.content[records.TRUNK]), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-8)


def test_the_order_of_replies_does_not_change_a_bit(tmp_path: Path) -> None:
    first, second = small_run(tmp_path / "a"), small_run(tmp_path / "b")
    federate(first, grid_for(first))
    grid = grid_for(second)
    grid.contexts = dict(reversed(grid.contexts.items()))
    deliver = grid.send_and_receive
    grid.send_and_receive = lambda messages, timeout=None: deliver(messages, timeout=timeout)[::-1]  # type: ignore[method-assign]
    federate(second, grid)
    assert same(final_trunk(first), final_trunk(second))


def test_nothing_but_the_trunk_and_the_round_number_travels(run: RunFolder) -> None:
    grid = grid_for(run)
    federate(run, grid)
    shapes = [(256, 8), (8,)]
    for message in grid.sent:
        assert set(message.content) == {records.TRUNK, records.CONFIG}
        assert set(message.content[records.CONFIG]) == {records.ROUND}
        assert [array.shape for array in records.trunk_from(message.content[records.TRUNK])] == shapes
    for message in grid.received:
        final = message.metadata.message_type == MessageType.EVALUATE
        assert set(message.content) == ({records.METRICS} if final else {records.TRUNK, records.METRICS})
        assert dict(message.content[records.METRICS]) == {}
        if not final:
            assert [array.shape for array in records.trunk_from(message.content[records.TRUNK])] == shapes
    assert all(not context.state for context in grid.contexts.values())


def test_a_metric_leaves_a_partner_only_when_configuration_shows_it(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.metrics_shown=[loss]")
    grid = grid_for(run)
    federate(run, grid)
    shown = [set(message.content[records.METRICS]) for message in grid.received if message.metadata.message_type == MessageType.TRAIN]
    assert shown == [{"loss"}] * 9
    journal = read_journal(run.coordinator / "journal.jsonl")
    assert all(set(exchange.metrics) == {"loss"} for exchange in journal if exchange.phase == "train")


def test_a_failing_partner_ends_the_run_with_a_named_error_and_its_reason_stays_at_home(run: RunFolder) -> None:
    grid = grid_for(run)
    (run.partner("partner-2") / "dataset" / "x_indices.npy").unlink()
    with pytest.raises(RoundFailedError, match="round 1: 2 of 3 partners replied, and a round needs 3"):
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
    run = small_run(tmp_path / "run", "federation.min_partners=2")
    grid = grid_for(run)
    grid.silent = {2}
    federate(run, grid)
    assert [exchange.replied for exchange in read_journal(run.coordinator / "journal.jsonl")] == [2, 2, 2, 2]


def test_a_partner_that_missed_rounds_comes_back(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.min_partners=2")
    grid = grid_for(run)

    def absent(partition: int, message: Message) -> None:
        if partition == 2 and message.content[records.CONFIG][records.ROUND] == 2:
            raise ConnectionError("not reachable")

    grid.before = absent
    federate(run, grid)
    assert [exchange.replied for exchange in read_journal(run.coordinator / "journal.jsonl")] == [3, 2, 3, 3]
    assert (run.partner("partner-3") / "loss" / "round-0003.json").is_file()


@pytest.mark.parametrize("lie", ["nan", "shape", "absent"])
def test_a_trunk_that_does_not_fit_is_not_averaged(run: RunFolder, lie: str) -> None:
    grid = grid_for(run)
    deliver = grid._deliver

    def tampered(message: Message) -> Message:
        answer = deliver(message)
        if message.metadata.dst_node_id == LocalGrid.node(0):
            weight, bias = records.trunk_from(answer.content[records.TRUNK])
            wrong = {"nan": [np.full_like(weight, np.nan), bias], "shape": [weight[:5], bias], "absent": []}[lie]
            answer.content[records.TRUNK] = records.trunk_record(wrong)
        return answer

    grid._deliver = tampered  # type: ignore[method-assign]
    with pytest.raises(RoundFailedError, match="2 of 3 partners replied"):
        federate(run, grid)


def test_a_run_with_too_few_partners_says_so(run: RunFolder) -> None:
    grid = grid_for(run)
    del grid.contexts[LocalGrid.node(1)]
    with pytest.raises(RoundFailedError, match="2 of 3 partners are connected"):
        federate(run, grid)


@pytest.mark.parametrize("killed_at", [(1, 0), (1, 2), (2, 0), (2, 2), (3, 1)])
def test_a_run_killed_anywhere_resumes_to_the_same_bits(tmp_path: Path, killed_at: tuple[int, int]) -> None:
    whole, broken = small_run(tmp_path / "whole"), small_run(tmp_path / "broken")
    federate(whole, grid_for(whole))
    grid = grid_for(broken)

    def kill(partition: int, message: Message) -> None:
        if (message.content[records.CONFIG][records.ROUND], partition) == killed_at:
            raise KeyboardInterrupt

    grid.before = kill
    with pytest.raises(KeyboardInterrupt):
        federate(broken, grid)
    federate(broken, grid_for(broken))
    assert same(final_trunk(whole), final_trunk(broken))
    for name in whole.partners():
        model = "model.safetensors"
        assert (whole.partner(name) / model).read_bytes() == (broken.partner(name) / model).read_bytes()


def test_a_run_killed_before_the_final_exchange_resumes(run: RunFolder) -> None:
    grid = grid_for(run)

    def kill(partition: int, message: Message) -> None:
        if message.metadata.message_type == MessageType.EVALUATE:
            raise KeyboardInterrupt

    grid.before = kill
    with pytest.raises(KeyboardInterrupt):
        federate(run, grid)
    federate(run, grid_for(run))
    assert read_json(run.coordinator / "outcome.json")["state"] == "finished"
    assert (run.partner("partner-1") / "metrics" / "round-0003.parquet").is_file()


def test_a_bare_flower_run_needs_two_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = LocalGrid(client_app.app, 1, {"run-dir": "", "conf": "demo"})
    with pytest.raises(RunError, match="1 partner is connected") as error:
        federate(RunFolder(tmp_path), grid)
    assert "num-supernodes" in error.value.hint

"""Secure aggregation over an in-memory network: it trains what plain aggregation trains, bit for bit, and the row guard holds."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedapp.data.dataset import Dataset
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json, read_sealed
from strategies import message_records
from strategies.secagg.phases import Step
from strategies.update import weight
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import alike, all_held, equal, exchanges, federate, grid_for, held, kept, phases, step
from tests.helpers.local_grid import LocalGrid
from tests.helpers.small_run import small_run

ROUND = [Step.COLLECT, Step.CONSISTENCY, Step.UNMASK]
GUARD = 9  # about half of the bits are held by that many of a partner's training compounds


@dataclass
class Recorded:
    """A finished run, and what its first partner held after each message."""

    run: RunFolder
    grid: LocalGrid
    trunks: list[SharedTrunk] = field(default_factory=list)

    def uploads(self) -> list[np.ndarray]:
        """Every masked vector, in the order in which the coordinator received them."""
        vectors = [
            message_records.vectors(message.content, message_records.WORDS)
            for message in self.grid.received
            if step(message) == Step.COLLECT
        ]
        return [words for (words,) in vectors]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    run = small_run(tmp_path_factory.mktemp("secure") / "run", f"privacy.row_guard={GUARD}", "federation.metrics_shown=[loss]")
    made = Recorded(run, grid_for(run))

    def up(partition: int, message: Message) -> Message:
        if partition == 0 and (run.partner("partner-1") / "shared.safetensors").is_file():
            made.trunks.append(held(run, "partner-1"))
        return message

    made.grid.up = up
    federate(run, made.grid)
    return made


def supported(run: RunFolder) -> list[set[int]]:
    """Bits that at least `GUARD` of each partner's training compounds hold, counted one by one."""
    found = []
    for name in run.partners():
        data = Dataset.open(run.partner(name) / "dataset")
        counts = dict.fromkeys(range(data.bits), 0)
        for row in data.rows_in(run.config().training_folds()):
            for bit in data.x_indices[data.x_indptr[row] : data.x_indptr[row + 1]]:
                counts[int(bit)] += 1
        found.append({bit for bit, count in counts.items() if count >= GUARD})
    return found


def test_every_round_is_trained_evaluated_and_journalled(recorded: Recorded) -> None:
    """Two exchanges set up the session, three agree on the rows, three make a round, one ends the run."""
    run = recorded.run
    assert read_sealed(run.coordinator / "outcome.json", {}) == {"state": "finished", "error": ""}
    rounds = [(number, phase) for number in (0, 1, 2, 3) for phase in ROUND]
    assert phases(run) == [(0, Step.ADVERTISE_KEYS), (0, Step.SHARE_KEYS), *rounds, (3, Step.FINISH)]
    assert all((exchange.asked, exchange.replied, exchange.left_out) == (3, 3, []) for exchange in exchanges(run))
    for name in run.partners():
        assert sorted(path.stem for path in (run.partner(name) / "metrics").iterdir()) == ["round-0001", "round-0002", "round-0003"]
        assert (run.partner(name) / "model.safetensors").is_file()
        assert not (run.partner(name) / "error.json").exists()


def test_the_journal_counts_every_byte_of_the_messages(recorded: Recorded) -> None:
    for direction, messages in (("bytes_down", recorded.grid.sent), ("bytes_up", recorded.grid.received)):
        sizes = [
            sum(message_records.payload_bytes(message.content) for message in messages[at : at + 3]) for at in range(0, len(messages), 3)
        ]
        assert [getattr(exchange, direction) for exchange in exchanges(recorded.run)] == sizes


def test_all_partners_end_with_the_same_trunk(recorded: Recorded) -> None:
    assert alike(all_held(recorded.run), version=3)
    assert recorded.trunks[-1].rows.tolist() == all_held(recorded.run)[1].rows.tolist()


@pytest.mark.parametrize(
    "overrides",
    [
        ("privacy.row_guard=9",),
        ("privacy.row_guard=9", "privacy.word_bits=16"),
        ("privacy.row_guard=0", "model.hidden=[8,4]"),
        ("privacy.row_guard=0", "privacy.word_bits=16", "federation.session_rounds=1"),
        ("privacy.row_guard=9", "federation.largest_weight=4"),
        ("privacy.row_guard=9", "federation.largest_weight=4", "privacy.word_bits=16", "model.hidden=[6,5,4]"),
        ("privacy.row_guard=9", "federation.session_rounds=2", "federation.metrics_shown=[loss,auc_pr]"),
    ],
    ids=" ".join,
)
def test_the_trunk_is_that_of_plain_aggregation_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    monkeypatch.setattr(weight, "LABELS_PER_WEIGHT", 150)  # so that these small partners have different weights
    secure, plain = small_run(tmp_path / "secure", *overrides), small_run(tmp_path / "plain", *overrides, "aggregation=plain")
    federate(secure)
    federate(plain)
    assert alike(all_held(secure), version=3)
    assert equal(held(secure, "partner-1").arrays, kept(plain).arrays)
    assert held(secure, "partner-1").value_range == kept(plain).value_range


def test_weights_change_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight, "LABELS_PER_WEIGHT", 150)
    runs = [small_run(tmp_path / str(largest), f"federation.largest_weight={largest}", "federation.rounds=1") for largest in (1, 4)]
    for run in runs:
        federate(run)
    labels = [len(Dataset.open(runs[0].partner(name) / "dataset").labels) for name in runs[0].partners()]
    assert len({weight.weight_of(count, 4) for count in labels}) > 1
    assert not equal(held(runs[0], "partner-1").arrays, held(runs[1], "partner-1").arrays)


def test_partners_may_draw_the_first_trunk_from_their_own_secret(tmp_path: Path) -> None:
    """Then two runs of one seed end with different trunks, since nobody outside can know the first one."""
    runs = [small_run(tmp_path / name, "federation.initial_trunk=group_key", "federation.rounds=1") for name in "ab"]
    for run in runs:
        federate(run)
        assert alike(all_held(run), version=1)
    assert not equal(held(runs[0], "partner-1").arrays, held(runs[1], "partner-1").arrays)


@pytest.mark.parametrize("guard", [0, GUARD])
def test_a_new_session_begins_after_as_many_rounds_as_configured(tmp_path: Path, guard: int) -> None:
    run = small_run(tmp_path / "run", f"privacy.row_guard={guard}", "federation.session_rounds=2")
    federate(run)
    rows = [(0, phase) for phase in ROUND] if guard else []
    set_up = [(0, Step.ADVERTISE_KEYS), (0, Step.SHARE_KEYS), *rows]
    first, second = [(number, phase) for number in (1, 2) for phase in ROUND], [(3, phase) for phase in ROUND]
    assert phases(run) == [*set_up, *first, (2, Step.FINISH), *set_up, *second, (3, Step.FINISH)]
    assert alike(all_held(run), version=3)


# The row guard


def test_a_row_is_listed_when_three_partners_have_enough_compounds_with_its_bit(recorded: Recorded) -> None:
    everybody = supported(recorded.run)
    expected = [sum(bit in each for each in everybody) >= 3 for bit in range(256)]
    assert 20 < sum(expected) < 216
    assert [trunk.rows.tolist() for trunk in all_held(recorded.run)] == [expected] * 3


def test_the_row_of_a_bit_that_too_few_compounds_hold_never_changes(recorded: Recorded) -> None:
    """It is zero from the first trunk on, in which it would be noise; all other rows start at random, and move."""
    hidden = sorted(set(range(256)) - set().union(*supported(recorded.run)))
    assert len(hidden) > 10
    trunks = [trunk for trunk in recorded.trunks if trunk.arrays]
    assert {trunk.version for trunk in trunks} == {0, 1, 2, 3}
    for trunk in trunks:
        assert not trunk.arrays[0][hidden].any()
        assert not trunk.arrays[0][~trunk.rows].any()
        assert trunk.arrays[0][trunk.rows].all()
    first, last = trunks[0].arrays[0], trunks[-1].arrays[0]
    assert (first != last).any(axis=1)[trunks[0].rows].all()


def test_a_partner_sends_nothing_but_zeros_in_rows_that_it_does_not_support(tmp_path: Path) -> None:
    """Shown where words can be read; that secure aggregation sends the same ones is shown above."""
    run = small_run(tmp_path / "run", "aggregation=plain", f"privacy.row_guard={GUARD}", "federation.rounds=1", "data.partners=4")
    grid = federate(run, grid_for(run))
    listed = np.flatnonzero(kept(run).rows)
    updates = {m.metadata.src_node_id: m for m in grid.received if step(m) == "train"}
    for partition, own in enumerate(supported(run)):
        (words,) = message_records.vectors(updates[LocalGrid.node(partition)].content, message_records.WORDS)
        sent = words[: len(listed) * 8].reshape(-1, 8).any(axis=1)
        assert sent.tolist() == [bit in own for bit in listed]
        assert not sent.all()


@pytest.mark.parametrize(("word_bits", "counters", "tag"), [(32, 2 + 2, 3), (16, 3 + 3, 5)])
def test_an_upload_has_the_listed_rows_the_rest_the_counters_and_a_tag(tmp_path: Path, word_bits: int, counters: int, tag: int) -> None:
    """With three partners two bits of a word are kept free: 32 and 40 bits of counters and 61 of the tag need so many words."""
    overrides = (f"privacy.row_guard={GUARD}", f"privacy.word_bits={word_bits}", "model.hidden=[8,4]", "federation.rounds=1")
    run = small_run(tmp_path / "run", *overrides)
    made = Recorded(run, federate(run, grid_for(run)))
    listed = int(held(run, "partner-1").rows.sum())
    assert [(len(each), each.dtype.itemsize * 8) for each in made.uploads()] == [
        *[(256 + tag, word_bits)] * 3,
        *[(listed * 8 + 8 + 4 * 8 + 4 + counters + tag, word_bits)] * 3,
    ]


def test_the_guard_makes_the_upload_smaller(tmp_path: Path, recorded: Recorded) -> None:
    open_run = small_run(tmp_path / "run", "privacy.row_guard=0", "federation.rounds=1")
    federate(open_run)
    sizes = {run: next(e.bytes_up for e in exchanges(run) if (e.round, e.phase) == (1, Step.COLLECT)) for run in (open_run, recorded.run)}
    left_out = int((~held(recorded.run, "partner-1").rows).sum())
    assert sizes[open_run] - sizes[recorded.run] == pytest.approx(3 * left_out * 8 * 4, abs=100)


# Metrics


def test_the_coordinator_learns_the_mean_of_a_shown_metric_and_of_no_other(recorded: Recorded) -> None:
    shown = {exchange.round: exchange.metrics for exchange in exchanges(recorded.run) if exchange.phase == Step.UNMASK}
    for number in (1, 2, 3):
        folders = [recorded.run.partner(name) / "loss" / f"round-{number:04d}.json" for name in recorded.run.partners()]
        assert shown.pop(number) == {"loss": pytest.approx(np.mean([read_json(path)["loss"] for path in folders]), abs=2**-16)}
    assert shown == {0: {}}
    assert not any(exchange.metrics for exchange in exchanges(recorded.run) if exchange.phase != Step.UNMASK)


def test_without_a_shown_metric_it_learns_none(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=2")
    grid = federate(run, grid_for(run))
    assert not any(exchange.metrics for exchange in exchanges(run))
    assert len(grid.received) == 3 * (2 + 3 * 3 + 1)


# A partner's files


def test_everything_that_a_partner_keeps_is_closed_to_other_users(recorded: Recorded) -> None:
    for name in recorded.run.partners():
        folder = recorded.run.partner(name)
        written = [path for path in folder.rglob("*") if "dataset" not in path.parts and path.is_file()]
        assert {"protocol.state", "shared.safetensors", "rows.npy", "sums.jsonl", "repetition.json"} <= {path.name for path in written}
        assert {path.name: path.stat().st_mode & 0o777 for path in written if path.stat().st_mode & 0o077} == {}
        assert not [path for path in written if path.name.startswith(".")]


def test_partners_keep_nothing_in_flower(recorded: Recorded) -> None:
    assert all(not context.state for context in recorded.grid.contexts.values())

"""Under secure aggregation the coordinator holds nothing: no trunk, no sum, no update, no key, no number of a partner, at any time."""

import base64
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from flwr.app import Message
from safetensors.numpy import load_file

from fedapp.coordinator import run_rounds
from fedapp.data.dataset import Dataset
from fedapp.evaluation.selection import validation_curve
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from strategies import message_records
from strategies.coordinator.plain_trunk import PlainTrunk
from strategies.coordinator.secure_trunk import SecureTrunk
from strategies.secagg.phases import Step
from strategies.secagg.state import State, load
from tests.helpers.federation import alike, all_held, federate, grid_for, held, kept, step
from tests.helpers.local_grid import Hook, LocalGrid, unchanged
from tests.helpers.secret_search import Secrets, held_by, in_files, in_messages
from tests.helpers.small_run import small_run

OVERRIDES = ("privacy.row_guard=9", "federation.metrics_shown=[loss]", "model.hidden=[8,4]")
ROUNDS = (1, 2, 3)
PLACES = ("files", "requests", "replies", "memory", "log")


@dataclass
class Watched:
    """A run, the secrets of its partners, and everything that its coordinator held while it lasted.

    Attributes:
        secrets: Trunks, keys, and metrics of single partners, gathered after each message.
        log: What it told its log.
        blobs, numbers: What could be reached from the strategy after each message.
    """

    run: RunFolder
    grid: LocalGrid
    strategies: list[object] = field(default_factory=list)
    secrets: Secrets = field(default_factory=Secrets)
    log: list[bytes] = field(default_factory=list)
    blobs: set[bytes] = field(default_factory=set)
    numbers: set[int | float] = field(default_factory=set)

    def look(self, partition: int, message: Message) -> Message:
        """After each message."""
        blobs, numbers = held_by(self.strategies)
        self.blobs |= blobs
        self.numbers |= numbers
        folder = self.run.partner(self.run.partners()[partition])
        if (folder / "shared.safetensors").is_file():
            trunk = held(self.run, folder.name)
            for array in trunk.arrays:
                self.secrets.add(f"trunk {trunk.version}", array.tobytes())
        if (folder / "protocol.state").is_file():
            self._add_keys(load((folder / "protocol.state").read_bytes()))
        return message

    def _add_keys(self, state: State) -> None:
        if state.advertised:
            self.secrets.add("key exchange", state.advertised.secret)
        if state.shared:
            self.secrets.add("key exchange", state.shared.secret)
            for contribution in (*state.shared.sent, state.shared.group):
                self.secrets.add("contribution", contribution)
        if state.session:
            self.secrets.add("group key", state.session.group)
            for pair in state.session.pairs:
                self.secrets.add("pair key", pair)
        if state.round:
            self.secrets.add("own shares", state.round.own_secret)

    def finish(self) -> "Watched":
        """Run to the end, and add what partners know then."""
        with pytest.MonkeyPatch.context() as patch, listening(self.log):
            for name, kind in (("SecureTrunk", SecureTrunk), ("PlainTrunk", PlainTrunk)):
                patch.setattr(run_rounds, name, recording(kind, self.strategies))
            federate(self.run, self.grid)
        assert len(self.strategies) == 1
        self.look(0, self.grid.sent[-1])
        for name in self.run.partners():
            folder = self.run.partner(name)
            for number in ROUNDS:
                loss, metrics = folder / "loss" / f"round-{number:04d}.json", folder / "metrics" / f"round-{number:04d}.parquet"
                if loss.is_file() and metrics.is_file():  # not where it dropped out
                    self.secrets.add_number("metric", read_json(loss)["loss"])
                    self.secrets.add_number("metric", validation_curve(pl.read_parquet(metrics), 5)[number])
            self._add_own_figures(PartnerFolder(folder))
            if (folder / "identity").is_dir():
                self._add_identity((folder / "identity" / "identity.key").read_bytes())
        return self

    def _add_own_figures(self, folder: PartnerFolder) -> None:
        """What a partner knows of its gain: its own model's figures, what predicts, and what either model says of each label."""
        own = PartnerFolder(folder.local)
        if not folder.choice.is_file():
            return
        figures = read_json(folder.choice)["validation"].values()
        named = {"choice": [number for of_kind in figures for number in of_kind.values() if number is not None]}
        named["own model"] = [
            mean for path in own.metrics_by_round().values() for mean in validation_curve(pl.read_parquet(path), 5).values()
        ]
        for name, numbers in named.items():
            for number in numbers:
                if len(repr(number)) > 8:  # 0.5 is found in many places
                    self.secrets.add_number(name, number)
        for scores in (folder.scores, own.scores):
            self.secrets.add("scores", pl.read_parquet(scores)["output"].to_numpy().tobytes())

    def _add_identity(self, pem: bytes) -> None:
        self.secrets.add("identity", pem.replace(b"-----BEGIN PRIVATE KEY-----", b"").replace(b"-----END PRIVATE KEY-----", b""))
        for block in pem.split(b"-----END PRIVATE KEY-----")[:-1]:
            der = base64.b64decode(block.split(b"-----BEGIN PRIVATE KEY-----")[1])
            self.secrets.add("identity", der[-32:])  # both end with the secret itself

    def hay(self) -> dict[str, list[bytes]]:
        """All that the coordinator had, by place."""
        return {
            "files": in_files(self.run.coordinator),
            "requests": in_messages(self.grid.sent),
            "replies": in_messages(self.grid.received),
            "memory": list(self.blobs),
            "log": self.log,
        }


@contextmanager
def listening(log: list[bytes]) -> Iterator[None]:
    """Keep what Flower's logger is told: the coordinator's."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.append(record.getMessage().encode())

    listener = Listener()
    logging.getLogger("flwr").addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger("flwr").removeHandler(listener)


def recording(kind: type, made: list[object]) -> type:
    """The same class, whose instances a test can get hold of."""

    class Recording(kind):  # type: ignore[misc]
        def __init__(self, *args: object, **named: object) -> None:
            super().__init__(*args, **named)
            made.append(self)

    return Recording


def watched(path: Path, *overrides: str, down: Hook = unchanged) -> Watched:
    run = small_run(path, *OVERRIDES, *overrides)
    made = Watched(run, grid_for(run, down))
    made.grid.up = made.look
    return made.finish()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    yield watched(tmp_path_factory.mktemp("secure") / "run")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The same run in the clear: what partners send in it, they send masked in the other."""
    yield watched(tmp_path_factory.mktemp("plain") / "run", "aggregation=plain")


@pytest.fixture(scope="module")
def updates(plain: Watched) -> Secrets:
    """The words of every partner's update, and of every sum; the rows that a partner supports, and how many do."""
    needles = Secrets()
    replies = [message for message in plain.grid.received if step(message) in ("rows", "train")]
    words = [message_records.vectors(message.content, message_records.WORDS)[0] for message in replies]
    for number in range(4):
        kind = "rows" if number == 0 else "update"
        of_round = words[3 * number : 3 * number + 3]
        for name, vector in [(kind, each) for each in of_round] + [(f"sum of {kind}", np.sum(of_round, axis=0, dtype=np.uint32))]:
            (needles.add if number else needles.add_whole)(name, vector.tobytes())
    trunk = kept(plain.run)
    needles.add("trunk", b"".join(array.tobytes() for array in trunk.arrays))
    return needles


def test_in_the_clear_the_search_finds_everything(plain: Watched, updates: Secrets) -> None:
    """The control: the same search, where there is something to find."""
    found = {place: updates.found_in(hay) for place, hay in plain.hay().items()}
    assert found["files"] == {"trunk"}
    assert found["requests"] == {"trunk"}
    assert found["replies"] >= {"rows", "update"}
    assert found["memory"] >= {"trunk"}
    assert len(plain.log) > 5
    assert plain.secrets.found_in(plain.hay()["replies"]) == {"metric"}


def test_the_search_finds_keys_and_trunks_and_metrics_where_they_are(secure: Watched, updates: Secrets) -> None:
    """The control for keys: each partner's own folder has them."""
    names = {"group key", "pair key", "own shares", "identity", "metric", "choice", "trunk 3"}
    assert secure.secrets.found_in(in_files(secure.run.partner("partner-2"))) >= names
    assert set(secure.secrets.windows.values()) >= {"trunk 0", "trunk 1", "trunk 2", "key exchange", "contribution", "scores"}
    assert "own model" in secure.secrets.whole.values()
    assert updates.found_in([held(secure.run, "partner-1").arrays[0].tobytes()]) == {"trunk"}


@pytest.mark.parametrize("place", PLACES)
def test_the_coordinator_has_no_trunk_no_key_and_no_metric_of_a_partner(secure: Watched, place: str) -> None:
    assert secure.secrets.found_in(secure.hay()[place]) == set()


@pytest.mark.parametrize("place", PLACES)
def test_the_coordinator_has_no_update_and_no_sum(secure: Watched, updates: Secrets, place: str) -> None:
    assert updates.found_in(secure.hay()[place]) == set()


def test_a_first_trunk_from_the_partners_secret_is_nowhere_either(tmp_path: Path) -> None:
    made = watched(tmp_path / "run", "federation.initial_trunk=group_key")
    assert alike(all_held(made.run), version=3)
    assert "trunk 0" in made.secrets.windows.values()
    assert {place: made.secrets.found_in(hay) for place, hay in made.hay().items()} == {place: set() for place in PLACES}


def test_nor_is_anything_of_a_partner_that_drops_out_or_of_a_trunk_that_is_handed_over(tmp_path: Path) -> None:
    def down(partition: int, message: Message) -> Message | None:
        away = {(Step.COLLECT, "1", 1), (Step.CONSISTENCY, "3", 2)}
        return None if (step(message), message.metadata.group_id, partition) in away else message

    made = watched(tmp_path / "run", "data.partners=4", "federation.min_partners=3", down=down)
    assert {step(message) for message in made.grid.sent} == set(Step)
    assert alike(all_held(made.run), version=3)
    assert {place: made.secrets.found_in(hay) for place, hay in made.hay().items()} == {place: set() for place in PLACES}


# What a partner has beside its trunk

MEASURED = {"SMILES", "fingerprints", "assay values", "task names", "private heads", "private rows"}


def measured_by(folder: PartnerFolder, dataset: Dataset) -> Secrets:
    """What a partner measured, and what it trains for itself alone."""
    needles = Secrets()
    for name, texts in (("SMILES", dataset.smiles()), ("task names", dataset.tasks["group"])):
        for text in texts.unique():
            needles.add_whole(name, text.encode())
    for kind in ("<i4", "<i8"):
        needles.add("fingerprints", dataset.x_indices.astype(kind).tobytes())
    bits = np.zeros((len(dataset.folds), dataset.bits), dtype=np.uint8)
    bits[np.repeat(np.arange(len(bits)), np.diff(dataset.x_indptr)), dataset.x_indices] = 1
    for order in ("little", "big"):
        needles.add("fingerprints", np.packbits(bits, axis=1, bitorder=order).tobytes())
    values = np.array(dataset.labels.values)
    for number in values[values % 1 != 0][:20]:
        needles.add_number("assay values", float(number))
    for kind in ("<f4", "<f8"):
        needles.add("assay values", values.astype(kind).tobytes())
    trained = [item for path in folder.states_by_round().values() for item in load_file(path).items()]
    for kind, part in (("private heads", "heads."), ("private rows", "private.difference")):
        for array in [array for name, array in trained if part in name]:
            needles.add(kind, array.tobytes())
    return needles


@pytest.fixture(scope="module")
def measuring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watched, dict[str, Secrets]]]:
    """A run over classes and values, and what each of its partners measured."""
    made = watched(tmp_path_factory.mktemp("measuring") / "run", "tasks.kinds=[classification,regression]")
    folders = {name: made.run.partner(name) for name in made.run.partners()}
    yield made, {name: measured_by(PartnerFolder(folder), Dataset.open(folder / "dataset")) for name, folder in folders.items()}


def test_the_search_finds_what_a_partner_measured_in_its_own_folder(measuring: tuple[Watched, dict[str, Secrets]]) -> None:
    """The control; compressed tables of text are opened first."""
    made, measured = measuring
    for name, needles in measured.items():
        folder = made.run.partner(name)
        texts = [Dataset.open(folder / "dataset").smiles()[7].encode()]
        assert needles.found_in(in_files(folder) + texts) == MEASURED


@pytest.mark.parametrize("place", PLACES)
def test_the_coordinator_has_nothing_that_a_partner_measured_and_no_private_head(
    measuring: tuple[Watched, dict[str, Secrets]], place: str
) -> None:
    made, measured = measuring
    hay = made.hay()[place]
    assert {name: needles.found_in(hay) for name, needles in measured.items()} == {name: set() for name in measured}


def test_no_partner_has_anything_that_another_one_measured_nor_its_private_heads(measuring: tuple[Watched, dict[str, Secrets]]) -> None:
    made, measured = measuring
    for name, needles in measured.items():
        for other in set(measured) - {name}:
            assert needles.found_in(in_files(made.run.partner(other))) == set(), f"{other} has something of {name}"


def test_the_coordinator_has_no_number_of_a_partners_compounds_or_labels(secure: Watched) -> None:
    counts = set()
    for name in secure.run.partners():
        data = Dataset.open(secure.run.partner(name) / "dataset")
        training = data.rows_in(secure.run.config().training_folds())
        counts |= {len(data.folds), len(training), len(data.labels), len(data.x_indices)}
    assert min(counts) > 50
    assert {101, 102, 103} <= secure.numbers, "numbers are looked at: those of the nodes are there"
    assert not counts & secure.numbers
    written = b"".join(in_files(secure.run.coordinator)).decode()
    assert not [count for count in counts if f" {count}," in written or f" {count}}}" in written]


def test_what_a_message_weighs_does_not_depend_on_what_a_partner_has(tmp_path: Path) -> None:
    """Without the row guard the form of every message is fixed; with it, by the list that partners agreed on."""
    runs = [small_run(tmp_path / name, "privacy.row_guard=0", "federation.rounds=2") for name in "ab"]
    names = runs[1].partners()
    folders = [runs[1].partner(name) / "dataset" for name in names]
    folders[0].rename(tmp_path / "held")
    folders[2].rename(folders[0])  # fewer compounds and more tasks
    (tmp_path / "held").rename(folders[2])
    sizes = []
    for run in runs:
        grid = federate(run, grid_for(run))
        sizes.append([(step(m), m.metadata.message_type, message_records.payload_bytes(m.content)) for m in (*grid.sent, *grid.received)])
    assert sizes[0] == sizes[1]
    assert not np.array_equal(held(runs[0], "partner-1").arrays[0], held(runs[1], "partner-1").arrays[0])


def test_a_message_is_a_step_its_body_and_words(secure: Watched) -> None:
    """No field beside them, and nothing but masked words and ciphertext in arrays."""
    for message in (*secure.grid.sent, *secure.grid.received):
        assert set(message.content) <= {message_records.MESSAGE, message_records.WORDS}
        assert set(message.content[message_records.MESSAGE]) == {message_records.STEP, message_records.BODY}
        vectors = message_records.vectors(message.content, message_records.WORDS)
        assert all(vector.dtype == np.uint32 and vector.ndim == 1 for vector in vectors)
        if message in secure.grid.received:
            assert len(vectors) == (1 if step(message) == Step.COLLECT else 0)


def test_masked_words_look_like_noise(secure: Watched) -> None:
    """Each byte value as often as in random bytes: chi-square with 255 degrees of freedom, six standard deviations."""
    for messages in (secure.grid.sent, secure.grid.received):
        words = {vector.tobytes() for message in messages for vector in message_records.vectors(message.content, message_records.WORDS)}
        counts = np.bincount(np.frombuffer(b"".join(words), dtype=np.uint8), minlength=256)
        expected = counts.sum() / 256
        assert expected > 10
        assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * np.sqrt(2 * 255)

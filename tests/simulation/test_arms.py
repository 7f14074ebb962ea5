"""The arms of the comparison."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.errors import RunError
from fedapp.evaluation.selection import read_metrics
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.partner.client import Partner
from fedapp.run_folder import RunFolder
from fedapp.seeds import derived_seed
from simulation.arms import SECOND, has_unguarded, train_arms, unguarded_arm
from simulation.events import RunEvent
from strategies.update import weight
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federated_run import FEW, NAMES, ROUNDS, federated_run, open_datasets
from tests.helpers.small_run import small_config, write_dataset
from tests.helpers.sweeps import EFFORT
from tests.simulation.demo_run import no_processes

Arm = Callable[[Path, Mapping[str, Dataset], Config], Iterator[RunEvent]]


@pytest.fixture
def config() -> Config:
    return small_config(*FEW)


@pytest.fixture
def datasets(tmp_path: Path) -> dict[str, Dataset]:
    return {name: write_dataset(tmp_path / "partners" / name / "dataset", name, tasks=4 + index) for index, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def federated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return federated_run(tmp_path_factory.mktemp("federated") / "run", "privacy.row_guard=10").path


@pytest.fixture
def federated(federated_once: Path, tmp_path: Path) -> Path:
    """A run folder whose federated arm is done."""
    return Path(shutil.copytree(federated_once, tmp_path / "run"))


def train(run: Path, *arms: Arm) -> None:
    for arm in arms:
        list(arm(run, open_datasets(run), RunFolder(run).config()))


def results(folder: Path) -> dict[str, bytes]:
    """Everything that is evaluated or kept, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.parent.name != "loss"}


def test_the_second_arm_reports_every_round_of_every_partner(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    events = list(train_arms(tmp_path, datasets, config, [SECOND]))
    assert [(event.arm, event.partner, event.round) for event in events] == [
        ("second", name, number) for name in NAMES for number in (1, 2, 3)
    ]
    assert all(event.score and 0 < event.score <= 1 and event.loss and event.loss > 0 for event in events)
    assert [path.name for path in sorted((tmp_path / "second" / "partner-1").iterdir())] == [
        "loss",
        "metrics",
        "model.json",
        "model.safetensors",
        "scores.parquet",
    ]


def test_the_second_arm_is_a_partner_of_another_seed_fed_its_own_trunk(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config
) -> None:
    list(train_arms(tmp_path, datasets, config, [SECOND]))
    other = replace(config, seed=derived_seed(config.seed, "second model"))
    partner = Partner(tmp_path / "by hand", datasets["partner-1"], other, local=False)
    trunk = trunk_arrays(Trunk(256, [8], other.seed))
    for number in range(1, ROUNDS + 1):
        trunk, _, _ = partner.fit(trunk, {"round": number})
    partner.evaluate(trunk, {"round": ROUNDS})
    assert read_metrics(tmp_path / "by hand").equals(read_metrics(tmp_path / "second" / "partner-1"))


def test_an_arm_that_is_done_is_skipped(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    list(train_arms(tmp_path, datasets, config, ["pooled"]))
    assert list(train_arms(tmp_path, datasets, config, ["pooled"])) == []


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_arm_resumes_and_ends_with_the_same_figures(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, after: int
) -> None:
    undisturbed = list(train_arms(tmp_path / "undisturbed", datasets, config, ["pooled"]))
    events = train_arms(tmp_path / "killed", datasets, config, ["pooled"])
    seen = [next(events) for _ in range(after)]
    events.close()
    resumed = list(train_arms(tmp_path / "killed", datasets, config, ["pooled"]))
    assert resumed[-1] == undisturbed[-1]
    assert {event.round for event in [*seen, *resumed]} == {1, 2, 3}
    assert read_metrics(tmp_path / "killed" / "pooled").equals(read_metrics(tmp_path / "undisturbed" / "pooled"))


def test_an_arm_killed_between_training_and_keeping_the_trunk_repeats_that_round(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = list(train_arms(tmp_path / "undisturbed", datasets, config, ["pooled"]))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    events = train_arms(tmp_path / "killed", datasets, config, ["pooled"])
    next(events)
    with monkeypatch.context() as patched:
        patched.setattr("simulation.arms.save_trunk", die)
        with pytest.raises(KeyboardInterrupt):
            next(events)
    assert list(train_arms(tmp_path / "killed", datasets, config, ["pooled"]))[-1] == undisturbed[-1]


def test_the_unguarded_arm_reports_every_partner_round_by_round_and_leaves_no_working_state(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config
) -> None:
    events = list(unguarded_arm(tmp_path, datasets, config))
    assert [(event.arm, event.partner, event.round) for event in events] == [
        ("unguarded", name, number) for number in (1, 2, 3) for name in NAMES
    ]
    assert all(event.score and 0 < event.score <= 1 and event.loss and event.loss > 0 for event in events)
    assert sorted(path.name for path in (tmp_path / "unguarded").iterdir()) == list(NAMES)
    for name in NAMES:
        held = sorted(path.name for path in (tmp_path / "unguarded" / name).iterdir())
        assert held == ["loss", "metrics", "model.json", "model.safetensors", "scores.parquet"]


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("privacy.word_bits=16", "privacy.range=0.03125", "federation.server_learning_rate=1.5"),
        ("federation.largest_weight=4", "model.hidden=[8,6]"),
    ],
)
def test_a_federation_without_row_guard_and_the_unguarded_arm_end_with_the_same_bits(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight, "LABELS_PER_WEIGHT", 130)  # so that these small partners differ in weight
    run = federated_run(tmp_path / "run", "privacy.row_guard=0", *overrides)
    datasets, config = open_datasets(run.path), run.config()
    assert len({weight.weight_of(len(dataset.labels), 4) for dataset in datasets.values()}) > 1
    for event in unguarded_arm(run.path, datasets, config):
        if event.round == ROUNDS and event.partner == NAMES[0]:
            final = SharedTrunk.read(run.path / "unguarded" / "shared.safetensors")
    federated = SharedTrunk.read(run.coordinator / f"trunk-{ROUNDS:04d}.safetensors")
    assert [array.tobytes() for array in final.arrays] == [array.tobytes() for array in federated.arrays]
    assert (final.version, final.value_range) == (federated.version, federated.value_range)
    for name in NAMES:
        unguarded = results(run.path / "unguarded" / name)
        judged = {path: content for path, content in unguarded.items() if not path.startswith("model")}
        assert len(judged) == ROUNDS + 1
        assert judged.items() <= results(run.partner(name)).items()


def test_the_row_guard_is_all_that_sets_the_unguarded_arm_apart(federated: Path, tmp_path: Path) -> None:
    train(federated, unguarded_arm)
    off = federated_run(tmp_path / "off", "privacy.row_guard=0")
    for name in NAMES:
        held = read_metrics(federated / "unguarded" / name)
        assert held.equals(read_metrics(off.partner(name)))
        assert not held.equals(read_metrics(federated / "partners" / name))


@pytest.mark.parametrize("after", [1, 4, 6, 7, 9])
def test_a_killed_unguarded_arm_resumes_and_ends_with_the_same_bytes(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, after: int
) -> None:
    """After 1 event round 2 has begun, after 6 all have trained round 3 and nothing is added up, after 9 all are evaluated."""
    list(unguarded_arm(tmp_path / "undisturbed", datasets, config))
    events = unguarded_arm(tmp_path / "killed", datasets, config)
    seen = [next(events) for _ in range(after)]
    events.close()
    assert (tmp_path / "killed" / "unguarded" / "shared.safetensors").is_file()
    resumed = list(unguarded_arm(tmp_path / "killed", datasets, config))
    assert {(event.partner, event.round) for event in [*seen, *resumed]} == {(name, number) for name in NAMES for number in (1, 2, 3)}
    assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")
    assert list(unguarded_arm(tmp_path / "killed", datasets, config)) == []


def test_the_unguarded_arm_is_trained_on_request_and_where_there_is_a_guard() -> None:
    assert not has_unguarded(small_config("privacy.row_guard=2"))
    assert has_unguarded(small_config("privacy.row_guard=2", "evaluation.unguarded=true"))
    for off in (0, 1):
        assert not has_unguarded(small_config(f"privacy.row_guard={off}", "evaluation.unguarded=true"))


def side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small, courses are worth worker processes; these are started only with --full, since each loads everything anew."""
    monkeypatch.setattr("simulation.arms.WORTH_WORKERS", 0)
    monkeypatch.setattr("simulation.arms.os.cpu_count", lambda: 2)
    if not EFFORT.full:
        monkeypatch.setattr("simulation.arms.processes", no_processes)


def test_courses_side_by_side_end_as_one_after_another(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = list(train_arms(tmp_path / "alone", datasets, config, ["pooled", SECOND]))
    side_by_side(monkeypatch)
    together = list(train_arms(tmp_path / "together", datasets, config, ["pooled", SECOND]))
    places = {(event.arm, event.partner, event.round): event.score for event in together}
    assert len(places) == len(together) and places == pytest.approx({(e.arm, e.partner, e.round): e.score for e in alone}, abs=0.02)
    assert list(train_arms(tmp_path / "together", datasets, config, ["pooled", SECOND])) == []


def test_what_fails_in_a_worker_fails_here(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    side_by_side(monkeypatch)
    hopeless = replace(config, training=replace(config.training, learning_rate=1e30, last_learning_rate=1e30))
    with pytest.raises(RunError, match="diverged|not finite"):
        list(train_arms(tmp_path, datasets, hopeless, [SECOND]))

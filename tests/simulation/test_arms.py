"""The arms of the comparison."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.errors import RunError
from fedapp.evaluation.comparison import figures
from fedapp.evaluation.selection import read_metrics
from fedapp.model.network import Trunk, trunk_arrays
from fedapp.partner.client import Partner
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from simulation.arms import arms_of, compare_arms, local_arm, pooled_arm, unguarded_arm
from simulation.events import RunEvent
from strategies.update import weight
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federated_run import FEW, NAMES, ROUNDS, federated_run, open_datasets
from tests.helpers.small_run import small_config, write_dataset

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


def test_the_local_arm_reports_every_round_of_every_partner(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    events = list(local_arm(tmp_path, datasets, config))
    assert [(event.arm, event.partner, event.round) for event in events] == [
        ("local", name, number) for name in NAMES for number in (1, 2, 3)
    ]
    assert all(event.score and 0 < event.score <= 1 and event.loss and event.loss > 0 for event in events)
    assert [path.name for path in sorted((tmp_path / "local" / "partner-1").iterdir())] == [
        "loss",
        "metrics",
        "model.json",
        "model.safetensors",
    ]


def test_the_local_arm_is_a_partner_fed_its_own_trunk(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    list(local_arm(tmp_path, datasets, config))
    partner, trunk = Partner(tmp_path / "by hand", datasets["partner-1"], config), trunk_arrays(Trunk(256, [8], config.seed))
    for number in range(1, ROUNDS + 1):
        trunk, _, _ = partner.fit(trunk, {"round": number})
    partner.evaluate(trunk, {"round": ROUNDS})
    assert read_metrics(tmp_path / "by hand").equals(read_metrics(tmp_path / "local" / "partner-1"))


def test_an_arm_that_is_done_is_skipped(tmp_path: Path, datasets: dict[str, Dataset], config: Config) -> None:
    list(pooled_arm(tmp_path, datasets, config))
    assert list(pooled_arm(tmp_path, datasets, config)) == []


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_arm_resumes_and_ends_with_the_same_figures(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, after: int
) -> None:
    undisturbed = list(pooled_arm(tmp_path / "undisturbed", datasets, config))
    events = pooled_arm(tmp_path / "killed", datasets, config)
    seen = [next(events) for _ in range(after)]
    events.close()
    resumed = list(pooled_arm(tmp_path / "killed", datasets, config))
    assert resumed[-1] == undisturbed[-1]
    assert {event.round for event in [*seen, *resumed]} == {1, 2, 3}
    assert read_metrics(tmp_path / "killed" / "pooled").equals(read_metrics(tmp_path / "undisturbed" / "pooled"))


def test_an_arm_killed_between_training_and_keeping_the_trunk_repeats_that_round(
    tmp_path: Path, datasets: dict[str, Dataset], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = list(pooled_arm(tmp_path / "undisturbed", datasets, config))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    events = pooled_arm(tmp_path / "killed", datasets, config)
    next(events)
    with monkeypatch.context() as patched:
        patched.setattr("simulation.arms.save_trunk", die)
        with pytest.raises(KeyboardInterrupt):
            next(events)
    assert list(pooled_arm(tmp_path / "killed", datasets, config))[-1] == undisturbed[-1]


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
        assert held == ["loss", "metrics", "model.json", "model.safetensors"]


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
        assert len(unguarded) == ROUNDS + 2
        assert unguarded.items() <= results(run.partner(name)).items()


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


def test_without_a_row_guard_there_is_no_unguarded_arm() -> None:
    assert arms_of(small_config("privacy.row_guard=2")) == ("local", "federated", "unguarded", "pooled")
    for off in (0, 1):
        assert arms_of(small_config(f"privacy.row_guard={off}")) == ("local", "federated", "pooled")


def test_the_comparison_has_one_row_a_counting_task_and_consistent_means(federated: Path) -> None:
    train(federated, local_arm, pooled_arm, unguarded_arm)
    summary = compare_arms(federated, RunFolder(federated).config())
    table = pl.read_parquet(federated / "comparison.parquet")
    assert summary == read_json(federated / "comparison.json")
    assert summary["tasks"] == len(table) == sum(own["tasks"] for own in summary["partners"].values())
    assert table["positives"].min() >= 3
    assert table["negatives"].min() >= 3
    for arm in ("local", "federated", "unguarded", "pooled"):
        for metric in ("auc_pr", "auc_roc", "bce"):
            assert summary[arm][metric] == pytest.approx(table[f"{arm}_{metric}"].mean())
    for row in table.iter_rows(named=True):
        assert row["riptop"] == pytest.approx((row["federated_auc_pr"] - row["local_auc_pr"]) / (1 - row["local_auc_pr"]))
    for held in (summary, *summary["partners"].values()):
        assert held["row_guard_effect"] == pytest.approx(held["federated"]["auc_pr"] - held["unguarded"]["auc_pr"])
    assert summary["row_guard_effect"] != 0
    assert list(summary["partners"]) == list(NAMES)
    assert set(summary["partners"]["partner-1"]["selected"]) == {"local", "federated", "unguarded", "pooled"}


def test_a_comparison_without_a_row_guard_has_three_arms_and_no_effect_of_it(tmp_path: Path) -> None:
    run = federated_run(tmp_path / "run", "privacy.row_guard=0")
    train(run.path, local_arm, pooled_arm)
    summary = compare_arms(run.path, run.config())
    assert summary["row_guard_effect"] is None
    assert "unguarded" not in summary
    assert not [name for name in pl.read_parquet(run.path / "comparison.parquet").columns if name.startswith("unguarded")]
    assert set(summary["partners"]["partner-1"]["selected"]) == {"local", "federated", "pooled"}


def test_pooled_figures_belong_to_the_partners_own_tasks(federated: Path) -> None:
    train(federated, local_arm, pooled_arm, unguarded_arm)
    summary = compare_arms(federated, RunFolder(federated).config())
    chosen = {name: own["selected"]["pooled"] for name, own in summary["partners"].items()}
    pooled = read_metrics(federated / "pooled").filter(pl.col("fold") == "test")
    offset = {"partner-1": 0, "partner-2": 4, "partner-3": 9}
    for row in pl.read_parquet(federated / "comparison.parquet").iter_rows(named=True):
        mine = (pl.col("round") == chosen[row["partner"]]) & (pl.col("task") == row["task"] + offset[row["partner"]])
        (held,) = pooled.filter(mine).iter_rows(named=True)
        assert (held["positives"], held["negatives"], held["auc_pr"]) == (row["positives"], row["negatives"], row["pooled_auc_pr"])


def table(local: list[float], federated: list[float], pooled: list[float]) -> pl.DataFrame:
    columns = {f"{arm}_auc_pr": values for arm, values in (("local", local), ("federated", federated), ("pooled", pooled))}
    columns |= {f"{arm}_{metric}": local for metric in ("auc_roc", "bce") for arm in ("local", "federated", "pooled")}
    riptop = [(mp - sp) / (1 - sp) for mp, sp in zip(federated, local, strict=True)]
    return pl.DataFrame({**columns, "riptop": riptop})


def test_the_share_of_the_pooled_gain_is_a_ratio_of_mean_gains() -> None:
    summary = figures(table([0.4, 0.6], [0.5, 0.59], [0.6, 0.6]))
    assert summary["pooled_gain_share"] == pytest.approx(0.045 / 0.1)
    assert summary["share_improved"] == 0.5
    assert summary["riptop_mean"] == pytest.approx((0.1 / 0.6 - 0.01 / 0.4) / 2)


def test_the_effect_of_the_row_guard_is_a_difference_of_means() -> None:
    with_guard = table([0.4, 0.6], [0.5, 0.59], [0.6, 0.6])
    without = with_guard.with_columns(
        pl.Series("unguarded_auc_pr", [0.53, 0.6]), *(pl.col("local_bce").alias(f"unguarded_{metric}") for metric in ("auc_roc", "bce"))
    )
    assert figures(without)["row_guard_effect"] == pytest.approx(-0.02)
    assert figures(with_guard)["row_guard_effect"] is None


def test_there_is_no_share_of_a_gain_that_is_none() -> None:
    assert figures(table([0.5], [0.6], [0.5]))["pooled_gain_share"] is None


def test_an_arm_without_metrics_is_an_error_that_names_it(federated: Path) -> None:
    with pytest.raises(RunError, match="the local arm of partner-1 has no metrics"):
        compare_arms(federated, RunFolder(federated).config())
    train(federated, local_arm, pooled_arm)
    with pytest.raises(RunError, match="the unguarded arm of partner-1 has no metrics"):
        compare_arms(federated, RunFolder(federated).config())


def test_a_run_in_which_no_task_counts_is_an_error(federated: Path) -> None:
    train(federated, local_arm, pooled_arm, unguarded_arm)
    with pytest.raises(RunError, match="no task has 1000 actives"):
        compare_arms(federated, small_config(*FEW, "evaluation.min_per_class=1000"))

"""The comparison of a run's arms, from their scores alone."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from fedapp.errors import RunError
from fedapp.evaluation.arms import ARMS, UNGUARDED
from fedapp.evaluation.combination import combine
from fedapp.evaluation.comparison import figures, merged_gain_share
from fedapp.evaluation.scores import metrics_of, read_scores
from fedapp.model.saved_model import read_model
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_sealed
from simulation.arms import train_arms, unguarded_arm
from simulation.baselines import forest_arm
from simulation.comparison import compare_arms
from simulation.results.clusters import cluster_sums, interval_of, joint_means
from tests.helpers.docs import inline_code, section
from tests.helpers.federated_run import FEW, NAMES, federated_run, open_datasets
from tests.helpers.small_run import small_config

TRAINED = tuple(arm for arm in ARMS if arm != UNGUARDED)
METRICS = ("auc_pr", "auc_roc", "bce")


def train(run: Path, *arms: str) -> Path:
    datasets, config = open_datasets(run), RunFolder(run).config()
    list(train_arms(run, datasets, config, arms) if arms else train_arms(run, datasets, config))
    list(forest_arm(run, datasets, config))
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose arms are all trained, but for the unguarded one."""
    return train(federated_run(tmp_path_factory.mktemp("compared") / "run", "privacy.row_guard=10").path)


@pytest.fixture(scope="module")
def compared(trained: Path) -> Mapping[str, object]:
    return compare_arms(trained, RunFolder(trained).config())


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_every_task_has_a_row_and_those_that_count_make_the_means(trained: Path, compared) -> None:
    table = pl.read_parquet(trained / "comparison.parquet")
    assert compared == read_sealed(trained / "comparison.json", {})
    assert len(table) == sum(len(dataset.tasks) for dataset in open_datasets(trained).values())
    counted = table.filter("counts")
    assert compared["tasks"] == len(counted) == sum(own["tasks"] for own in compared["partners"].values())
    assert counted["positives"].min() >= 3 and counted["negatives"].min() >= 3
    for arm in TRAINED:
        for metric in METRICS:
            assert compared[arm][metric] == pytest.approx(counted[f"{arm}_{metric}"].mean())
        assert 0 <= compared[arm]["calibration_error"] <= 1
        assert 0 <= compared[arm]["efficiency_05"] <= compared[arm]["coverage_05"] * 2
    for row in counted.iter_rows(named=True):
        assert row["riptop"] == pytest.approx((row["federated_auc_pr"] - row["local_auc_pr"]) / (1 - row["local_auc_pr"]))


def test_a_task_counts_with_enough_of_each_class_among_its_labels_in_the_test_fold(trained: Path) -> None:
    expected = {}
    for name, dataset in open_datasets(trained).items():
        found = {task: [0, 0] for task in dataset.tasks["task"]}
        for owner, task, value in zip(dataset.labels.owners, dataset.labels.tasks, dataset.labels.values, strict=True):
            if dataset.folds[owner] == 0:
                found[task][int(value)] += 1
        expected |= {(name, task): (positives, negatives) for task, (negatives, positives) in found.items()}
    for row in pl.read_parquet(trained / "comparison.parquet").iter_rows(named=True):
        assert (row["positives"], row["negatives"]) == expected[row["partner"], row["task"]]
        assert row["counts"] == (min(row["positives"], row["negatives"]) >= 3)
    assert len(expected) > sum(min(counts) >= 3 for counts in expected.values()) > 0, "of both sorts, else nothing is shown"


def test_what_is_not_trained_on_request_is_not_there(compared) -> None:
    assert compared["row_guard_effect"] is None and "unguarded" not in compared
    assert set(compared["partners"]["partner-1"]["selected"]) == {"local", "federated", "pooled", "merged"}


def test_the_unguarded_arm_shows_what_the_guard_does(run: Path) -> None:
    list(unguarded_arm(run, open_datasets(run), RunFolder(run).config()))
    summary = compare_arms(run, RunFolder(run).config())
    for held in (summary, *summary["partners"].values()):
        assert held["row_guard_effect"] == pytest.approx(held["federated"]["auc_pr"] - held["unguarded"]["auc_pr"])


def test_the_gain_is_the_combined_models_over_the_local_ones_as_difference_and_as_ratio(compared) -> None:
    combined, local = compared["combined"]["auc_pr"], compared["local"]["auc_pr"]
    assert compared["gain"]["value"] == pytest.approx(combined - local)
    assert compared["gain_ratio"]["value"] == pytest.approx(combined / local)
    assert compared["gain"]["low"] <= compared["gain"]["value"] <= compared["gain"]["high"]
    assert compared["gains"]["local"]["combined"] == {"difference": compared["gain"], "ratio": compared["gain_ratio"]}
    for base in ("local_twice", "pooled", "merged"):
        assert set(compared["gains"][base]) == set(TRAINED) - {base}
        over = compared["gains"][base]["combined"]["difference"]
        assert over["value"] == pytest.approx(combined - compared[base]["auc_pr"])
        assert over["low"] <= over["value"] <= over["high"]


def test_gains_follow_from_what_a_record_keeps(trained: Path, compared) -> None:
    means = joint_means([cluster_sums(pl.read_parquet(trained / "comparison.parquet"))])
    assert set(means) == set(TRAINED)
    for base, arms in compared["gains"].items():
        for arm, gain in arms.items():
            assert interval_of(means[arm] - means[base]).value == pytest.approx(gain["difference"]["value"])


@pytest.mark.parametrize("name", NAMES)
def test_the_combined_arm_is_what_a_partner_chooses_by_its_validation_fold(trained: Path, compared, name: str) -> None:
    folder = trained / "partners" / name
    federated, local = (read_scores(place / "scores.parquet") for place in (folder, folder / "local"))
    dataset = open_datasets(trained)[name]
    combined = combine(federated, local, dataset.kinds, 3)
    assert compared["partners"][name]["choice"] == combined.choice
    table = pl.read_parquet(trained / "comparison.parquet").filter(pl.col("partner") == name).sort("task")
    assert table["combined_auc_pr"].equals(metrics_of(combined.scores, dataset.kinds, folds=["test"])["auc_pr"])


def test_two_local_models_of_different_seeds_are_averaged(trained: Path) -> None:
    folders = trained / "partners" / "partner-1" / "local", trained / "second" / "partner-1"
    one, other = (read_scores(folder / "scores.parquet").sort("fold", "row", "task") for folder in folders)
    assert not one["output"].equals(other["output"])
    tested = one.with_columns(((one["output"] + other["output"]) / 2).alias("mean")).filter(pl.col("fold") == "test")
    for row in pl.read_parquet(trained / "comparison.parquet").filter("counts", pl.col("partner") == "partner-1").iter_rows(named=True):
        own = tested.filter(pl.col("task") == row["task"])
        assert row["local_twice_auc_pr"] == pytest.approx(average_precision_score(own["value"], own["mean"]), abs=1e-6)


@pytest.mark.parametrize("arm", ["pooled", "merged"])
def test_a_model_of_all_data_is_judged_on_each_partners_own_labels(trained: Path, arm: str) -> None:
    model, datasets = read_model(trained / arm), open_datasets(trained)
    names = [(task[0].rpartition("/")[2], task[1]) for task in model.tasks]
    table = pl.read_parquet(trained / "comparison.parquet").filter("counts")
    for row in table.iter_rows(named=True):
        dataset = datasets[row["partner"]]
        rows = dataset.rows_in([0])
        predicted = model.predict(*dataset.fingerprints(rows))[:, names.index((row["group"], row["threshold"]))]
        labels = dataset.labels.of(rows)
        own = labels.tasks == row["task"]
        assert row[f"{arm}_auc_pr"] == pytest.approx(average_precision_score(labels.values[own], predicted[labels.owners[own]]), abs=1e-6)


def test_the_constant_ranks_nothing_and_is_as_likely_as_the_training_labels(compared) -> None:
    assert compared["constant"]["auc_roc"] == 0.5
    assert compared["constant"]["bce"] < np.log(2) + 0.1


def test_forests_learn_what_can_be_learned(compared) -> None:
    assert compared["forest"]["auc_roc"] > 0.6


def test_the_breakdown_has_every_arm_in_every_part_and_parts_add_up(trained: Path, compared) -> None:
    table = pl.read_parquet(trained / "breakdown.parquet")
    assert set(table["by"]) == {"similarity", "partner_size", "labels", "holders"}
    for (by, arm), parts in table.group_by("by", "arm"):
        assert (parts["least"] <= parts["most"]).all()
        if by != "similarity":
            assert parts["tasks"].sum() == compared["tasks"]
            mean = (parts["auc_pr"] * parts["tasks"]).sum() / parts["tasks"].sum()
            assert mean == pytest.approx(compared[str(arm)]["auc_pr"])
    assert pl.read_csv(trained / "breakdown.csv").columns == table.columns


def test_every_key_and_column_is_described_where_results_are(trained: Path, compared) -> None:
    said = inline_code(section("conf/README.md", "What a comparison says"))
    described = {word.strip() for code in said for word in code.split(",")}
    keys = {key for figures in (compared, *(compared[arm] for arm in TRAINED), *compared["partners"].values()) for key in figures}
    assert keys | {*compared["gains"], *compared["value_gain"]} <= described
    assert {*pl.read_csv(trained / "breakdown.csv").columns} <= described
    assert {*pl.read_csv(trained / "breakdown.csv")["by"]} <= described


def test_figures_never_train(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    compare_arms(run, RunFolder(run).config())
    changed = {path.name for path in run.rglob("*") if path.is_file() and before.get(path) != path.stat().st_mtime_ns}
    assert changed <= {"comparison.json", "comparison.parquet", "breakdown.parquet", "breakdown.csv"}


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("partners/partner-1/local", "the local arm of partner-1 has no scores"),
        ("second/partner-2", "the local_twice arm of partner-2 has no scores"),
        ("forest/partner-3", "the forest arm of partner-3 has no scores"),
        ("merged", "the merged arm of partner-1 has no scores"),
    ],
)
def test_an_arm_without_scores_is_an_error_that_names_it(run: Path, folder: str, message: str) -> None:
    (run / folder / "scores.parquet").unlink()
    with pytest.raises(RunError, match=message):
        compare_arms(run, RunFolder(run).config())


def test_a_run_in_which_no_task_counts_is_an_error(run: Path) -> None:
    with pytest.raises(RunError, match="no task has 1000 actives"):
        compare_arms(run, small_config(*FEW, "evaluation.min_per_class=1000"))


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


def test_there_is_no_share_of_a_gain_that_is_none() -> None:
    assert figures(table([0.5], [0.6], [0.5]))["pooled_gain_share"] is None


def in_three_arms(gain: float, merged: float, noise: float) -> pl.DataFrame:
    """Forty tasks, each of a group of its own, on which combined and merged gain so much over local, more or less."""
    draw = np.random.default_rng(1)
    local = draw.uniform(0.4, 0.6, 40)
    columns = {"local": local, "combined": local + gain + draw.normal(0, 0.01, 40), "merged": local + merged + draw.normal(0, noise, 40)}
    return pl.DataFrame({"partner": "a", "group": [str(number) for number in range(40)]} | {f"{a}_auc_pr": c for a, c in columns.items()})


def test_the_share_of_what_merging_gains_is_a_ratio_of_mean_gains_with_its_interval() -> None:
    table = in_three_arms(0.04, 0.05, 0.01)
    share = merged_gain_share(table)
    means = {arm: table[f"{arm}_auc_pr"].mean() for arm in ("local", "combined", "merged")}
    assert share["value"] == pytest.approx((means["combined"] - means["local"]) / (means["merged"] - means["local"]))
    assert share["low"] < share["value"] < share["high"] < share["value"] + 0.15


def test_a_share_of_what_may_be_nothing_has_no_bounds_and_one_of_nothing_is_none() -> None:
    unsure = merged_gain_share(in_three_arms(0.04, 0.01, 0.2))
    assert unsure["value"] > 0 and unsure["low"] is unsure["high"] is None
    assert merged_gain_share(in_three_arms(0.04, -0.05, 0.01)) is None
    assert merged_gain_share(in_three_arms(0.04, 0.05, 0.01).with_columns(pl.lit(None, pl.Float64).alias("merged_auc_pr"))) is None

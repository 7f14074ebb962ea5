"""Runs whose tasks are values, or classes and values on one trunk: from training to the report, with all arms."""

import csv

import polars as pl
import pytest

from fedapp.data.dataset import Dataset
from fedapp.evaluation.arms import CLASS_METRICS, VALUE_METRICS
from fedapp.evaluation.selection import best_round, read_metrics
from fedapp.model.saved_model import read_model
from fedapp.partner_folder import PartnerFolder
from fedapp.report.run_page import write_report
from fedapp.report.saved_run import read_run
from fedapp.report.summary import summarise
from fedapp.run_folder import RunFolder
from simulation.arms import train_arms
from simulation.baselines import forest_arm
from simulation.comparison import compare_arms
from simulation.events import read_loss
from simulation.results.clusters import cluster_sums, joint_means
from tests.helpers.federated_run import NAMES, federated_run, few_trees, open_datasets

ALONE, BOTH = "tasks.kinds=[regression]", "tasks.kinds=[classification,regression]"


@pytest.fixture(scope="module", params=[ALONE, BOTH], ids=["values", "both"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A comparison that is done but for its figures."""
    made = federated_run(tmp_path_factory.mktemp("kinds") / "run", request.param, "privacy.row_guard=0", "training.learning_rate=0.02")
    with few_trees():
        for arms in (train_arms, forest_arm):
            list(arms(made.path, open_datasets(made.path), made.config()))
    return made


def has_classes(run: RunFolder) -> bool:
    return "classification" in run.config().tasks.kinds


def test_values_are_learned_together(run: RunFolder) -> None:
    for name in NAMES:
        losses = [read_loss(path)["loss"] for path in PartnerFolder(run.partner(name)).losses_by_round().values()]
        assert losses[-1] < losses[0]


def test_the_model_that_is_kept_is_that_of_the_round_with_the_best_score(run: RunFolder) -> None:
    for name in NAMES:
        model = read_model(run.partner(name))
        assert model.header["round"] == best_round(read_metrics(run.partner(name)), 3)
        dataset = Dataset.open(run.partner(name) / "dataset").learned_from(run.config().training_folds())
        assert model.kinds == dataset.tasks["kind"].to_list()
        assert model.normalisation.centre.tolist() == dataset.tasks["centre"].to_list()


def test_a_comparison_has_the_figures_of_each_kind_over_its_own_tasks(run: RunFolder) -> None:
    compared = compare_arms(run.path, run.config())
    table = pl.read_parquet(run.path / "comparison.parquet")
    for arm in ("local", "federated", "pooled"):
        assert set(compared[arm]) >= {*CLASS_METRICS, *VALUE_METRICS}
        for metric in VALUE_METRICS:
            assert compared[arm][metric] == pytest.approx(table[f"{arm}_{metric}"].mean())
        for metric in CLASS_METRICS:
            assert (compared[arm][metric] is not None) == has_classes(run)
    assert (compared["riptop_mean"] is not None) == has_classes(run)


def test_means_of_each_kind_follow_from_what_a_record_keeps(run: RunFolder) -> None:
    compared = compare_arms(run.path, run.config())
    sums = cluster_sums(pl.read_parquet(run.path / "comparison.parquet"))
    assert set(sums["metric"]) == {"spearman", "r2", "rmse", *(["auc_pr"] if has_classes(run) else [])}
    for metric in ("r2", "rmse"):
        for arm, mean in joint_means([sums], metric).items():
            assert mean[0] == pytest.approx(compared[arm][metric])


def test_the_report_counts_tasks_of_values_and_lists_them_with_their_figures(run: RunFolder) -> None:
    compare_arms(run.path, run.config())
    summary = summarise(read_run(run.path))
    assert len(summary.values.tasks) > 0
    assert (len(summary.classes.tasks) > 0) == has_classes(run)
    page = write_report(run.path).read_text()
    assert "Predicted values" in page
    assert ">Validation Spearman<" in page or has_classes(run)
    with (run.path / "tasks.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "regression"]
    assert rows
    assert all(row["column"] == f"{row['group']} (p)" for row in rows)
    counted = [row for row in rows if not row["left_out"]]
    assert len(counted) == len(summary.values.tasks)
    assert all(float(row[f"{arm}_{metric}"]) for row in counted for arm in ("local", "federated", "pooled") for metric in VALUE_METRICS)
    assert all((f"federated_{metric}" in rows[0]) == has_classes(run) for metric in CLASS_METRICS)
    assert write_report(run.path).is_file(), "its own table is known again"

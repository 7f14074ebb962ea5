from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedapp.evaluation.intervals import mean_interval
from fedapp.evaluation.selection import judged_metrics, selected_rounds
from fedapp.report.counted_tasks import count_only
from fedapp.report.saved_run import read_run
from fedapp.report.summary import summarise
from fedapp.storage.sealed_table import write_table
from tests.report.synthetic import COMPARED

Make = Callable[..., Path]


def gains(values: np.ndarray, per_group: int = 1) -> pl.DataFrame:
    groups = [f"g{place // per_group}" for place in range(len(values))]
    return pl.DataFrame({"partner": "A", "group": groups, "gain": values})


def test_the_interval_of_a_mean_agrees_with_its_standard_error() -> None:
    values = np.random.default_rng(3).normal(0.01, 0.04, 900)
    interval = mean_interval(gains(values), "gain")
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - 1.96 * values.std() / 30, abs=4e-4)
    assert interval.high == pytest.approx(values.mean() + 1.96 * values.std() / 30, abs=4e-4)


def test_thresholds_of_one_assay_are_resampled_together() -> None:
    assays = np.random.default_rng(4).normal(0, 0.04, 300)
    alone, together = mean_interval(gains(assays), "gain"), mean_interval(gains(np.repeat(assays, 3), per_group=3), "gain")
    assert together.high is not None
    assert together.high == pytest.approx(alone.high)


def test_too_few_assays_have_no_interval() -> None:
    interval = mean_interval(gains(np.full(12, 0.1), per_group=4), "gain")
    assert (interval.low, interval.high, interval.sign) == (None, None, 0)


def test_the_sign_of_an_interval_is_zero_unless_all_of_it_lies_on_one_side() -> None:
    noise = np.random.default_rng(5).normal(0, 0.01, 200)
    assert mean_interval(gains(noise + 0.01), "gain").sign == 1
    assert mean_interval(gains(noise - 0.01), "gain").sign == -1
    assert mean_interval(gains(noise - noise.mean()), "gain").sign == 0


def test_a_simulation_is_judged_on_the_test_fold_at_each_partners_selected_round(synthetic: Make) -> None:
    run = read_run(synthetic(kind="simulate", tasks=90))
    metrics = run.arms["federated"].metrics
    test = judged_metrics(metrics, selected_rounds(metrics, 5)).filter(pl.col("positives") >= 5, pl.col("negatives") >= 5)
    summary = summarise(run)
    assert summary.mean("federated", "auc_pr") == pytest.approx(test["auc_pr"].mean())
    assert len(summary.classes.tasks) == len(test)
    assert summary.counted + len(summary.uncounted) == 90


def test_means_of_a_comparison_are_those_that_it_saved(synthetic: Make) -> None:
    run = read_run(synthetic(tasks=90))
    assert run.comparison is not None
    summary = summarise(run)
    for arm in COMPARED:
        saved = run.comparison.arms[arm]
        assert {metric: summary.classes.arms[arm][metric] for metric in saved} == saved
    gain = summary.classes.gain
    assert gain is not None
    assert gain.value == pytest.approx(run.comparison.arms["combined"]["auc_pr"] - run.comparison.arms["local"]["auc_pr"])


def test_the_effect_of_the_row_guard_is_that_of_the_saved_comparison(synthetic: Make) -> None:
    run = read_run(synthetic(tasks=90, row_guard=10))
    assert run.comparison is not None
    kind = summarise(run).classes
    assert kind.guard_effect is not None
    assert kind.guard_effect.value == pytest.approx(run.comparison.arms["federated"]["auc_pr"] - run.comparison.arms["unguarded"]["auc_pr"])


def test_there_is_no_effect_of_the_row_guard_without_the_unguarded_arm(synthetic: Make) -> None:
    kind = summarise(read_run(synthetic(tasks=90))).classes
    assert kind.guard_effect is None
    assert "unguarded" not in kind.arms


def test_tasks_of_values_count_with_enough_exact_ones_whatever_a_constant_does(synthetic: Make) -> None:
    summary = summarise(read_run(synthetic(tasks=30, values=40)))
    kind = summary.values
    assert 0 < len(kind.tasks) < 40
    assert kind.tasks["exact"].min() >= 10
    assert "constant" not in kind.scores
    assert kind.errors["p"]["constant"]["rmse"].value == pytest.approx(kind.tasks["constant_rmse"].mean())
    assert set(summary.tasks.filter(pl.col("kind") == "regression")["unit"]) == {"p"}


def test_a_partner_without_a_task_that_counts_has_a_row_of_its_own_and_no_figures(synthetic: Make) -> None:
    run = synthetic(tasks=90)
    table = pl.read_parquet(run / "comparison.parquet")
    write_table(run / "comparison.parquet", table.filter(pl.col("partner") != "Birch"))
    figures = summarise(read_run(run)).classes.partners["Birch"]
    assert (figures.counted, figures.gain, set(figures.means.values())) == (0, None, {None})


@pytest.mark.parametrize(("arm", "counts"), [("forest", True), ("constant", True), ("local", False)])
def test_a_task_counts_though_a_floor_has_no_rank_correlation_there(arm: str, counts: bool) -> None:
    scores = {f"{name}_spearman": [0.5, None if name == arm else 0.4] for name in ("local", "federated", "forest", "constant")}
    table = pl.DataFrame(
        {"partner": ["a", "a"], "task": [0, 1], "positives": [None, None], "negatives": [None, None], "exact": [50, 50]} | scores
    )
    assert count_only(table, 5, "spearman")["task"].to_list() == ([0, 1] if counts else [0])

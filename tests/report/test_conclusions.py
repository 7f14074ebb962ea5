from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fedapp.evaluation.intervals import Interval
from fedapp.report.conclusions import caveats, clipped, guard_effect, judged_labels, learned, left_out, spans
from fedapp.report.headline import verdict
from fedapp.report.saved_run import read_run
from fedapp.report.summary import summarise
from fedapp.storage.sealed_table import write_table
from strategies.update.round_sum import RoundSum

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.mark.parametrize(
    ("threshold", "kind", "unit", "words"),
    [
        (6.5, "classification", "p", "pX\u00a0≥\u00a06.5"),
        (6.5, "classification", None, "pX\u00a0≥\u00a06.5"),
        (50.0, "classification", "%", "value\u00a0≥\u00a050\u00a0%"),
        (None, "classification", "label", "0/1 label"),
        (None, "regression", "%", "value in %"),
        (None, "regression", "p", "value in p"),
    ],
)
def test_what_is_learned_of_a_task_reads_as_in_print(threshold: float | None, kind: str, unit: str | None, words: str) -> None:
    assert learned({"threshold": threshold, "kind": kind, "unit": unit}) == words


def test_labels_in_the_test_fold_are_those_of_the_tasks_kind_and_of_an_auxiliary_task_there_are_none() -> None:
    nothing = {"positives": None, "negatives": None, "exact": None}
    assert judged_labels(nothing | {"positives": 3, "negatives": 1200}) == "3 / 1,200"
    assert judged_labels(nothing | {"exact": 14}) == "14 exact values"
    assert judged_labels(nothing) == "not judged"


def test_neighbouring_rounds_are_joined() -> None:
    assert spans([4]) == "round 4"
    assert spans([3, 4, 5, 8, 10]) == "rounds 3 to 5, 8 and 10"


def test_the_row_guard_costs_or_gains_only_beyond_the_uncertainty() -> None:
    assert guard_effect(Interval(-0.012, -0.02, -0.005), "AUC-PR") == (
        "The row guard costs 0.012 mean AUC-PR (95\u00a0% interval \u22120.020 to \u22120.005)."
    )
    assert "The row guard gains 0.012" in str(guard_effect(Interval(0.012, 0.005, 0.02), "AUC-PR"))
    assert "no clear difference" in str(guard_effect(Interval(-0.001, -0.004, 0.002), "AUC-PR"))
    assert "too few tasks" in str(guard_effect(Interval(-0.012), "AUC-PR"))
    assert guard_effect(None, "AUC-PR") is None


def test_clipping_is_told_as_a_share_of_what_all_partners_sent() -> None:
    rounds = [RoundSum(number, 3, lost, 0.04, 1000, 0.25, 120, 0) for number, lost in ((1, 0), (2, 30), (3, 15))]
    assert clipped(rounds) == "45 of the 9,000 coordinates that partners sent in 3 rounds were clipped (0.5\u00a0%), most in round 2."
    assert clipped(rounds[:1]) == "None of the 3,000 coordinates that partners sent in 1 round was clipped."
    assert clipped([]) is None


def test_a_reason_for_leaving_replies_out_is_told_once() -> None:
    assert left_out({("Unmasking", "no reply"): ["set-up", "3", "4", "7"]}) == ["Unmasking, set-up, rounds 3 to 4 and 7: no reply."]


def test_training_that_was_still_rising_is_a_caveat(synthetic: Make) -> None:
    run = read_run(synthetic(tasks=120, rounds=6))
    summary = summarise(run)
    rising = replace(summary, selected={"federated": {"Alder": 6, "Birch": 6, "Cedar": 4}})
    level = replace(summary, selected={"federated": {"Alder": 4, "Birch": 4, "Cedar": 6}})
    assert any("had not levelled off" in title for title, _ in caveats(run, rising, 6))
    assert not any("had not levelled off" in title for title, _ in caveats(run, level, 6))


def with_setting(folder: Path, before: str, after: str) -> Path:
    config = folder / "config.yaml"
    assert before in config.read_text()
    config.write_text(config.read_text().replace(before, after))
    return folder


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("tables: tables/fsmol_dev", "A program dealt out assays to the partners"),
        ("tables: tables/fsmol_dev, deal: endpoints", "A program dealt out the compounds of each endpoint to the partners"),
        ("tables: [a, b, c]", "Each partner had tables of its own, as they were given."),
    ],
)
def test_how_partners_came_by_their_data_is_told_as_it_was(setting: str, told: str, synthetic: Make) -> None:
    run = read_run(with_setting(synthetic(), "tables: tables/fsmol_dev", setting))
    said = dict(caveats(run, summarise(run), 4))
    assert told in said["The partners are simulated."]
    assert ("dealing out" in said["One seed, one split."]) == ("[" not in setting)


ORDER = "Trust the order of predicted values more than the values."


def values_of(folder: Path, **figures: float) -> dict[str, str]:
    """The caveats of a comparison in which these figures of tasks of values are as given."""
    table = pl.read_parquet(folder / "comparison.parquet")
    of_values = pl.col("kind") == "regression"
    changed = [pl.when(of_values).then(pl.lit(value)).alias(name) for name, value in figures.items()]
    write_table(folder / "comparison.parquet", table.with_columns(changed))
    run = read_run(folder)
    return dict(caveats(run, summarise(run), 4))


def test_values_that_are_further_off_than_a_constant_or_local_models_are_a_caveat_however_well_they_rank(synthetic: Make) -> None:
    good = {"combined_rmse": 0.7, "local_rmse": 0.8, "constant_rmse": 1.0, "combined_r2": 0.3}
    shape = {"values": 40, "tasks": 40}
    assert ORDER not in values_of(synthetic("a", **shape), **good)
    both = values_of(synthetic("b", **shape), **good | {"combined_rmse": 1.25, "constant_rmse": 1.2})[ORDER]
    assert "mean RMSE in p is 1.250, against 0.800 of each partner's own model and 1.200 of a constant" in both
    assert "Ranking may gain while the values do not." in both and "R²" not in both
    local = values_of(synthetic("c", **shape), **good | {"combined_rmse": 0.9})[ORDER]
    assert "0.800 of each partner's own model." in local and "a constant" not in local
    spread = values_of(synthetic("d", **shape), **good | {"combined_r2": -0.21})[ORDER]
    assert "mean R² is \u22120.210" in spread and "RMSE" not in spread


def test_a_run_without_tasks_of_values_says_nothing_of_values(synthetic: Make) -> None:
    run = read_run(synthetic())
    assert ORDER not in dict(caveats(run, summarise(run), 4))


def test_a_run_that_kept_no_fold_for_judging_gives_no_verdict_and_says_why(synthetic: Make) -> None:
    folder = synthetic(kind="simulate")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("test_fold: 0", "test_fold: null"))
    for path in folder.rglob("metrics/*.parquet"):
        write_table(path, pl.read_parquet(path).filter(pl.col("fold") != "test"))
    run = read_run(folder)
    summary = summarise(run)
    assert verdict(run, summary, 3).startswith("No verdict: no fold was kept for judging")
    assert "Nothing was judged." in dict(caveats(run, summary, 3))
    assert summary.counted == 0
    assert set(summary.uncounted["reason"]) == {"no fold was kept for judging"}

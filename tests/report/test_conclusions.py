from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from fedapp.evaluation.intervals import Interval
from fedapp.report.conclusions import caveats, clipped, guard_effect, left_out, spans, threshold
from fedapp.report.headline import verdict
from fedapp.report.saved_run import read_run
from fedapp.report.summary import summarise
from strategies.update.round_sum import RoundSum

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_resamples")


def test_a_threshold_reads_as_in_print() -> None:
    assert threshold(6.5) == "pX\u00a0≥\u00a06.5"
    assert threshold(None) == "0/1 label"


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


def test_a_run_that_kept_no_fold_for_judging_gives_no_verdict_and_says_why(synthetic: Make) -> None:
    folder = synthetic(kind="simulate")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("test_fold: 0", "test_fold: null"))
    for path in folder.rglob("metrics/*.parquet"):
        pl.read_parquet(path).filter(pl.col("fold") != "test").write_parquet(path)
    run = read_run(folder)
    summary = summarise(run)
    assert verdict(run, summary, 3).startswith("No verdict: no fold was kept for judging")
    assert "Nothing was judged." in dict(caveats(run, summary, 3))
    assert summary.counted == 0
    assert set(summary.uncounted["reason"]) == {"no fold was kept for judging"}

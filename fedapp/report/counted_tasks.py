"""Which tasks count, which do not and why, and the table of all."""

from collections.abc import Collection, Mapping

import polars as pl

from fedapp.evaluation.arms import ARMS, CLASSIFICATION, CONSTANT, COUNTS, FEDERATED, FOREST, METRICS, REGRESSION, column
from fedapp.evaluation.counting import VALUES_PER_CLASS, enough
from fedapp.evaluation.selection import judged_metrics
from fedapp.report.saved_run import SavedRun

NOT_TESTED, NO_TEST = "no labelled compound in the test fold", "no fold was kept for judging"
NOT_EVALUATED = "not evaluated yet"
HELPS_OTHERS = "auxiliary: trained on for the others' sake"
UNDEFINED = "undefined in one of the arms"
FACTS = ("group", "threshold", "kind", "unit", "auxiliary")  # of a task, beside its counts


def tested_tasks(run: SavedRun, selected: Mapping[str, int]) -> pl.DataFrame:
    """Every task with its test-fold figures in the federated arm (null where it has none); `labels` counts all folds."""
    columns = ["partner", "task", *COUNTS, *METRICS]
    known = run.tasks.select("partner", "task", *FACTS, pl.sum_horizontal(*COUNTS).alias("labels"))
    if FEDERATED not in run.arms:
        return known.with_columns(*(pl.lit(None, dtype=pl.Int64).alias(name) for name in COUNTS)).with_columns(
            *(pl.lit(None, dtype=pl.Float64).alias(name) for name in METRICS)
        )
    tested = judged_metrics(run.arms[FEDERATED].metrics, selected).select(columns)
    if known.is_empty():
        kind = pl.when(pl.col("exact").is_null()).then(pl.lit(CLASSIFICATION)).otherwise(pl.lit(REGRESSION)).alias("kind")
        known = tested.select("partner", "task", pl.format("task {}", "task").alias("group"), kind).with_columns(
            pl.lit(None, pl.Float64).alias("threshold"),
            pl.lit(None, pl.String).alias("unit"),
            pl.lit(False).alias("auxiliary"),
            pl.lit(None, pl.Int64).alias("labels"),
        )
    return known.join(tested, on=["partner", "task"], how="left")


def count_only(table: pl.DataFrame, minimum: int, metric: str) -> pl.DataFrame:
    """The tasks with `enough` labels in the test fold and this metric, which tells their kind, defined in every arm but the floors.

    A constant has no rank correlation with anything, and a forest may say the same of all compounds of a task.
    """
    if "exact" not in table.columns:
        table = table.with_columns(pl.lit(None, pl.Int64).alias("exact"))
    floors = {column(arm, metric) for arm in (CONSTANT, FOREST)}
    scores = [pl.col(name).is_not_null() for name in table.columns if name.endswith(f"_{metric}") and name not in floors]
    return table.filter(enough(minimum), *(scores or [pl.lit(False)]))


def uncounted_tasks(tested: pl.DataFrame, judged: pl.DataFrame, minimum: int, evaluated: Collection[str], untested: str) -> pl.DataFrame:
    """The tasks that do not count, each with the reason; `untested` is that of a task without a label in the test fold."""
    few_positives, few_negatives = pl.col("positives") < minimum, pl.col("negatives") < minimum
    missing = pl.sum_horizontal(*COUNTS) == 0
    least = VALUES_PER_CLASS * minimum
    reason = (
        pl.when(~pl.col("partner").is_in(list(evaluated)))
        .then(pl.lit(NOT_EVALUATED))
        .when(pl.col("auxiliary"))
        .then(pl.lit(HELPS_OTHERS))
        .when(missing)
        .then(pl.lit(untested))
        .when(few_positives & few_negatives)
        .then(pl.lit(f"fewer than {minimum} actives and fewer than {minimum} inactives in the test fold"))
        .when(few_positives)
        .then(pl.lit(f"fewer than {minimum} actives in the test fold"))
        .when(few_negatives)
        .then(pl.lit(f"fewer than {minimum} inactives in the test fold"))
        .when(pl.col("exact") < least)
        .then(pl.lit(f"fewer than {least} exact values in the test fold"))
        .otherwise(pl.lit(UNDEFINED))
    )
    counted = judged.select("partner", pl.col("task").cast(tested.schema["task"]))
    left = tested.join(counted, on=["partner", "task"], how="anti").with_columns(reason.alias("reason"))
    columns = ("partner", "task", "group", "threshold", "kind", "unit", "positives", "negatives", "exact", "reason")
    return left.select(columns).sort("reason", "partner", maintain_order=True)


def every_task(tested: pl.DataFrame, judged: pl.DataFrame, uncounted: pl.DataFrame, compared: pl.DataFrame | None) -> pl.DataFrame:
    """`Summary.tasks`: the scores that count are those of `judged`; the other tasks have theirs of `compared`, else what the federated arm
    gave, and the reason."""
    key, first = ["partner", "task"], ["partner", "task", *(name for name in FACTS if name != "auxiliary"), "labels", *COUNTS]
    scores = [name for arm in ARMS for metric in METRICS if (name := column(arm, metric)) in judged.columns]
    absent = [name for name in first if name not in judged.columns]  # what a comparison's own table does not say of a task
    counted = judged.select(pl.col("task").cast(tested.schema["task"]), pl.exclude("task")).join(
        tested.select(*key, *absent), on=key, how="left"
    )
    left = tested.rename({metric: column(FEDERATED, metric) for metric in METRICS}).join(counted, on=key, how="anti")
    reasons = uncounted.select(*key, "reason")
    rest = left.join(reasons, on=key, how="left").select(*first, *(column(FEDERATED, metric) for metric in METRICS), "reason")
    if compared is not None:
        known = [name for name in scores if name in compared.columns]
        saved = compared.select("partner", pl.col("task").cast(tested.schema["task"]), *known)
        rest = rest.join(saved, on=key, how="left", suffix="_saved")
        rest = rest.with_columns(pl.coalesce(f"{name}_saved", name).alias(name) for name in scores if f"{name}_saved" in rest.columns)
    return pl.concat([counted.select(*first, *scores), rest], how="diagonal_relaxed").select(*first, *scores, "reason").sort(key)

"""Tasks of two classes: a p-value, or one in %, against a threshold, or a label that is 0 or 1 already."""

import polars as pl

from fedapp.data.labels import EXACT
from fedapp.data.notation import LABEL_UNIT


def has_threshold(grid: pl.DataFrame) -> pl.Expr:
    """Which activities tell a class: 0/1 labels, and values of groups that have a threshold."""
    return (pl.col("kind") == LABEL_UNIT) | pl.col("group").is_in(grid["group"].unique().implode())


def classes_at_thresholds(activities: pl.DataFrame, grid: pl.DataFrame) -> pl.DataFrame:
    """One class per value and threshold of its group: group, threshold, row, value (1, 0, or null where a censored value does not decide).

    Active means value >= threshold, so "p < v" says inactive when v <= threshold, "p > v" says active when v >= threshold. Values and
    thresholds are compared as float32, the precision that values are stored in: 6.7 has reached a threshold of 6.7.

    Args:
        grid: group, threshold f32.
    """
    value, threshold, relation = pl.col("value"), pl.col("threshold"), pl.col("relation")
    decided = (
        pl.when(relation == "=")
        .then(value >= threshold)
        .when((relation == "<") & (value <= threshold))
        .then(pl.lit(False))
        .when((relation == ">") & (value >= threshold))
        .then(pl.lit(True))
    )
    measured = activities.filter(pl.col("kind") != LABEL_UNIT).join(grid, on="group").with_columns(decided.alias("value"))
    classes = activities.filter(pl.col("kind") == LABEL_UNIT).with_columns(
        pl.lit(None, dtype=pl.Float32).alias("threshold"), (value >= 0.5).alias("value")
    )
    return pl.concat([frame.select("group", "threshold", "row", "value") for frame in (measured, classes)])


def majority(voted: pl.DataFrame) -> pl.DataFrame:
    """One label per group, threshold and row: value (f32, 0 or 1), what most of its values say, and censor. Ties are left out."""
    share = voted.group_by("group", "threshold", "row").agg(pl.col("value").mean().alias("share")).filter(pl.col("share") != 0.5)
    value, censor = (pl.col("share") > 0.5).cast(pl.Float32).alias("value"), pl.lit(EXACT, pl.Int8).alias("censor")
    return share.select("group", "threshold", "row", value, censor)


def count_classes(labels: pl.DataFrame) -> pl.DataFrame:
    """Positives and negatives (i32) of every candidate task."""
    positive = pl.col("value").sum().cast(pl.Int32)
    return labels.group_by("group", "threshold").agg(positive.alias("positives"), (pl.len().cast(pl.Int32) - positive).alias("negatives"))


def largest_of_classes(every: pl.DataFrame, minimum: int) -> str:
    """That no candidate task has the quorum, and which comes nearest."""
    message = f"none of {len(every)} tasks has {minimum} actives and {minimum} inactives"
    if every.is_empty():
        return message
    best = every.sort(pl.min_horizontal("positives", "negatives"), descending=True).row(0, named=True)
    at = "" if best["threshold"] is None else f" at {best['threshold']:.3g}"
    return f"{message}; the largest, {best['group']}{at}, has {best['positives']} and {best['negatives']}"

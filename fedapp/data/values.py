"""Tasks of values: the measured value itself, in the unit of its task, or the bound that a measurement gives."""

import polars as pl

from fedapp.data.labels import ABOVE, BELOW, EXACT
from fedapp.data.notation import LABEL_UNIT
from fedapp.evaluation.counting import VALUES_PER_CLASS

NO_THRESHOLD = pl.lit(None, dtype=pl.Float32).alias("threshold")


def is_measured(_grid: pl.DataFrame) -> pl.Expr:
    """Which activities tell a value: all but 0/1 labels."""
    return pl.col("kind") != LABEL_UNIT


def values_with_sides(activities: pl.DataFrame, _grid: pl.DataFrame) -> pl.DataFrame:
    """group, threshold (null), row, value (f32), and relation of every value."""
    return activities.select("group", NO_THRESHOLD, "row", "value", "relation")


def median_or_bound(voted: pl.DataFrame) -> pl.DataFrame:
    """One label per group and row: group, threshold (null), row, value (f32) and censor.

    Exact values count as their median, and a censored one beside them, which says less or contradicts them, not at all. Without exact
    ones the tightest bound counts. A compound that is bounded on both sides is left out: a label has one side.
    """
    value, relation = pl.col("value"), pl.col("relation")
    agreed = voted.group_by("group", "row").agg(
        value.filter(relation == "=").median().alias("exact"),
        value.filter(relation == ">").max().alias("above"),
        value.filter(relation == "<").min().alias("below"),
    )
    exact, above, below = (pl.col(name).is_not_null() for name in ("exact", "above", "below"))
    one_sided = agreed.filter(exact | (above ^ below))
    censor = pl.when(exact).then(pl.lit(EXACT)).when(above).then(pl.lit(ABOVE)).otherwise(pl.lit(BELOW))
    label = pl.coalesce("exact", "above", "below").cast(pl.Float32).alias("value")
    return one_sided.select("group", NO_THRESHOLD, "row", label, censor.cast(pl.Int8).alias("censor"))


def count_values(labels: pl.DataFrame) -> pl.DataFrame:
    """Exact and censored labels (i32) of every candidate task, and its centre and scale (f32): mean and standard deviation of the exact.

    In units of its own spread each task has a loss of one where nothing is known of it, so that none outweighs the others. Here they are
    of all folds; a training takes those of the folds that it learns from (`Dataset.learned_from`). They are the partner's own, and stay
    with it.
    """
    exact = pl.col("censor") == EXACT
    values = pl.col("value").filter(exact).cast(pl.Float64)
    spread = values.std(ddof=0)
    return labels.group_by("group", "threshold").agg(
        exact.sum().cast(pl.Int32).alias("exact"),
        (~exact).sum().cast(pl.Int32).alias("censored"),
        values.mean().cast(pl.Float32).alias("centre"),
        pl.when(spread.cast(pl.Float32) > 0).then(spread).otherwise(1.0).cast(pl.Float32).alias("scale"),
    )


def largest_of_values(every: pl.DataFrame, minimum: int) -> str:
    """That no candidate task has the quorum, and which comes nearest."""
    message = f"none of {len(every)} tasks of values has {VALUES_PER_CLASS * minimum} exact ones"
    if every.is_empty():
        return message
    best = every.sort("exact", descending=True).row(0, named=True)
    return f"{message}; the largest, {best['group']}, has {best['exact']}"

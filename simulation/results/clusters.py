"""A comparison's tasks added up by partner and group, as its record keeps them; and means over several seeds, as sure as they are.

Tasks of one partner and group (an assay's or a target's thresholds) are one cluster: what is resampled is resampled whole, here as in
`fedapp.evaluation.intervals`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.evaluation.arms import AUC_PR, R2, RMSE, SPEARMAN, column
from fedapp.evaluation.comparison import arms_in
from fedapp.evaluation.intervals import CLUSTERS_FOR_AN_INTERVAL, RESAMPLES, Interval

METRICS = (AUC_PR, SPEARMAN, R2, RMSE)
SCHEMA = {"metric": pl.String, "partner": pl.String, "group": pl.String, "tasks": pl.UInt32}  # then a column of sums for each arm

Means = Mapping[str, NDArray[np.float64]]


def cluster_sums(tasks: pl.DataFrame) -> pl.DataFrame:
    """One row for each metric and cluster: metric, partner, group, tasks, then of each arm the sum over the cluster's tasks.

    A task is in a metric's sums if every arm has it there, but for arms that no task has it of, such as the rank correlation of a constant:
    those have null.

    Args:
        tasks: As a comparison saves them: partner, group, counts, and each arm's figures.
    """
    counted, arms = tasks.filter("counts"), arms_in(tasks.columns)
    tables = []
    for metric in METRICS:
        known = [arm for arm in arms if counted[column(arm, metric)].is_not_null().any()]
        judged = counted.drop_nulls([column(arm, metric) for arm in known]) if known else counted.clear()
        sums = [pl.col(column(arm, metric)).sum().alias(arm) for arm in known]
        of_metric = judged.group_by("partner", "group").agg(pl.len().alias("tasks"), *sums).sort("partner", "group")
        tables.append(of_metric.select(pl.lit(metric).alias("metric"), pl.all()))
    none = pl.DataFrame(schema=SCHEMA | dict.fromkeys(arms, pl.Float64))
    return pl.concat([none, *tables], how="diagonal")


def joint_means(seeds: Sequence[pl.DataFrame], metric: str = AUC_PR) -> Means:
    """The mean over seeds of each arm's mean over tasks; and the same of resampled seeds, each with resampled clusters.

    All arms are resampled together, so that differences and ratios of them are paired. Few seeds resampled vary less among one another
    than seeds do (by 1 / their number), so that intervals are a little too narrow.

    Args:
        seeds: `cluster_sums` of each.
    Returns:
        Each arm that all seeds have to float64 (1 + resamples,), as it was measured first; (1,) where a seed has too few clusters.
        Nothing if a seed has no task with that metric.
    """
    parts = [sums.filter(pl.col("metric") == metric) for sums in seeds]
    arms = [arm for arm in arms_in(seeds[0].columns) if all(arm in part.columns and len(part.drop_nulls(arm)) for part in parts)]
    sums = [part.select("tasks", *arms).to_numpy().astype(np.float64) for part in parts]
    means = np.stack([mean_of(each.sum(axis=0)) for each in sums]).mean(axis=0, keepdims=True)
    if arms and min(map(len, sums)) >= CLUSTERS_FOR_AN_INTERVAL:
        means = np.concatenate([means, resampled_means(sums)])
    return dict(zip(arms, means.T, strict=True))


def resampled_means(seeds: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Means over seeds drawn with replacement, each of clusters drawn with replacement: float64 (resamples, arms).

    Args:
        seeds: Of each its clusters, (clusters, 1 + arms): how many tasks, and the arms' sums.
    """
    generator = np.random.default_rng(0)
    drawn = generator.integers(len(seeds), size=(RESAMPLES, len(seeds)))
    means = np.empty((*drawn.shape, seeds[0].shape[1] - 1))
    for number, clusters in enumerate(seeds):
        here = drawn == number
        times = generator.multinomial(len(clusters), np.full(len(clusters), 1 / len(clusters)), size=int(here.sum()))
        means[here] = mean_of(times @ clusters)
    return np.asarray(means.mean(axis=1))


def mean_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of how many tasks and the arms' sums along the last axis, the arms' means."""
    return np.asarray(sums[..., 1:] / sums[..., :1])


def interval_of(values: NDArray[np.float64]) -> Interval:
    """A figure as it was measured, first of all, with the 95 % percentile interval of its resamples."""
    if len(values) == 1:
        return Interval(float(values[0]))
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return Interval(float(values[0]), float(low), float(high))

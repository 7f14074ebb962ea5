"""The kinds of task, one table: how measured values become labels, by which loss they are learned, and what is measured of predictions.

Needs no torch: a loss is named here and computed in `fedapp.model.losses`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.errors import DataError
from fedapp.evaluation.arms import BCE
from fedapp.evaluation.metrics import TaskMetrics, task_metrics

KIND = "kind"  # column of a dataset's tasks table; a table without it has binary tasks alone


@dataclass(frozen=True)
class TaskKind:
    """What tasks of a kind have in common.

    Attributes:
        name: In the column `KIND`.
        vote: Activities and thresholds -> what each value says: group, threshold, row, label; null where it decides nothing.
        settle: Votes that decide -> one label per group, threshold and row; none where they contradict each other.
        count: Labels -> group, threshold, positives, negatives (i32) of every candidate task, which the quorum looks at.
        loss: Key of `fedapp.model.losses.LOSSES`.
        measure: Tasks, values and outputs of some labels, and the number of tasks -> metrics of each task.
    """

    name: str
    vote: Callable[[pl.DataFrame, list[float]], pl.DataFrame]
    settle: Callable[[pl.DataFrame], pl.DataFrame]
    count: Callable[[pl.DataFrame], pl.DataFrame]
    loss: str
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray, int], TaskMetrics]


def classes_at_thresholds(activities: pl.DataFrame, thresholds: list[float]) -> pl.DataFrame:
    """One label per value and threshold: group, threshold, row, label (null where a censored value does not decide).

    Active means p >= threshold, so "p < v" says inactive when v <= threshold, "p > v" says active when v >= threshold. Values and
    thresholds are compared as float32, the precision that values are stored in: 6.7 has reached a threshold of 6.7.
    """
    grid = pl.DataFrame({"threshold": pl.Series(np.unique(np.array(thresholds, dtype=np.float32)))})
    value, threshold, relation = pl.col("value"), pl.col("threshold"), pl.col("relation")
    decided = (
        pl.when(relation == "=")
        .then(value >= threshold)
        .when((relation == "<") & (value <= threshold))
        .then(pl.lit(False))
        .when((relation == ">") & (value >= threshold))
        .then(pl.lit(True))
    )
    p_values = activities.filter(pl.col("kind") == "p").join(grid, how="cross").with_columns(decided.alias("label"))
    classes = activities.filter(pl.col("kind") == "label").with_columns(
        pl.lit(None, dtype=pl.Float32).alias("threshold"), (value >= 0.5).alias("label")
    )
    return pl.concat([frame.select("group", "threshold", "row", "label") for frame in (p_values, classes)])


def majority(voted: pl.DataFrame) -> pl.DataFrame:
    """One label (u8) per group, threshold and row: what most of its values say. Ties are left out."""
    share = voted.group_by("group", "threshold", "row").agg(pl.col("label").mean().alias("share")).filter(pl.col("share") != 0.5)
    return share.select("group", "threshold", "row", (pl.col("share") > 0.5).cast(pl.UInt8).alias("label"))


def count_classes(labels: pl.DataFrame) -> pl.DataFrame:
    """Positives and negatives (i32) of every candidate task."""
    positive = pl.col("label").sum().cast(pl.Int32)
    return labels.group_by("group", "threshold").agg(positive.alias("positives"), (pl.len().cast(pl.Int32) - positive).alias("negatives"))


BINARY = TaskKind(
    name="binary",
    vote=classes_at_thresholds,
    settle=majority,
    count=count_classes,
    loss=BCE,
    measure=task_metrics,
)
KINDS = {kind.name: kind for kind in (BINARY,)}


def tasks_by_kind(tasks: pl.DataFrame) -> dict[TaskKind, NDArray[np.bool_]]:
    """The kinds in a dataset's tasks table, each with its tasks: bool [tasks].

    Raises:
        DataError: A kind that this version does not know.
    """
    if KIND not in tasks.columns:
        return {BINARY: np.ones(len(tasks), dtype=np.bool_)}
    names = tasks[KIND].unique(maintain_order=True).to_list()
    if unknown := [name for name in names if name not in KINDS]:
        raise DataError(f"tasks of the unknown kind {unknown[0]!r}; known are {', '.join(KINDS)}", "use the version that made the dataset")
    return {KINDS[name]: (tasks[KIND] == name).to_numpy() for name in names}

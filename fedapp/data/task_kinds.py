"""The kinds of task, one table: how measured values become labels, by which loss they are learned, and what is measured of predictions.

Needs no torch: a loss is named here and computed in `fedapp.model.losses`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.data import classes, values
from fedapp.errors import DataError
from fedapp.evaluation.arms import BCE, CLASSIFICATION, REGRESSION, RMSE
from fedapp.evaluation.metrics import TaskMetrics, task_metrics
from fedapp.evaluation.value_metrics import ValueMetrics, value_metrics

KIND, AUXILIARY = "kind", "auxiliary"  # columns of a dataset's tasks table
# What a tasks table says of a task unless it says otherwise: two classes, judged, in no unit of its own.
DEFAULTS = {
    KIND: pl.lit(CLASSIFICATION),
    "unit": pl.lit(None, pl.String),
    AUXILIARY: pl.lit(False),
    "exact": pl.lit(None, pl.Int32),
    "censored": pl.lit(None, pl.Int32),
    "centre": pl.lit(0.0, pl.Float32),
    "scale": pl.lit(1.0, pl.Float32),
}

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], TaskMetrics | ValueMetrics]


@dataclass(frozen=True)
class TaskKind:
    """What tasks of a kind have in common.

    Attributes:
        name: In the column `KIND`.
        uses: Group and threshold of every task -> which activities may become labels, an expression over their columns.
        vote: Those activities and the same table -> what each value says: group, threshold, row, value; null where it decides nothing.
        settle: Votes that decide -> one label per group, threshold and row, with value f32 and censor i8; none where they contradict
            each other, which is called `contradicted`.
        count: Labels -> group, threshold, and of every candidate task the columns of a tasks table that count its labels.
        shortage: Counts and quorum -> that no candidate has the quorum, which of a task's labels is called `too_few`.
        loss: Key of `fedapp.model.losses.LOSSES`.
        measure: Tasks, values, censors and predictions of some labels, and the number of tasks -> metrics of each task.
    """

    name: str
    uses: Callable[[pl.DataFrame], pl.Expr]
    vote: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
    settle: Callable[[pl.DataFrame], pl.DataFrame]
    contradicted: str
    count: Callable[[pl.DataFrame], pl.DataFrame]
    shortage: Callable[[pl.DataFrame, int], str]
    too_few: str
    loss: str
    measure: Measure


def measure_classes(tasks: np.ndarray, labels: np.ndarray, _censors: np.ndarray, logits: np.ndarray, count: int) -> TaskMetrics:
    """A class is never censored."""
    return task_metrics(tasks, labels, logits, count)


CLASSES = TaskKind(
    name=CLASSIFICATION,
    uses=classes.has_threshold,
    vote=classes.classes_at_thresholds,
    settle=classes.majority,
    contradicted="tied",
    count=classes.count_classes,
    shortage=classes.largest_of_classes,
    too_few="below quorum",
    loss=BCE,
    measure=measure_classes,
)
VALUES = TaskKind(
    name=REGRESSION,
    uses=values.is_measured,
    vote=values.values_with_sides,
    settle=values.median_or_bound,
    contradicted="bounded on both sides",
    count=values.count_values,
    shortage=values.largest_of_values,
    too_few="too few exact values",
    loss=RMSE,
    measure=value_metrics,
)
KINDS = {kind.name: kind for kind in (CLASSES, VALUES)}


def completed(tasks: pl.DataFrame) -> pl.DataFrame:
    """A tasks table with all of its columns: what it does not say is as `DEFAULTS`."""
    return tasks.with_columns(value.alias(name) for name, value in DEFAULTS.items() if name not in tasks.columns)


def tasks_by_kind(tasks: pl.DataFrame) -> dict[TaskKind, NDArray[np.bool_]]:
    """The kinds in a dataset's tasks table, each with its tasks: bool [tasks].

    Raises:
        DataError: A kind that this version does not know.
    """
    kinds = completed(tasks)[KIND]
    names = kinds.unique(maintain_order=True).to_list()
    if unknown := [name for name in names if name not in KINDS]:
        raise DataError(f"tasks of the unknown kind {unknown[0]!r}; known are {', '.join(KINDS)}", "use the version that made the dataset")
    return {KINDS[name]: (kinds == name).to_numpy() for name in names}

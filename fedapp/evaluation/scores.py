"""What a model says of every label that it is chosen and judged by; from these, and nothing else, follow all figures about it."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.evaluation.selection import TEST, VALIDATION, with_every_column
from fedapp.storage.damage import reading
from fedapp.storage.sealed_table import read_table, write_table

SCORES_SCHEMA = {
    "fold": pl.String,
    "row": pl.Int32,
    "task": pl.Int32,
    "value": pl.Float32,
    "censor": pl.Int8,
    "output": pl.Float32,
}
LABEL = ["fold", "row", "task"]
AGAIN = "restore it from a backup, or train again"


class Kind(Protocol):
    """What is needed here of a kind of task (`fedapp.data.task_kinds`)."""

    @property
    def name(self) -> str: ...

    @property
    def measure(self) -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], Any]: ...


def write_scores(path: Path, scores: pl.DataFrame) -> None:
    """Write scores whole or not at all, for their owner alone.

    Args:
        scores: fold str (validation or test), row i32 (compound of the dataset), task i32, value f32 and censor i8 of the label, and
            output f32: a logit, or for a measured value what is predicted, in the task's unit. Each label once.
    """
    write_table(path, scores.select(pl.col(name).cast(kind) for name, kind in SCORES_SCHEMA.items()))


def read_scores(path: Path) -> pl.DataFrame:
    """What `write_scores` wrote.

    Raises:
        DamagedFileError: The file is missing, damaged, or holds something else.
    """
    with reading(path, AGAIN):
        scores = read_table(path, AGAIN).select(pl.col(name).cast(kind) for name, kind in SCORES_SCHEMA.items())
        if empty := [name for name, count in scores.null_count().row(0, named=True).items() if count]:
            raise ValueError(f"its column {empty[0]} has empty cells")
        if scores.select(pl.struct(LABEL).is_duplicated().any()).item():
            raise ValueError("it scores a label twice")
        return scores


def metrics_of(
    scores: pl.DataFrame, kinds: Mapping[Any, NDArray[np.bool_]], number: int = 0, folds: Collection[str] = (VALIDATION, TEST)
) -> pl.DataFrame:
    """Metrics of each task in each fold, by fold, then task: columns as in `METRICS_SCHEMA`, null where undefined.

    Args:
        kinds: Each kind of task (`Kind`), and its tasks, bool [tasks].
        number: The round that the metrics are said to be of.
        folds: Whose; a task without a score there has counts of 0.
    """
    frames = []
    for fold in folds:
        of_fold = scores.filter(pl.col("fold") == fold)
        measured = pl.concat([_measured(kind, own, of_fold) for kind, own in kinds.items()], how="diagonal").sort("task")
        frames.append(measured.with_columns(pl.lit(number).alias("round"), pl.lit(fold).alias("fold")))
    return with_every_column(pl.concat(frames).fill_nan(None).collect())  # a plan for all: one by one, steps take longer than figures


def _measured(kind: Kind, own: NDArray[np.bool_], scores: pl.DataFrame) -> pl.LazyFrame:
    """task and the metrics of one kind, of its `own` tasks."""
    tasks, values, censors, outputs = (scores[name].to_numpy() for name in ("task", "value", "censor", "output"))
    of_kind = own[tasks]
    metrics = kind.measure(tasks[of_kind], values[of_kind], censors[of_kind], outputs[of_kind], len(own))
    return pl.LazyFrame({"task": np.arange(len(own)), **vars(metrics)}).filter(pl.lit(pl.Series(own)))

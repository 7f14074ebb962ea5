"""Between the unit of a task and what its head gives: a head learns values in units of its task's own spread."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fedapp.data.labels import EXACT, Labels
from fedapp.data.task_kinds import KIND, completed
from fedapp.evaluation.arms import REGRESSION

COMMON_UNITS = "common_units"  # a column of a tasks table in memory: whether centre and scale are the catalogue's


@dataclass(frozen=True)
class Normalisation:
    """What is taken off the values of each task, and what they are divided by; 0 and 1 for classes.

    Attributes:
        centre, scale: float32 [tasks], in the task's unit.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def of_table(cls, tasks: pl.DataFrame) -> "Normalisation":
        """That of a dataset's tasks table."""
        whole = completed(tasks).sort("task") if "task" in tasks.columns else completed(tasks)
        return cls(*(whole[name].to_numpy().astype(np.float32) for name in ("centre", "scale")))

    @property
    def changes_nothing(self) -> bool:
        """Whether all tasks are learned in their own unit, as classes are."""
        return bool((self.centre == 0).all() and (self.scale == 1).all())

    def normalised(self, tasks: NDArray[np.int32], values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of these tasks, float32 [n], as their heads are to give them."""
        return values if self.changes_nothing else (values - self.centre[tasks]) / self.scale[tasks]

    def in_units(self, tasks: NDArray[Any], outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs of these tasks' heads, float32 [n] or [..., n], in the tasks' units; a class's stays a logit."""
        return outputs if self.changes_nothing else self.centre[tasks] + self.scale[tasks] * outputs


def with_units_of(tasks: pl.DataFrame, labels: Labels) -> pl.DataFrame:
    """A tasks table in which centre and scale of each task of values are mean and standard deviation of its exact ones among these labels.

    So nothing of a value enters a training that does not learn from it. A task without any has what it had; the scale of equal values is 1.

    Args:
        tasks: As of a dataset, in the order of their numbers.
    """
    whole, exact = completed(tasks), labels.censors == EXACT
    numbers, values = labels.tasks[exact], labels.values[exact].astype(np.float64)
    counts = np.bincount(numbers, minlength=len(whole))
    some = np.maximum(counts, 1)
    centre = np.bincount(numbers, values, minlength=len(whole)) / some
    spread = np.sqrt(np.bincount(numbers, (values - centre[numbers]) ** 2, minlength=len(whole)) / some).astype(np.float32)
    learned = pl.Series((whole[KIND] == REGRESSION).to_numpy() & (counts > 0))
    units = {"centre": centre.astype(np.float32), "scale": np.where(spread > 0, spread, np.float32(1.0))}
    return whole.with_columns(pl.when(learned).then(pl.Series(given)).otherwise(name).alias(name) for name, given in units.items())


def with_common_units(tasks: pl.DataFrame, units: Mapping[str, tuple[float, float]]) -> pl.DataFrame:
    """A tasks table in which some groups' tasks of values have a centre and scale that several partners agreed on, marked `COMMON_UNITS`.

    Only so does a head that they share mean the same at all of them.

    Args:
        tasks: As of a dataset.
        units: Group to centre and scale, in the unit of its tasks.
    """
    whole = completed(tasks)
    shared = (pl.col(KIND) == REGRESSION) & pl.col("group").is_in(list(units))
    columns = {
        name: pl.col("group").replace_strict({group: pair[place] for group, pair in units.items()}, default=None, return_dtype=pl.Float32)
        for place, name in enumerate(("centre", "scale"))
    }
    changed = (pl.when(shared).then(column).otherwise(name).alias(name) for name, column in columns.items())
    return whole.with_columns(*changed, shared.alias(COMMON_UNITS))

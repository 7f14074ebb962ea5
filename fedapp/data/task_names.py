"""What a task is called wherever tables have a column or a row for it."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fedapp.data.notation import P_UNIT, PERCENT_UNIT
from fedapp.evaluation.arms import REGRESSION

OWN_COLUMNS = ("compound_id", "smiles", "reason")  # of a table of predictions


VALUE_COLUMN = re.compile(rf" \(({'|'.join((P_UNIT, PERCENT_UNIT))})\)( \(task \d+\))*$")


class TaskName(NamedTuple):
    """What a task is called by.

    Attributes:
        group: Assay or target.
        threshold: None for 0/1 labels and for values.
        unit: Of values, None for classes, of which a probability is predicted.
    """

    group: str
    threshold: float | None = None
    unit: str | None = None


def name_of_task(group: str, threshold: float | None, kind: str, unit: str | None) -> TaskName:
    """By the columns of a tasks table."""
    return TaskName(group, threshold, (unit or P_UNIT) if kind == REGRESSION else None)


def task_name(group: str, threshold: float | None = None, unit: str | None = None) -> str:
    """`GROUP >= THRESHOLD` for a probability, `GROUP` where the labels were 0/1, `GROUP (UNIT)` for a value in that unit."""
    if unit is not None:
        return f"{group} ({unit})"
    return group if threshold is None else f"{group} >= {json.dumps(round(threshold, 4))}"


def is_value(column: str) -> bool:
    """Whether a column of predictions, by its name, holds values in a unit, and not probabilities."""
    return VALUE_COLUMN.search(column) is not None


def column_names(tasks: Sequence[tuple[str, float | None] | TaskName]) -> list[str]:
    """A name of its own for every task of a model, whatever its groups are called.

    A name that two tasks have, or that is one of `OWN_COLUMNS`, gets ` (task N)` behind it, N being the task's number from 0. It depends
    on the tasks alone, so that every table of a model has the same columns.

    Args:
        tasks: Group, threshold, and of values the unit of each task, by number.
    """
    names = [task_name(*task) for task in tasks]
    while repeated := {name for name, times in Counter([*OWN_COLUMNS, *names]).items() if times > 1}:
        # A longer name may meet that of a group called so; two longer ones never meet, since they end in their numbers.
        names = [f"{name} (task {number})" if name in repeated else name for number, name in enumerate(names)]
    return names

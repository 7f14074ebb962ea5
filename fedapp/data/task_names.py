"""What a task is called wherever tables have a column or a row for it."""

import json
from collections import Counter
from collections.abc import Sequence

OWN_COLUMNS = ("compound_id", "smiles", "reason")  # of a table of predictions


def task_name(group: str, threshold: float | None) -> str:
    """`GROUP >= THRESHOLD`, or `GROUP` where the labels were 0/1."""
    return group if threshold is None else f"{group} >= {json.dumps(round(threshold, 4))}"


def column_names(tasks: Sequence[tuple[str, float | None]]) -> list[str]:
    """A name of its own for every task of a model, whatever its groups are called.

    A name that two tasks have, or that is one of `OWN_COLUMNS`, gets ` (task N)` behind it, N being the task's number from 0. It depends
    on the tasks alone, so that every table of a model has the same columns.

    Args:
        tasks: Group and threshold of each task, by number.
    """
    names = [task_name(group, threshold) for group, threshold in tasks]
    while repeated := {name for name, times in Counter([*OWN_COLUMNS, *names]).items() if times > 1}:
        # A longer name may meet that of a group called so; two longer ones never meet, since they end in their numbers.
        names = [f"{name} (task {number})" if name in repeated else name for number, name in enumerate(names)]
    return names

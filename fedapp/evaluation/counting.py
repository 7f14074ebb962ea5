"""Which tasks count: in figures, in the choice of a round, and among the tasks that a dataset keeps."""

import polars as pl

VALUES_PER_CLASS = 2  # a task of values counts with as many exact ones as a task of classes has labels at least


def enough(minimum: int) -> pl.Expr:
    """Whether a task has `minimum` actives and as many inactives, or, as a task of values, twice as many exact values.

    Looks at the columns positives, negatives, exact; those that a kind of task does not have are null.
    """
    classes = (pl.col("positives") >= minimum) & (pl.col("negatives") >= minimum)
    return classes.fill_null(False) | (pl.col("exact") >= VALUES_PER_CLASS * minimum).fill_null(False)

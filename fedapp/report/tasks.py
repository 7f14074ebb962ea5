"""The per-task table beside a report, for spreadsheets."""

from pathlib import Path

import polars as pl

from fedapp.files import write_text
from fedapp.report.summary import METRICS, Summary
from fedapp.task_names import column_names

TASKS = "tasks.csv"
DIGITS = 6


def write_tasks(folder: Path, summary: Summary) -> Path:
    """Write `folder`/tasks.csv: one row per task, with its scores on the test fold at the round that its partner selected.

    Columns: partner, task, column (its name in predictions), group, threshold, labels (all folds), test_actives, test_inactives, then
    <arm>_auc_pr, <arm>_auc_roc, <arm>_bce, and left_out: why it does not count in means, empty where it does.
    """
    named = [own.with_columns(names_of(own)) for own in summary.tasks.partition_by("partner", maintain_order=True)]
    table = pl.concat(named) if named else summary.tasks.with_columns(pl.lit("").alias("column"))
    table = table.with_columns(pl.selectors.ends_with(*METRICS).round(DIGITS), pl.col("threshold").cast(pl.Float32))  # 6.7, not 6.699999809
    table = table.rename({"positives": "test_actives", "negatives": "test_inactives", "reason": "left_out"})
    write_text(folder / TASKS, table.select("partner", "task", "column", pl.exclude("partner", "task", "column")).write_csv())
    return folder / TASKS


def names_of(own: pl.DataFrame) -> pl.Series:
    """The columns that one partner's tasks have in predictions."""
    return pl.Series("column", column_names(list(own.select("group", "threshold").iter_rows())), pl.String)

"""A report's two files: the page, and beside it the per-task table, for spreadsheets. Neither takes the place of a person's file."""

import re
from pathlib import Path

import polars as pl

from fedapp.data.task_names import column_names, name_of_task
from fedapp.evaluation.arms import METRICS, METRICS_OF
from fedapp.report.summary import Summary
from fedapp.storage.files import write_text
from fedapp.storage.output import check_file

REPORT, TASKS = "report.html", "tasks.csv"
TITLE = " – Polyphony</title>"
HEAD = 1 << 16  # bytes of a page in which its title stands
FIRST = ("partner", "task", "column")
COUNTED = {"positives": "test_actives", "negatives": "test_inactives", "exact": "test_exact", "censored": "test_censored"}
HEADER = re.compile(
    rf"{','.join(FIRST)},group,threshold,(kind,unit,)?labels,test_actives,test_inactives(,test_exact,test_censored)?"
    rf"(,\w+_({'|'.join(METRICS)}))*,left_out\n"
)
DIGITS = 6


def write_report_files(folder: Path, page: str, summary: Summary | None) -> Path:
    """Write `folder`/report.html and, of what has tasks, tasks.csv; the page's path.

    Columns of the table: partner, task, column (the task's name in predictions), group, threshold, kind, unit, labels (all folds),
    test_actives, test_inactives, test_exact, test_censored, then <arm>_<metric> for the metrics of the kinds that there are, on the test
    fold at the round that the partner selected, and left_out: why the task does not count in means, empty where it does.

    Raises:
        OutputError: A file of one of these names is there, and we did not write it.
    """
    check_file(folder / REPORT, [], is_page)
    if summary is not None:
        check_file(folder / TASKS, [], is_table)
        write_text(folder / TASKS, table(summary).write_csv())
    write_text(folder / REPORT, page)
    return folder / REPORT


def table(summary: Summary) -> pl.DataFrame:
    """What tasks.csv holds."""
    named = [tasks.with_columns(names_of(tasks)) for tasks in summary.tasks.partition_by("partner", maintain_order=True)]
    tasks = pl.concat(named) if named else summary.tasks.with_columns(pl.lit("").alias("column"))
    tasks = tasks.rename(COUNTED | {"reason": "left_out"})
    tasks = tasks.with_columns(pl.selectors.ends_with(*METRICS).round(DIGITS), pl.col("threshold").cast(pl.Float32))  # 6.7, not 6.699999809
    of_kinds = {metric for kind, metrics in METRICS_OF.items() if (tasks["kind"] == kind).any() for metric in metrics}
    absent = [name for name in tasks.columns if name.endswith(METRICS) and not name.endswith(tuple(f"_{metric}" for metric in of_kinds))]
    return tasks.drop(absent).select(*FIRST, pl.exclude(FIRST))


def names_of(tasks: pl.DataFrame) -> pl.Series:
    """The columns that one partner's tasks have in predictions."""
    named = [name_of_task(*facts) for facts in tasks.select("group", "threshold", "kind", "unit").iter_rows()]
    return pl.Series("column", column_names(named), pl.String)


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours."""
    with path.open("rb") as file:
        return TITLE in file.read(HEAD).decode(errors="replace")


def is_table(path: Path) -> bool:
    """Whether a file begins as our table of tasks, to which nobody added a column."""
    with path.open("rb") as file:
        return HEADER.fullmatch(file.readline(HEAD).decode(errors="replace")) is not None

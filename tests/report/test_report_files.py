"""The files of a report: tasks.csv beside a run's page: every task once, with what the page's means are made of."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from fedapp.errors import OutputError
from fedapp.report.report_files import write_report_files
from fedapp.report.saved_run import read_run
from fedapp.report.summary import summarise
from tests.report.synthetic import COMPARED

Make = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("few_resamples")
PAGE = "<title>demo – Polyphony</title>"


def table(run: Path) -> list[dict[str, str]]:
    write_report_files(run, PAGE, summarise(read_run(run)))
    with (run / "tasks.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mean(rows: list[dict[str, str]], column: str) -> float:
    values = [float(row[column]) for row in rows if not row["left_out"]]
    return sum(values) / len(values)


@pytest.mark.parametrize("kind", ["simulate", "compare"])
def test_it_has_every_task_of_every_partner_and_those_that_count_give_the_pages_means(synthetic: Make, kind: str) -> None:
    run = synthetic(kind=kind, tasks=90, row_guard=10)
    rows, summary = table(run), summarise(read_run(run))
    assert len({(row["partner"], row["task"]) for row in rows}) == len(rows) == 90
    assert sum(not row["left_out"] for row in rows) == summary.counted
    arms = (*COMPARED, "unguarded") if kind == "compare" else ("federated",)
    assert {name for name in rows[0] if name.endswith("_auc_pr")} == {f"{arm}_auc_pr" for arm in arms}
    for arm in arms:
        for metric in ("auc_pr", "auc_roc", "bce"):
            assert mean(rows, f"{arm}_{metric}") == pytest.approx(summary.classes.arms[arm][metric], abs=1e-5)


def test_tasks_that_do_not_count_say_why_and_thresholds_are_as_they_were_given(synthetic: Make) -> None:
    rows = table(synthetic(kind="simulate", tasks=90))
    assert {row["threshold"] for row in rows} == {"5.5", "6.5", "7.5"}
    for row in rows:
        few = min(int(row["test_actives"]), int(row["test_inactives"])) < 5
        assert bool(row["left_out"]) == few
        assert row["column"] == f"{row['group']} >= {row['threshold']}"


def test_a_run_before_its_first_round_has_its_tasks(synthetic: Make) -> None:
    rows = table(synthetic(kind="simulate", tasks=30, done=0))
    assert len(rows) == 30
    assert {row["left_out"] for row in rows} == {"not evaluated yet"}


def commented(table: str) -> str:
    """The table with a column of a person's behind its own."""
    header, *rows = table.splitlines()
    return "\n".join([f"{header},my notes", *(f"{row},look again" for row in rows)])


@pytest.mark.parametrize(
    ("name", "change"), [("report.html", lambda _: "my own thoughts"), ("tasks.csv", lambda _: "my own thoughts"), ("tasks.csv", commented)]
)
def test_they_replace_earlier_ones_and_nothing_of_a_persons(synthetic: Make, name: str, change: Callable[[str], str]) -> None:
    run = synthetic(kind="simulate", tasks=30)
    table(run)
    table(run)
    (run / name).write_text(change((run / name).read_text()))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match=name):
        table(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

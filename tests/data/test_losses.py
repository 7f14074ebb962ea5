from typing import Any

import polars as pl

from fedapp.data.losses import further_lines, label_lines, label_warnings, table_warnings, task_lines


def table(read: int, accepted: int) -> dict[str, Any]:
    return {"file": "t.csv", "read": read, "accepted": accepted, "rejected": {"unknown unit": read - accepted}}


def header(lost: int, offered: int) -> dict[str, Any]:
    return {
        "dropped": {"undecided": 0, "tied": 0, "below quorum": lost},
        "offered": dict.fromkeys(["undecided", "tied", "below quorum"], offered),
    }


def test_a_table_that_loses_more_than_a_tenth_is_a_warning_and_one_that_loses_a_tenth_is_not() -> None:
    assert table_warnings({"tables": {"activities": table(1000, 900)}}) == []
    assert table_warnings({"tables": {"activities": table(1000, 899)}}) == ["t.csv: 101 of 1,000 rows (10%) are left out: 101 unknown unit"]


def test_the_commonest_reasons_are_named_in_whatever_order_they_were_saved() -> None:
    lossy = table(1000, 0) | {"rejected": {"a": 1, "b": 600, "c": 99, "d": 300}}
    assert table_warnings({"tables": {"activities": lossy}}) == ["t.csv: 1,000 of 1,000 rows (100%) are left out: 600 b; 300 d; 99 c"]


def test_so_it_is_with_labels() -> None:
    assert label_warnings(header(100, 1000)) == []
    assert label_warnings(header(250, 1000)) == [
        "250 of 1,000 labels (25%) are of tasks with fewer actives or inactives than tasks.min_per_class"
    ]


def test_of_a_dataset_that_does_not_say_what_was_offered_nothing_is_said() -> None:
    assert label_warnings({"dropped": {"below quorum": 5}}) == []


def test_values_that_no_kind_uses_are_told_which_kind_would() -> None:
    unused = {"dropped": {"unused": 460}, "offered": {"unused": 1000}}
    assert "an auxiliary screen in %, which takes regression among tasks.kinds" in label_warnings(unused)[0]


def test_tasks_are_told_by_kind_and_unit_with_their_labels() -> None:
    rows = [
        ("herg", "classification", "p", False, 30, 20, None, None),
        ("herg", "classification", "p", False, 10, 40, None, None),
        ("herg", "regression", "p", False, None, None, 45, 5),
        ("ames", "classification", "label", False, 600, 400, None, None),
        ("hts", "regression", "%", True, None, None, 460, 0),
    ]
    columns = ["group", "kind", "unit", "auxiliary", "positives", "negatives", "exact", "censored"]
    assert [line.strip() for line in task_lines(pl.DataFrame(rows, schema=columns, orient="row"))] == [
        "1 task of classification, 0/1 labels: 1 group, 1,000 labels",
        "2 tasks of classification, in p: 1 group, 100 labels",
        "1 task of regression, in p: 1 group, 50 labels",
        "1 auxiliary task of regression, in %: 1 group, 460 labels",
    ]


def test_nothing_at_all_is_no_loss() -> None:
    assert table_warnings({"tables": {"activities": table(0, 0)}}) == label_warnings(header(0, 0)) == []


def test_parents_against_size_mixtures_and_the_fold_key_are_told_where_they_are_known() -> None:
    assert further_lines({}) == []
    told = further_lines({"parents_against_size": 3, "mixtures": 0, "fold_key_digest": "0a1b2c3d4e5f"})
    assert told[0].endswith("3  structures are smaller than the counter-ion or solvent beside them")
    assert told[1:] == ["fold key 0a1b2c3d4e5f: compare it with the other partners'"]


def test_of_one_is_told_as_of_one() -> None:
    assert [line.strip() for line in label_lines({"dropped": {"undecided": 1, "tied": 1, "below quorum": 2}})] == [
        "1  value at a threshold is censored and decides no label there",
        "1  compound has as many active as inactive values in a task",
        "2  labels are of tasks with fewer actives or inactives than tasks.min_per_class",
    ]
    assert label_warnings(header(1, 5)) == ["1 of 5 labels (20%) is of a task with fewer actives or inactives than tasks.min_per_class"]
    assert [line.strip() for line in further_lines({"mixtures": 1})] == ["1  structure has another compound beside it, which is left out"]

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.config import Tasks
from fedapp.data.labels import EXACT
from fedapp.data.tasks import build_tasks
from fedapp.errors import DataError

Row = tuple[str, int, str, float, str]  # group, row, relation, value, kind
Label = tuple[str, float | None, int, int]  # group, threshold, row, label


def frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"group": pl.String, "row": pl.Int32, "relation": pl.String, "value": pl.Float32, "kind": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def settings(thresholds: list[float], quorum: int = 1) -> Tasks:
    return Tasks(kinds=["classification"], group_by="assay_id", thresholds=thresholds, min_per_class=quorum, catalogue=None)


def labels(rows: list[Row], thresholds: list[float], quorum: int = 1) -> set[Label]:
    table = build_tasks(frame(rows), settings(thresholds, quorum), "partner-1")
    joined = table.labels.join(table.tasks, on="task").select("group", "threshold", "row", pl.col("value").cast(pl.Int64))
    return set(joined.iter_rows())


ANCHORS: list[Row] = [("x", 100, "=", 9.0, "p"), ("x", 101, "=", 3.0, "p")]  # one of each class, so that the task is kept


def label_of(*values: tuple[str, float], threshold: float = 6.0) -> int | None:
    """Label of one compound with these (relation, value) in one group."""
    rows: list[Row] = [("x", 0, relation, value, "p") for relation, value in values]
    found = [label for _, _, row, label in labels([*rows, *ANCHORS], [threshold]) if row == 0]
    return found[0] if found else None


@pytest.mark.parametrize(("value", "active"), [(6.01, 1), (6.0, 1), (5.99, 0)])
def test_active_means_at_or_above_the_threshold(value: float, active: int) -> None:
    assert label_of(("=", value)) == active


@pytest.mark.parametrize("threshold", [5.3, 6.7, 7.1, 4.4])
def test_a_value_written_like_the_threshold_has_reached_it(threshold: float) -> None:
    assert label_of(("=", threshold), threshold=threshold) == 1


@pytest.mark.parametrize(
    ("relation", "value", "label"),
    [("<", 5.0, 0), ("<", 6.0, 0), ("<", 6.1, None), ("<", 9.0, None), (">", 7.0, 1), (">", 6.0, 1), (">", 5.9, None), (">", 3.0, None)],
)
def test_a_censored_value_gives_a_label_only_when_it_decides_it(relation: str, value: float, label: int | None) -> None:
    assert label_of((relation, value)) == label


def test_replicates_vote_and_the_majority_counts() -> None:
    assert label_of(("=", 5.0), ("=", 7.0), ("=", 6.5)) == 1
    assert label_of(("=", 5.0), ("<", 5.0), ("=", 6.5)) == 0


def test_a_censored_replicate_that_decides_nothing_has_no_vote() -> None:
    assert label_of(("=", 5.0), (">", 4.0), ("<", 9.0)) == 0


def test_ties_are_left_out_and_counted() -> None:
    table = build_tasks(frame([("x", 0, "=", 5.0, "p"), ("x", 0, "=", 7.0, "p"), *ANCHORS]), settings([6.0]), "partner-1")
    assert 0 not in table.labels["row"]
    assert table.dropped == {"undecided": 0, "tied": 1, "below quorum": 0}


def test_undecided_values_and_labels_below_the_quorum_are_counted() -> None:
    rows: list[Row] = [("x", 0, "<", 9.0, "p"), ("y", 0, "=", 7.0, "p"), ("y", 1, "=", 8.0, "p"), *ANCHORS]
    assert build_tasks(frame(rows), settings([6.0]), "partner-1").dropped == {"undecided": 1, "tied": 0, "below quorum": 2}


def test_every_group_and_threshold_that_lost_labels_is_listed_with_the_reason_and_its_counts() -> None:
    rows: list[Row] = [("x", 0, "<", 9.0, "p"), ("x", 1, "=", 5.0, "p"), ("x", 1, "=", 7.0, "p"), ("y", 0, "=", 7.0, "p"), *ANCHORS]
    rows += [("z", 0, "=", 1.0, "label"), ("z", 1, "=", 1.0, "label")]
    table = build_tasks(frame(rows), settings([6.0]), "partner-1")
    assert table.losses.rows() == [
        ("x", 6.0, "tied", 1, 1, 1),
        ("x", 6.0, "undecided", 1, 1, 1),
        ("y", 6.0, "below quorum", 1, 1, 0),
        ("z", None, "below quorum", 2, 2, 0),
    ]
    assert table.offered == {"undecided": 8, "tied": 6, "below quorum": 5}


@given(rows=st.deferred(lambda: ROWS), quorum=st.integers(1, 2))
def test_labels_offered_are_those_kept_and_those_listed_as_lost(rows: list[Row], quorum: int) -> None:
    table = build_tasks(frame([*rows, *[("w", n, "=", 4.0 + 4 * (n % 2), "p") for n in range(4)]]), settings([5.0, 6.5], quorum), "p")
    lost = {reason: int(part["lost"].sum()) for (reason,), part in table.losses.group_by("reason")}
    assert lost == {reason: count for reason, count in table.dropped.items() if count}
    assert len(table.labels) + table.dropped["below quorum"] == table.offered["below quorum"]
    assert table.offered["tied"] == table.offered["below quorum"] + table.dropped["tied"]


def test_each_class_needs_the_quorum() -> None:
    rows: list[Row] = [("x", n, "=", 7.0 if n < 3 else 5.0, "p") for n in range(5)]
    assert len(labels(rows, [6.0], quorum=2)) == 5
    with pytest.raises(DataError):
        labels(rows, [6.0], quorum=3)


def test_a_group_spreads_one_unit_of_weight_over_the_tasks_it_keeps() -> None:
    rows: list[Row] = [("x", n, "=", 4.0 + n, "p") for n in range(4)] + [("y", n, "=", 6.0 + n, "p") for n in range(2)]
    tasks = build_tasks(frame(rows), settings([4.5, 5.5, 6.5, 9.5]), "partner-1").tasks
    assert tasks.select("group", "threshold", "weight").rows() == [
        ("x", 4.5, pytest.approx(1 / 3)),
        ("x", 5.5, pytest.approx(1 / 3)),
        ("x", 6.5, pytest.approx(1 / 3)),
        ("y", 6.5, 1.0),
    ]


def test_class_labels_give_one_task_without_threshold() -> None:
    rows: list[Row] = [("toxic", n, "=", float(n % 2), "label") for n in range(6)]
    table = build_tasks(frame(rows), settings([5.5, 6.5]), "partner-1")
    columns = ["task", "group", "threshold", "weight", "positives", "negatives", "kind", "unit"]
    assert table.tasks.select(columns).rows() == [(0, "toxic", None, 1.0, 3, 3, "classification", "label")]
    assert table.labels.rows() == [(n, 0, n % 2, EXACT) for n in range(6)]


def test_tables_have_the_types_that_a_dataset_needs_and_are_sorted() -> None:
    table = build_tasks(frame([("b", 1, "=", 7.0, "p"), ("b", 0, "=", 5.0, "p"), *ANCHORS]), settings([6.0]), "partner-1")
    types = {
        "task": pl.Int32,
        "group": pl.String,
        "threshold": pl.Float32,
        "weight": pl.Float32,
        "positives": pl.Int32,
        "negatives": pl.Int32,
        "kind": pl.String,
        "unit": pl.String,
        "auxiliary": pl.Boolean,
        "exact": pl.Int32,
        "censored": pl.Int32,
        "centre": pl.Float32,
        "scale": pl.Float32,
    }
    assert table.tasks.schema == types
    assert table.labels.schema == {"row": pl.Int32, "task": pl.Int32, "value": pl.Float32, "censor": pl.Int8}
    assert table.tasks["group"].to_list() == ["b", "x"]
    assert table.labels.equals(table.labels.sort("row", "task"))


def test_repeated_thresholds_make_one_task() -> None:
    assert len(build_tasks(frame(ANCHORS), settings([6.0, 6.0]), "partner-1").tasks) == 1


def test_no_task_that_passes_is_an_error_with_the_largest_counts_and_what_to_change() -> None:
    rows: list[Row] = [("x", n, "=", 7.0 if n < 4 else 5.0, "p") for n in range(20)]
    with pytest.raises(
        DataError, match="partner-1: none of 2 tasks has 25 actives and 25 inactives; the largest, x at 6.5, has 4 and 16"
    ) as error:
        build_tasks(frame(rows), settings([6.5, 9.0], 25), "partner-1")
    assert "tasks.min_per_class" in error.value.hint
    assert "tasks.thresholds" in error.value.hint


def test_values_that_decide_nothing_are_an_error_that_says_so() -> None:
    with pytest.raises(DataError) as error:
        build_tasks(frame([("x", 0, "<", 9.0, "p")]), settings([6.0]), "partner-1")
    assert "no value decides" in error.value.hint


P_ROWS = st.tuples(st.sampled_from("xy"), st.integers(0, 6), st.sampled_from("=<>"), st.integers(8, 16).map(lambda v: v / 2), st.just("p"))
CLASS_ROWS = st.tuples(st.sampled_from("xz"), st.integers(0, 6), st.just("="), st.sampled_from([0.0, 1.0]), st.just("label"))
ROWS = st.lists(P_ROWS | CLASS_ROWS, min_size=1, max_size=60)


@given(rows=ROWS, thresholds=st.sets(st.sampled_from([5.0, 6.0, 6.5, 7.0]), min_size=1))
def test_labels_are_those_of_a_plain_loop_over_all_values(rows: list[Row], thresholds: set[float]) -> None:
    votes: dict[tuple[str, float | None, int], list[int]] = defaultdict(list)
    for group, row, relation, value, kind in rows:
        for threshold in sorted(thresholds) if kind == "p" else [None]:
            if threshold is None:
                votes[group, None, row].append(int(value))
            elif relation == "=":
                votes[group, threshold, row].append(int(value >= threshold))
            elif relation == "<" and value <= threshold:
                votes[group, threshold, row].append(0)
            elif relation == ">" and value >= threshold:
                votes[group, threshold, row].append(1)
    decided = {key: int(np.mean(cast) > 0.5) for key, cast in votes.items() if np.mean(cast) != 0.5}
    classes: dict[tuple[str, float | None], set[int]] = defaultdict(set)
    for (group, threshold, _), label in decided.items():
        classes[group, threshold].add(label)
    expected = {(*key, label) for key, label in decided.items() if len(classes[key[:2]]) == 2}
    if expected:
        assert labels(rows, list(thresholds)) == expected
    else:
        with pytest.raises(DataError):
            labels(rows, list(thresholds))

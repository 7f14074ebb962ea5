"""Tasks of values: what several measurements of one compound say together, which tasks are kept, and in which unit they are learned."""

from collections import defaultdict
from dataclasses import replace
from statistics import median

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedapp.config import Tasks
from fedapp.data.labels import ABOVE, BELOW, EXACT, Labels
from fedapp.data.normalisation import COMMON_UNITS, Normalisation, with_common_units, with_units_of
from fedapp.data.tasks import TaskTable, build_tasks
from fedapp.errors import DataError

Row = tuple[str, int, str, float, str]  # group, row, relation, value, kind
VALUES = Tasks(kinds=["regression"], group_by="assay_id", thresholds=[6.0], min_per_class=1, catalogue=None)
SIDES = {"=": EXACT, ">": ABOVE, "<": BELOW}


def build(rows: list[Row], tasks: Tasks = VALUES, settings: pl.DataFrame | None = None) -> TaskTable:
    schema = {"group": pl.String, "row": pl.Int32, "relation": pl.String, "value": pl.Float32, "kind": pl.String}
    return build_tasks(pl.DataFrame(rows, schema=schema, orient="row"), tasks, "partner-1", settings)


def label_of(*measured: tuple[str, float]) -> tuple[float, int] | None:
    """Value and side of one compound with these (relation, value)."""
    anchors: list[Row] = [("x", 8, "=", 4.0, "p"), ("x", 9, "=", 8.0, "p")]
    labels = build([*(("x", 0, relation, value, "p") for relation, value in measured), *anchors]).labels
    found = labels.filter(pl.col("row") == 0).select("value", "censor").rows()
    return found[0] if found else None


def test_several_exact_values_count_as_their_median() -> None:
    assert label_of(("=", 5.0), ("=", 7.0), ("=", 9.0)) == (7.0, EXACT)
    assert label_of(("=", 5.0), ("=", 6.0)) == (5.5, EXACT)


@pytest.mark.parametrize("beside", [(">", 9.0), (">", 3.0), ("<", 4.0), ("<", 9.0)])
def test_beside_an_exact_value_a_censored_one_counts_for_nothing_whether_it_agrees_or_not(beside: tuple[str, float]) -> None:
    assert label_of(("=", 6.0), beside) == (6.0, EXACT)


def test_without_exact_values_the_tightest_bound_counts() -> None:
    assert label_of((">", 5.0), (">", 6.0)) == (6.0, ABOVE)
    assert label_of(("<", 5.0), ("<", 6.0)) == (5.0, BELOW)


def test_a_compound_that_is_bounded_on_both_sides_is_left_out_and_counted() -> None:
    assert label_of((">", 5.0), ("<", 6.0)) is None
    rows: list[Row] = [("x", 0, ">", 5.0, "p"), ("x", 0, "<", 6.0, "p"), ("x", 1, "=", 5.0, "p"), ("x", 2, "=", 6.0, "p")]
    table = build(rows)
    assert table.dropped == {"bounded on both sides": 1, "too few exact values": 0}
    assert table.offered == {"bounded on both sides": 3, "too few exact values": 2}
    assert table.losses.rows() == [("x", None, "bounded on both sides", 1, 0, 0)]


MEASURED = st.tuples(
    st.sampled_from("xy"), st.integers(0, 5), st.sampled_from("=<>"), st.integers(8, 16).map(lambda v: v / 2), st.just("p")
)


@given(st.lists(MEASURED, min_size=1, max_size=50))
def test_labels_are_those_of_a_plain_loop_over_compounds(rows: list[Row]) -> None:
    by_compound: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for group, row, relation, value, _ in rows:
        by_compound[group, row][relation].append(value)
    expected = {}
    for key, said in by_compound.items():
        if said["="]:
            expected[key] = (median(said["="]), EXACT)
        elif bool(said[">"]) != bool(said["<"]):
            expected[key] = (max(said[">"]), ABOVE) if said[">"] else (min(said["<"]), BELOW)
    exact = defaultdict(int)
    for (group, _), (_, side) in expected.items():
        exact[group] += side == EXACT
    kept = {key: label for key, label in expected.items() if exact[key[0]] >= 2}
    if not kept:
        with pytest.raises(DataError, match="tasks of values has 2 exact ones"):
            build(rows)
        return
    table = build(rows)
    joined = table.labels.join(table.tasks, on="task")
    assert {(group, row): (value, side) for group, row, value, side in joined.select("group", "row", "value", "censor").iter_rows()} == kept
    assert dict(table.tasks.select("group", "exact").iter_rows()) == {group: count for group, count in exact.items() if count >= 2}


def test_a_task_of_values_needs_twice_as_many_exact_ones_as_a_class_needs_labels_whatever_is_censored() -> None:
    rows: list[Row] = [*(("x", n, "=", 5.0 + n, "p") for n in range(5)), *(("x", 9 + n, ">", 5.0 + n, "p") for n in range(5))]
    with pytest.raises(DataError, match="none of 1 tasks of values has 6 exact ones; the largest, x, has 5") as caught:
        build(rows, replace(VALUES, min_per_class=3))
    assert "lower tasks.min_per_class" in caught.value.hint
    assert len(build([*rows, ("x", 20, "=", 4.0, "p")], replace(VALUES, min_per_class=3)).labels) == 11


def test_centre_and_scale_are_mean_and_standard_deviation_of_the_exact_values() -> None:
    exact = [4.0, 5.0, 7.5]
    rows: list[Row] = [*(("x", n, "=", value, "p") for n, value in enumerate(exact)), ("x", 7, ">", 9.0, "p")]
    (centre, scale) = build(rows).tasks.select("centre", "scale").row(0)
    assert (centre, scale) == (pytest.approx(np.mean(exact)), pytest.approx(np.std(exact)))


def test_equal_values_have_the_scale_one() -> None:
    assert build([("x", n, "=", 6.7, "p") for n in range(3)]).tasks["scale"].to_list() == [1.0]


def test_labels_of_classes_alone_give_no_task_of_values_and_the_hint_says_what_to_ask_for() -> None:
    with pytest.raises(DataError) as caught:
        build([("x", n, "=", float(n % 2), "label") for n in range(9)])
    assert "tasks.kinds=[classification]" in caught.value.hint


def test_classes_and_values_of_one_group_are_tasks_side_by_side_each_kind_with_the_groups_whole_weight() -> None:
    rows: list[Row] = [*(("x", n, "=", 4.0 + n, "p") for n in range(5)), *(("t", n, "=", float(n % 2), "label") for n in range(4))]
    both = build(rows, replace(VALUES, kinds=["regression", "classification"], thresholds=[5.0, 6.0]))
    assert both.tasks.select("task", "group", "threshold", "kind", "unit", "weight").rows() == [
        (0, "t", None, "classification", "label", 1.0),
        (1, "x", 5.0, "classification", "p", 0.5),
        (2, "x", 6.0, "classification", "p", 0.5),
        (3, "x", None, "regression", "p", 1.0),
    ]
    assert both.tasks.filter(pl.col("kind") == "classification")["exact"].is_null().all()
    assert both.tasks.filter(pl.col("kind") == "regression")["positives"].is_null().all()
    assert dict(both.labels.group_by("task").len().iter_rows()) == {0: 4, 1: 5, 2: 5, 3: 5}


def test_activities_of_which_no_task_is_made_are_counted() -> None:
    rows: list[Row] = [*(("x", n, "=", 4.0 + n, "p") for n in range(3)), ("t", 0, "=", 1.0, "label")]
    table = build(rows)
    assert table.dropped["unused"] == 1
    assert table.losses.filter(pl.col("reason") == "unused").select("group", "lost").rows() == [("t", 1)]


def settings_of(**groups: tuple[float, bool, list[float] | None]) -> pl.DataFrame:
    rows = [(group, *said) for group, said in groups.items()]
    schema = {"group": pl.String, "weight": pl.Float32, "auxiliary": pl.Boolean, "thresholds": pl.List(pl.Float32)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_a_group_has_its_own_thresholds_weight_and_place() -> None:
    rows: list[Row] = [
        *((group, n, "=", 4.0 + n, "p") for group in "xy" for n in range(5)),
        *(("h", n, "=", 20.0 * n, "%") for n in range(5)),
    ]
    settings = settings_of(x=(3.0, False, [4.5, 7.5]), y=(1.0, False, None), h=(0.5, True, [30.0]))
    tasks = build(rows, replace(VALUES, kinds=["classification"]), settings).tasks
    assert tasks.select("group", "threshold", "unit", "weight", "auxiliary").rows() == [
        ("h", 30.0, "%", 0.5, True),
        ("x", 4.5, "p", 1.5, False),
        ("x", 7.5, "p", 1.5, False),
        ("y", 6.0, "p", 1.0, False),
    ]


def test_a_common_threshold_which_is_a_p_value_is_none_for_values_in_percent() -> None:
    rows: list[Row] = [*(("x", n, "=", 4.0 + n, "p") for n in range(5)), *(("h", n, "=", 2.0 * n, "%") for n in range(5))]
    table = build(rows, replace(VALUES, kinds=["classification"]), settings_of(x=(1.0, False, None), h=(1.0, True, None)))
    assert table.tasks["group"].to_list() == ["x"]
    assert table.dropped["unused"] == 5


FLOATS = st.floats(-100, 100, width=32)


@given(st.lists(st.tuples(FLOATS, st.floats(0.125, 64, width=32), FLOATS), min_size=1, max_size=20))
def test_what_is_normalised_comes_back_in_its_unit(tasks: list[tuple[float, float, float]]) -> None:
    centre, scale, values = np.array(tasks, dtype=np.float32).T
    between, numbers = Normalisation(centre, scale), np.arange(len(tasks), dtype=np.int32)
    normalised = between.normalised(numbers, values)
    assert normalised.dtype == np.float32
    np.testing.assert_allclose(between.in_units(numbers, normalised), values, rtol=1e-5, atol=1e-3)


def test_classes_are_learned_as_they_are() -> None:
    values = np.array([0, 1], dtype=np.float32)
    between = Normalisation.of_table(pl.DataFrame({"task": [0], "group": ["x"]}))
    assert between.changes_nothing
    assert between.normalised(np.zeros(2, np.int32), values) is values


SOME = st.lists(st.tuples(st.integers(0, 2), st.integers(-50, 50), st.sampled_from([EXACT, EXACT, BELOW, ABOVE])), min_size=1, max_size=30)


@given(SOME)
def test_units_of_some_labels_are_those_of_their_exact_values_and_stay_where_there_are_none(labels: list[tuple[int, int, int]]) -> None:
    numbers, values, censors = (np.array(column) for column in zip(*labels, strict=True))
    table = pl.DataFrame({"kind": ["classification", "regression", "regression"], "centre": [0.0, 6.0, 7.0], "scale": [1.0, 2.0, 3.0]})
    some = Labels.unweighted(np.array([0, len(labels)]), numbers.astype(np.int32), values.astype(np.float32), censors.astype(np.int8))
    changed = with_units_of(table.cast({"centre": pl.Float32, "scale": pl.Float32}), some).select("centre", "scale").rows()
    assert changed[0] == (0.0, 1.0), "classes are learned as they are"
    for task in (1, 2):
        exact = values[(numbers == task) & (censors == EXACT)]
        expected = (exact.mean(), exact.std() or 1.0) if len(exact) else table.row(task)[1:]
        assert changed[task] == pytest.approx(expected, rel=1e-5)


def test_common_units_replace_those_of_the_groups_that_are_named_and_of_values_alone() -> None:
    rows: list[Row] = [(group, n, "=", 4.0 + n, "p") for group in "xy" for n in range(5)]
    tasks = build(rows, replace(VALUES, kinds=["classification", "regression"])).tasks
    changed = with_common_units(tasks, {"x": (6.5, 1.25), "elsewhere": (0.0, 9.0)})
    assert changed.select("group", "kind", "centre", "scale", COMMON_UNITS).rows() == [
        ("x", "classification", 0.0, 1.0, False),
        ("x", "regression", 6.5, 1.25, True),
        ("y", "classification", 0.0, 1.0, False),
        ("y", "regression", 6.0, pytest.approx(np.sqrt(2)), False),
    ]
    assert changed.drop("centre", "scale", COMMON_UNITS).equals(tasks.drop("centre", "scale"))

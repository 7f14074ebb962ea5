"""Labels as one value: each keeps its compound, task, value, censor and weight through every selection."""

from dataclasses import astuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedapp.data.labels import ABOVE, BELOW, EXACT, Labels

ONE = tuple[int, float, int, float]  # task, value, censor, weight
ROW = st.dictionaries(
    st.integers(0, 5), st.tuples(st.floats(-9, 9, width=32), st.sampled_from([BELOW, EXACT, ABOVE]), st.floats(0, 4, width=32)), max_size=4
).map(lambda held: [(task, *held[task]) for task in sorted(held)])
ROWS = st.lists(ROW, min_size=1, max_size=6)


def labels(rows: list[list[ONE]]) -> Labels:
    tasks, values, censors, weights = zip(*flat, strict=True) if (flat := [label for row in rows for label in row]) else ((), (), (), ())
    return Labels(
        indptr=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        tasks=np.array(tasks, dtype=np.int32),
        values=np.array(values, dtype=np.float32),
        censors=np.array(censors, dtype=np.int8),
        weights=np.array(weights, dtype=np.float32),
    )


def rows_of(made: Labels) -> list[list[ONE]]:
    """Each compound's labels, read one by one."""
    columns = zip(made.tasks.tolist(), made.values.tolist(), made.censors.tolist(), made.weights.tolist(), strict=True)
    flat = list(columns)
    return [flat[first:last] for first, last in zip(made.indptr[:-1], made.indptr[1:], strict=True)]


def types(made: Labels) -> list[str]:
    return [column.dtype.name for column in astuple(made)]


@given(ROWS, st.data())
def test_a_selection_has_the_labels_of_its_compounds_in_the_order_given(rows: list[list[ONE]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    selected = labels(rows).of(np.array(chosen, dtype=np.int64))
    assert rows_of(selected) == [rows[row] for row in chosen]
    assert len(selected) == sum(len(rows[row]) for row in chosen)
    assert types(selected) == ["int64", "int32", "float32", "int8", "float32"]


@given(ROWS, st.sets(st.integers(0, 5)))
def test_labels_of_some_tasks_keep_all_but_the_number_of_their_task(rows: list[list[ONE]], tasks: set[int]) -> None:
    numbers = {task: number for number, task in enumerate(sorted(tasks))}
    chosen = labels(rows).of_tasks(np.array(sorted(tasks), dtype=np.int32))
    assert rows_of(chosen) == [[(numbers[task], *others) for task, *others in row if task in tasks] for row in rows]
    assert types(chosen) == ["int64", "int32", "float32", "int8", "float32"]


@given(ROWS, ROWS)
def test_labels_of_further_compounds_come_behind(first: list[list[ONE]], then: list[list[ONE]]) -> None:
    both = labels(first).followed_by(labels(then))
    assert rows_of(both) == first + then
    assert both.owners.tolist() == [row for row, own in enumerate(first + then) for _ in own]
    assert types(both) == ["int64", "int32", "float32", "int8", "float32"]


def test_what_a_file_lacks_is_exact_and_of_weight_one_and_takes_no_memory() -> None:
    stored = Labels.exact(np.array([0, 2, 3]), np.array([0, 4, 1], dtype=np.int32), np.array([1, 0, 1], dtype=np.uint8))
    assert rows_of(stored) == [[(0, 1, EXACT, 1.0), (4, 0, EXACT, 1.0)], [(1, 1, EXACT, 1.0)]]
    assert stored.censors.strides == stored.weights.strides == (0,), "one element stands for all"
    assert rows_of(stored.of(np.array([1]))) == [[(1, 1.0, EXACT, 1.0)]]

"""Metrics of predicted values against scikit-learn and SciPy."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import mean_squared_error, r2_score

from fedapp.evaluation.value_metrics import value_metrics

NUMBERS = st.sampled_from([-2.5, 0.0, 4.0, 5.5, 5.6, 7.0, 9.25])
LABELS = st.lists(st.tuples(st.integers(0, 3), NUMBERS, st.sampled_from([-1, 0, 0, 1]), NUMBERS), max_size=60)


def columns(rows: list[tuple[int, float, int, float]]) -> tuple[np.ndarray, ...]:
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return table[:, 0].astype(np.int32), table[:, 1].astype(np.float32), table[:, 2].astype(np.int8), table[:, 3].astype(np.float32)


@given(LABELS)
def test_every_task_agrees_with_the_libraries_also_where_values_are_tied(rows: list[tuple[int, float, int, float]]) -> None:
    tasks, values, censors, predicted = columns(rows)
    metrics = value_metrics(tasks, values, censors, predicted, 4)
    for task in range(4):
        own = (tasks == task) & (censors == 0)
        y, guess = values[own].astype(float), predicted[own].astype(float)
        assert metrics.exact[task] == own.sum()
        assert metrics.censored[task] == (tasks == task).sum() - own.sum()
        if len(y):
            assert metrics.rmse[task] == pytest.approx(np.sqrt(mean_squared_error(y, guess)))
        varied = len(set(y)) > 1
        assert np.isnan(metrics.r2[task]) != varied
        if varied:
            assert metrics.r2[task] == pytest.approx(r2_score(y, guess))
        if varied and len(set(guess)) > 1:
            assert metrics.spearman[task] == pytest.approx(spearmanr(y, guess).statistic)
        else:
            assert np.isnan(metrics.spearman[task])


@given(LABELS)
def test_a_prediction_on_the_side_of_a_censored_value_is_no_error_and_any_other_is_a_whole_one(
    rows: list[tuple[int, float, int, float]],
) -> None:
    metrics = value_metrics(*columns(rows), 4)
    for task in range(4):
        errors = [
            0.0 if (side < 0 and guess < value) or (side > 0 and guess > value) else guess - value
            for own, value, side, guess in ((row[0], *map(float, np.float32(row[1:]))) for row in rows)
            if own == task
        ]
        if errors:
            assert metrics.censored_rmse[task] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
        else:
            assert np.isnan(metrics.censored_rmse[task])


def test_ten_thousand_tasks_agree_with_a_loop_over_them() -> None:
    random = np.random.default_rng(0)
    count = 10_000
    tasks = random.permutation(np.repeat(np.arange(count), 12)).astype(np.int32)
    values = random.normal(6, 1, len(tasks)).astype(np.float32)
    predicted = (values + random.normal(size=len(tasks))).astype(np.float32)
    metrics = value_metrics(tasks, values, np.zeros(len(tasks), np.int8), predicted, count)
    for task in range(0, count, 997):
        own = tasks == task
        assert metrics.spearman[task] == pytest.approx(spearmanr(values[own], predicted[own]).statistic)
        assert metrics.r2[task] == pytest.approx(r2_score(values[own].astype(float), predicted[own].astype(float)))


def test_values_far_from_zero_lose_no_digits() -> None:
    values = np.array([1e6, 1e6 + 1, 1e6 + 2], np.float32)
    metrics = value_metrics(np.zeros(3, int), values, np.zeros(3, np.int8), values + np.float32(0.5), 1)
    assert metrics.r2[0] == pytest.approx(1 - 0.75 / 2)


def test_a_prediction_that_is_no_number_undoes_its_own_task_alone() -> None:
    tasks, values = np.repeat([0, 1], 3), np.tile([1.0, 2.0, 3.0], 2)
    predicted = np.array([1.0, np.nan, 3.0, 1.0, 2.0, 2.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = value_metrics(tasks, values, np.zeros(6, np.int8), predicted, 2)
    for name in ("r2", "spearman", "rmse", "censored_rmse"):
        assert np.isnan(getattr(metrics, name)).tolist() == [True, False], name


def test_no_labels_give_no_metrics_and_no_warning() -> None:
    metrics = value_metrics(np.empty(0, np.int32), np.empty(0), np.empty(0, np.int8), np.empty(0), 2)
    assert metrics.exact.tolist() == metrics.censored.tolist() == [0, 0]
    assert np.isnan([metrics.r2, metrics.spearman, metrics.rmse, metrics.censored_rmse]).all()

"""Metrics against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from fedapp.evaluation.metrics import task_metrics

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.sampled_from([-2.5, -1.0, 0.0, 0.3, 1.0, 7.0])), max_size=60)


def columns(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=float).reshape(-1, 3)
    return table[:, 0].astype(np.int32), table[:, 1], table[:, 2].astype(np.float32)


@given(pairs)
def test_every_task_agrees_with_scikit_learn_also_where_logits_are_tied(rows: list[tuple[int, int, float]]) -> None:
    tasks, labels, logits = columns(rows)
    metrics = task_metrics(tasks, labels, logits, 4)
    for task in range(4):
        own_labels, own_logits = labels[tasks == task], logits[tasks == task]
        assert metrics.positives[task] == own_labels.sum()
        assert metrics.negatives[task] == len(own_labels) - own_labels.sum()
        if len(own_labels):
            probabilities = 1 / (1 + np.exp(-own_logits.astype(np.float64)))
            assert metrics.bce[task] == pytest.approx(log_loss(own_labels, probabilities, labels=[0, 1]))
        if 0 < own_labels.sum() < len(own_labels):
            assert metrics.auc_pr[task] == pytest.approx(average_precision_score(own_labels, own_logits))
            assert metrics.auc_roc[task] == pytest.approx(roc_auc_score(own_labels, own_logits))


@given(pairs, st.randoms())
def test_the_order_of_the_pairs_does_not_matter(rows: list[tuple[int, int, float]], random) -> None:
    shuffled = random.sample(rows, len(rows))
    for one, other in zip(vars(task_metrics(*columns(rows), 4)).values(), vars(task_metrics(*columns(shuffled), 4)).values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_large_draw_of_float_logits_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    tasks = random.integers(0, 50, 20_000)
    labels = random.integers(0, 2, 20_000)
    logits = random.normal(size=20_000).astype(np.float32) + labels
    metrics = task_metrics(tasks, labels, logits, 50)
    for task in range(50):
        mine = tasks == task
        assert metrics.auc_pr[task] == pytest.approx(average_precision_score(labels[mine], logits[mine]))
        assert metrics.auc_roc[task] == pytest.approx(roc_auc_score(labels[mine], logits[mine]))


def test_a_task_with_one_class_has_no_area_but_a_cross_entropy() -> None:
    metrics = task_metrics(np.array([0, 0]), np.array([1, 1]), np.array([0.0, 0.0]), 1)
    assert np.isnan(metrics.auc_pr[0])
    assert np.isnan(metrics.auc_roc[0])
    assert metrics.bce[0] == pytest.approx(np.log(2))


def test_a_task_without_labels_has_no_metric_at_all() -> None:
    metrics = task_metrics(np.array([1, 1]), np.array([0, 1]), np.array([0.0, 1.0]), 3)
    assert np.isnan([metrics.auc_pr[0], metrics.auc_roc[0], metrics.bce[0], metrics.bce[2]]).all()
    assert metrics.auc_roc[1] == 1.0


def test_no_pairs_give_no_metrics() -> None:
    metrics = task_metrics(np.empty(0, np.int32), np.empty(0), np.empty(0), 2)
    assert np.isnan(metrics.bce).all()
    assert metrics.positives.tolist() == [0, 0]


def test_extreme_logits_give_a_finite_cross_entropy() -> None:
    metrics = task_metrics(np.array([0, 0]), np.array([0, 1]), np.array([1000.0, 1000.0], np.float32), 1)
    assert metrics.bce[0] == pytest.approx(500.0)


@given(st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_a_task_with_a_logit_that_is_no_number_has_no_figure_and_the_others_keep_theirs(missing: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    tasks, labels, logits = np.repeat([0, 1], 41), random.integers(0, 2, 82), random.normal(size=82)
    labels[[0, 1, 41, 42]] = [0, 1, 0, 1]
    whole, logits[missing] = task_metrics(tasks, labels, logits, 2), np.nan
    damaged = task_metrics(tasks, labels, logits, 2)
    for name in ("auc_pr", "auc_roc", "bce"):
        assert np.isnan(getattr(damaged, name)[0]), name
        assert getattr(damaged, name)[1] == getattr(whole, name)[1]


def test_of_nothing_but_nan_nothing_is_known() -> None:
    metrics = task_metrics(np.zeros(8, int), np.tile([0, 1], 4), np.full(8, np.nan), 1)
    assert np.isnan([metrics.auc_pr, metrics.auc_roc, metrics.bce]).all()


@pytest.mark.parametrize("label", [np.nan, 2, -1, 0.5])
def test_labels_are_0_or_1(label: float) -> None:
    with pytest.raises(ValueError, match="labels are 0 or 1"):
        task_metrics(np.zeros(3, int), np.array([0, 1, label]), np.zeros(3), 1)

"""Evaluation and prediction."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from fedapp.evaluation.selection import METRICS_SCHEMA
from fedapp.model.evaluation import evaluate, head_outputs, score
from fedapp.model.network import Heads, Trunk
from tests.model.synthetic import dataset, with_values

FOLDS = {"validation": 1, "test": 0}


def network() -> tuple[Trunk, Heads]:
    return Trunk(256, [8, 4], 1), Heads(4, 6, 1, "alpha")


def dense_logits(trunk: Trunk, heads: Heads) -> np.ndarray:
    data = dataset()
    bits = torch.zeros(len(data.folds), data.bits)
    for row in range(len(data.folds)):
        bits[row, torch.from_numpy(data.x_indices[data.x_indptr[row] : data.x_indptr[row + 1]]).long()] = 1.0
    hidden = torch.relu(bits @ trunk.weight + trunk.bias)
    for layer in trunk.layers:
        hidden = torch.relu(layer(hidden))
    return (hidden @ heads.weight.T + heads.bias).detach().numpy()


def test_scores_equal_dense_logits_at_the_observed_pairs() -> None:
    trunk, heads = network()
    data = dataset()
    rows = data.rows_in([0, 1])
    scores = score(trunk, heads, data, rows)
    labels = data.labels.of(rows)
    expected = dense_logits(trunk, heads)[rows[labels.owners], labels.tasks]
    np.testing.assert_allclose(scores.outputs, expected, rtol=1e-4, atol=1e-6)
    assert scores.tasks.tolist() == labels.tasks.tolist()
    assert scores.values.tolist() == labels.values.tolist()


def test_the_table_has_every_task_once_a_fold_with_its_counts() -> None:
    data = dataset()
    table = evaluate(*network(), data, FOLDS, 7)
    assert dict(table.schema) == METRICS_SCHEMA
    assert table["round"].unique().to_list() == [7]
    assert table["task"].to_list() == [*range(6), *range(6)]
    for fold, number in FOLDS.items():
        labels = data.labels.of(data.rows_in([number]))
        own = table.filter(pl.col("fold") == fold)
        assert own["positives"].to_list() == np.bincount(labels.tasks, weights=labels.values, minlength=6).tolist()
        assert (own["positives"] + own["negatives"]).to_list() == np.bincount(labels.tasks, minlength=6).tolist()


def test_an_empty_fold_gives_nulls() -> None:
    table = evaluate(*network(), dataset(), {"test": 9}, 1)
    assert table["auc_pr"].is_null().all()
    assert table["bce"].is_null().all()


def test_outputs_of_heads_are_those_of_dense_logits_for_all_tasks() -> None:
    trunk, heads = network()
    data = dataset()
    found = head_outputs([(trunk, heads, np.ones(6, np.float32))], data.x_indptr, data.x_indices)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, dense_logits(trunk, heads), rtol=1e-4, atol=1e-6)


def test_no_compounds_give_no_outputs() -> None:
    assert head_outputs([(*network(), np.ones(6, np.float32))], np.array([0]), np.empty(0, np.int32)).shape == (0, 6)


def test_values_are_scored_in_the_unit_of_their_task() -> None:
    trunk, heads = network()
    data = with_values(dataset(), centre=6.0, scale=2.0)
    rows = data.rows_in([0])
    scores, labels = score(trunk, heads, data, rows), data.labels.of(rows)
    logits = dense_logits(trunk, heads)[rows[labels.owners], labels.tasks]
    np.testing.assert_allclose(scores.outputs, np.where(labels.tasks < 3, logits, 6 + 2 * logits), rtol=1e-4, atol=1e-5)
    assert scores.values.tolist() == labels.values.tolist()
    assert scores.censors.tolist() == labels.censors.tolist()
    table = evaluate(trunk, heads, data, {"test": 0}, 1)
    assert dict(table.schema) == METRICS_SCHEMA
    errors = (scores.outputs - scores.values)[(labels.tasks == 4) & (labels.censors == 0)]
    assert table["rmse"][4] == pytest.approx(np.sqrt(np.mean(errors.astype(float) ** 2)))
    assert table["positives"].is_null().to_list() == table["exact"].is_not_null().to_list() == [False] * 3 + [True] * 3


def test_auxiliary_tasks_are_in_no_figure() -> None:
    data = with_values(dataset())
    auxiliary = replace(data, tasks=data.tasks.with_columns(pl.col("task").is_in([1, 4]).alias("auxiliary")))
    assert evaluate(*network(), auxiliary, FOLDS, 1)["task"].to_list() == [0, 2, 3, 5] * 2
    alone = replace(data, tasks=data.tasks.with_columns(pl.lit(True).alias("auxiliary")))
    assert evaluate(*network(), alone, FOLDS, 1).is_empty()

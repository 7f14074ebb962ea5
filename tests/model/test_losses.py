"""What a label costs, by the kind of its task."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fedapp.config import Training
from fedapp.data.dataset import Dataset
from fedapp.data.labels import ABOVE, BELOW, EXACT, Labels
from fedapp.data.task_kinds import CLASSES, KINDS, VALUES
from fedapp.model.batches import Batch, assemble
from fedapp.model.dropout import Dropout
from fedapp.model.evaluation import evaluate, score
from fedapp.model.losses import LOSSES, label_losses, mean_loss
from fedapp.model.network import Heads, Trunk
from fedapp.model.noisy_training import clipped_gradients
from fedapp.model.training import optimiser, train
from tests.model.synthetic import dataset

WEIGHTS = torch.tensor([1.0, 0.5, 0.25, 1.0, 1.0, 2.0])


def test_every_kind_has_its_loss() -> None:
    assert {kind.loss for kind in KINDS.values()} <= set(LOSSES)


def test_the_loss_is_the_weighted_mean_over_labels() -> None:
    batch = assemble(dataset(), np.arange(20), WEIGHTS)
    logits = torch.randn(len(batch.values))
    each = binary_cross_entropy_with_logits(logits, batch.values, reduction="none")
    torch.testing.assert_close(label_losses(logits, batch), each * batch.weights)
    torch.testing.assert_close(mean_loss(logits, batch), (each * batch.weights).sum() / batch.weights.sum())


def test_the_gradient_is_bit_for_bit_that_of_the_loss_summed_by_the_library() -> None:
    batch = assemble(dataset(), np.arange(200), 1 / torch.arange(1.0, 7.0))
    logits = torch.randn(len(batch.values), requires_grad=True)
    summed = binary_cross_entropy_with_logits(logits, batch.values, weight=batch.weights, reduction="sum") / batch.weights.sum()
    mean = mean_loss(logits, batch)
    assert torch.equal(mean, summed)
    assert torch.equal(*(torch.autograd.grad(loss, logits)[0] for loss in (mean, summed)))


def test_a_labels_weight_and_its_tasks_are_multiplied() -> None:
    data, rows = dataset(), np.array([3, 9, 4])
    own = np.random.default_rng(0).random(len(data.labels)).astype(np.float32)
    batch = assemble(replace(data, labels=replace(data.labels, weights=own)), rows, WEIGHTS)
    positions = [place for row in rows for place in range(data.labels.indptr[row], data.labels.indptr[row + 1])]
    assert batch.weights.tolist() == [float(own[place] * WEIGHTS.numpy()[data.labels.tasks[place]]) for place in positions]


CENTRE, SCALE = 5.0, 2.0  # of tasks of values, in their unit


@pytest.fixture
def measured() -> Dataset:
    """Tasks 0 to 2 have classes; 3 to 5 have measured values, which are a sum over bits and of which some are censored at 7."""
    data, random = dataset(compounds=800), np.random.default_rng(2)
    dense = np.zeros((len(data.folds), data.bits), dtype=np.float32)
    dense[np.repeat(np.arange(len(dense)), np.diff(data.x_indptr)), data.x_indices] = 1
    true = (dense @ random.normal(size=(data.bits, 6)).astype(np.float32) / 4)[data.labels.owners, data.labels.tasks]
    real, hidden = data.labels.tasks >= 3, true > 1
    columns = {"kind": [CLASSES.name] * 3 + [VALUES.name] * 3, "centre": [0.0] * 3 + [CENTRE] * 3, "scale": [1.0] * 3 + [SCALE] * 3}
    in_units = CENTRE + SCALE * np.minimum(true, 1)
    labels = replace(
        data.labels,
        values=np.where(real, in_units, data.labels.values).astype(np.float32),
        censors=np.where(real & hidden, ABOVE, EXACT).astype(np.int8),
    )
    return replace(data, tasks=data.tasks.with_columns(*(pl.Series(name, column) for name, column in columns.items())), labels=labels)


def test_classes_and_values_are_learned_on_one_trunk(measured: Dataset) -> None:
    settings = Training(batch_size=32, local_epochs=15, learning_rate=0.01, last_learning_rate=0.01, weight_decay=0.0)
    trunk, heads, rows = Trunk(measured.bits, [32], 1), Heads(32, 6, 1), measured.rows_in([0, 2, 3, 4])
    before = evaluate(trunk, heads, measured, {"test": 0}, 1)
    train(trunk, heads, optimiser(trunk, heads, settings), measured, rows, settings=settings, dropout=0.0, seed=1)
    after = evaluate(trunk, heads, measured, {"test": 0}, 1)
    assert after["task"].to_list() == list(range(6))
    assert after["auc_pr"].is_not_null().to_list() == [True] * 3 + [False] * 3
    assert after["r2"].is_not_null().to_list() == [False] * 3 + [True] * 3
    assert (after["bce"] < before["bce"]).sum() == 3
    assert (after["rmse"] < before["rmse"]).sum() == 3
    assert after["spearman"].drop_nulls().min() > 0.5
    scores = score(trunk, heads, measured, rows)
    censored = measured.labels.of(rows).censors == ABOVE
    assert censored.sum() > 50
    assert np.mean(scores.outputs[censored] > CENTRE + SCALE) > 0.8, "nothing draws a prediction down to the bound"


def one_compound(values: list[float], censors: list[int]) -> Labels:
    tasks = np.arange(3, 3 + len(values), dtype=np.int32)
    exact = Labels.exact(np.array([0, len(values)]), tasks, np.array(values, dtype=np.float32))
    return replace(exact, censors=np.array(censors, dtype=np.int8))


def batch_of(measured: Dataset, labels: Labels) -> Batch:
    return assemble(replace(measured, labels=labels), np.array([0]), torch.ones(6))


def test_a_censored_label_costs_nothing_on_its_side_of_the_value(measured: Dataset) -> None:
    outputs = torch.tensor([2.0, 2.0, 2.0])
    for value, expected in ((1.0, [1.0, 1.0, 0.0]), (3.0, [0.0, 1.0, 1.0]), (2.0, [0.0, 0.0, 0.0])):
        batch = batch_of(measured, one_compound([CENTRE + SCALE * value] * 3, [BELOW, EXACT, ABOVE]))
        assert label_losses(outputs, batch).tolist() == expected
        assert mean_loss(outputs, batch).item() == pytest.approx(sum(expected) / 3), "all three are counted"


def test_noise_is_added_to_gradients_of_every_kind(measured: Dataset) -> None:
    (trunk, heads), batch = (Trunk(measured.bits, [8], 1), Heads(8, 6, 1)), assemble(measured, np.arange(20), WEIGHTS)
    loss = clipped_gradients(trunk, heads, batch, clipping_norm=1e6, dropout=Dropout(0.0, torch.Generator()))
    outputs = heads(trunk(batch.bits), batch.pairs)
    assert loss == pytest.approx(label_losses(outputs, batch).sum().item())
    clipped = heads.weight.grad.clone()
    heads.zero_grad()
    label_losses(outputs, batch).sum().backward()
    torch.testing.assert_close(clipped, heads.weight.grad)

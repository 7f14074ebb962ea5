"""What `polyphony benchmark training` and `metrics` compare: both sides must do the same work."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fedapp.config import Training
from fedapp.evaluation.metrics import task_metrics
from fedapp.model.network import Heads, Trunk
from fedapp.model.training import optimiser, train
from simulation.benchmarks.dense_training import DenseNetwork, dense_epoch
from simulation.benchmarks.made_up_dataset import made_up_dataset
from simulation.benchmarks.metrics import measure_metrics, scores, task_by_task
from simulation.benchmarks.training import Size, measure_training
from tests.model.synthetic import dataset


def test_the_yardstick_learns_what_our_training_learns() -> None:
    data, settings = dataset(), Training(64, 1, 0.01, 0.01, 0.001)
    rows = np.arange(len(data.folds))
    trunk, heads, network = Trunk(data.bits, [8]), Heads(8, 6), DenseNetwork(data.bits, 8, 6, 0.0)
    with torch.no_grad():
        for parameter, other in zip(network.parameters(), [*trunk.parameters(), *heads.parameters()], strict=True):
            parameter.copy_(other)
    dense_epoch(network, torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=0.001), data, rows, settings)
    train(trunk, heads, optimiser(trunk, heads, settings), data, rows, settings=settings, dropout=0.0, seed=1)
    for parameter, other in zip(network.parameters(), [*trunk.parameters(), *heads.parameters()], strict=True):
        torch.testing.assert_close(parameter, other, rtol=1e-3, atol=1e-5)


def test_made_up_compounds_have_as_many_bits_and_labels_as_real_ones() -> None:
    data = made_up_dataset(2000)
    assert np.diff(data.x_indptr).mean() == pytest.approx(69, abs=2)
    assert len(data.labels) / 2000 == pytest.approx(2, abs=0.1)
    assert len(np.unique(data.fingerprints(np.arange(512))[1])) == pytest.approx(11_600, rel=0.1)
    assert data.digest == ""
    assert not Path(data.directory).exists()


def test_every_figure_of_a_training_is_told() -> None:
    figures = measure_training(Size(hidden=4, batch=32, batches=2), repeats=2)
    assert figures["compounds"] == 64
    assert len(figures["speedups"]) == 2
    assert min(figures[name] for name in ("epoch_s", "reference_epoch_s", "speedup", "labels_per_s", "peak_memory_gb")) > 0


def test_metrics_of_all_tasks_at_once_are_those_of_each_by_itself() -> None:
    assert measure_metrics(30, 1)["difference"] < 1e-9


def test_a_task_with_one_class_or_no_label_has_the_same_gaps_both_ways() -> None:
    inputs = (np.array([0, 0, 2]), np.array([1.0, 1.0, 0.0]), np.array([0.5, -1.0, 2.0]), 4)
    np.testing.assert_allclose(scores(task_metrics(*inputs)), scores(task_by_task(*inputs)))

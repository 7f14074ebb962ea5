"""Local training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedapp.config import Training
from fedapp.errors import DataError, RunError
from fedapp.model.batches import assemble, chunks
from fedapp.model.network import Heads, Trunk
from fedapp.model.training import learning_rate, optimiser, train
from tests.model.synthetic import dataset, from_dense

SETTINGS = Training(batch_size=32, local_epochs=1, learning_rate=0.01, last_learning_rate=0.01, weight_decay=0.0)


def trained(seed: int = 5, epochs: int = 1, hidden: tuple[int, ...] = (16,), dropout: float = 0.2) -> tuple[Trunk, Heads, float]:
    data = dataset()
    trunk, heads = Trunk(data.bits, list(hidden), 1), Heads(hidden[-1], len(data.tasks), 1, data.name)
    settings = replace(SETTINGS, local_epochs=epochs)
    outcome = train(
        trunk, heads, optimiser(trunk, heads, settings), data, data.rows_in([2, 3, 4]), settings=settings, dropout=dropout, seed=seed
    )
    return trunk, heads, outcome.loss


@pytest.mark.parametrize("hidden", [(16,), (16, 8)])
def test_repeated_training_gives_the_same_bits(hidden: tuple[int, ...]) -> None:
    (one, one_heads, _), (other, other_heads, _) = trained(hidden=hidden), trained(hidden=hidden)
    for a, b in zip([*one.parameters(), *one_heads.parameters()], [*other.parameters(), *other_heads.parameters()], strict=True):
        assert torch.equal(a, b)


def test_another_seed_trains_differently() -> None:
    assert not torch.equal(trained(seed=5)[0].weight, trained(seed=6)[0].weight)


def test_more_epochs_lower_the_loss() -> None:
    assert trained(epochs=20)[2] < trained(epochs=1)[2] - 0.1


def test_bits_that_no_compound_has_are_not_touched() -> None:
    dense = np.random.default_rng(0).random((60, 40)) < 0.2
    dense[:, 7] = False
    data = from_dense("alpha", dense, dense[:, :3], np.ones((60, 3), bool), np.full(60, 2))
    trunk, heads = Trunk(40, [4], 1), Heads(4, 3)
    before = trunk.weight.detach().clone()
    train(trunk, heads, optimiser(trunk, heads, SETTINGS), data, data.rows_in([2]), settings=SETTINGS, dropout=0.0, seed=1)
    changed = (trunk.weight != before).any(1)
    assert not changed[7]
    assert changed.sum() == 39


def test_rows_that_nobody_holds_have_no_moments_and_the_others_move_as_if_all_were_trained() -> None:
    data, settings = dataset(), replace(SETTINGS, weight_decay=1e-3, local_epochs=2)
    held = np.arange(data.bits) % 3 > 0
    data = data.guarded(np.arange(len(data.folds)), held)
    alone, among = (Trunk(data.bits, [4], 1) for _ in range(2))
    before = alone.weight.detach().clone()
    moments = []
    for trunk, rows in ((alone, held), (among, None)):
        heads = Heads(4, len(data.tasks), 1)
        adam = optimiser(trunk, heads, settings, rows)
        train(trunk, heads, adam, data, data.rows_in([2]), settings=settings, dropout=0.2, seed=1)
        moments.append(adam.means[0])
    assert moments[0].shape == (held.sum(), 4)
    torch.testing.assert_close(moments[0], moments[1][torch.from_numpy(held)])
    torch.testing.assert_close(alone.weight[held], among.weight[held])
    assert torch.equal(alone.weight[~held], before[~held])
    assert not torch.equal(among.weight[~held], before[~held])


def test_a_training_that_diverges_leaves_all_rows_in_their_places() -> None:
    data = dataset()
    trunk, heads = Trunk(data.bits, [4], 1), Heads(4, len(data.tasks), 1)
    heads.weight.data[0, 0] = float("inf")
    held = np.ones(data.bits, dtype=np.bool_)
    held[7] = False
    before = trunk.weight.detach().clone()
    with pytest.raises(RunError, match="diverged"):
        train(trunk, heads, optimiser(trunk, heads, SETTINGS, held), data, data.rows_in([2]), settings=SETTINGS, dropout=0.0, seed=1)
    assert trunk.weight.shape == before.shape
    assert torch.equal(trunk.weight[7], before[7])


def test_the_outcome_counts_compounds_and_steps() -> None:
    data = dataset()
    rows = data.rows_in([2, 3, 4])
    trunk, heads = Trunk(data.bits, [8]), Heads(8, len(data.tasks))
    settings = replace(SETTINGS, local_epochs=2)
    outcome = train(trunk, heads, optimiser(trunk, heads, settings), data, rows, settings=settings, dropout=0.0, seed=1)
    assert outcome.compounds == len(rows)
    assert outcome.steps == 2 * -(-len(rows) // 32)
    assert outcome.seconds > 0


def test_training_without_compounds_is_an_error_that_says_why() -> None:
    data = dataset()
    trunk, heads = Trunk(data.bits, [8]), Heads(8, len(data.tasks))
    with pytest.raises(DataError, match="alpha has no compounds"):
        train(trunk, heads, optimiser(trunk, heads, SETTINGS), data, np.empty(0, np.int64), settings=SETTINGS, dropout=0.0, seed=1)


def test_training_that_diverges_is_an_error() -> None:
    data = dataset()
    trunk, heads = Trunk(data.bits, [8]), Heads(8, len(data.tasks))
    heads.weight.data[0, 0] = float("inf")
    with pytest.raises(RunError, match="diverged"):
        train(trunk, heads, optimiser(trunk, heads, SETTINGS), data, data.rows_in([2, 3, 4]), settings=SETTINGS, dropout=0.0, seed=1)


def test_a_batch_holds_the_observed_pairs_of_its_rows() -> None:
    data = dataset()
    rows = np.array([7, 3, 250])
    batch = assemble(data, rows, torch.arange(6.0))
    indptr, tasks = data.labels.indptr, data.labels.tasks
    expected = [tasks[indptr[row] : indptr[row + 1]] for row in rows]
    assert batch.pairs.indices.tolist() == np.concatenate(expected).tolist()
    assert batch.weights.tolist() == [float(task) for task in batch.pairs.indices]
    assert batch.bits.indices.tolist() == np.concatenate([data.x_indices[data.x_indptr[r] : data.x_indptr[r + 1]] for r in rows]).tolist()


def test_chunks_cover_the_rows_once() -> None:
    assert [chunk.tolist() for chunk in chunks(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


def test_the_learning_rate_falls_linearly_to_its_last_value() -> None:
    settings = replace(SETTINGS, learning_rate=0.5, last_learning_rate=0.1)
    assert [learning_rate(settings, number, 5) for number in range(1, 6)] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    assert learning_rate(settings, 1, 1) == 0.5

"""Training with noise: what one compound can add, what noise is added, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fedapp.config import Training
from fedapp.errors import DataError, RunError
from fedapp.model import noisy_training
from fedapp.model.batches import Batch, assemble
from fedapp.model.dropout import Dropout
from fedapp.model.evaluation import score
from fedapp.model.network import Heads, Trunk
from fedapp.model.noisy_training import activations, add_noise, clipped_gradients, fitted_heads, owners, plan, squared_norms, train_noisily
from fedapp.model.training import optimiser
from fedapp.privacy.noise import Noise
from tests.model.synthetic import dataset, from_dense

SETTINGS = Training(batch_size=32, local_epochs=1, learning_rate=0.01, last_learning_rate=0.01, weight_decay=0.0)
SHAPES = [(16,), (16, 8), (12, 8, 5)]
KEY = bytes(range(32))
WEIGHTS = torch.tensor([1.0, 0.5, 0.25, 1.0, 1.0, 2.0])


def network(hidden: tuple[int, ...], tasks: int = 6) -> tuple[Trunk, Heads]:
    """With weights large enough that norms differ."""
    trunk, heads = Trunk(256, list(hidden), 1), Heads(hidden[-1], tasks, 1, "alpha")
    with torch.no_grad():
        for parameter in (*trunk.parameters(), *heads.parameters()):
            parameter.mul_(3.0)
    return trunk, heads


def parameters(trunk: Trunk, heads: Heads) -> list[torch.nn.Parameter]:
    return [*trunk.parameters(), *heads.parameters()]


def drops(share: float) -> Dropout:
    return Dropout(share, torch.Generator().manual_seed(3))


def naive_gradients(trunk: Trunk, heads: Heads, batch: Batch, dropout: float) -> torch.Tensor:
    """Each compound's gradient by a backward pass of its own: (compounds, parameters)."""
    own = owners(batch)
    found = []
    for compound in range(len(batch.bits.offsets)):
        _, _, logits = activations(trunk, heads, batch, drops(dropout))
        losses = binary_cross_entropy_with_logits(logits, batch.values, weight=batch.weights, reduction="none")
        gradients = torch.autograd.grad(losses[own == compound].sum(), parameters(trunk, heads))
        found.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(found)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("hidden", SHAPES)
def test_norms_in_closed_form_are_those_of_each_compounds_own_gradient(hidden: tuple[int, ...], dropout: float) -> None:
    (trunk, heads), batch = network(hidden), assemble(dataset(), np.arange(20), WEIGHTS)
    inputs, sums, logits = activations(trunk, heads, batch, drops(dropout))
    loss = binary_cross_entropy_with_logits(logits, batch.values, weight=batch.weights, reduction="sum")
    to_logits, *to_sums = torch.autograd.grad(loss, [logits, *sums])
    expected = naive_gradients(trunk, heads, batch, dropout).square().sum(1)
    assert expected.min() == 0 or expected.max() > 3 * expected.min()
    torch.testing.assert_close(squared_norms(batch, inputs, to_logits, to_sums), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("hidden", SHAPES)
@pytest.mark.parametrize("norm", [0.01, 1.5, 1000.0])
def test_the_sum_is_that_of_gradients_clipped_one_by_one(hidden: tuple[int, ...], dropout: float, norm: float) -> None:
    (trunk, heads), batch = network(hidden), assemble(dataset(), np.arange(20), WEIGHTS)
    each = naive_gradients(trunk, heads, batch, dropout)
    expected = (each * (norm / each.norm(dim=1)).clamp(max=1.0)[:, None]).sum(0)
    trunk.zero_grad(), heads.zero_grad()
    loss = clipped_gradients(trunk, heads, batch, clipping_norm=norm, dropout=drops(dropout))
    found = torch.cat([parameter.grad.flatten() for parameter in parameters(trunk, heads)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert loss > 0


def test_the_networks_forward_pass_is_the_same_as_everywhere() -> None:
    (trunk, heads), batch = network((16, 8)), assemble(dataset(), np.arange(20), WEIGHTS)
    _, _, logits = activations(trunk, heads, batch, drops(0.0))
    assert torch.equal(logits, heads(trunk(batch.bits), batch.pairs))


@pytest.mark.parametrize("hidden", SHAPES)
def test_leaving_one_compound_out_moves_the_whole_sum_by_the_clipping_norm_at_most(hidden: tuple[int, ...]) -> None:
    (trunk, heads), data, norm = network(hidden), dataset(), 0.7

    def summed(rows: np.ndarray) -> torch.Tensor:
        trunk.zero_grad(), heads.zero_grad()
        clipped_gradients(trunk, heads, assemble(data, rows, WEIGHTS), clipping_norm=norm, dropout=drops(0.0))
        return torch.cat([parameter.grad.flatten() for parameter in parameters(trunk, heads)])

    rows = np.arange(30)
    moves = torch.stack([(summed(rows) - summed(np.delete(rows, row))).norm() for row in rows])
    assert moves.max() <= norm * (1 + 1e-4)
    assert moves.max() == pytest.approx(norm, rel=1e-3), "or nothing was clipped"


def noisy_network(listed: np.ndarray, expected: float = 4.0) -> tuple[Trunk, Heads]:
    """After the noise of an empty sample."""
    trunk, heads = Trunk(256, [64, 64]), Heads(64, 50)
    add_noise(trunk, heads, torch.from_numpy(listed), 2.0, expected, Noise(KEY))
    return trunk, heads


def test_every_parameter_gets_noise_of_the_stated_deviation_even_from_an_empty_sample() -> None:
    trunk, heads = noisy_network(np.arange(256))
    for parameter in parameters(trunk, heads):
        assert parameter.grad is not None
        assert parameter.grad.std().item() == pytest.approx(2.0 / 4.0, rel=3 / len(parameter.grad.flatten()) ** 0.5)
        assert (parameter.grad != 0).all()


def test_rows_that_are_not_trained_get_neither_gradient_nor_noise() -> None:
    listed = np.arange(0, 256, 3)
    trunk, _ = noisy_network(listed)
    assert trunk.weight.grad is not None
    touched = (trunk.weight.grad != 0).any(1).numpy()
    assert np.flatnonzero(touched).tolist() == listed.tolist()


def test_noise_is_added_to_the_gradient_and_not_put_in_its_place() -> None:
    plain, _ = noisy_network(np.arange(256))
    trunk, heads = Trunk(256, [64, 64]), Heads(64, 50)
    for parameter in parameters(trunk, heads):
        parameter.grad = torch.full_like(parameter, 8.0)
    add_noise(trunk, heads, torch.arange(256), 2.0, 4.0, Noise(KEY))
    torch.testing.assert_close(trunk.weight.grad, plain.weight.grad + 2.0)


def test_every_compound_is_in_every_step_with_the_same_probability_and_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    data, rows = dataset(compounds=300), np.arange(50, 300)
    samples: list[np.ndarray] = []
    monkeypatch.setattr(noisy_training, "assemble", lambda _, rows, weights: samples.append(rows) or assemble(data, rows[:1], weights))
    monkeypatch.setattr(noisy_training, "clipped_gradients", lambda *_, **__: 0.0)
    trunk, heads = network((4,))
    settings = replace(SETTINGS, batch_size=25, local_epochs=30)
    outcome = noisily(trunk, heads, data, rows, settings)
    assert outcome.steps == 300
    held = np.array([np.isin(rows, sample) for sample in samples], dtype=float)
    assert len(held) == 300
    assert np.abs(held.mean(0) - 0.1).max() < 5 * (0.09 / 300) ** 0.5
    assert held.sum(1).var() == pytest.approx(250 * 0.09, rel=0.25), "a fixed batch size would have none"
    assert abs(np.corrcoef(held[:-1].ravel(), held[1:].ravel())[0, 1]) < 0.02, "shuffled passes would be anticorrelated"


def noisily(
    trunk: Trunk,
    heads: Heads,
    data: object,
    rows: np.ndarray,
    settings: Training = SETTINGS,
    noise_multiplier: float = 1.0,
    **others: object,
):
    adam = others.get("adam") or optimiser(trunk, heads, settings)
    listed = others.get("listed", np.arange(256))
    return train_noisily(
        trunk,
        heads,
        adam,
        data,
        rows,
        trained=listed,
        settings=settings,
        dropout=others.get("dropout", 0.2),
        clipping_norm=1.0,
        noise_multiplier=noise_multiplier,
        noise=others.get("noise") or Noise(KEY),
    )


@pytest.mark.parametrize(("compounds", "rate", "count"), [(1000, 0.032, 32 * 2), (32, 1.0, 2), (10, 1.0, 2)])
def test_steps_are_those_of_shuffled_passes(compounds: int, rate: float, count: int) -> None:
    steps = plan(compounds, replace(SETTINGS, local_epochs=2))
    assert (steps.sample_rate, steps.count) == (rate, count)
    assert steps.expected == pytest.approx(min(32, compounds))


def test_equal_noise_gives_equal_bits_and_other_noise_other_ones() -> None:
    data, found = dataset(), []
    for key in (KEY, KEY, bytes(32)):
        trunk, heads = network((16,))
        noisily(trunk, heads, data, data.rows_in([2, 3, 4]), noise=Noise(key))
        found.append(trunk.weight.detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_the_optimiser_sees_the_noise_where_no_compound_adds_anything() -> None:
    dense = np.random.default_rng(0).random((60, 256)) < 0.1
    dense[:, 7] = False
    data = from_dense("alpha", dense, dense[:, :3], np.ones((60, 3), bool), np.full(60, 2))
    trunk, heads = Trunk(256, [4], 1), Heads(4, 4)  # no compound has a label of the fourth task
    before, heads_before = trunk.weight.detach().clone(), heads.weight.detach().clone()
    data = replace(data, tasks=dataset(tasks=4).tasks)
    noisily(trunk, heads, data, data.rows_in([2]), listed=np.arange(0, 200))
    changed = (trunk.weight != before).all(1)
    assert changed[:200].all()
    assert not changed[200:].any()
    assert (heads.weight != heads_before).all()


def test_with_little_noise_it_learns() -> None:
    data, rows = dataset(compounds=1000), dataset(compounds=1000).rows_in([2, 3, 4])
    trunk, heads = network((16,))
    adam, losses = optimiser(trunk, heads, SETTINGS), []
    for key in range(10):
        noise = Noise(key.to_bytes(32, "little"))
        outcome = noisily(trunk, heads, data, rows, noise_multiplier=0.05, dropout=0.0, adam=adam, noise=noise)
        losses.append(outcome.loss)
    assert losses[-1] < losses[0] - 0.1


def test_fitted_heads_predict_better_and_change_neither_trunk_nor_heads() -> None:
    data = dataset(compounds=1000)
    rows, (trunk, heads) = data.rows_in([2, 3, 4]), network((16,))
    held = [parameter.detach().clone() for parameter in parameters(trunk, heads)]
    fitted = fitted_heads(trunk, heads, data, rows, settings=SETTINGS, dropout=0.0, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(held, parameters(trunk, heads), strict=True))
    assert all(parameter.requires_grad for parameter in trunk.parameters())

    def loss(own: Heads) -> float:
        scores = score(trunk, own, data, rows)
        return float(np.mean(np.logaddexp(0, scores.outputs) - scores.values * scores.outputs))

    assert loss(fitted) < loss(heads) - 0.05


def test_no_compounds_and_divergence_are_errors() -> None:
    data = dataset()
    trunk, heads = network((16,))
    with pytest.raises(DataError, match="alpha has no compounds"):
        noisily(trunk, heads, data, np.empty(0, np.int64))
    heads.weight.data[0, 0] = float("inf")
    with pytest.raises(RunError, match="diverged"):
        noisily(trunk, heads, data, data.rows_in([2, 3, 4]))

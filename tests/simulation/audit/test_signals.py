"""Statistics of compounds, against dense numpy and scikit-learn, and on a trunk that learned some compounds and not others."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from fedapp.config import Training
from fedapp.data.dataset import Dataset
from fedapp.model.network import Heads, Trunk, trunk_arrays
from fedapp.model.training import optimiser, train
from simulation.audit import signals as module
from simulation.audit.signals import (
    OUTSIDER,
    ROUNDS,
    TRUNK,
    Rounds,
    SuspectModel,
    change_signals,
    model_signals,
    signals,
    standardised,
    support_signal,
    trunk_signals,
)
from tests.model.synthetic import dataset, from_dense, with_values

SETTINGS = Training(batch_size=32, local_epochs=3, learning_rate=0.004, last_learning_rate=0.004, weight_decay=2e-5)


def dense_bits(made: Dataset) -> np.ndarray:
    dense = np.zeros((len(made.folds), made.bits), dtype=np.float64)
    dense[np.repeat(np.arange(len(made.folds)), np.diff(made.x_indptr)), made.x_indices] = 1
    return dense


def rounds_of(trunks: list[list[np.ndarray]]) -> Rounds:
    """Without momentum: what a round changes is its mean update."""
    steps = [[new - old for old, new in zip(before, after, strict=True)] for before, after in pairwise(trunks)]
    return Rounds(trunks, steps)


def some_rounds(bits: int, hidden: list[int], rounds: int, seed: int = 0) -> Rounds:
    generator = np.random.default_rng(seed)
    trunks = [trunk_arrays(Trunk(bits, hidden, seed))]
    for _ in range(rounds):
        trunks.append([array + generator.normal(0, 0.05, array.shape).astype(np.float32) for array in trunks[-1]])
    return rounds_of(trunks)


@pytest.fixture(scope="module")
def made() -> Dataset:
    """60 compounds, of which the last has neither bits nor labels."""
    generator = np.random.default_rng(3)
    dense, observed = generator.random((60, 128)) < 0.1, generator.random((60, 5)) < 0.5
    dense[-1], observed[-1] = False, False
    return from_dense("alpha", dense, generator.random((60, 5)) < 0.5, observed, np.zeros(60))


def test_of_a_value_a_models_confidence_is_its_distance_in_units_of_its_head_and_a_bound_that_is_kept_costs_nothing() -> None:
    made = with_values(dataset(compounds=60, bits=128, tasks=5), centre=6.0, scale=2.0, first=0)
    arrays, heads = trunk_arrays(Trunk(128, [16], 0)), Heads(16, 5, 0, "alpha").requires_grad_(False)
    heads.bias.fill_(3.0)  # beyond high bounds, which are kept so
    features = np.maximum(dense_bits(made) @ arrays[0] + arrays[1], 0)
    outputs = features @ heads.weight.numpy().T + heads.bias.numpy()
    labels, expected = made.labels, [[] for _ in range(60)]
    for owner, task, value, censor in zip(labels.owners, labels.tasks, labels.values, labels.censors, strict=True):
        short = (value - 6.0) / 2.0 - outputs[owner, task]
        expected[owner].append(0.0 if short * censor < 0 else short)
    found = model_signals(SuspectModel(made, arrays, heads))
    assert found["confidence"] == pytest.approx([-np.mean(np.abs(own)) if own else 0.0 for own in expected], abs=1e-5)
    assert found["loss"] == pytest.approx([np.mean(np.square(own)) if own else np.log(2) for own in expected], rel=1e-4, abs=1e-5)
    assert any(0.0 in own for own in expected)


@pytest.mark.parametrize("hidden", [[16], [16, 8]])
def test_an_outsider_sees_mean_loss_and_mean_confidence_in_the_right_answer(made, hidden):
    rounds, heads = some_rounds(made.bits, hidden, 1), Heads(hidden[-1], 5, 1)
    trunks = rounds.trunks
    found = signals([made], [SuspectModel(made, trunks[-1], heads)], rounds)
    layer, *others = trunks[-1][:1], *zip(trunks[-1][2::2], trunks[-1][3::2], strict=True)
    features = np.maximum(dense_bits(made) @ layer[0] + trunks[-1][1], 0)
    for weight, bias in others:
        features = np.maximum(features @ weight.T + bias, 0)
    logits = features @ heads.weight.detach().numpy().T + heads.bias.detach().numpy()
    for row in range(59):
        own = made.labels.of(np.array([row]))
        tasks, labels = own.tasks, own.values
        if len(tasks):
            chance = 1 / (1 + np.exp(-logits[row, tasks]))
            assert found["loss"][row] == pytest.approx(log_loss(labels, chance, labels=[0, 1]), abs=1e-5)
            assert found["confidence"][row] == pytest.approx(np.where(labels == 1, 1, -1) @ logits[row, tasks] / len(tasks), abs=1e-5)
    assert found["loss"][59] == pytest.approx(np.log(2)) and found["confidence"][59] == 0.0


def test_all_statistics_are_there_one_of_each_compound(made):
    rounds = some_rounds(made.bits, [16], 2)
    found = signals([made], [SuspectModel(made, rounds.trunks[-1], Heads(16, 5, 1))], rounds)
    assert set(found) == {*OUTSIDER, *TRUNK, *ROUNDS}
    assert all(values.shape == (60,) and values.dtype == np.float32 and np.isfinite(values).all() for values in found.values())


def test_the_statistics_of_several_partners_stand_one_after_another(made):
    rounds = some_rounds(made.bits, [16], 2)
    models = [SuspectModel(made, rounds.trunks[-1], Heads(16, 5, seed)) for seed in (1, 2)]
    both, alone = signals([made, made], models, rounds), [signals([made], [own], rounds) for own in models]
    for name, values in both.items():
        assert np.allclose(values, np.concatenate([each[name] for each in alone]), atol=1e-5), name


def test_a_partner_sees_how_the_rows_of_a_compound_moved(made):
    change, dense = np.random.default_rng(0).normal(size=(made.bits, 16)).astype(np.float32), dense_bits(made)
    change[5] = 0.0
    found = change_signals(made.x_indptr, made.x_indices, change)
    norms = np.linalg.norm(change, axis=1)
    directions = np.divide(change, norms[:, None], out=np.zeros_like(change), where=norms[:, None] > 0)
    np.testing.assert_allclose(found["movement"], np.linalg.norm(dense @ change, axis=1), rtol=1e-4)
    np.testing.assert_allclose(found["coherence"], np.linalg.norm(dense @ directions, axis=1), rtol=1e-4)
    np.testing.assert_allclose(found["quietest"], [norms[row == 1].min(initial=np.inf) if row.any() else 0 for row in dense], rtol=1e-4)


def test_pieces_of_compounds_give_what_all_at_once_give(made, monkeypatch):
    rounds = some_rounds(made.bits, [16], 3)
    whole = trunk_signals(made.x_indptr, made.x_indices, rounds)
    monkeypatch.setattr(module, "CHUNK", 7)
    parts = trunk_signals(made.x_indptr, made.x_indices, rounds)
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-5, atol=1e-5)


def test_rounds_add_up_what_each_of_them_says(made):
    rounds = some_rounds(made.bits, [16], 3)
    found = trunk_signals(made.x_indptr, made.x_indices, rounds)
    single = [change_signals(made.x_indptr, made.x_indices, mean[0]) for mean in rounds.means]
    for name in TRUNK:
        np.testing.assert_allclose(found[f"{name}_rounds"], sum(standardised(each[name]) for each in single), rtol=1e-4, atol=1e-4)


def test_the_row_list_says_how_many_partners_support_a_compounds_bits(made):
    supports = np.random.default_rng(0).random((4, made.bits)) < 0.4
    expected = dense_bits(made) @ supports.sum(axis=0)
    np.testing.assert_array_equal(support_signal(made.x_indptr, made.x_indices, supports), expected)


def test_what_is_equal_everywhere_is_standardised_to_nothing():
    np.testing.assert_array_equal(standardised(np.full((2, 5), 3.0)), np.zeros((2, 5)))
    assert standardised(np.arange(10.0)).std() == pytest.approx(1.0)


def trained(made: Dataset, members: np.ndarray, rounds: int) -> tuple[Heads, Rounds]:
    """A trunk trained on some compounds alone; rows of bits that none of them holds do not move, as with a `Partner`."""
    trunk, heads = Trunk(made.bits, [32], 0), Heads(32, len(made.tasks), 0, made.name)
    adam, trunks = optimiser(trunk, heads, SETTINGS), [trunk_arrays(trunk)]
    unheld = dense_bits(made)[members].sum(axis=0) == 0
    for number in range(rounds):
        train(trunk, heads, adam, made, np.flatnonzero(members), settings=SETTINGS, dropout=0.4, seed=number)
        trunks.append(trunk_arrays(trunk))
        trunks[-1][0][unheld] = trunks[0][0][unheld]
    return heads.requires_grad_(False), rounds_of(trunks)


def test_compounds_with_bits_of_their_own_are_recognised_in_a_trunk_that_learned_them():
    made = dataset(compounds=240, bits=2048, tasks=6)
    members = np.random.default_rng(0).random(240) < 0.5
    heads, rounds = trained(made, members, rounds=3)
    found = signals([made], [SuspectModel(made, rounds.trunks[-1], heads)], rounds)
    assert roc_auc_score(members, found["quietest"]) > 0.95
    for name in ("coherence", "coherence_rounds", "movement", "confidence"):
        assert roc_auc_score(members, found[name]) > 0.75, name


def test_compounds_that_a_trunk_never_saw_are_not_recognised_in_it():
    made = dataset(compounds=1200, bits=256, tasks=6)
    members = np.random.default_rng(0).random(1200) < 0.5
    heads, rounds = trained(made, np.arange(1200) < 1, rounds=1)
    noise = some_rounds(made.bits, [32], 3, seed=1)
    for found in (
        signals([made], [SuspectModel(made, rounds.trunks[-1], heads)], rounds),
        signals([made], [SuspectModel(made, noise.trunks[-1], heads)], noise),
    ):
        for name, values in found.items():
            assert abs(roc_auc_score(members, values) - 0.5) < 0.05, name

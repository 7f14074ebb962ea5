"""Sparse products against dense ones, forwards and backwards."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from fedapp.model.sparse import Pattern, pair_logits, pattern, row_sums

CPU = torch.device("cpu")


def of_dense(dense: np.ndarray) -> Pattern:
    rows, columns = np.nonzero(dense)
    return pattern(np.searchsorted(rows, np.arange(len(dense) + 1)), columns.astype(np.int32), dense.shape[1], CPU)


def drawn(seed: int, rows: int, columns: int, density: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, columns)) < density


matrices = st.builds(drawn, st.integers(0, 1000), st.integers(1, 7), st.integers(1, 9), st.floats(0, 1))


@given(matrices)
def test_the_first_layer_and_its_gradient_equal_a_dense_product(dense: np.ndarray) -> None:
    weight = torch.randn(dense.shape[1], 5, requires_grad=True)
    oracle = weight.detach().clone().requires_grad_()
    pull = torch.randn(len(dense), 5)
    sums = row_sums(weight, of_dense(dense))
    expected = torch.from_numpy(dense.astype(np.float32)) @ oracle
    sums.backward(pull)
    expected.backward(pull)
    torch.testing.assert_close(sums, expected)
    torch.testing.assert_close(weight.grad, oracle.grad)


@given(matrices)
def test_the_loss_over_observed_pairs_equals_the_dense_masked_loss(observed: np.ndarray) -> None:
    hidden = torch.randn(len(observed), 5, requires_grad=True)
    weight = torch.randn(observed.shape[1], 5, requires_grad=True)
    bias = torch.randn(observed.shape[1], requires_grad=True)
    labels = torch.rand(observed.shape).round()
    mask = torch.from_numpy(observed)
    logits = pair_logits(hidden, weight, bias, of_dense(observed))
    binary_cross_entropy_with_logits(logits, labels[mask], reduction="sum").backward()
    dense_hidden, dense_weight, dense_bias = (leaf.detach().clone().requires_grad_() for leaf in (hidden, weight, bias))
    losses = binary_cross_entropy_with_logits(dense_hidden @ dense_weight.T + dense_bias, labels, reduction="none")
    (losses * mask).sum().backward()
    torch.testing.assert_close(logits, (hidden @ weight.T + bias)[mask])
    torch.testing.assert_close(hidden.grad, dense_hidden.grad)
    torch.testing.assert_close(weight.grad, dense_weight.grad)
    torch.testing.assert_close(bias.grad, dense_bias.grad)


def test_autograd_itself_confirms_the_gradient_of_the_pairs() -> None:
    pairs = of_dense(drawn(3, 4, 6))
    hidden = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, w, b: pair_logits(h, w, b, pairs), (hidden, weight, bias))


@pytest.mark.parametrize("dense", [np.zeros((3, 4), bool), np.ones((3, 4), bool), np.eye(4, dtype=bool)])
def test_rows_without_entries_give_zero(dense: np.ndarray) -> None:
    weight = torch.randn(4, 2)
    torch.testing.assert_close(row_sums(weight, of_dense(dense)), torch.from_numpy(dense.astype(np.float32)) @ weight)

"""ReLU and dropout in one, forwards and backwards."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedapp.model.dropout import Dropout, rectified


def drawn(share: float, seed: int = 1) -> Dropout:
    return Dropout(share, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.99])
def test_it_keeps_the_mean_and_drops_the_share_asked_for(share: float) -> None:
    outputs = rectified(torch.ones(1000, 1001), drawn(share))
    assert (outputs == 0).double().mean().item() == pytest.approx(share, abs=0.002)
    assert outputs.double().mean().item() == pytest.approx(1.0, abs=0.05)
    assert outputs.max().item() == pytest.approx(1 / (1 - share), rel=1e-2)


def test_every_place_is_dropped_as_often_as_any_other_and_independently_of_its_neighbour() -> None:
    kept = drawn(0.4).kept(8 * 20_000).view(-1, 8)
    assert torch.cov(kept.T).fill_diagonal_(0.0).abs().max() < 0.01
    torch.testing.assert_close(kept.mean(0), torch.full((8,), 0.6), atol=0.02, rtol=0)


def test_its_draws_follow_from_its_own_generator_alone() -> None:
    ones = torch.ones(30, 7)
    torch.manual_seed(1)
    first = rectified(ones, drawn(0.4, 5))
    torch.manual_seed(2)
    assert torch.equal(rectified(ones, drawn(0.4, 5)), first)
    assert not torch.equal(rectified(ones, drawn(0.4, 6)), first)


@given(st.integers(0, 50), st.integers(0, 9), st.integers(1, 9), st.sampled_from([0.0, 0.4, 0.9]), st.integers(1, 40))
def test_values_and_gradient_are_those_of_a_relu_times_a_mask(seed: int, rows: int, width: int, share: float, block: int) -> None:
    torch.manual_seed(seed)
    sums = torch.randn(rows, width, requires_grad=True)
    other, pull = sums.detach().clone().requires_grad_(), torch.randn(rows, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedapp.model.dropout.BLOCK", block)
        mask = rectified(torch.ones(rows, width), drawn(share, seed))
        outputs = rectified(sums, drawn(share, seed))
    outputs.backward(pull)
    expected = torch.relu(other) * mask
    expected.backward(pull)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(sums.grad, other.grad)


def test_without_dropout_it_is_a_relu() -> None:
    sums = torch.randn(5, 4)
    assert torch.equal(rectified(sums), torch.relu(sums))

"""Adam of a few lines against torch's own, and the first layer's gradient that is never there as a whole."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedapp.model.adam import Adam
from fedapp.model.sparse import WeightGradient, row_sums
from fedapp.model.state import of_rows
from tests.model.test_sparse import drawn, of_dense


@given(st.floats(1e-5, 0.1), st.sampled_from([0.0, 2e-5, 0.1]), st.integers(0, 100))
def test_steps_are_those_of_torch(rate: float, decay: float, seed: int) -> None:
    torch.manual_seed(seed)
    own = [torch.randn(5, 4, requires_grad=True), torch.randn(7, requires_grad=True)]
    others = [parameter.detach().clone().requires_grad_() for parameter in own]
    adam, oracle = Adam(own, rate, decay), torch.optim.Adam(others, lr=rate, weight_decay=decay, foreach=False, fused=False)
    for number in range(5):
        adam.learning_rate = oracle.param_groups[0]["lr"] = rate / (number + 1)
        for parameter, other in zip(own, others, strict=True):
            parameter.grad = torch.randn_like(parameter)
            other.grad = parameter.grad.clone()
        adam.step()
        oracle.step()
    for parameter, other in zip(own, others, strict=True):
        torch.testing.assert_close(parameter, other)


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 30))
def test_steps_along_a_gradient_that_comes_in_blocks_are_those_of_torch_along_a_dense_one(seed: int, bits: int, block: int) -> None:
    torch.manual_seed(seed)
    weight = torch.randn(bits, 3, requires_grad=True)
    other = weight.detach().clone().requires_grad_()
    adam, oracle = Adam([weight], 0.01, 1e-3), torch.optim.Adam([other], lr=0.01, weight_decay=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedapp.model.adam.BLOCK", block)
        for number in range(3):
            dense = drawn(seed + number, 6, bits)
            kept: list[WeightGradient] = []
            row_sums(weight, of_dense(dense), kept).square().sum().backward()
            adam.step(*kept)
            oracle.zero_grad()
            (torch.from_numpy(dense.astype(np.float32)) @ other).square().sum().backward()
            oracle.step()
    torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-5)
    assert weight.grad is None


def test_moments_find_their_rows_when_others_are_trained_than_before() -> None:
    values, earlier, held = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1, 3, 4]), torch.tensor([0, 3, 4, 5])
    assert of_rows(values, earlier, held, 6).flatten().tolist() == [0, 2, 3, 0]
    assert of_rows(values, earlier, None, 6).flatten().tolist() == [0, 1, 0, 2, 3, 0]
    assert of_rows(torch.arange(6.0)[:, None], None, held, 6).flatten().tolist() == [0, 3, 4, 5]
    assert of_rows(values, earlier, earlier.clone(), 6) is values


def test_a_parameter_without_gradient_stays_as_it_is() -> None:
    moved, still = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    moved.grad = torch.ones(3)
    Adam([moved, still], 0.1, 0.1).step()
    assert (moved != 1).all()
    assert (still == 1).all()


def test_training_imports_no_compiler() -> None:
    steps = (
        "from fedapp.model.training import *; from tests.model.synthetic import dataset; from fedapp.config import Training; d = dataset();"
    )
    steps += "t, h, s = Trunk(256, [4]), Heads(4, 6), Training(32, 1, 0.01, 0.01, 0.0);"
    steps += "train(t, h, optimiser(t, h, s), d, d.rows_in([1]), settings=s, dropout=0.2, seed=1);"
    steps += "import sys; print([name for name in ('torch._dynamo', 'torch._inductor', 'sympy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", steps], capture_output=True, text=True, check=True).stdout.strip() == "[]"

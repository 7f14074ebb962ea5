"""Trunk and heads."""

import numpy as np
import pytest
import torch

from fedapp.errors import RunError
from fedapp.model.network import Heads, Trunk, set_trunk_arrays, trunk_arrays
from fedapp.model.sparse import pattern
from fedapp.seeds import derived_seed

CPU = torch.device("cpu")


def test_a_deep_trunk_equals_dense_layers_with_relu() -> None:
    dense = np.random.default_rng(0).random((6, 32)) < 0.2
    rows, columns = np.nonzero(dense)
    trunk = Trunk(32, [8, 5, 4], seed=3)
    features = trunk(pattern(np.searchsorted(rows, np.arange(7)), columns.astype(np.int32), 32, CPU))
    weight, bias, *further = (torch.from_numpy(array) for array in trunk_arrays(trunk))
    expected = torch.relu(torch.from_numpy(dense.astype(np.float32)) @ weight + bias)
    for matrix, offset in zip(further[::2], further[1::2], strict=True):
        expected = torch.relu(expected @ matrix.T + offset)
    torch.testing.assert_close(features, expected)
    assert features.shape == (6, 4)


def test_equal_seeds_give_equal_trunks_and_other_seeds_other_ones() -> None:
    one, same, other = (trunk_arrays(Trunk(64, [8], seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_two_partners_start_with_different_heads() -> None:
    assert not torch.equal(Heads(8, 3, 1, "alpha").weight, Heads(8, 3, 1, "beta").weight)


def test_trunk_arrays_are_float32_copies_that_come_back_unchanged() -> None:
    trunk, other = Trunk(64, [8, 4], 1), Trunk(64, [8, 4], 2)
    arrays = trunk_arrays(trunk)
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert [array.shape for array in arrays] == [(64, 8), (8,), (4, 8), (4,)]
    set_trunk_arrays(other, arrays)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, trunk_arrays(other), strict=True))
    arrays[0][:] = 0
    assert trunk_arrays(other)[0].any()


def test_a_trunk_of_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(RunError, match=r"\(64, 8\).*\(64, 4\)") as raised:
        set_trunk_arrays(Trunk(64, [4]), trunk_arrays(Trunk(64, [8])))
    assert "model.hidden" in raised.value.hint


def test_a_trunk_that_is_not_finite_is_refused() -> None:
    arrays = trunk_arrays(Trunk(64, [4]))
    arrays[0][3, 1] = np.nan
    with pytest.raises(RunError, match="not finite"):
        set_trunk_arrays(Trunk(64, [4]), arrays)


def test_derived_seeds_separate_their_parts() -> None:
    assert derived_seed("a", "bc") != derived_seed("ab", "c")
    assert 0 <= derived_seed(1, "alpha", 7) < 2**63

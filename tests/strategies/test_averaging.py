"""Averaging trunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.averaging import Average, average

Arrays = list[np.ndarray]


def trunk(seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    return [random.normal(size=shape).astype(np.float32) for shape in ((6, 3), (3,))]


def moved(previous: Arrays, seed: int) -> Arrays:
    return [a + b for a, b in zip(previous, trunk(seed), strict=True)]


def test_with_a_step_of_one_the_result_is_the_plain_mean() -> None:
    trunks = [moved(trunk(0), seed) for seed in (1, 2, 3)]
    for result, *arrays in zip(average(trunks, trunk(0)), *trunks, strict=True):
        np.testing.assert_allclose(result, np.mean(arrays, axis=0), rtol=1e-5, atol=1e-6)


def test_what_no_partner_changed_stays_bit_for_bit() -> None:
    previous = trunk(0)
    replies = [moved(previous, seed) for seed in (1, 2)]
    for reply in replies:
        reply[0][2] = previous[0][2]
    assert average(replies, previous, 1.5)[0][2].tobytes() == previous[0][2].tobytes()


@settings(deadline=None)
@given(st.permutations([1, 2, 3, 4]))
def test_the_order_of_the_partners_matters_only_to_rounding(order: list[int]) -> None:
    previous = trunk(0)
    expected = average([moved(previous, seed) for seed in (1, 2, 3, 4)], previous)
    for a, b in zip(average((moved(previous, seed) for seed in order), previous), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
def test_the_step_scales_the_mean_update(step: float) -> None:
    previous = trunk(0)
    one = moved(previous, 1)
    for result, old, new in zip(average([one], previous, step), previous, one, strict=True):
        np.testing.assert_allclose(result, old + step * (new - old), rtol=1e-5)
        assert result.dtype == np.float32


def test_neither_the_previous_trunk_nor_the_replies_are_changed() -> None:
    previous, reply = trunk(0), moved(trunk(0), 1)
    average([reply], previous)
    assert all(np.array_equal(a, b) for a, b in zip(previous, trunk(0), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(reply, moved(trunk(0), 1), strict=True))


def test_a_trunk_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        Average(trunk(0)).add([np.zeros((6, 2), np.float32), np.zeros(3, np.float32)])


def test_an_average_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no trunk"):
        average([], trunk(0))

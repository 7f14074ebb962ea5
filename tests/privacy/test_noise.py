"""Secret randomness: the right distributions, and never the same twice."""

import numpy as np
import pytest
from scipy import stats

from fedapp.privacy.noise import PIECE, Noise

KEY = bytes(range(32))


def test_normal_values_are_standard_normal() -> None:
    values = Noise(KEY).normal(200_001)
    assert values.dtype == np.float32
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert values.std() == pytest.approx(1.0, abs=0.01)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(0.0, abs=0.01)
    halves = values[: 2 * (PIECE // 2)].reshape(2, -1)  # the two values of each Box-Muller pair
    assert np.corrcoef(halves)[0, 1] == pytest.approx(0.0, abs=0.05)


def test_tails_reach_as_far_as_they_must() -> None:
    values = np.abs(Noise(KEY).normal(4_000_000))
    for deviations in (3.0, 4.0):
        expected = 2 * stats.norm.sf(deviations) * len(values)
        assert (values > deviations).sum() == pytest.approx(expected, abs=5 * expected**0.5)


def test_uniform_values_are_uniform() -> None:
    values = Noise(KEY).uniform(100_000)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert 0 <= values.min() < values.max() < 1


@pytest.mark.parametrize("count", [0, 1, 2, PIECE, PIECE + 1])
def test_any_number_of_values_can_be_drawn(count: int) -> None:
    assert Noise(KEY).normal(count).shape == Noise(KEY).uniform(count).shape == (count,)


def test_a_stream_goes_on_and_a_key_repeats_it() -> None:
    one, other = Noise(KEY), Noise(KEY)
    first, second = one.normal(10), one.normal(10)
    assert (first != second).all()
    assert np.array_equal(first, other.normal(10))


def test_fresh_streams_differ() -> None:
    assert (Noise.fresh().words(4) != Noise.fresh().words(4)).all()
